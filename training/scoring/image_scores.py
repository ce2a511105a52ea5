"""Whether an image has a defect: AUROC and F1 by images.

A detector's score of an image is that of its surest detection, of whatever class and place; a classifier hands in its
own scores. Only images that somebody has looked at (`annotated`) may come in: the others are no negatives.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.metrics import f1_score, precision_recall_curve, precision_score, recall_score, roc_auc_score


def surest_detections(
    predictions: Sequence[dict[str, Any]], truths: Sequence[dict[str, Any]]
) -> tuple[np.ndarray, np.ndarray]:
    """Score (I,) of each image, 0 where nothing was detected, and whether it has a true box (I,).

    Args:
        predictions: `scores` (N,) an image.
        truths: `labels` (M,) an image, in the same order.
    """
    pairs = [(max(p["scores"], default=0.0), len(t["labels"]) > 0) for p, t in zip(predictions, truths, strict=True)]
    scores, defective = zip(*pairs, strict=True) if pairs else ((), ())
    return np.array(scores, dtype=float), np.array(defective, dtype=bool)


def image_scores(scores: np.ndarray, defective: np.ndarray, threshold: float) -> dict[str, float]:
    """AUROC over all thresholds; F1, precision and recall of "defective" at one, chosen on other images.

    Args:
        scores: (I,), higher where a defect is surer.
        defective: (I,) bool.
        threshold: an image from this score up is called defective.

    Returns:
        `auroc`, `f1` and `precision`, -1 unless there are good and defective images; `recall`, -1 where no image is
        defective; `threshold`, `good_images`, `defective_images`. Precision is 0 where no image is called.
    """
    bad = int(defective.sum())
    called = scores >= threshold
    mixed = 0 < bad < len(defective)
    return {
        "auroc": float(roc_auc_score(defective, scores)) if mixed else -1.0,
        # Without a good image nothing can be called falsely, and both would flatter.
        "f1": float(f1_score(defective, called)) if mixed else -1.0,
        "precision": float(precision_score(defective, called, zero_division=0)) if mixed else -1.0,  # pyright: ignore
        "recall": float(recall_score(defective, called)) if bad else -1.0,
        "threshold": float(threshold),
        "good_images": len(defective) - bad,
        "defective_images": bad,
    }


def best_image_threshold(scores: np.ndarray, defective: np.ndarray) -> float:
    """The score with the highest F1 of "defective", for validation to choose; 1 where no image is defective."""
    if not defective.any():
        return 1.0
    precision, recall, thresholds = precision_recall_curve(defective, scores)
    # The last point of the curve, recall 0, has no threshold.
    f1 = 2 * precision * recall / np.maximum(precision + recall, np.finfo(float).tiny)
    return float(thresholds[f1[:-1].argmax()])
