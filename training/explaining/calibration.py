"""Whether scores are what they say: of the calls scored 0.8, are 80 % right?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Bin:
    """Detections whose score lies in [low, high): how many, their mean score, and the part of them that is right."""

    low: float
    high: float
    count: int
    score: float
    right: float


@dataclass(frozen=True)
class Calibration:
    """Scores of detections held against whether they are right at IoU 0.5.

    Attributes:
        floor: detections with a lower score were left out.
        error: expected calibration error (ECE), the mean of |right - score| over bins, weighted by their counts.
        bias: mean score minus the part that is right; above 0 the model is too sure of itself.
        bins: those that hold a detection.
    """

    floor: float
    count: int
    error: float | None
    bias: float | None
    bins: list[Bin]

    def to_dict(self) -> dict[str, Any]:
        """For json."""
        return asdict(self)


def calibration(marks: Sequence[tuple[float, bool]], floor: float, bins: int = 10) -> Calibration:
    """Of (score, right) pairs, as `training.scoring.operating_point.match` gives them.

    Args:
        floor: lower scores are left out; a DETR's hundreds of empty queries would drown the rest.
        bins: of equal width over 0..1.
    """
    kept = [(score, right) for score, right in marks if score >= floor]
    if not kept:
        return Calibration(floor, 0, None, None, [])
    scores, rights = np.array([score for score, _ in kept]), np.array([float(right) for _, right in kept])
    places = np.minimum((scores * bins).astype(int), bins - 1)
    filled = [
        Bin(i / bins, (i + 1) / bins, int(mine.sum()), float(scores[mine].mean()), float(rights[mine].mean()))
        for i in range(bins)
        if (mine := places == i).any()
    ]
    error = sum(one.count * abs(one.right - one.score) for one in filled) / len(kept)
    return Calibration(floor, len(kept), float(error), float(scores.mean() - rights.mean()), filled)
