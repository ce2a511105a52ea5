"""What is explained: a detector's outputs as probabilities and boxes, and the numbers of one detection in them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import torch


@dataclass(frozen=True)
class Detection:
    """One call of a detector on one image.

    Attributes:
        box: x_min, y_min, x_max, y_max in pixels of the model's input.
        label: class index.
        score: the class's probability as the detector gives it, 0 to 1.
        query: index of the query that gave it, on the untouched image.
        drawn: the query's own box, which may reach over the image's edge, where `box` is cut; None: as `box`.
    """

    box: tuple[float, float, float, float]
    label: int
    score: float
    query: int
    drawn: tuple[float, float, float, float] | None = None

    @property
    def query_box(self) -> tuple[float, float, float, float]:
        """What boxes of other queries and changed images are held against."""
        return self.box if self.drawn is None else self.drawn


class Detector(torch.nn.Module):
    """A transformers detector with its weights fixed, as (logits, boxes).

    `forward` takes normalised images, float32 (B, 3, H, W), and gives logits (B, Q, C) and boxes (B, Q, 4), xyxy in
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
        """Logits and boxes; `options` go to the model."""
        with _whole_gradients():
            output = self.model(pixel_values=pixels, **options)
        height, width = pixels.shape[-2:]
        centre, size = output.pred_boxes[..., :2], output.pred_boxes[..., 2:]
        scale = output.pred_boxes.new_tensor([width, height, width, height])
        return output.logits, torch.cat([centre - size / 2, centre + size / 2], -1) * scale

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """(B, Q, C) of the classes: softmax where the model has a class for nothing (DETR), else one sigmoid each."""
        if logits.shape[-1] == self.num_classes + 1:
            return logits.softmax(-1)[..., :-1]
        return logits.sigmoid()


class ClassLogits(torch.nn.Module):
    """A detector as a network with one output, its logits (B, Q, C): what the Grad-CAM family takes."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Logits (B, Q, C)."""
        return self.detector(pixels)[0]


def _contiguous_gradient(_module: torch.nn.Module, _inputs: Any, output: torch.Tensor) -> None:
    """A way round a mistake of PyTorch (2.14.1, CPU): for one image whose gradient comes in transposed, as it does from
    a transformer, the backward pass of its batch norm gives wrong numbers without a word."""
    if output.requires_grad:
        output.register_hook(lambda gradient: gradient.contiguous())


@contextmanager
def _whole_gradients() -> Iterator[None]:
    """Let gradients through where transformers stops them.

    The detectors from Deformable DETR on detach the features and boxes of the queries they choose, which steadies
    training. What a query knows of the image comes to a good part that way: without it the derivative of a score is
    not the score's derivative.
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
        """Of the logits (Q, C) of one image."""
        return logits[self.query, self.label]


@dataclass(frozen=True)
class Similarity:
    """How far a detection is still there in changed images: the best of IoU x class probability over all queries.

    On the untouched image it is at least the detection's score. Differentiable almost everywhere.
    """

    detector: Detector
    detection: Detection

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B,) of images (B, 3, H, W)."""
        logits, boxes = self.detector(pixels)
        return similarity(self.detector.probabilities(logits), boxes, self.detection)


def similarity(probabilities: torch.Tensor, boxes: torch.Tensor, detection: Detection) -> torch.Tensor:
    """(B,): max over queries of IoU with the detection's box times the probability of its class.

    Args:
        probabilities: (B, Q, C).
        boxes: (B, Q, 4), xyxy in pixels.
    """
    return (overlaps(boxes, detection.query_box) * probabilities[..., detection.label]).amax(-1)


def best_query(detector: Detector, pixels: torch.Tensor, detection: Detection) -> int:
    """The query of one image (1, 3, H, W) that is most alike the detection, as `Similarity` has it."""
    with torch.no_grad():
        logits, boxes = detector(pixels)
    alike = overlaps(boxes, detection.query_box) * detector.probabilities(logits)[..., detection.label]
    return int(alike[0].argmax()) if float(alike.max()) > 0 else detection.query


def own_query(probabilities: torch.Tensor, boxes: torch.Tensor, box: torch.Tensor, label: int, score: float) -> int:
    """The query that a post-processed detection came from.

    Args:
        probabilities, boxes: (Q, C) and (Q, 4) of its image.
        box: (4,), xyxy in the same pixels as `boxes`; clipped to the image or not.
    """
    # A class's score tells queries apart; the box, in hundredths of a pixel, those of equal score.
    distance = (probabilities[:, label] - score).abs() + 1e-6 * (boxes - box).abs().sum(-1)
    return int(distance.argmin())


def overlaps(boxes: torch.Tensor, box: tuple[float, float, float, float]) -> torch.Tensor:
    """IoU (...) of boxes (..., 4) with one box; torchvision's takes no batch and no gradient through the maximum."""
    other = boxes.new_tensor(box)
    low, high = torch.maximum(boxes[..., :2], other[:2]), torch.minimum(boxes[..., 2:], other[2:])
    common = (high - low).clamp_min(0).prod(-1)
    area = (boxes[..., 2:] - boxes[..., :2]).clamp_min(0).prod(-1) + (other[2:] - other[:2]).prod()
    return common / (area - common).clamp_min(1e-6)
