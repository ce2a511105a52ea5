"""Several maps of one detection as one, and how far they agree."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np
from scipy.stats import rankdata

from training.explaining.baselines import scaled


def consensus_map(maps: Mapping[str, np.ndarray]) -> np.ndarray:
    """The mean of the maps' ranks, (H, W), float32, 0 to 1: no method counts more for being more contrasty."""
    return scaled(np.mean([ranks(one) for one in maps.values()], axis=0))


def agreement(maps: Mapping[str, np.ndarray]) -> float | None:
    """Mean of Spearman's correlation over all pairs, -1 to 1; None where there is no pair."""
    pairs = [spearman(a, b) for a, b in combinations(maps.values(), 2)]
    return float(np.mean(pairs)) if pairs else None


def spearman(one: np.ndarray, other: np.ndarray) -> float:
    """Rank correlation of two maps, -1 to 1; 0 where one of them is the same everywhere."""
    a, b = ranks(one) - 0.5, ranks(other) - 0.5
    norm = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum() / norm) if norm > 0 else 0.0


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks as (0, 1), ties sharing theirs; their mean is 0.5."""
    return ((rankdata(values) - 0.5) / values.size).reshape(values.shape)
