"""Image classifiers: any timm model, saved so that `pipeline("image-classification")` repeats its preprocessing."""

from __future__ import annotations

from typing import Any

import timm
from transformers import AutoModelForImageClassification, TimmWrapperConfig, TimmWrapperForImageClassification
from transformers.models.timm_wrapper.image_processing_timm_wrapper import TimmWrapperImageProcessor

from loaders import GRAY_MEAN, GRAY_STD, IMAGENET_MEAN, IMAGENET_STD
from radikal_datasets.errors import ModelError
from training.models.sizes import SIZES


def build_classifier(
    class_names: list[str], *, size: str, backbone: str | None, image_size: tuple[int, int], one_mean: bool
) -> Any:
    """Build a timm classifier with random weights in transformers' wrapper; nothing is downloaded.

    Args:
        class_names: class i of the model is class i of the loader.
        size: a key of `SIZES`; it determines the backbone if none is given.
        image_size: (height, width) in pixels that images are resized to.
        one_mean: use one mean and standard deviation for all channels, for gray images.

    Raises:
        ModelError: there is no such timm model, or it can't be built for images of this size.
    """
    if size not in SIZES:
        raise ModelError(f"Unknown model_size {size!r}. Available are {', '.join(SIZES)}.")
    name = backbone or SIZES[size].backbone
    if not timm.is_model(name):
        similar = timm.list_models(f"*{name.split('_')[0]}*")[:8]
        raise ModelError(
            f"Backbone {name!r} is not a timm model." + (f" Similar names: {', '.join(similar)}." if similar else "")
        )
    config = _config(name, class_names, image_size, one_mean)
    try:
        return TimmWrapperForImageClassification(config)
    except Exception as error:
        raise ModelError(f"Cannot use backbone {name!r}: {error}") from error


def classifier_from_checkpoint(
    name_or_path: str, class_names: list[str], *, image_size: tuple[int, int], token: str | None = None
) -> Any:
    """Load a classifier from a local folder or the Hub; its head is re-initialized if the classes differ.

    Raises:
        ModelError: the model is not a timm classifier.
    """
    model: Any = AutoModelForImageClassification.from_pretrained(
        name_or_path,
        num_labels=len(class_names),
        ignore_mismatched_sizes=True,  # the head, if the classes differ
        token=token,
    )
    if not isinstance(model, TimmWrapperForImageClassification):
        raise ModelError(
            f"{name_or_path} holds a {type(model).__name__}. Only timm classifiers (TimmWrapperForImageClassification) "
            "can be trained further."
        )
    set_class_names(model, class_names)
    model.config.radikal_threshold = None  # it was chosen for the data the checkpoint was trained on
    model.config.pretrained_cfg = {**model.config.pretrained_cfg, **_preprocessing(image_size)}
    return model


def set_class_names(model: Any, class_names: list[str]) -> None:
    """Write the class names into the three fields of a model's config that readers use."""
    model.config.id2label = dict(enumerate(class_names))
    model.config.label2id = {name: i for i, name in enumerate(class_names)}
    model.config.label_names = list(class_names)


def classifier_processor(model: Any) -> Any:
    """Return the image processor of a classifier; it is saved in the model's own config.json."""
    return TimmWrapperImageProcessor(model.config.pretrained_cfg, model.config.architecture)


def classifier_normalization(model: Any) -> dict[str, Any]:
    """Return `mean` and `std` for a ClassificationLoader that normalizes images as the model's processor does."""
    known = model.config.pretrained_cfg
    return {"mean": tuple(known["mean"]), "std": tuple(known["std"])}


def _config(name: str, class_names: list[str], image_size: tuple[int, int], one_mean: bool) -> Any:
    mean, std = (GRAY_MEAN, GRAY_STD) if one_mean else (IMAGENET_MEAN, IMAGENET_STD)
    options: dict[str, Any] = {
        "num_labels": len(class_names),
        "pretrained_cfg": {**_preprocessing(image_size), "mean": list(mean), "std": list(std)},
    }
    config: Any = TimmWrapperConfig(architecture=name, model_args={}, **options)
    config.id2label = dict(enumerate(class_names))
    config.label2id = {label: i for i, label in enumerate(class_names)}
    config.label_names = list(class_names)
    return config


def _preprocessing(image_size: tuple[int, int]) -> dict[str, Any]:
    """Return timm's settings for resizing to this size without cropping."""
    return {
        "input_size": [3, *image_size],
        "fixed_input_size": True,
        "interpolation": "bilinear",
        "crop_pct": 1.0,
        "crop_mode": "squash",
    }
