"""Combine several maps of one detection, and measure how well they agree."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np
from scipy.stats import rankdata

from training.explaining.baselines import scaled


def consensus_map(maps: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the mean of the maps' ranks, (H, W), float32, 0 to 1, so that a high-contrast method does not dominate."""
    return scaled(np.mean([ranks(one) for one in maps.values()], axis=0))


def agreement(maps: Mapping[str, np.ndarray]) -> float | None:
    """Return the mean of Spearman's correlation over all pairs, -1 to 1; None if there is no pair."""
    pairs = [spearman(a, b) for a, b in combinations(maps.values(), 2)]
    return float(np.mean(pairs)) if pairs else None


def spearman(one: np.ndarray, other: np.ndarray) -> float:
    """Return the rank correlation of two maps, -1 to 1; 0 if one of them is constant."""
    a, b = ranks(one) - 0.5, ranks(other) - 0.5
    norm = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum() / norm) if norm > 0 else 0.0


def ranks(values: np.ndarray) -> np.ndarray:
    """Return ranks scaled to (0, 1), with ties sharing a rank; their mean is 0.5."""
    return ((rankdata(values) - 0.5) / values.size).reshape(values.shape)
