"""Image processors, saved beside the weights so that transformers' pipelines repeat the loader's preprocessing."""

from __future__ import annotations

from typing import Any

from transformers import (
    AutoImageProcessor,
    ConditionalDetrImageProcessor,
    DeformableDetrImageProcessor,
    DetrImageProcessor,
    RTDetrImageProcessor,
)
from transformers.image_utils import SizeDict

from loaders import GRAY_MEAN, GRAY_STD, IMAGENET_MEAN, IMAGENET_STD
from radikal_datasets.errors import ModelError
from training.models.dense import DenseDetectorConfig, DenseDetectorImageProcessor

# By the model_type of the config, which spells dab-detr with a hyphen. They differ in how they read a model's outputs.
_CLASSES = {
    "detr": DetrImageProcessor,
    "conditional_detr": ConditionalDetrImageProcessor,
    "dab-detr": ConditionalDetrImageProcessor,
    "deformable_detr": DeformableDetrImageProcessor,
    DenseDetectorConfig.model_type: DenseDetectorImageProcessor,
}


def image_processor(
    model_type: str, image_size: tuple[int, int], checkpoint: str | None = None, *, gray: bool = False
) -> Any:
    """Create the image processor of a detector.

    Args:
        model_type: model_type of the model's config.
        image_size: (height, width) in pixels that images are resized to.
        checkpoint: folder or Hub id the model was loaded from; its processor's mean and standard deviation are kept,
            because the weights expect them.
        gray: the images are gray: one mean and standard deviation for all channels, so that they need one channel in
            memory.
    """
    size = {"height": image_size[0], "width": image_size[1]}
    if checkpoint:
        try:
            processor = AutoImageProcessor.from_pretrained(checkpoint)
        except (OSError, ValueError) as error:
            raise ModelError(f"{checkpoint} has no image processor that defines its preprocessing: {error}") from error
        processor.size, processor.do_resize, processor.do_pad = SizeDict(**size), True, False
        return processor
    mean, std = (GRAY_MEAN, GRAY_STD) if gray else (IMAGENET_MEAN, IMAGENET_STD)
    return _CLASSES.get(model_type, RTDetrImageProcessor)(
        do_resize=True,
        size=size,
        do_pad=False,
        do_normalize=True,
        image_mean=list(mean),
        image_std=list(std),
    )


def normalization(processor: Any) -> dict[str, Any]:
    """Return `mean` and `std` for a loader that normalizes images as this processor does."""
    if not processor.do_normalize:  # the published RT-DETR takes unnormalized pixels, 0 to 1
        return {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
    return {"mean": tuple(processor.image_mean), "std": tuple(processor.image_std)}
