"""Torchvision's anti-aliased bilinear resize of bytes, in numpy and scipy: for programs without torch."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.sparse import csr_array

_MOST_BITS, _WEIGHT_BITS = 22, 15  # of torch's fixed-point weights
_AT_ONCE = 1 << 16  # numbers that stay in a processor's cache: all rows at once take twice as long at 2048x2048


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
    weights, bits = _matrix(pixels.shape[axis], length)
    shape = list(pixels.shape)
    shape[axis] = length
    result = np.empty(shape, np.uint8)
    # Both with the axis first and the other one second.
    source, target = pixels.swapaxes(0, axis), result.swapaxes(0, axis)
    step = max(1, _AT_ONCE * source.shape[1] // source.size)
    for start in range(0, source.shape[1], step):
        part = source[:, start : start + step]
        total = weights @ part.astype(np.int32, order="C").reshape(len(part), -1)
        total += 1 << (bits - 1)
        total >>= bits
        target[:, start : start + step] = total.clip(0, 255, out=total).reshape(length, *part.shape[1:])
    return result


@lru_cache(64)
def _matrix(length: int, target: int) -> tuple[csr_array, int]:
    """Return the sparse int32 matrix (target, length) of the weights, and their precision."""
    starts, weights, bits = _weights(length, target)
    taps = weights.shape[1]
    # Beyond the edge the weight is 0.
    places = np.minimum(starts[:, None] + np.arange(taps), length - 1).astype(np.int32)
    ends = np.arange(0, target * taps + 1, taps, dtype=np.int32)
    return csr_array((weights.ravel(), places.ravel(), ends), shape=(target, length)), bits


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
