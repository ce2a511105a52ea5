"""One score threshold for a detector, and what it then finds, misses and calls falsely."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torchvision.ops import box_iou


@dataclass(frozen=True)
class OperatingPoint:
    """Counts over a set of images at one threshold; a detection is right at IoU >= 0.5 with a free box of its class."""

    threshold: float
    found: int
    missed: int
    false_calls: int

    @property
    def f1(self) -> float:
        """2 found / (2 found + missed + false calls); 0 where nothing was found."""
        return 2 * self.found / max(1, 2 * self.found + self.missed + self.false_calls)


def best_operating_point(predictions: Sequence[dict[str, Any]], truths: Sequence[dict[str, Any]]) -> OperatingPoint:
    """The threshold with the highest F1 over images.

    Args:
        predictions: `boxes` (N, 4) xyxy, `scores` (N,), `labels` (N,) an image.
        truths: `boxes` (M, 4), `labels` (M,) an image, in the same order.
    """
    total = sum(len(truth["labels"]) for truth in truths)
    marks = sorted(
        (mark for p, t in zip(predictions, truths, strict=True) for mark in match(p, t)), key=lambda mark: -mark[0]
    )
    best = OperatingPoint(1.0, 0, total, 0)
    found = 0
    for count, (score, right) in enumerate(marks, start=1):
        found += right
        point = OperatingPoint(score, found, total - found, count - found)
        # A threshold takes every detection of its score with it.
        if (count == len(marks) or marks[count][0] < score) and point.f1 > best.f1:
            best = point
    return best


def faultless(prediction: dict[str, Any], truth: dict[str, Any], threshold: float) -> bool:
    """Whether, at this threshold, every true box of an image is found and nothing else is."""
    rights = [right for score, right in match(prediction, truth) if score >= threshold]
    return all(rights) and len(rights) == len(truth["labels"])


def match(prediction: dict[str, Any], truth: dict[str, Any], iou: float = 0.5) -> list[tuple[float, bool]]:
    """(score, right) of each detection of one image; the surer ones choose their box first."""
    boxes = torch.tensor(truth["boxes"], dtype=torch.float32).reshape(-1, 4)
    found = torch.tensor(prediction["boxes"], dtype=torch.float32).reshape(-1, 4)
    overlaps = box_iou(found, boxes)
    free = torch.ones(len(boxes), dtype=torch.bool)
    labels = torch.tensor(truth["labels"], dtype=torch.int64)
    marks = []
    for i in sorted(range(len(found)), key=lambda i: -prediction["scores"][i]):
        candidates = torch.where(free & (labels == prediction["labels"][i]), overlaps[i], torch.zeros(()))
        right = len(boxes) > 0 and float(candidates.max()) >= iou
        if right:
            free[int(candidates.argmax())] = False
        marks.append((float(prediction["scores"][i]), right))
    return marks
