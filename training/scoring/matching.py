"""Which true box each detection of an image is matched with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torchvision.ops import box_iou


def detections_at(
    prediction: dict[str, Any], target: dict[str, Any], threshold: float
) -> tuple[dict[str, Any], np.ndarray]:
    """Return one image's detections from the threshold up, and the index (N,) of each one's true box, or -1."""
    ((detections, _, matched),) = assigned([prediction], [target], threshold)
    return detections, matched


def match(prediction: dict[str, Any], target: dict[str, Any], iou: float = 0.5) -> list[tuple[float, bool]]:
    """Return (score, is correct) of each detection of one image; higher scores choose their box first."""
    scores = np.asarray(prediction["scores"], dtype=float)
    correct = matched_boxes(prediction, target, iou) >= 0
    return [(float(scores[i]), bool(correct[i])) for i in by_falling_score(scores)]


def assigned(
    predictions: Sequence[dict[str, Any]], targets: Sequence[dict[str, Any]], threshold: float
) -> Iterator[tuple[dict[str, Any], dict[str, Any], np.ndarray]]:
    """Yield per image: its detections from the threshold up, its ground truth, and each detection's true box or -1."""
    for prediction, target in zip(predictions, targets, strict=True):
        # Detections below the threshold choose last, so leaving them out changes no other match.
        kept = np.flatnonzero(np.asarray(prediction["scores"], dtype=float) >= threshold)
        detections = {name: np.asarray(prediction[name])[kept] for name in ("boxes", "scores", "labels")}
        yield detections, target, matched_boxes(detections, target)


def matched_boxes(prediction: dict[str, Any], target: dict[str, Any], iou: float = 0.5) -> np.ndarray:
    """Return the index (N,) of the true box of its class that each detection is matched with, or -1."""
    same_class = np.asarray(prediction["labels"], int)[:, None] == np.asarray(target["labels"], int)
    return assign(prediction["scores"], overlaps_of(prediction, target) * same_class, iou)


def assign(scores: Any, overlaps: np.ndarray, iou: float) -> np.ndarray:
    """Return the column (N,) of `overlaps` (N, M) that each row is matched with, or -1.

    Rows choose by falling score, each the free column with the highest overlap.
    """
    matched = np.full(len(overlaps), -1)
    free = np.ones(overlaps.shape[1], dtype=bool)
    # Nearly all of a DETR's detections overlap nothing; only the others need to be processed.
    candidates = np.max(overlaps, axis=1, initial=0.0) >= iou
    for i in by_falling_score(scores):
        if candidates[i]:
            column = int(np.argmax(overlaps[i] * free))
            if free[column] and overlaps[i, column] >= iou:
                matched[i], free[column] = column, False
    return matched


def overlaps_of(prediction: dict[str, Any], target: dict[str, Any]) -> np.ndarray:
    """Return the IoU (N, M); 0 if neither box has an area."""
    detected, true = (torch.tensor(np.asarray(item["boxes"], float)).reshape(-1, 4) for item in (prediction, target))
    return np.nan_to_num(box_iou(detected, true).numpy())


def by_falling_score(scores: Any) -> np.ndarray:
    """Return the indices by falling score; equal scores stay in their order."""
    return np.argsort(-np.asarray(scores, dtype=float), kind="stable")
