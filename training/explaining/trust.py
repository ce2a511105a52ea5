"""Scores that measure whether a map can be trusted. Only these use the true boxes, after the map was computed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Curves:
    """A detection's score while pixels are deleted from an image, and inserted, in the order of a map.

    Attributes:
        deletion, insertion: the score at 0, 1/steps, ... 1 of the pixels; `deletion[0]` is that of the entire image.
    """

    deletion: list[float]
    insertion: list[float]

    @property
    def deletion_area(self) -> float:
        """Area under the deletion curve; low if the detection depends on the pixels the map ranks highest."""
        return area_under(self.deletion)

    @property
    def insertion_area(self) -> float:
        """Area under the insertion curve; high if the pixels the map ranks highest suffice for the detection."""
        return area_under(self.insertion)


def energy_inside(values: np.ndarray, box: Box) -> float:
    """Return the fraction of a map's sum inside a box, 0 to 1; 0 for a map that is zero everywhere.

    Args:
        values: (H, W), not negative.
        box: xyxy in the map's pixels; a pixel at its edge counts by the fraction that is inside.
    """
    total = float(values.sum())
    return float((values * coverage(box, values.shape)).sum()) / total if total > 0 else 0.0


def area_of(box: Box, shape: tuple[int, ...]) -> float:
    """Return the fraction of the image that a box covers: the energy of a constant map inside it."""
    return float(coverage(box, shape).mean())


def pointing_hit(values: np.ndarray, box: Box) -> float:
    """Pointing game: whether the map's highest pixel is inside the box; for several, the fraction of them that is."""
    highest = values == values.max()
    if highest.all():
        return area_of(box, values.shape)
    return float((coverage(box, values.shape)[highest] >= 0.5).mean())


def coverage(box: Box, shape: tuple[int, ...]) -> np.ndarray:
    """Return (H, W), the fraction of each pixel that is inside the box, 0 to 1."""
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
    """Compute both curves of one map.

    Args:
        score: maps images (B, 3, H, W) to (B,).
        pixels, hidden: the image, (1, 3, H, W), and the replacement for its deleted pixels.
        values: the map, (H, W).
        steps, batch: points of each curve after the first, and images per forward pass.
        generator: decides the order of pixels with the same value.
    """
    order = np.lexsort((generator.random(values.size), -values.ravel()))
    position = np.empty(values.size, np.int64)
    position[order] = np.arange(values.size)
    first = torch.from_numpy(position.reshape(1, 1, *values.shape)).to(pixels.device)
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
    """Return the area under a curve over 0..1, by the trapezoidal rule."""
    return float(np.trapezoid(curve, dx=1 / (len(curve) - 1)))
