"""Find near-identical images among thousands: a perceptual hash over all pairs, then a comparison of fine structure.

An image is a thumbnail of `SIDE` x `SIDE` gray values, stretched to a square. Three steps, each for fewer pairs:

1. `hashes.candidates` compares 64-bit hashes of all pairs, also flipped, turned and shifted.
2. Cross-correlation of the most similar, at five scales, gives scale and shift.
3. `registration.refined` refines both and correlates the fine structure that the two share.

A pair is reported if it is more similar than either is to other images, and to itself at another position.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import PIL.Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ..gray_scale import GrayScale, is_deep
from ..view.drawing import to_rgb
from .hashes import ORIENTATIONS, candidates, parts
from .registration import (
    COARSE,
    SIDE,
    STEPS,
    Placed,
    coarse_structure,
    fine_structure,
    in_bytes,
    placements,
    refined,
    repeats,
)

#: Fine structure that two images must share to be called near-identical if they stand out, and to be called alike
#: if they do not, as correlation coefficients.
SIMILAR, ALIKE = 0.85, 0.9
#: An image that as many others resemble almost as much shows what all of them show: a pair of them must stand out.
CROWD = 5
#: To stand out is to be at most this fraction as far from identical as usual. Of the true pairs of
#: NEU-DET and DeepPCB, 99 of 100 are closer; of drawn parts that only resemble one another, it is 0.3 and more.
STANDS_OUT = 1 / 4

_FINE = 6  # minimum number of an image's candidates that are compared in full
_LEAST_COARSE = 0.35  # correlation after step 2


@dataclass(frozen=True)
class Match:
    """Two images that share their fine structure.

    Attributes:
        first, second: their numbers, first < second.
        similarity: correlation of the fine structure where they overlap, 0 to 1.
        turned: how the second was flipped or turned to fit: one of `ORIENTATIONS`, or "".
        shift: (x, y), offset of the second's contents from the first's, as fractions of the edge.
        overlap: share of the image that both show.
    """

    first: int
    second: int
    similarity: float
    turned: str
    shift: tuple[float, float]
    overlap: float


@dataclass(frozen=True)
class Matches:
    """The findings.

    Attributes:
        pairs: near-identical pairs that stand out, most similar first.
        lookalikes: sets of images that resemble one another as much as any two of them do: one scene, many times.
    """

    pairs: list[Match]
    lookalikes: list[list[int]]


def thumbnail(image: PIL.Image.Image, gray_scale: GrayScale | None = None) -> np.ndarray:
    """Return uint8 (SIDE, SIDE): gray values, stretched to a square; deeper images as in `drawing.to_rgb`."""
    gray = (to_rgb(image, gray_scale) if is_deep(image) else image).convert("L")
    larger = min(gray.size) >= SIDE
    return np.asarray(gray.resize((SIDE, SIDE), PIL.Image.Resampling.BOX if larger else PIL.Image.Resampling.BICUBIC))


def near_duplicates(thumbnails: np.ndarray) -> Matches:
    """Find every pair of near-identical images.

    Memory: about 20 KB per image in addition to the thumbnails, and 100 MB.

    Args:
        thumbnails: uint8 (n, SIDE, SIDE), of images no two of which are known to be identical.
    """
    if len(thumbnails) < 2:
        return Matches([], [])
    halves = (part.reshape(-1, COARSE, 2, COARSE, 2).mean((2, 4), dtype=np.float32) for part in parts(thumbnails))
    small = np.concatenate([np.round(half).astype(np.uint8) for half in halves])
    pairs = candidates(small)
    structures = np.concatenate([coarse_structure(part) for part in parts(small)])
    del small
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        by_first = defaultdict(list)
        for first, second, turned in pairs:
            by_first[first].append((second, turned))
        found = threads.map(lambda item: _placed(structures, item), by_first.items())
        close = _closest([placed for several in found for placed in several])
        structure = _fine_structures(thumbnails)
        matches = [match for match in threads.map(lambda placed: _match(structure, placed), close) if match]
        alike = [match for match in matches if match.similarity >= SIMILAR]
        unsure = {image for match in _standing_out(alike, matches) for image in (match.first, match.second)}
        beside = _in_the_same_place(structures, unsure)
        matches += [match for match in threads.map(lambda placed: _match(structure, placed), beside) if match]
    return _selected(alike, matches, structure)


def _placed(structures: np.ndarray, item: tuple[int, list[tuple[int, int]]]) -> list[Placed]:
    """Return scale and shift of the candidates of one image, without those that do not correlate."""
    first, others = item
    turns = list(ORIENTATIONS.values())
    turned = np.stack([turns[orientation](structures[second]) for second, orientation in others])
    return [
        placed for placed in placements(first, structures[first], others, turned) if placed.correlation >= _LEAST_COARSE
    ]


def _closest(placed: list[Placed]) -> list[Placed]:
    """Return the best few of each image: more of them add no information."""
    used: dict[int, int] = defaultdict(int)
    kept = []
    for one in sorted(placed, key=lambda one: -one.correlation):
        if used[one.first] < _FINE or used[one.second] < _FINE:
            kept.append(one)
            used[one.first] += 1
            used[one.second] += 1
    return sorted(kept, key=lambda one: one.first)  # so that the structure of an image is computed once


def _in_the_same_place(structures: np.ndarray, images: set[int]) -> list[Placed]:
    """Return, for each of `images`, the few others that are most similar to it, neither shifted nor turned.

    The hash does not distinguish parts that are always in the same position: what all have in common does not count.
    So whether two of them are more similar than any two is determined here.
    """
    if not images:
        return []
    half = COARSE // 2
    flat = structures.reshape(-1, half, 2, half, 2).mean((2, 4), dtype=np.float32).reshape(len(structures), -1)
    flat /= np.linalg.norm(flat, axis=1, keepdims=True) + 1e-6
    count = min(CROWD + 1, len(flat) - 1)
    found = []
    for part in parts(np.array(sorted(images))):
        likeness = flat[part] @ flat.T
        likeness[np.arange(len(part)), part] = -1
        for image, row, others in zip(part, likeness, np.argpartition(-likeness, count - 1, axis=1), strict=True):
            found += [Placed(int(image), int(k), 0, float(row[k]), 1.0, (0.0, 0.0)) for k in others[:count]]
    return found


def _match(structure: Callable[[int], np.ndarray], placed: Placed) -> Match | None:
    turned = list(ORIENTATIONS)[placed.orientation]
    fit = refined(structure(placed.first), ORIENTATIONS[turned](structure(placed.second)), placed)
    if fit is None:
        return None
    x, y = (round(part, 3) for part in fit.shift)
    return Match(placed.first, placed.second, round(fit.similarity, 3), turned, (x, y), round(fit.overlap, 3))


def _standing_out(alike: list[Match], matches: list[Match]) -> list[Match]:
    """Return those of `alike` whose images resemble few others almost as much; `matches`: all compared in full."""
    similar: dict[int, dict[int, float]] = defaultdict(dict)
    for match in matches:
        for image, other in ((match.first, match.second), (match.second, match.first)):
            similar[image][other] = max(match.similarity, similar[image].get(other, 0.0))
    usual = {image: sorted(values.values(), reverse=True)[CROWD:][:1] or [0.0] for image, values in similar.items()}
    return [match for match in alike if _stands_out(match, max(usual[match.first] + usual[match.second]))]


def _stands_out(match: Match, usual: float) -> bool:
    return 1 - match.similarity <= STANDS_OUT * (1 - usual)


def _fine_structures(thumbnails: np.ndarray) -> Callable[[int], np.ndarray]:
    """Return a function from an image's number to its fine structure; some thousand are cached, in bytes."""
    kept = lru_cache(maxsize=4096)(lambda image: in_bytes(fine_structure(thumbnails[image])))
    return lambda image: kept(image).astype(np.float32) / STEPS


def _selected(alike: list[Match], matches: list[Match], structure: Callable[[int], np.ndarray]) -> Matches:
    """Return pairs that stand out, from other images and from either at another position, and crowds of the rest."""

    def repeated(image: int) -> float:
        mine = structure(image)
        return repeats(mine, [turn(mine) for turn in list(ORIENTATIONS.values())[1:]])

    likely = _standing_out(alike, matches)
    images = sorted({image for match in likely for image in (match.first, match.second)})
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        own = dict(zip(images, threads.map(repeated, images), strict=True))
    pairs = [match for match in likely if _stands_out(match, max(own[match.first], own[match.second]))]
    reported = {(match.first, match.second) for match in pairs}
    crowded = {(match.first, match.second) for match in alike if match.similarity >= ALIKE} - reported
    return Matches(sorted(pairs, key=lambda match: -match.similarity), connected(sorted(crowded)))


def connected(pairs: list[tuple[int, int]]) -> list[list[int]]:
    """Return the connected sets of numbers, largest first."""
    if not pairs:
        return []
    numbers, ends = np.unique(np.array(pairs), return_inverse=True)
    first, second = ends.reshape(-1, 2).T
    graph = coo_array((np.ones(len(first)), (first, second)), shape=(len(numbers), len(numbers)))
    count, set_of = connected_components(graph, directed=False)
    sets = [numbers[set_of == number].tolist() for number in range(count)]
    return sorted(sets, key=lambda members: (-len(members), members))
