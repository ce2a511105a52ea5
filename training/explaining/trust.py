"""Scores that say whether a map deserves trust. Only these are shown the true boxes, and only after the map is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Curves:
    """A detection's score while an image is taken apart, and put together, in a map's order.

    Attributes:
        deletion, insertion: the score at 0, 1/steps, ... 1 of the pixels; `deletion[0]` is the whole image's.
    """

    deletion: list[float]
    insertion: list[float]

    @property
    def deletion_area(self) -> float:
        """Area under the deletion curve; low where what the map shows first is what the detection needs."""
        return area_under(self.deletion)

    @property
    def insertion_area(self) -> float:
        """Area under the insertion curve; high where what the map shows first is enough for the detection."""
        return area_under(self.insertion)


def energy_inside(values: np.ndarray, box: Box) -> float:
    """The part of a map's sum that lies in a box, 0 to 1; a map that is zero everywhere has none.

    Args:
        values: (H, W), not negative.
        box: xyxy in the map's pixels; a pixel at its edge counts by the part that is inside.
    """
    total = float(values.sum())
    return float((values * coverage(box, values.shape)).sum()) / total if total > 0 else 0.0


def area_of(box: Box, shape: tuple[int, ...]) -> float:
    """The part of the image a box covers: the energy that a map which is the same everywhere has inside."""
    return float(coverage(box, shape).mean())


def pointing_hit(values: np.ndarray, box: Box) -> float:
    """Pointing game: whether the map's highest pixel lies in the box; of several, the part of them that does."""
    highest = values == values.max()
    if highest.all():
        return area_of(box, values.shape)
    return float((coverage(box, values.shape)[highest] >= 0.5).mean())


def coverage(box: Box, shape: tuple[int, ...]) -> np.ndarray:
    """(H, W): the part of each pixel that lies in the box, 0 to 1."""
    x0, y0, x1, y1 = box

    def along(low: float, high: float, count: int) -> np.ndarray:
        start = np.arange(count)
        return np.clip(np.minimum(start + 1, high) - np.maximum(start, low), 0, 1)

    return np.outer(along(y0, y1, shape[0]), along(x0, x1, shape[1]))


def deletion_and_insertion(
    score: Callable[[torch.Tensor], torch.Tensor],
    pixels: torch.Tensor,
    hidden: torch.Tensor,
    values: np.ndarray,
    steps: int,
    batch: int,
    generator: np.random.Generator,
) -> Curves:
    """Both curves of one map.

    Args:
        score: images (B, 3, H, W) to (B,).
        pixels, hidden: the image, (1, 3, H, W), and what takes the place of its pixels.
        values: the map, (H, W).
        steps, batch: points of each curve after its first, and images at a time.
        generator: decides the order of pixels with the same value.
    """
    order = np.lexsort((generator.random(values.size), -values.ravel()))
    place = np.empty(values.size, np.int64)
    place[order] = np.arange(values.size)
    first = torch.from_numpy(place.reshape(1, 1, *values.shape)).to(pixels.device)
    found: dict[bool, list[float]] = {}
    with torch.no_grad():
        for delete in (True, False):
            limits = torch.arange(steps + 1, device=pixels.device) * values.size // steps
            found[delete] = []
            for some in limits.split(batch):
                chosen = first < some.view(-1, 1, 1, 1)
                images = torch.where(chosen, hidden, pixels) if delete else torch.where(chosen, pixels, hidden)
                found[delete] += score(images).tolist()
    return Curves(found[True], found[False])


def area_under(curve: list[float]) -> float:
    """Of a curve over 0..1, by the trapezoidal rule."""
    return float(np.trapezoid(curve, dx=1 / (len(curve) - 1)))
