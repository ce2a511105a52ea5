"""Polygons: clipping to an image, hull and pixels. Points are (x, y) in pixels, 0-based, continuous."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..raw.tree import Tree
from ..schema import Box

Point = tuple[float, float]


def clip_polygon(points: Sequence[Point], width: float, height: float) -> list[Point]:
    """Return the part of a polygon inside [0, width] x [0, height], by Sutherland and Hodgman; empty if there is none.

    A concave polygon may come back with parts joined along the border; its hull is correct nevertheless.
    """
    clipped = list(points)
    for axis, limit, sign in ((0, 0.0, 1), (0, width, -1), (1, 0.0, 1), (1, height, -1)):
        clipped = _clip_half_plane(clipped, axis, limit, sign)
    return clipped


def _clip_half_plane(points: list[Point], axis: int, limit: float, sign: int) -> list[Point]:
    """Keep what lies at or beyond `limit` along an axis, upwards for `sign` 1 and downwards for -1."""
    kept: list[Point] = []
    for previous, point in zip(points[-1:] + points[:-1], points, strict=True):
        before, here = sign * (previous[axis] - limit), sign * (point[axis] - limit)
        if (before >= 0) != (here >= 0):
            share = before / (before - here)
            crossing = [a + share * (b - a) for a, b in zip(previous, point, strict=True)]
            crossing[axis] = limit  # exactly, regardless of rounding
            kept.append((crossing[0], crossing[1]))
        if here >= 0:
            kept.append(point)
    return kept


def hull(points: Sequence[Point]) -> Box:
    """Return the smallest box around points: x_min, y_min, x_max, y_max."""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return min(xs), min(ys), max(xs), max(ys)


@dataclass(frozen=True)
class PolygonMask:
    """A mask source: the pixels whose centers lie inside a polygon (even-odd rule), as component 1."""

    points: tuple[Point, ...]

    def labels(self, tree: Tree, width: int, height: int) -> np.ndarray:
        """See `radikal_datasets.schema.MaskSource`.

        A sliver that holds no pixel center gets the one pixel in the middle of its part inside the image, so that no
        instance is without pixels.
        """
        x, y = np.arange(width) + 0.5, (np.arange(height) + 0.5)[:, None]
        inside = np.zeros((height, width), dtype=bool)
        for (x1, y1), (x2, y2) in zip(self.points[-1:] + self.points[:-1], self.points, strict=True):
            if y1 != y2:
                rows = (y >= y1) != (y >= y2)
                inside ^= rows & (x < x1 + (y - y1) * ((x2 - x1) / (y2 - y1)))
        if not inside.any() and (clipped := clip_polygon(self.points, width, height)):
            middle_x, middle_y = np.mean(clipped, axis=0)
            inside[min(int(middle_y), height - 1), min(int(middle_x), width - 1)] = True
        return inside.astype(np.int32)
