"""The scenes of the synthetic GDXray: castings with pores, welds, bags, fruit, phantoms. More X-rays: brighter."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from .drawing import blob, box_of, grid, smooth_noise

#: x_min, y_min, x_max, y_max in pixels, 0-based, half-open.
Box = tuple[int, int, int, int]

_GRAIN = 0.012  # detector noise, as a fraction of full white
_SERIES_SIZES = {"C0047": (256, 256), "C0044": (256, 256), "C0054": (192, 256)}
# C0002 of the real set has eight sizes.
_VARYING_SIZES = [(150, 232), (140, 230), (160, 300), (176, 256)]


class Casting:
    """One part in front of the detector; the images of its series show it turning.

    Args:
        rng: draws its shape.
        series: `C0002` has images of several sizes, like the real one.
    """

    def __init__(self, rng: np.random.Generator, series: str):
        self._sizes = _VARYING_SIZES if series == "C0002" else [_SERIES_SIZES.get(series, (192, 256))]
        self._hub = np.array(
            [rng.uniform(-1.9, -1.3), rng.uniform(-0.4, 0.4)]
        )  # y, x; above the image, in half heights
        self._spokes = int(rng.integers(5, 9))
        self._phase, self._turn = rng.uniform(0, 2 * np.pi), rng.uniform(0.03, 0.09)
        self._window = rng.uniform(1.1, 1.4), rng.uniform(2.0, 2.3)  # inner and outer radius of the holes
        self._level = rng.uniform(0.28, 0.42)

    def draw(self, rng: np.random.Generator, number: int, defects: int, at_edge: bool) -> tuple[np.ndarray, list[Box]]:
        """Draw image `number` of the series with the given number of pores or inclusions.

        Returns:
            The image, float of shape (height, width), and the boxes of the defects. With `at_edge` one of them is cut
            off by the right edge.
        """
        height, width = self._sizes[number % len(self._sizes)]
        y, x = grid(height, width)
        v, u = y / height * 2 - 1, (x - width / 2) / height * 2
        radius = np.hypot(v - self._hub[0], u - self._hub[1])
        angle = np.arctan2(u - self._hub[1], v - self._hub[0])
        inner, outer = self._window
        between_spokes = _step(np.cos(self._spokes * (angle + self._turn * number) + self._phase) - 0.35, 0.12)
        hole = between_spokes * _step(radius - inner, 0.03) * _step(outer - radius, 0.03)
        if at_edge:
            hole *= x < width - 40
        rim = _step(radius - outer - 0.15, 0.03) * _step(outer + 0.45 - radius, 0.03)
        image = self._level + 0.10 * (radius - inner) - 0.12 * rim
        image += 0.02 * smooth_noise(rng, height, width, 9)
        image = image * (1 - hole) + 0.9 * hole
        solid = hole < 0.02
        boxes: list[Box] = []
        taken = np.zeros((height, width), dtype=bool)
        for number_of_defect in range(defects):
            place = _edge_place if at_edge and number_of_defect == 0 else _solid_place
            boxes += _add_defect(rng, image, solid, taken, place)
        image += _GRAIN * rng.standard_normal((height, width))
        return image, boxes


def weld(rng: np.random.Generator, defects: int) -> tuple[np.ndarray, np.ndarray, list[Box]]:
    """Draw a radiograph of a weld bead. Returns image, mask of all defects, and the boxes of the defects."""
    height, width = 96, 224
    y, x = grid(height, width)
    middle = height / 2 + 3 * np.sin(x / rng.uniform(25, 40) + rng.uniform(0, 6))
    bead = np.exp(-(((y - middle) / 17) ** 2))
    image = 0.62 - 0.28 * bead + 0.04 * bead * np.sin(x / 3.0) + 0.01 * smooth_noise(rng, height, width, 4)
    solid, taken, defect = bead > 0.35, np.zeros((height, width), dtype=bool), np.zeros((height, width), dtype=bool)
    boxes: list[Box] = []
    for _ in range(defects):
        boxes += _add_defect(rng, image, solid, taken, _solid_place, radii=(3, 7), mask=defect)
    return image + _GRAIN * rng.standard_normal((height, width)), defect, boxes


def bag(rng: np.random.Generator, over_the_edge: bool) -> tuple[np.ndarray, np.ndarray, bool]:
    """Draw a bag with one blade in it.

    Returns:
        The image, the blade's four corners as (x, y) of shape (4, 2) in 0-based continuous pixels, and whether one of
        them lies outside the image.
    """
    height, width = 128, 160
    y, x = grid(height, width)
    image = 0.85 - 0.25 * _step(58 - np.abs(y - height / 2), 1) * _step(72 - np.abs(x - width / 2), 1)
    image += 0.03 * smooth_noise(rng, height, width, 6)
    for _ in range(4):  # books, bottles
        top, left = rng.integers(8, height - 40), rng.integers(8, width - 50)
        image[top : top + rng.integers(15, 35), left : left + rng.integers(15, 45)] -= rng.uniform(0.04, 0.1)
    long, wide, turn = rng.uniform(20, 26), rng.uniform(6, 9), rng.uniform(0, np.pi)
    center = np.array([4.0 if over_the_edge else rng.uniform(36, width - 36), rng.uniform(36, height - 36)])
    along = np.array([np.cos(turn), np.sin(turn)])
    across = np.array([-along[1], along[0]])
    corners = np.array([center + a * long * along + b * wide * across for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))])
    offset = np.stack([x + 0.5 - center[0], y + 0.5 - center[1]], axis=-1)
    blade = (np.abs(offset @ along) <= long) & (np.abs(offset @ across) <= wide)
    image[blade] = 0.12
    outside = bool((corners < 0).any() or (corners > (width, height)).any())
    return image + _GRAIN * rng.standard_normal((height, width)), corners, outside


def fruit(rng: np.random.Generator, number: int) -> tuple[np.ndarray, list[Box]]:
    """Draw fruit on a table, each with its stone; the stones are the objects."""
    height = width = 128
    y, x = grid(height, width)
    image = np.full((height, width), 0.9) + 0.01 * smooth_noise(rng, height, width, 8)
    boxes: list[Box] = []
    for top, left in ((4, 4), (4, 66), (66, 4), (66, 66))[: 2 + number % 3]:
        cy, cx = top + 29 + rng.uniform(-2, 2), left + 29 + rng.uniform(-2, 2)
        body = np.hypot((y - cy) / rng.uniform(22, 26), (x - cx) / rng.uniform(22, 26))
        image -= 0.4 * np.sqrt(np.clip(1 - body**2, 0, 1))
        stone = blob(rng, height, width, (cy, cx), (rng.uniform(6, 9), rng.uniform(6, 9)))
        image[stone] -= 0.25
        boxes.append(box_of(stone))
    return image + _GRAIN * rng.standard_normal((height, width)), boxes


def phantom(rng: np.random.Generator, number: int) -> tuple[np.ndarray, list[Box]]:
    """Draw a checked calibration plate with steel spheres on it; the spheres are the objects."""
    height, width = 128, 160
    y, x = grid(height, width)
    turn, size = 0.08 * number, rng.uniform(14, 18)
    across, along = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    image = ndimage.gaussian_filter(0.75 - 0.18 * ((np.floor(across / size) + np.floor(along / size)) % 2), 0.8)
    boxes: list[Box] = []
    for left in (10, 85):
        radius = rng.uniform(8, 14)
        ball = np.hypot(y - rng.uniform(25, 100), x - left - rng.uniform(20, 45)) <= radius
        image[ball] = 0.15
        boxes.append(box_of(ball))
    return image + _GRAIN * rng.standard_normal((height, width)), boxes


def _add_defect(
    rng: np.random.Generator,
    image: np.ndarray,
    solid: np.ndarray,
    taken: np.ndarray,
    place: Callable[[np.random.Generator, np.ndarray, int, int], tuple[int, int] | None],
    radii: tuple[float, float] = (4, 16),
    mask: np.ndarray | None = None,
) -> list[Box]:
    """Add a pore (bright) or inclusion (dark) where `place` finds room; return its box, or nothing if there is no room.

    `image`, `taken` and `mask` are modified in place.
    """
    for largest in np.linspace(radii[1], radii[0], 12):
        ry, rx = rng.uniform(radii[0], largest, 2)
        half_y, half_x = int(ry * 1.5) + 3, int(rx * 1.5) + 3
        found = place(rng, solid & ~taken, half_y, half_x)
        if found is None:
            continue
        cy, cx = found
        shape = blob(rng, 2 * half_y, 2 * half_x, (half_y - 0.5, half_x - 0.5), (ry, rx))
        rows, columns = slice(cy - half_y, cy + half_y), slice(cx - half_x, min(cx + half_x, image.shape[1]))
        shape = shape[:, : columns.stop - columns.start]
        contrast = rng.uniform(0.2, 0.32) if rng.random() < 0.75 else -rng.uniform(0.16, 0.22)
        image[rows, columns] += contrast * ndimage.gaussian_filter(shape.astype(float), 0.8)
        taken[rows, columns] = True
        if mask is not None:
            mask[rows, columns] |= shape
        x_min, y_min, x_max, y_max = box_of(shape)
        return [(x_min + columns.start, y_min + rows.start, x_max + columns.start, y_max + rows.start)]
    return []


def _solid_place(rng: np.random.Generator, free: np.ndarray, half_y: int, half_x: int) -> tuple[int, int] | None:
    """Return a position with half_y and half_x free pixels on each side; None if there is none."""
    room = ndimage.minimum_filter(free, (2 * half_y + 1, 2 * half_x + 1), mode="constant")
    ys, xs = np.nonzero(room)
    if not len(ys):
        return None
    k = rng.integers(len(ys))
    return int(ys[k]), int(xs[k])


def _edge_place(rng: np.random.Generator, free: np.ndarray, half_y: int, half_x: int) -> tuple[int, int] | None:
    """Return a position on the right edge, so that the edge cuts the defect off."""
    height, width = free.shape
    return int(rng.integers(half_y, height - half_y + 1)), width - 2


def _step(x: np.ndarray, softness: float) -> np.ndarray:
    """Return 0 below zero and 1 above, with a transition of about `softness`."""
    return 1 / (1 + np.exp(-np.clip(x / softness, -30, 30)))
