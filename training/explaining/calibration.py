"""Calibration of detection scores: are 80 % of the detections with a score of 0.8 correct?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Bin:
    """Detections with a score in [low, high): their count, mean score, and the fraction that is correct (`right`)."""

    low: float
    high: float
    count: int
    score: float
    right: float


@dataclass(frozen=True)
class Calibration:
    """Detection scores compared with whether the detections are correct at IoU 0.5.

    Attributes:
        floor: detections with a lower score were left out.
        error: expected calibration error (ECE), the mean of |right - score| over bins, weighted by their counts.
        bias: mean score minus the fraction that is correct; above 0 the model is overconfident.
        bins: bins with at least one detection.
    """

    floor: float
    count: int
    error: float | None
    bias: float | None
    bins: list[Bin]

    def to_dict(self) -> dict[str, Any]:
        """Return a dict for JSON."""
        return asdict(self)


def calibration(detections: Sequence[tuple[float, bool]], floor: float, bins: int = 10) -> Calibration:
    """Measure the calibration of (score, is correct) pairs, as returned by `training.scoring.operating_point.match`.

    Args:
        floor: lower scores are left out; a DETR's hundreds of empty queries would drown out the rest.
        bins: number of bins of equal width over 0..1.
    """
    kept = [(score, correct) for score, correct in detections if score >= floor]
    if not kept:
        return Calibration(floor, 0, None, None, [])
    scores, correct = np.array([score for score, _ in kept]), np.array([float(value) for _, value in kept])
    indices = np.minimum((scores * bins).astype(int), bins - 1)
    filled = [
        Bin(i / bins, (i + 1) / bins, int(chosen.sum()), float(scores[chosen].mean()), float(correct[chosen].mean()))
        for i in range(bins)
        if (chosen := indices == i).any()
    ]
    error = sum(one.count * abs(one.right - one.score) for one in filled) / len(kept)
    return Calibration(floor, len(kept), float(error), float(scores.mean() - correct.mean()), filled)
