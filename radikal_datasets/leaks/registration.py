"""Scale and shift between two thumbnails, and how much fine structure they share where they overlap.

Fine structure is an image without its slow changes and its noise, divided by its local strength: faint texture counts
as much as a hard edge, light and exposure do not count, and uniform areas are 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

#: Edges of the thumbnails in pixels: for the final comparison, and for the search.
SIDE, COARSE = 128, 64
#: Structure is about 1; stored in bytes, 1 corresponds to this many steps.
STEPS = 32

#: Scale of the first image relative to the second.
_SCALES = tuple(1.06**step for step in (0, -1, 1, -2, 2))
_HOPELESS_COARSE = 0.12  # correlation at the same size, below which no other size is tried
_FARTHEST = COARSE // 4  # largest shift that is searched
_LEAST_OVERLAP = 0.4  # of the image
_LEAST_STRUCTURE = 0.04  # mean square of the fine structure; 1 if the entire image has some
# Stretched by 7 % on one axis and compressed by 7 % on the other, a copy starts at a similarity of 0.17 to 0.25.
_STEPS, _LEAST_GAIN, _HOPELESS = 6, 0.002, 0.15
_NEAR = 4  # pixels of COARSE: anything less counts as no shift
_CENTER = (SIDE - 1) / 2
_LINES = np.arange(SIDE, dtype=np.float32) - np.float32(_CENTER)


@dataclass(frozen=True)
class Placed:
    """A pair of images and their alignment: second(at) = first(scale * (at - center) + center + shift).

    Attributes:
        orientation: number of the flip or turn of the second.
        shift: (y, x), pixels of `COARSE`.
    """

    first: int
    second: int
    orientation: int
    correlation: float
    scale: float
    shift: tuple[float, float]


@dataclass(frozen=True)
class Fit:
    """How well two images fit: a correlation coefficient, the shift as in `Match`, the share of the area in both."""

    similarity: float
    shift: tuple[float, float]
    overlap: float


def coarse_structure(images: np.ndarray) -> np.ndarray:
    """Return int8 (n, COARSE, COARSE), in steps of 1 / `STEPS`, for searching."""
    return in_bytes(_structure(images, 0.6, 2.5, 4))


def in_bytes(structure: np.ndarray) -> np.ndarray:
    """Convert a structure to int8, in steps of 1 / `STEPS`."""
    return np.clip(np.round(structure * STEPS), -127, 127).astype(np.int8)


def fine_structure(image: np.ndarray) -> np.ndarray:
    """Return float32 (SIDE, SIDE), for comparing."""
    return _structure(image[None], 1.2, 4, 8)[0]


def _structure(images: np.ndarray, low: float, high: float, reach: float) -> np.ndarray:
    images = images.astype(np.float32)
    band = ndimage.gaussian_filter(images, (0, low, low)) - ndimage.gaussian_filter(images, (0, high, high))
    strength = np.sqrt(ndimage.gaussian_filter(band * band, (0, reach, reach)))
    return band / (strength + 1)  # 1 gray level: the noise of a uniform area is not structure


def placements(
    first: int, structure: np.ndarray, others: list[tuple[int, int]], structures: np.ndarray
) -> list[Placed]:
    """Return the best scale and shift of each of `others`, (number, orientation), by cross-correlation.

    Args:
        structure: (COARSE, COARSE), of image `first`.
        structures: (len(others), COARSE, COARSE), in their orientation.
    """
    mine, theirs = structure.astype(np.float32), structures.astype(np.float32)
    spectra = np.conj(np.fft.rfft2(theirs))
    strength = np.sqrt((theirs**2).sum((1, 2)))
    reach = np.arange(-_FARTHEST, _FARTHEST + 1)
    rows, columns = np.ix_(reach, reach)
    best = np.zeros(len(others))
    found = [(1.0, 0, 0)] * len(others)
    rest = np.arange(len(others))
    for scale in _SCALES:
        scaled = _sampled(mine, (scale, scale), (0.0, 0.0))
        correlation = np.fft.irfft2(np.fft.rfft2(scaled) * spectra[rest], s=scaled.shape)[:, rows, columns]
        correlation = correlation.reshape(len(rest), -1) / (np.linalg.norm(scaled) * strength[rest, None] + 1e-6)
        at = correlation.argmax(1)
        for row in np.flatnonzero(correlation.max(1) > best[rest]):
            y, x = np.divmod(int(at[row]), len(reach))
            found[rest[row]] = (scale, int(reach[y]), int(reach[x]))
            best[rest[row]] = correlation[row, at[row]]
        rest = rest[best[rest] > _HOPELESS_COARSE]
        if not len(rest):
            break
    return [
        Placed(first, second, orientation, float(value), scale, (scale * y, scale * x))
        for (second, orientation), value, (scale, y, x) in zip(others, best, found, strict=True)
    ]


def refined(first: np.ndarray, second: np.ndarray, placed: Placed) -> Fit | None:
    """Fit scale and shift along both edges (Gauss-Newton), and correlate; None if the two share too little.

    Args:
        first, second: (SIDE, SIDE) fine structure.
        placed: where to start.
    """
    scale = np.array([placed.scale, placed.scale])
    shift = np.array(placed.shift) * (SIDE / COARSE)
    slopes = np.gradient(first)
    best: Fit | None = None
    for _ in range(_STEPS):
        inside = _inside(scale, shift)
        overlap = math.prod(part.stop - part.start for part in inside) / SIDE**2
        if overlap < _LEAST_OVERLAP:
            return best
        moved, down, right = (_sampled(image, scale, shift)[inside] for image in (first, *slopes))
        fixed = second[inside]
        similarity = _similarity(moved, fixed)
        if similarity is None:
            return best
        gained = similarity - (best.similarity if best else 0)
        if best is None or gained > 0:
            best = Fit(similarity, (-float(shift[1]) / SIDE, -float(shift[0]) / SIDE), overlap)
        if gained < _LEAST_GAIN or similarity < _HOPELESS:
            return best
        y, x = (_LINES[part] for part in inside)
        jacobian = np.stack([(down * y[:, None]).ravel(), down.ravel(), (right * x).ravel(), right.ravel()])
        # einsum and not @: BLAS would start its own threads in each of ours.
        normal = np.einsum("ip,jp->ij", jacobian, jacobian)
        step = np.linalg.lstsq(normal, np.einsum("ip,p->i", jacobian, (fixed - moved).ravel()), rcond=None)[0]
        scale = scale + step[[0, 2]]
        shift = shift + step[[1, 3]]
    return best


def repeats(structure: np.ndarray, turned: Sequence[np.ndarray]) -> float:
    """Return how much an image resembles itself shifted, flipped or turned, 0 to 1; near 1 for grids, stripes, rings.

    Args:
        structure: (SIDE, SIDE) fine structure.
        turned: the same in other orientations.
    """
    small, *others = (image.reshape(COARSE, 2, COARSE, 2).mean((1, 3)) for image in (structure, *turned))
    reach = np.arange(-_FARTHEST, _FARTHEST + 1)
    shifted = np.add.outer(reach**2, reach**2) >= _NEAR**2
    return max(float(_likeness(small, small)[shifted].max()), *(float(_likeness(small, one).max()) for one in others))


def _likeness(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the correlation coefficient of the overlap, for every shift up to `_FARTHEST`."""
    shape = (2 * COARSE, 2 * COARSE)  # so that nothing wraps around from the other side
    spectra = [np.fft.rfft2(image, s=shape) for image in (one, other, one**2, other**2, np.ones_like(one))]
    reach = np.arange(-_FARTHEST, _FARTHEST + 1)
    products, energy, other_energy = (
        np.fft.irfft2(np.conj(first) * second, s=shape)[reach][:, reach]
        for first, second in ((spectra[0], spectra[1]), (spectra[2], spectra[4]), (spectra[4], spectra[3]))
    )
    return products / np.sqrt(np.maximum(energy * other_energy, 1e-3))


def _similarity(one: np.ndarray, other: np.ndarray) -> float | None:
    energies = float((one**2).mean()), float((other**2).mean())
    if min(energies) < _LEAST_STRUCTURE:
        return None
    return float((one * other).mean()) / math.sqrt(energies[0] * energies[1])


def _inside(scale: np.ndarray, shift: np.ndarray) -> tuple[slice, slice]:
    """Return the rows and columns of the second image that lie on the first."""
    ends = []
    for s, t in zip(scale, shift, strict=True):
        lines = np.flatnonzero(np.abs(s * _LINES + t) <= _CENTER)
        ends.append(slice(int(lines[0]), int(lines[-1]) + 1) if len(lines) else slice(0, 0))
    return ends[0], ends[1]


def _sampled(image: np.ndarray, scale: Sequence[float] | np.ndarray, shift: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return the image at scale * (position - center) + center + shift, interpolated linearly, 0 outside."""
    for axis in (0, 1):
        lines = np.arange(image.shape[axis], dtype=np.float32)
        center = np.float32((len(lines) - 1) / 2)
        at = np.float32(scale[axis]) * (lines - center) + center + np.float32(shift[axis])
        before = np.clip(np.floor(at).astype(int), 0, len(lines) - 2)
        part = at - before.astype(np.float32)
        inside = (at >= 0) & (at <= len(lines) - 1)
        shape = (-1, 1) if axis == 0 else (1, -1)
        lower, upper = ((weight * inside).reshape(shape) for weight in (1 - part, part))
        image = np.take(image, before, axis) * lower + np.take(image, before + 1, axis) * upper
    return image
