"""Check numbers of annotations: whatever is not finite, or no number at all, is named."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ..annotations.polygon import Point, hull
from ..errors import MalformedAnnotationError
from ..schema import Box

#: A line number, or a function that finds it when an error needs it.
Lines = int | Callable[[], int | None] | None
REMEDY = "Correct the annotation; its image is left out until then."


def numbers(values: Any, what: str, path: str, line: int | None, count: int | None = None) -> list[float]:
    """Return finite numbers from a list.

    Args:
        values: numbers, or text that spells them.
        what: named in the error: `bbox of annotation 7`.
        path, line: named in the error.
        count: how many there must be; None: any even number.

    Raises:
        MalformedAnnotationError: no list, another count, or a value that is not a finite number.
    """
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise MalformedAnnotationError(path, f"{what} is {str(values)[:60]!r}, not a list of numbers", REMEDY, line)
    if (count is not None and len(values) != count) or (count is None and len(values) % 2):
        wanted = f"{count}" if count is not None else "pairs of"
        raise MalformedAnnotationError(path, f"{what} has {len(values)} numbers, {wanted} expected", REMEDY, line)
    return [number(value, what, path, line) for value in values]


def number(value: Any, what: str, path: str, line: int | None) -> float:
    """Return a finite number; raises `MalformedAnnotationError` for anything else."""
    try:
        found = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise MalformedAnnotationError(path, f"{what}: {str(value)[:60]!r} is not a number", REMEDY, line)
    return found


@contextmanager
def located(line: Callable[[], int | None]) -> Iterator[None]:
    """Add the line to a `MalformedAnnotationError` without one that is raised inside; it is looked up only then."""
    try:
        yield
    except MalformedAnnotationError as error:
        if error.line is not None:
            raise
        raise MalformedAnnotationError(error.path, error.found, error.remedy, line()) from None


def size_of(width: Any, height: Any) -> tuple[int, int] | None:
    """Return (width, height) if both are positive integers, as they are where an annotation states its image's size."""
    return (width, height) if isinstance(width, int) and isinstance(height, int) and min(width, height) > 0 else None


def points_of(flat: Sequence[float]) -> tuple[Point, ...]:
    """Return x, y, x, y ... as points."""
    return tuple(zip(flat[::2], flat[1::2], strict=True))


def has_area(points: Sequence[Point]) -> bool:
    """Return whether a polygon has at least three different points and a hull of positive area."""
    if len({*points}) < 3:
        return False
    x_min, y_min, x_max, y_max = hull(points)
    return x_min < x_max and y_min < y_max


def rotated_corners(x: float, y: float, width: float, height: float, degrees: float, about: Point) -> tuple[Point, ...]:
    """Return the corners of a box turned clockwise (as y points down) about a point."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    corners = ((x, y), (x + width, y), (x + width, y + height), (x, y + height))
    return tuple(
        (
            about[0] + (px - about[0]) * cos - (py - about[1]) * sin,
            about[1] + (px - about[0]) * sin + (py - about[1]) * cos,
        )
        for px, py in corners
    )


def ellipse_points(
    cx: float, cy: float, rx: float, ry: float, degrees: float = 0.0, steps: int = 72
) -> tuple[Point, ...]:
    """Return a polygon of `steps` points on an ellipse."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    angles = (2 * math.pi * step / steps for step in range(steps))
    return tuple(
        (
            cx + rx * math.cos(angle) * cos - ry * math.sin(angle) * sin,
            cy + rx * math.cos(angle) * sin + ry * math.sin(angle) * cos,
        )
        for angle in angles
    )


def corners_of(x: float, y: float, width: float, height: float) -> Box:
    """Return x, y, width, height as x_min, y_min, x_max, y_max."""
    return x, y, x + width, y + height
