"""Targets of explanations: a detector's outputs as probabilities and boxes, and scores of one detection in them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import torch


@dataclass(frozen=True)
class Detection:
    """One detection in one image.

    Attributes:
        box: x_min, y_min, x_max, y_max in pixels of the model's input.
        label: class index.
        score: the predicted probability of the class, 0 to 1.
        query: index of the query that predicted it, on the unmodified image.
        drawn: the query's own box, which may extend beyond the image, where `box` is clipped; None: same as `box`.
    """

    box: tuple[float, float, float, float]
    label: int
    score: float
    query: int
    drawn: tuple[float, float, float, float] | None = None

    @property
    def query_box(self) -> tuple[float, float, float, float]:
        """The box to compare boxes of other queries and of modified images with."""
        return self.box if self.drawn is None else self.drawn


class Detector(torch.nn.Module):
    """A transformers detector with frozen weights that returns (logits, boxes).

    `forward` takes normalized images, float32 (B, 3, H, W), and returns logits (B, Q, C) and boxes (B, Q, 4), xyxy in
    pixels of H x W. Gradients reach the images, not the weights.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model.eval().requires_grad_(False)
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.register_forward_hook(_contiguous_gradient)
        self.num_classes = int(model.config.num_labels)

    def forward(self, pixels: torch.Tensor, **options: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits and boxes; `options` are passed to the model."""
        with _undetached_gradients():
            output = self.model(pixel_values=pixels, **options)
        height, width = pixels.shape[-2:]
        center, size = output.pred_boxes[..., :2], output.pred_boxes[..., 2:]
        scale = output.pred_boxes.new_tensor([width, height, width, height])
        return output.logits, torch.cat([center - size / 2, center + size / 2], -1) * scale

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """Return class probabilities (B, Q, C): softmax if the model has a no-object class (DETR), else sigmoid."""
        if logits.shape[-1] == self.num_classes + 1:
            return logits.softmax(-1)[..., :-1]
        return logits.sigmoid()


class ClassLogits(torch.nn.Module):
    """A detector as a network with a single output, its logits (B, Q, C), as the Grad-CAM family needs it."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the logits (B, Q, C)."""
        return self.detector(pixels)[0]


def _contiguous_gradient(_module: torch.nn.Module, _inputs: Any, output: torch.Tensor) -> None:
    """Work around a bug of PyTorch (2.14.1, CPU): for a single image with a transposed incoming gradient, as from a
    transformer, the backward pass of batch norm silently returns wrong values."""
    if output.requires_grad:
        output.register_hook(lambda gradient: gradient.contiguous())


@contextmanager
def _undetached_gradients() -> Iterator[None]:
    """Let gradients pass where transformers detaches them.

    The detectors from Deformable DETR on detach the features and boxes of the queries they choose, which stabilizes
    training. Much of a query's information about the image takes that path: without it the gradient of a score would
    be incomplete.
    """
    if not torch.is_grad_enabled():
        yield
        return
    with patch.object(torch.Tensor, "detach", lambda tensor: tensor):
        yield


@dataclass(frozen=True)
class QueryLogit:
    """Target of the Grad-CAM family: the class logit of the detection's own query."""

    query: int
    label: int

    def __call__(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the logit, from the logits (Q, C) of one image."""
        return logits[self.query, self.label]


@dataclass(frozen=True)
class Similarity:
    """How well a detection persists in modified images: the maximum of IoU x class probability over all queries.

    On the unmodified image it is at least the detection's score. Differentiable almost everywhere.
    """

    detector: Detector
    detection: Detection

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the similarity (B,) for images (B, 3, H, W)."""
        logits, boxes = self.detector(pixels)
        return similarity(self.detector.probabilities(logits), boxes, self.detection)


def similarity(probabilities: torch.Tensor, boxes: torch.Tensor, detection: Detection) -> torch.Tensor:
    """Return (B,), the maximum over queries of IoU with the detection's box times the probability of its class.

    Args:
        probabilities: (B, Q, C).
        boxes: (B, Q, 4), xyxy in pixels.
    """
    return (overlaps(boxes, detection.query_box) * probabilities[..., detection.label]).amax(-1)


def best_query(detector: Detector, pixels: torch.Tensor, detection: Detection) -> int:
    """Return the query of one image (1, 3, H, W) that is most similar to the detection, by `Similarity`."""
    with torch.no_grad():
        logits, boxes = detector(pixels)
    alike = overlaps(boxes, detection.query_box) * detector.probabilities(logits)[..., detection.label]
    return int(alike[0].argmax()) if float(alike.max()) > 0 else detection.query


def own_query(probabilities: torch.Tensor, boxes: torch.Tensor, box: torch.Tensor, label: int, score: float) -> int:
    """Return the query that a post-processed detection came from.

    Args:
        probabilities, boxes: (Q, C) and (Q, 4) of its image.
        box: (4,), xyxy in the same pixels as `boxes`; clipped to the image or not.
    """
    # The class score distinguishes queries; the box breaks ties between queries with the same score.
    distance = (probabilities[:, label] - score).abs() + 1e-6 * (boxes - box).abs().sum(-1)
    return int(distance.argmin())


def overlaps(boxes: torch.Tensor, box: tuple[float, float, float, float]) -> torch.Tensor:
    """Return the IoU (...) of boxes (..., 4) with one box, batched and differentiable, unlike torchvision's."""
    other = boxes.new_tensor(box)
    low, high = torch.maximum(boxes[..., :2], other[:2]), torch.minimum(boxes[..., 2:], other[2:])
    common = (high - low).clamp_min(0).prod(-1)
    area = (boxes[..., 2:] - boxes[..., :2]).clamp_min(0).prod(-1) + (other[2:] - other[:2]).prod()
    return common / (area - common).clamp_min(1e-6)
