"""The score threshold of a detector, and its true positives, missed defects and false positives at it.

The threshold is chosen on validation; the test images are only evaluated with it. A part is an annotated image
(`annotated`). A detection counts if its score is at least the threshold, and is a true positive at IoU >= 0.5 with
a free box of its class; detections with a higher score choose first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from radikal_datasets.errors import OperatingPointError
from training.scoring.matching import assign, assigned, by_falling_score, match, matched_boxes, overlaps_of


@dataclass(frozen=True)
class OperatingPoint:
    """Counts of defects in a set of images at one threshold."""

    threshold: float
    true_positives: int
    missed: int
    false_positives: int

    @property
    def f1(self) -> float:
        """2 true positives / (2 true positives + missed + false positives); 0 if nothing was found."""
        return 2 * self.true_positives / max(1, 2 * self.true_positives + self.missed + self.false_positives)


@dataclass(frozen=True)
class Inspection:
    """Result of inspecting a set of parts at one threshold: counts of defects (`point`) and of parts."""

    point: OperatingPoint
    parts: int
    bad_parts: int
    """Parts with at least one true box."""
    bad_parts_with_a_miss: int
    """Bad parts with at least one missed defect."""
    bad_parts_passed: int
    """Bad parts without any detection, correct or not: they would pass as good (escapes)."""
    good_parts_called: int
    """Good parts with at least one detection: they would be rejected (false alarms)."""

    def as_dict(self) -> dict[str, float]:
        """Return counts and rates for metrics.json; rates are per 100 of all parts, -1 if there are no parts."""
        point = self.point
        defects = {"found": point.true_positives, "missed": point.missed, "false_calls": point.false_positives}
        parts = {
            "bad_parts_with_a_miss": self.bad_parts_with_a_miss,
            "bad_parts_passed": self.bad_parts_passed,
            "good_parts_called": self.good_parts_called,
        }
        rated = {"misses": point.missed, "false_calls": point.false_positives, **parts}
        rates = {f"{name}_per_100_parts": _per_100(count, self.parts) for name, count in rated.items()}
        known = {"threshold": point.threshold, "f1": point.f1, "parts": self.parts}
        return {**known, "bad_parts": self.bad_parts, **defects, **parts, **rates}


def _per_100(count: int, parts: int) -> float:
    return 100 * count / parts if parts else -1.0


def best_operating_point(predictions: Sequence[dict[str, Any]], targets: Sequence[dict[str, Any]]) -> OperatingPoint:
    """Return the threshold with the highest F1 over images; of equal ones, the highest threshold.

    Args:
        predictions: `boxes` (N, 4) xyxy, `scores` (N,), `labels` (N,) per image.
        targets: ground truth, `boxes` (M, 4), `labels` (M,) per image, in the same order.
    """
    return choose_operating_point(predictions, targets)


def choose_operating_point(
    predictions: Sequence[dict[str, Any]],
    targets: Sequence[dict[str, Any]],
    *,
    max_false_calls_per_100: float | None = None,
    min_recall: float | None = None,
) -> OperatingPoint:
    """Choose a threshold by one rule: the highest F1, the fewest missed defects within a limit, or a minimum recall.

    Args:
        predictions: `boxes` (N, 4) xyxy, `scores` (N,), `labels` (N,) per image.
        targets: ground truth, `boxes` (M, 4), `labels` (M,) per image, in the same order.
        max_false_calls_per_100: choose the fewest missed defects with at most this many false positives per 100 images.
        min_recall: choose the highest threshold at which at least this fraction of the true boxes is found.

    Raises:
        OperatingPointError: both rules are given, or no threshold reaches min_recall.
    """
    if max_false_calls_per_100 is not None and min_recall is not None:
        raise OperatingPointError(
            "max_false_calls_per_100 and min_recall are two different rules for one threshold. Pass only one of them."
        )
    total = sum(len(target["labels"]) for target in targets)
    scores, correct = _correctness(predictions, targets)
    found = np.cumsum(correct)
    false_positives = np.arange(1, len(correct) + 1) - found
    # A threshold includes every detection with its score.
    ends = np.flatnonzero(np.append(scores[1:] < scores[:-1], True)) if len(scores) else np.zeros(0, int)
    scores, found, false_positives = scores[ends], found[ends], false_positives[ends]
    if max_false_calls_per_100 is not None:
        # Both counts grow as the threshold falls.
        merit = np.where(100 * false_positives <= max_false_calls_per_100 * len(targets), found, 0)
    elif min_recall is not None:
        merit = (found >= min_recall * total) & (found > 0)
        if not merit.any():
            raise OperatingPointError(
                _recall_out_of_reach(min_recall, int(found[-1]) if len(found) else 0, total, len(targets))
            )
    else:
        merit = 2 * found / (found + false_positives + total)  # F1: `found` is part of both sums in the denominator
    if not merit.any():
        return OperatingPoint(_above(scores), 0, total, 0)
    i = int(merit.argmax())
    return OperatingPoint(float(scores[i]), int(found[i]), total - int(found[i]), int(false_positives[i]))


def _above(scores: np.ndarray) -> float:
    """Return a threshold that no detection reaches: 1, or slightly more if a score is 1."""
    return max(1.0, math.nextafter(float(scores[0]), math.inf)) if len(scores) else 1.0


def _recall_out_of_reach(min_recall: float, found: int, total: int, images: int) -> str:
    if not total:
        return f"min_recall is {min_recall}, but none of the {images} images has a true box, so recall is undefined."
    return (
        f"min_recall {min_recall} is out of reach: all detections together find {found} of {total} true boxes "
        f"({found / total:.3f}). Choose a lower min_recall, or train longer."
    )


def inspect_parts(
    predictions: Sequence[dict[str, Any]], targets: Sequence[dict[str, Any]], threshold: float
) -> Inspection:
    """Count missed defects and false positives at a threshold chosen before, on other images.

    Args:
        predictions: `boxes` (N, 4) xyxy, `scores` (N,), `labels` (N,) per image.
        targets: ground truth, `boxes` (M, 4), `labels` (M,) per image, in the same order; annotated images only.
        threshold: detections below it are ignored.
    """
    rows = []
    for detections, target, matched in assigned(predictions, targets, threshold):
        defects, found = len(target["labels"]), int((matched >= 0).sum())
        rows.append((defects, found, len(detections["scores"])))
    defects, found, detected = np.array(rows, dtype=int).reshape(-1, 3).T
    bad = defects > 0
    correct = int(found.sum())
    return Inspection(
        OperatingPoint(threshold, correct, int(defects.sum()) - correct, int(detected.sum()) - correct),
        parts=len(rows),
        bad_parts=int(bad.sum()),
        bad_parts_with_a_miss=int((found < defects).sum()),
        bad_parts_passed=int((bad & (detected == 0)).sum()),
        good_parts_called=int((~bad & (detected > 0)).sum()),
    )


def confusion_matrix(
    predictions: Sequence[dict[str, Any]], targets: Sequence[dict[str, Any]], class_count: int, threshold: float
) -> np.ndarray:
    """Return counts (C + 1, C + 1): rows are true classes, columns predicted classes, the last of each is background.

    Detections are matched with boxes of their own class first, so the diagonal holds the true positives at this
    threshold; the remaining detections are then matched with the remaining boxes at IoU >= 0.5. The last column counts
    unmatched boxes, the last row unmatched detections; their corner is 0.
    """
    counts = np.zeros((class_count + 1, class_count + 1), dtype=int)
    for detections, target, matched in assigned(predictions, targets, threshold):
        predicted, true = np.asarray(detections["labels"], int), np.asarray(target["labels"], int)
        spare = np.flatnonzero(matched < 0)
        free = np.setdiff1d(np.arange(len(true)), matched)
        overlaps = overlaps_of(detections, target)[spare][:, free]
        again = assign(np.asarray(detections["scores"])[spare], overlaps, 0.5)
        pairs = matched.copy()
        pairs[spare[again >= 0]] = free[again[again >= 0]]
        for box, label in zip(pairs, predicted, strict=True):
            counts[true[box] if box >= 0 else class_count, label] += 1
        for label in np.delete(true, pairs[pairs >= 0]):
            counts[label, class_count] += 1
    return counts


def all_correct(prediction: dict[str, Any], target: dict[str, Any], threshold: float) -> bool:
    """Return whether, at this threshold, every true box of an image is found without any false positive."""
    correct = [is_correct for score, is_correct in match(prediction, target) if score >= threshold]
    return all(correct) and len(correct) == len(target["labels"])


def _correctness(
    predictions: Sequence[dict[str, Any]], targets: Sequence[dict[str, Any]]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores of all detections of all images, highest first, and whether each is correct."""
    scores, correct = [np.zeros(0)], [np.zeros(0, dtype=bool)]
    for prediction, target in zip(predictions, targets, strict=True):
        scores.append(np.asarray(prediction["scores"], dtype=float))
        correct.append(matched_boxes(prediction, target) >= 0)
    together = np.concatenate(scores)
    order = by_falling_score(together)
    return together[order], np.concatenate(correct)[order]
