"""The network written to an ONNX file, images in and boxes out, and the comparison of two such outputs."""

from __future__ import annotations

import inspect
from dataclasses import dataclass

import numpy as np
import torch
from torchvision.ops import box_convert

from radikal_datasets.errors import ModelError
from training import models
from training.models.dense.image_processing import (
    CANDIDATES,
    DenseDetectorImageProcessor,
    best_predictions,
    without_duplicates,
)
from training.using.trained_model import OpenedModel

_BILINEAR = 2  # PIL's number
# OpenCV's weights of red, green and blue for gray, as integers: 0.299, 0.587 and 0.114 of 2^14.
_LUMINANCE, _LUMINANCE_BITS = (4899, 9617, 1868), 14


class ExportedDetector(torch.nn.Module):
    """A detector that includes the pre- and post-processing of its image processor.

    Inputs: `images`, uint8 (N, H, W, 3), RGB, any size, the same for all; for a model of pairs also `references`, the
    defect-free templates, also any size, the same for all. Outputs, highest score first: `boxes`, float32 (N, K, 4),
    x_min y_min x_max y_max in pixels of the image, 0-based, half-open, clipped to it; `scores`, float32 (N, K);
    `labels`, int64 (N, K).

    Raises:
        ModelError: the image processor does something other than resize, rescale and normalize.
    """

    def __init__(self, opened: OpenedModel) -> None:
        super().__init__()
        processor = opened.processor
        self.canvas, self.pair, self.model = opened.canvas, opened.channels == "pair", opened.model
        if int(processor.resample) != _BILINEAR or getattr(processor, "do_pad", False):
            raise ModelError(
                f"Cannot export {opened.where}: its image processor pads images, or does not resize them bilinearly. "
                "Only bilinear resizing without padding, as saved by training/train.py, is supported."
            )
        self.dense = isinstance(processor, DenseDetectorImageProcessor)
        parameters = inspect.signature(processor.post_process_object_detection).parameters
        if self.dense:
            self.max_detections: int | None = CANDIDATES
        elif "use_focal_loss" in parameters:
            self.max_detections = opened.model.config.num_queries
        elif "top_k" in parameters:
            self.max_detections = parameters["top_k"].default
        else:
            self.max_detections = None  # one class per query; the background is a separate class
        norm = models.normalization(processor)
        rescale = processor.rescale_factor if processor.do_rescale else 1.0
        std = torch.tensor(norm["std"]).view(1, 3, 1, 1)
        self.scale: torch.Tensor
        self.shift: torch.Tensor
        self.luminance: torch.Tensor
        self.register_buffer("scale", rescale / std)
        self.register_buffer("shift", -torch.tensor(norm["mean"]).view(1, 3, 1, 1) / std)
        self.register_buffer("luminance", torch.tensor(_LUMINANCE, dtype=torch.int32))

    def forward(
        self, images: torch.Tensor, references: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """See the class."""
        outputs = self.model(pixel_values=self.pixel_values(images, references))
        if self.max_detections is None:
            scores, labels = outputs.logits.softmax(-1)[..., :-1].max(-1)
            scores, order = scores.sort(dim=1, descending=True)
            labels = labels.gather(1, order)
            boxes = box_convert(outputs.pred_boxes, "cxcywh", "xyxy").gather(1, order[..., None].expand(-1, -1, 4))
        else:
            found = best_predictions(outputs.logits, outputs.pred_boxes, self.max_detections)
            scores, labels, boxes = without_duplicates(*found) if self.dense else found
        across, down = (torch.tensor(axis, dtype=boxes.dtype) for axis in ([1, 0, 1, 0], [0, 1, 0, 1]))
        return boxes.clamp(0, 1) * (across * images.shape[2] + down * images.shape[1]), scores, labels

    def pixel_values(self, images: torch.Tensor, references: torch.Tensor | None = None) -> torch.Tensor:
        """Return float32 (N, 3, *canvas), the input of the model itself."""
        if not self.pair:
            planes = self._resized(images)
        else:
            assert references is not None
            image, template = (self._resized(self._gray(one)) for one in (images, references))
            planes = torch.cat([image, template, (image - template).abs()], 1)
        return planes * self.scale + self.shift

    def _gray(self, images: torch.Tensor) -> torch.Tensor:
        """Convert uint8 (N, H, W, 3) to uint8 (N, H, W, 1)."""
        total = (images.to(torch.int32) * self.luminance).sum(-1, keepdim=True, dtype=torch.int32)
        half = 1 << (_LUMINANCE_BITS - 1)
        return torch.div(total + half, 1 << _LUMINANCE_BITS, rounding_mode="floor").to(torch.uint8)

    def _resized(self, images: torch.Tensor) -> torch.Tensor:
        """Resize uint8 (N, H, W, C) to float32 (N, C, *canvas), gray levels; as bytes, like the image processor."""
        planes = images.permute(0, 3, 1, 2)
        return torch.nn.functional.interpolate(planes, self.canvas, mode="bilinear", antialias=True).float()


@dataclass(frozen=True)
class ModelOutput:
    """Detections of one image: boxes (N, 4) xyxy, scores (N,), labels (N,)."""

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray


def differences(one: ModelOutput, other: ModelOutput, scale: np.ndarray, count: int) -> np.ndarray:
    """Return the differences, float (n, 2), of box and score between the `count` best of `one` and the nearest of
    `other`.

    Detections are not compared by rank: of two nearly equal scores either may come first.

    Args:
        scale: (4,), factors for the boxes, so that their differences are in the desired pixels.
    """
    found = []
    for i in np.argsort(-one.scores)[:count]:
        same = other.labels == one.labels[i]
        apart = np.abs((other.boxes[same] - one.boxes[i]) * scale).max(1, initial=0)
        steps = np.abs(other.scores[same] - one.scores[i])
        nearest = np.argmin(apart + 100 * steps) if same.any() else None
        found.append((np.inf, np.inf) if nearest is None else (apart[nearest], steps[nearest]))
    return np.array(found, float).reshape(-1, 2)


def sample_images(canvas: tuple[int, int]) -> list[np.ndarray]:
    """Return synthetic color images, uint8 (H, W, 3): of the canvas's size, smaller, larger, other proportions."""
    height, width = canvas
    rng = np.random.default_rng(0)
    images = []
    for tall, wide in ((1, 1), (1.6, 1.6), (2.3, 1.2), (0.7, 1.9)):
        h, w = round(height * tall), round(width * wide)
        image = (
            np.linspace(40, 200, w)[None, :, None]
            + np.linspace(-30, 30, h)[:, None, None]
            + rng.normal(0, 8, (h, w, 3))
        )
        for _ in range(6):
            y, x = int(rng.integers(0, h - h // 5)), int(rng.integers(0, w - w // 5))
            image[y : y + h // 8, x : x + w // 8] = rng.integers(0, 256, 3)
        images.append(image.clip(0, 255).astype(np.uint8))
    return images
