"""Outlines of masks as polygons: along the edges of their pixels, so that filling one gives the same pixels again."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

import numpy as np

#: Direction of an edge, (x, y), clockwise: right, down, left, up.
_STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))


class Outline(NamedTuple):
    """The outlines of one mask.

    Attributes:
        polygons: float (n, 2), corners x and y in pixels, 0-based, one polygon per 8-connected part, clockwise; first
            and last corner differ.
        holes: number of holes, which the polygons fill.
    """

    polygons: list[np.ndarray]
    holes: int


def outlines(mask: np.ndarray) -> Outline:
    """Return the outlines of a boolean mask of shape (height, width).

    The center of a pixel is inside a polygon exactly if the pixel is part of the mask or of a hole.
    """
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return Outline([], 0)
    top, left = int(rows[0]), int(columns[0])
    part = np.pad(mask[top : rows[-1] + 1, left : columns[-1] + 1], 1)
    edges = _edges(part)
    polygons, holes = [], 0
    while edges:
        corners = _walk(edges)
        x, y = corners.T
        # The shoelace formula; y points down, so a clockwise outline has a positive area, and a hole a negative one.
        if (x * np.roll(y, -1) - np.roll(x, -1) * y).sum() > 0:
            polygons.append(corners + np.array([left - 1.0, top - 1.0]))
        else:
            holes += 1
    return Outline(polygons, holes)


def _edges(mask: np.ndarray) -> dict[tuple[int, int], list[int]]:
    """Return, for every corner (x, y), the directions of the edges that start there, with the mask to their right."""
    edges: dict[tuple[int, int], list[int]] = defaultdict(list)
    inner = mask[1:-1, 1:-1]
    beyond = (mask[:-2, 1:-1], mask[1:-1, 2:], mask[2:, 1:-1], mask[1:-1, :-2])  # above, right, below, left
    for direction, (outside, (right, down)) in enumerate(zip(beyond, ((0, 0), (1, 0), (1, 1), (0, 1)), strict=True)):
        for y, x in zip(*np.nonzero(inner & ~outside), strict=True):
            edges[int(x) + 1 + right, int(y) + 1 + down].append(direction)
    return edges


def _walk(edges: dict[tuple[int, int], list[int]]) -> np.ndarray:
    """Follow one outline, removing its edges, and return the corners where it turns.

    Where two pixels touch at a corner, the walk turns left: they are one part.
    """
    start = min(edges)
    at, direction = start, edges[start][0]
    corners = []
    while edges.get(at):
        choices = edges[at]
        turned = next(way % 4 for way in (direction - 1, direction, direction + 1) if way % 4 in choices)
        choices.remove(turned)
        if not choices:
            del edges[at]
        if turned != direction or not corners:
            corners.append(at)
        direction = turned
        at = (at[0] + _STEPS[direction][0], at[1] + _STEPS[direction][1])
    return np.array(corners, float)
