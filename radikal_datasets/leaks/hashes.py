"""64-bit hashes of small images, and the pairs of images with nearly equal hashes, among all pairs.

A bit is the sign of one of the 64 lowest DCT coefficients, relative to its median over the dataset: what all images
have in common (a part always in the same position) does not count.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

_MOST_BITS = 20  # of 64 that may differ
_CANDIDATES = 20  # maximum number of candidates per image
_FEW = 50  # images for which a median means little
_BLOCK = 32  # images whose hashes are compared with all others at once: about what fits into a cache

_WINDOW = 44  # pixels: edge of the crop that is compared for shifted images
_OFFSETS = (0, 5, 10, 15, 20)
_CENTER = (10, 10)

#: The flips and turns of a square, as arrays of shape (..., y, x).
ORIENTATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "": lambda a: a,
    "flipped left to right": lambda a: a[..., ::-1],
    "flipped top to bottom": lambda a: a[..., ::-1, :],
    "turned by 180°": lambda a: a[..., ::-1, ::-1],
    "turned by 90°": lambda a: np.rot90(a, 1, (-2, -1)),
    "turned by 270°": lambda a: np.rot90(a, 3, (-2, -1)),
    "flipped along a diagonal": lambda a: np.swapaxes(a, -2, -1),
    "flipped along the other diagonal": lambda a: np.rot90(np.swapaxes(a, -2, -1), 2, (-2, -1)),
}


def parts(images: np.ndarray) -> Iterator[np.ndarray]:
    """Yield some hundred images at a time, so that what is computed from them stays small."""
    for start in range(0, len(images), 512):
        yield images[start : start + 512]


def candidates(small: np.ndarray) -> list[tuple[int, int, int]]:
    """Return pairs with few different bits, in any orientation, or with one shifted by up to 16 % of its edge.

    All pairs are compared, by XOR and popcount, in blocks.

    Args:
        small: uint8 (n, 64, 64).

    Returns:
        (first, second, number of the second's orientation), first < second; for each image the closest few.
    """
    full = _coefficients(small)
    median = _common(full)
    # A view is (bits of the first, bits of the second, orientation).
    plain = _bits(full, median)
    views = [(plain, plain, 0)]
    for number, turn in list(enumerate(ORIENTATIONS.values()))[1:]:
        views.append((plain, _bits(_coefficients(turn(small)), median), number))
    center = _window(small, *_CENTER)
    median = _common(center)
    center = _bits(center, median)
    places = [(y, x) for y in _OFFSETS for x in _OFFSETS]
    for y, x in places[: len(places) // 2]:  # the other half are the same shifts with the two images swapped
        moved = _bits(_window(small, y, x), median)
        views += [(center, moved, 0), (moved, center, 0)]
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        blocks = threads.map(lambda start: _nearest(views, start), range(0, len(small), _BLOCK))
        return [pair for block in blocks for pair in block]


def _nearest(views: list[tuple[np.ndarray, np.ndarray, int]], start: int) -> list[tuple[int, int, int]]:
    """Return, for each image of a block, the later images that are closest in any view."""
    rows = min(_BLOCK, len(views[0][0]) - start)
    best = np.full((rows, len(views[0][0]) - start), np.iinfo(np.uint16).max, np.uint16)
    upright = np.full(best.shape, np.iinfo(np.uint8).max, np.uint8)  # most views are: bytes take half the time
    for first, second, orientation in views:
        distance = np.bitwise_count(first[start : start + rows, None] ^ second[None, start:])
        if orientation:
            np.minimum(best, distance.astype(np.uint16) * len(ORIENTATIONS) + orientation, out=best)
        else:
            np.minimum(upright, distance, out=upright)
    np.minimum(best, upright.astype(np.uint16) * len(ORIENTATIONS), out=best)
    best[np.tri(rows, best.shape[1], dtype=bool)] = np.iinfo(np.uint16).max  # itself, and those before it
    count = min(_CANDIDATES, best.shape[1])
    columns = np.argpartition(best, count - 1, axis=1)[:, :count]
    pairs = []
    for row in range(rows):
        for column in columns[row]:
            distance, orientation = divmod(int(best[row, column]), len(ORIENTATIONS))
            if distance <= _MOST_BITS:
                pairs.append((start + row, start + int(column), orientation))
    return pairs


def _coefficients(images: np.ndarray) -> np.ndarray:
    """Return float32 (n, 64): the lowest DCT coefficients of (n, e, e) images, except for the mean."""
    edge = images.shape[-1]
    waves = np.outer(np.arange(9), np.arange(edge) + 0.5) * (np.pi / edge)
    basis = np.cos(waves).astype(np.float32)
    found = np.concatenate([basis @ part.astype(np.float32) @ basis.T for part in parts(images)])
    y, x = np.divmod(np.arange(1, 81), 9)
    lowest = np.argsort(x * x + y * y, kind="stable")[:64]
    return found.reshape(len(images), -1)[:, 1:][:, lowest]


def _window(images: np.ndarray, y: int, x: int) -> np.ndarray:
    return _coefficients(images[:, y : y + _WINDOW, x : x + _WINDOW])


def _common(coefficients: np.ndarray) -> np.ndarray:
    """Return what a dataset has in common: the medians; less for few images, or two copies of three would equal it."""
    return np.median(coefficients, axis=0) * (len(coefficients) / (len(coefficients) + _FEW))


def _bits(coefficients: np.ndarray, median: np.ndarray) -> np.ndarray:
    """Return uint64 (n,): one bit per coefficient."""
    return np.ascontiguousarray(np.packbits(coefficients > median, axis=1)).view(np.uint64)[:, 0]
