"""One score threshold for a detector, and what it then finds, misses and calls falsely.

Validation chooses the threshold; the test images are only looked at with it. A part is an image that somebody has
looked at (`annotated`). A detection counts where its score is at least the threshold, and is right at IoU >= 0.5 with
a free box of its class, the surer ones choosing first.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torchvision.ops import box_iou

from radikal_datasets.errors import OperatingPointError


@dataclass(frozen=True)
class OperatingPoint:
    """Counts of defects over a set of images at one threshold."""

    threshold: float
    found: int
    missed: int
    false_calls: int

    @property
    def f1(self) -> float:
        """2 found / (2 found + missed + false calls); 0 where nothing was found."""
        return 2 * self.found / max(1, 2 * self.found + self.missed + self.false_calls)


@dataclass(frozen=True)
class Inspection:
    """What inspecting a set of parts at one threshold comes to, by defects (`point`) and by parts."""

    point: OperatingPoint
    parts: int
    bad_parts: int
    """Parts with at least one true box."""
    bad_parts_with_a_miss: int
    bad_parts_passed: int
    """Bad parts without any detection, right or wrong: they would be let through as good."""
    good_parts_called: int
    """Good parts with at least one detection: they would be thrown out."""

    def as_dict(self) -> dict[str, float]:
        """Counts and rates for metrics.json; a rate a hundred parts is of all parts, and -1 where there are none."""
        defects = {"found": self.point.found, "missed": self.point.missed, "false_calls": self.point.false_calls}
        parts = {
            "bad_parts_with_a_miss": self.bad_parts_with_a_miss,
            "bad_parts_passed": self.bad_parts_passed,
            "good_parts_called": self.good_parts_called,
        }
        rated = {"misses": self.point.missed, "false_calls": self.point.false_calls, **parts}
        rates = {f"{name}_per_100_parts": _per_100(count, self.parts) for name, count in rated.items()}
        known = {"threshold": self.point.threshold, "f1": self.point.f1, "parts": self.parts}
        return {**known, "bad_parts": self.bad_parts, **defects, **parts, **rates}


def _per_100(count: int, parts: int) -> float:
    return 100 * count / parts if parts else -1.0


def best_operating_point(predictions: Sequence[dict[str, Any]], truths: Sequence[dict[str, Any]]) -> OperatingPoint:
    """The threshold with the highest F1 over images; of equal ones the highest.

    Args:
        predictions: `boxes` (N, 4) xyxy, `scores` (N,), `labels` (N,) an image.
        truths: `boxes` (M, 4), `labels` (M,) an image, in the same order.
    """
    return choose_operating_point(predictions, truths)


def choose_operating_point(
    predictions: Sequence[dict[str, Any]],
    truths: Sequence[dict[str, Any]],
    *,
    max_false_calls_per_100: float | None = None,
    min_recall: float | None = None,
) -> OperatingPoint:
    """A threshold by one rule: the highest F1, or the fewest misses within a limit, or enough found.

    Args:
        predictions: `boxes` (N, 4) xyxy, `scores` (N,), `labels` (N,) an image.
        truths: `boxes` (M, 4), `labels` (M,) an image, in the same order.
        max_false_calls_per_100: take the fewest misses at no more than so many false calls a hundred images.
        min_recall: take the highest threshold at which at least this fraction of the true boxes is found.

    Raises:
        OperatingPointError: both rules are asked for, or no threshold finds as many as min_recall says.
    """
    if max_false_calls_per_100 is not None and min_recall is not None:
        raise OperatingPointError(
            "max_false_calls_per_100 and min_recall are two rules for one threshold: give one of them"
        )
    total = sum(len(truth["labels"]) for truth in truths)
    scores, right = _marks(predictions, truths)
    found = np.cumsum(right)
    false_calls = np.arange(1, len(right) + 1) - found
    # A threshold takes every detection of its score with it.
    ends = np.flatnonzero(np.append(scores[1:] < scores[:-1], True)) if len(scores) else np.zeros(0, int)
    scores, found, false_calls = scores[ends], found[ends], false_calls[ends]
    if max_false_calls_per_100 is not None:
        # Both counts grow as the threshold falls.
        merit = np.where(100 * false_calls <= max_false_calls_per_100 * len(truths), found, 0)
    elif min_recall is not None:
        merit = (found >= min_recall * total) & (found > 0)
        if not merit.any():
            raise OperatingPointError(
                _out_of_reach(min_recall, int(found[-1]) if len(found) else 0, total, len(truths))
            )
    else:
        merit = 2 * found / (found + false_calls + total)  # F1: both sums of its denominator hold `found`
    if not merit.any():
        return OperatingPoint(_above(scores), 0, total, 0)
    i = int(merit.argmax())
    return OperatingPoint(float(scores[i]), int(found[i]), total - int(found[i]), int(false_calls[i]))


def _above(scores: np.ndarray) -> float:
    """A threshold that no detection reaches: 1, or more where a score is 1."""
    return max(1.0, math.nextafter(float(scores[0]), math.inf)) if len(scores) else 1.0


def _out_of_reach(min_recall: float, found: int, total: int, images: int) -> str:
    if not total:
        return f"min_recall {min_recall}: none of the {images} images has a true box, so there is no recall to ask for"
    return (
        f"min_recall {min_recall} is out of reach: all detections together find {found} of {total} true boxes "
        f"({found / total:.3f}). Ask for less, or train on"
    )


def inspect_parts(
    predictions: Sequence[dict[str, Any]], truths: Sequence[dict[str, Any]], threshold: float
) -> Inspection:
    """Misses and false calls at a threshold chosen before, on other images.

    Args:
        predictions: `boxes` (N, 4) xyxy, `scores` (N,), `labels` (N,) an image.
        truths: `boxes` (M, 4), `labels` (M,) an image, in the same order; only images that somebody has looked at.
        threshold: detections below it don't count.
    """
    rows = []
    for detections, truth, taken in _assigned(predictions, truths, threshold):
        defects, found = len(truth["labels"]), int((taken >= 0).sum())
        rows.append((defects, found, len(detections["scores"])))
    defects, found, called = np.array(rows, dtype=int).reshape(-1, 3).T
    bad = defects > 0
    right = int(found.sum())
    return Inspection(
        OperatingPoint(threshold, right, int(defects.sum()) - right, int(called.sum()) - right),
        parts=len(rows),
        bad_parts=int(bad.sum()),
        bad_parts_with_a_miss=int((found < defects).sum()),
        bad_parts_passed=int((bad & (called == 0)).sum()),
        good_parts_called=int((~bad & (called > 0)).sum()),
    )


def confusion_matrix(
    predictions: Sequence[dict[str, Any]], truths: Sequence[dict[str, Any]], class_count: int, threshold: float
) -> np.ndarray:
    """Counts (C + 1, C + 1): rows are true classes, columns predicted ones, the last of each is background.

    Detections find boxes of their own class first, so the diagonal holds what is found at this threshold; those left
    over are then paired at IoU >= 0.5 with boxes left over. The last column holds boxes that nothing was paired with,
    the last row detections without a box; their corner is 0.
    """
    counts = np.zeros((class_count + 1, class_count + 1), dtype=int)
    for detections, truth, taken in _assigned(predictions, truths, threshold):
        predicted, true = np.asarray(detections["labels"], int), np.asarray(truth["labels"], int)
        spare = np.flatnonzero(taken < 0)
        free = np.setdiff1d(np.arange(len(true)), taken)
        overlaps = _overlaps(detections, truth)[spare][:, free]
        again = _assign(np.asarray(detections["scores"])[spare], overlaps, 0.5)
        pairs = taken.copy()
        pairs[spare[again >= 0]] = free[again[again >= 0]]
        for box, label in zip(pairs, predicted, strict=True):
            counts[true[box] if box >= 0 else class_count, label] += 1
        for label in np.delete(true, pairs[pairs >= 0]):
            counts[label, class_count] += 1
    return counts


def faultless(prediction: dict[str, Any], truth: dict[str, Any], threshold: float) -> bool:
    """Whether, at this threshold, every true box of an image is found and nothing else is."""
    rights = [right for score, right in match(prediction, truth) if score >= threshold]
    return all(rights) and len(rights) == len(truth["labels"])


def match(prediction: dict[str, Any], truth: dict[str, Any], iou: float = 0.5) -> list[tuple[float, bool]]:
    """(score, right) of each detection of one image; the surer ones choose their box first."""
    scores = np.asarray(prediction["scores"], dtype=float)
    right = _match(prediction, truth, iou) >= 0
    return [(float(scores[i]), bool(right[i])) for i in _surest_first(scores)]


def _marks(predictions: Sequence[dict[str, Any]], truths: Sequence[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """Score of every detection of every image, falling, and whether it is right."""
    scores, right = [np.zeros(0)], [np.zeros(0, dtype=bool)]
    for prediction, truth in zip(predictions, truths, strict=True):
        scores.append(np.asarray(prediction["scores"], dtype=float))
        right.append(_match(prediction, truth) >= 0)
    together = np.concatenate(scores)
    order = _surest_first(together)
    return together[order], np.concatenate(right)[order]


def _assigned(
    predictions: Sequence[dict[str, Any]], truths: Sequence[dict[str, Any]], threshold: float
) -> Iterator[tuple[dict[str, Any], dict[str, Any], np.ndarray]]:
    """An image: its detections from the threshold up, its truth, and for each detection its true box or -1."""
    for prediction, truth in zip(predictions, truths, strict=True):
        # Those below the threshold choose last, so that leaving them out changes no other's choice.
        kept = np.flatnonzero(np.asarray(prediction["scores"], dtype=float) >= threshold)
        detections = {name: np.asarray(prediction[name])[kept] for name in ("boxes", "scores", "labels")}
        yield detections, truth, _match(detections, truth)


def _match(prediction: dict[str, Any], truth: dict[str, Any], iou: float = 0.5) -> np.ndarray:
    """Index (N,) of the true box of its class that each detection has, or -1."""
    same_class = np.asarray(prediction["labels"], int)[:, None] == np.asarray(truth["labels"], int)
    return _assign(prediction["scores"], _overlaps(prediction, truth) * same_class, iou)


def _assign(scores: Any, overlaps: np.ndarray, iou: float) -> np.ndarray:
    """Column (N,) of `overlaps` (N, M) that each row takes, or -1: the surest row first, each the free one highest."""
    taken = np.full(len(overlaps), -1)
    free = np.ones(overlaps.shape[1], dtype=bool)
    # Nearly all of a DETR's detections overlap nothing; only the others need a turn.
    hopeful = np.max(overlaps, axis=1, initial=0.0) >= iou
    for i in _surest_first(scores):
        if hopeful[i]:
            column = int(np.argmax(overlaps[i] * free))
            if free[column] and overlaps[i, column] >= iou:
                taken[i], free[column] = column, False
    return taken


def _overlaps(prediction: dict[str, Any], truth: dict[str, Any]) -> np.ndarray:
    """IoU (N, M); 0 where neither box has an area."""
    found, true = (torch.tensor(np.asarray(item["boxes"], dtype=float)).reshape(-1, 4) for item in (prediction, truth))
    return np.nan_to_num(box_iou(found, true).numpy())


def _surest_first(scores: Any) -> np.ndarray:
    """Indices by falling score; of equal ones, the first first."""
    return np.argsort(-np.asarray(scores, dtype=float), kind="stable")
