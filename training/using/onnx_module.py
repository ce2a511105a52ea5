"""The network that goes into an ONNX file: images in, boxes out, and how two such results are compared."""

from __future__ import annotations

import inspect
from dataclasses import dataclass

import numpy as np
import torch

from radikal_datasets.errors import ModelError
from training import models
from training.using.trained_model import OpenedModel

_BILINEAR = 2  # PIL's number
# Red, green and blue of gray as OpenCV makes it, in whole numbers: 0.299, 0.587 and 0.114 of 2^14.
_LUMINANCE, _LUMINANCE_BITS = (4899, 9617, 1868), 14


class ExportedDetector(torch.nn.Module):
    """A detector with everything that its image processor does before and after it.

    Inputs: `images`, uint8 (N, H, W, 3), RGB, all of one size, any; with a model of pairs also `references`, the
    defect-free templates, of any one size too. Outputs, best first: `boxes`, float32 (N, K, 4), x_min y_min x_max y_max
    in pixels of the image, 0-based, half-open, clipped to it; `scores`, float32 (N, K); `labels`, int64 (N, K).

    Raises:
        ModelError: the image processor does something else than stretch, scale and normalise.
    """

    def __init__(self, opened: OpenedModel) -> None:
        super().__init__()
        processor = opened.processor
        self.canvas, self.pair, self.model = opened.canvas, opened.channels == "pair", opened.model
        if int(processor.resample) != _BILINEAR or getattr(processor, "do_pad", False):
            raise ModelError(f"{opened.where}: its image processor pads, or resizes otherwise than bilinearly")
        parameters = inspect.signature(processor.post_process_object_detection).parameters
        if "use_focal_loss" in parameters:
            self.most: int | None = opened.model.config.num_queries
        elif "top_k" in parameters:
            self.most = parameters["top_k"].default
        else:
            self.most = None  # one class a query, the background a class of its own
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
        logits, centers, extents = outputs.logits, outputs.pred_boxes[..., :2], outputs.pred_boxes[..., 2:]
        boxes = torch.cat([centers - extents / 2, centers + extents / 2], -1).clamp(0, 1)
        classes = logits.shape[-1]
        if self.most is None:
            scores, labels = logits.softmax(-1)[..., :-1].max(-1)
            scores, order = scores.sort(dim=1, descending=True)
            labels = labels.gather(1, order)
        else:
            every = logits.sigmoid().flatten(1)
            scores, place = every.topk(min(self.most, every.shape[1]))
            order, labels = place // classes, place % classes
        boxes = boxes.gather(1, order[..., None].expand(-1, -1, 4))
        across, down = (torch.tensor(axis, dtype=boxes.dtype) for axis in ([1, 0, 1, 0], [0, 1, 0, 1]))
        return boxes * (across * images.shape[2] + down * images.shape[1]), scores, labels

    def pixel_values(self, images: torch.Tensor, references: torch.Tensor | None = None) -> torch.Tensor:
        """float32 (N, 3, *canvas): what the model itself takes."""
        if not self.pair:
            planes = self._resized(images)
        else:
            assert references is not None
            image, template = (self._resized(self._gray(one)) for one in (images, references))
            planes = torch.cat([image, template, (image - template).abs()], 1)
        return planes * self.scale + self.shift

    def _gray(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 (N, H, W, 3) to uint8 (N, H, W, 1)."""
        total = (images.to(torch.int32) * self.luminance).sum(-1, keepdim=True, dtype=torch.int32)
        half = 1 << (_LUMINANCE_BITS - 1)
        return torch.div(total + half, 1 << _LUMINANCE_BITS, rounding_mode="floor").to(torch.uint8)

    def _resized(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 (N, H, W, C) to gray levels, float32 (N, C, *canvas); resized as bytes, like the image processor."""
        planes = images.permute(0, 3, 1, 2)
        return torch.nn.functional.interpolate(planes, self.canvas, mode="bilinear", antialias=True).float()


@dataclass(frozen=True)
class Found:
    """Detections of one image: boxes (N, 4) xyxy, scores (N,), labels (N,)."""

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray


def differences(one: Found, other: Found, scale: np.ndarray, count: int) -> np.ndarray:
    """How far the `count` best of `one` are from their nearest of `other`: float (n, 2), of the box and of the score.

    Not from those at the same place: of two nearly equal scores either may come first.

    Args:
        scale: (4,), what boxes are multiplied by, so that they are in the pixels one wants to be told.
    """
    found = []
    for i in np.argsort(-one.scores)[:count]:
        same = other.labels == one.labels[i]
        apart = np.abs((other.boxes[same] - one.boxes[i]) * scale).max(1, initial=0)
        steps = np.abs(other.scores[same] - one.scores[i])
        nearest = np.argmin(apart + 100 * steps) if same.any() else None
        found.append((np.inf, np.inf) if nearest is None else (apart[nearest], steps[nearest]))
    return np.array(found, float).reshape(-1, 2)


def made_up_images(canvas: tuple[int, int]) -> list[np.ndarray]:
    """A few coloured images, uint8 (H, W, 3): of the canvas's size, smaller and larger, of other proportions."""
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
