"""Torchvision's anti-aliased bilinear resize of bytes, in numpy: for programs without torch."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

_MOST_BITS, _WEIGHT_BITS = 22, 15  # of torch's fixed-point weights


def resize_bilinear(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return uint8 (height, width[, C]), bit by bit what torch's `interpolate(antialias=True)` returns for bytes.

    Equal to torch on processors with AVX2; without it, torch computes in floats and differs by up to one gray level.

    Args:
        pixels: uint8 (h, w) or (h, w, C).
    """
    return _along(_along(pixels, width, 1), height, 0)


def _along(pixels: np.ndarray, length: int, axis: int) -> np.ndarray:
    if pixels.shape[axis] == length:
        return pixels
    starts, weights, bits = _weights(pixels.shape[axis], length)
    shape = [1] * pixels.ndim
    shape[axis] = length
    total: np.ndarray = np.full((), 1 << (bits - 1), np.int32)
    for tap in range(weights.shape[1]):
        places = np.minimum(starts + tap, pixels.shape[axis] - 1)  # beyond the edge the weight is 0
        total = total + pixels.take(places, axis).astype(np.int32) * weights[:, tap].reshape(shape)
    return np.clip(total >> bits, 0, 255).astype(np.uint8)


@lru_cache(64)
def _weights(length: int, target: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Return the first pixel under each target pixel's filter, int32 weights (target, taps), and their precision."""
    scale = length / target
    support = max(scale, 1.0)
    centers = scale * (np.arange(target) + 0.5)
    starts = np.maximum((centers - support + 0.5).astype(np.int64), 0)
    counts = np.minimum((centers + support + 0.5).astype(np.int64), length) - starts
    taps = np.arange(int(counts.max()))
    distances = np.abs((taps + starts[:, None] - centers[:, None] + 0.5) * (1 / support))
    floats = np.where((taps < counts[:, None]) & (distances < 1), 1 - distances, 0.0)
    floats /= floats.sum(1, keepdims=True)
    bits = 0
    while bits < _MOST_BITS and int(0.5 + floats.max() * (1 << (bits + 1))) < 1 << _WEIGHT_BITS:
        bits += 1
    return starts, (floats * (1 << bits) + 0.5).astype(np.int32), bits
