"""Image-level scores: AUROC and F1 of whether an image has a defect.

A detector's score of an image is the score of its most confident detection, of any class and position; a classifier
provides its own scores. Only annotated images (`annotated`) may be passed: the others are not negatives.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.metrics import f1_score, precision_recall_curve, precision_score, recall_score, roc_auc_score


def highest_scores(
    predictions: Sequence[dict[str, Any]], targets: Sequence[dict[str, Any]]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the highest score of each image (I,), 0 if nothing was detected, and whether it has a true box (I,).

    Args:
        predictions: `scores` (N,) per image.
        targets: ground truth, `labels` (M,) per image, in the same order.
    """
    pairs = [(max(p["scores"], default=0.0), len(t["labels"]) > 0) for p, t in zip(predictions, targets, strict=True)]
    scores, defective = zip(*pairs, strict=True) if pairs else ((), ())
    return np.array(scores, dtype=float), np.array(defective, dtype=bool)


def image_scores(scores: np.ndarray, defective: np.ndarray, threshold: float) -> dict[str, float]:
    """Compute AUROC over all thresholds; and F1, precision and recall of "defective" at a threshold chosen elsewhere.

    Args:
        scores: (I,), higher if a defect is more likely.
        defective: (I,) bool.
        threshold: images with at least this score are predicted defective.

    Returns:
        `auroc`, `f1` and `precision`, -1 unless there are good and defective images; `recall`, -1 if no image is
        defective; `threshold`, `good_images`, `defective_images`. Precision is 0 if no image is predicted defective.
    """
    bad = int(defective.sum())
    predicted = scores >= threshold
    mixed = 0 < bad < len(defective)
    return {
        "auroc": float(roc_auc_score(defective, scores)) if mixed else -1.0,
        # Without a good image there can be no false positive, and both would look better than they are.
        "f1": float(f1_score(defective, predicted)) if mixed else -1.0,
        "precision": float(precision_score(defective, predicted, zero_division=0)) if mixed else -1.0,  # pyright: ignore
        "recall": float(recall_score(defective, predicted)) if bad else -1.0,
        "threshold": float(threshold),
        "good_images": len(defective) - bad,
        "defective_images": bad,
    }


def best_image_threshold(scores: np.ndarray, defective: np.ndarray) -> float:
    """Return the score with the highest F1 of "defective", to be chosen on validation; 1 if no image is defective."""
    if not defective.any():
        return 1.0
    precision, recall, thresholds = precision_recall_curve(defective, scores)
    # The last point of the curve, recall 0, has no threshold.
    f1 = 2 * precision * recall / np.maximum(precision + recall, np.finfo(float).tiny)
    return float(thresholds[f1[:-1].argmax()])
