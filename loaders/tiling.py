"""Small defects in large images: split them into overlapping tiles at full resolution, and merge their predictions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from loaders.merging import merge_arrays
from loaders.records import Window

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Tiling:
    """How images are split into tiles.

    Tiles are evenly spaced, the last ones end at the image's edges, and neighbors share at least `overlap` of
    their length. An image no larger than a tile is one tile.

    Attributes:
        size: edge, or (height, width), in pixels of the file. If it equals the loader's image_size, nothing is resized.
        overlap: fraction of a tile, from 0 to below 1. A defect no larger than it lies entirely in some tile.
        empty: fraction of the tiles without a defect that an epoch shows, different ones each time: 0.1 trains on a
            tenth. 1 shows all, as an evaluation must.
        jitter: largest shift of a tile from its place, as a fraction of its length, another one in each epoch; 0 as an
            evaluation must have it. Half a tile shows a defect at any place of a tile.
        min_visible: a box of which a tile shows less than this share of its area is not a target of that tile.

    Raises:
        ValueError: a number outside its range.
    """

    size: int | tuple[int, int]
    overlap: float = 0.2
    empty: float = 1.0
    min_visible: float = 0.25
    jitter: float = 0.0

    def __post_init__(self) -> None:
        if min(self.shape) < 1:
            raise ValueError(f"The tile size is {self.size}, but must be positive.")
        if not 0 <= self.overlap < 1:
            raise ValueError(f"overlap is {self.overlap}, but must be from 0 to below 1.")
        for name in ("empty", "min_visible", "jitter"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}, but must be from 0 to 1.")

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of a tile."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    def windows(self, size: tuple[int, int]) -> list[Window]:
        """Return the tiles of an image of `size` (height, width), row by row."""
        height, width = (min(tile, edge) for tile, edge in zip(self.shape, size, strict=True))
        return [
            (top, left, height, width)
            for top in _starts(size[0], height, self.overlap)
            for left in _starts(size[1], width, self.overlap)
        ]

    def moved(self, windows: np.ndarray, sizes: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Return windows (n, 4), int64, shifted at random by `jitter`, inside images of `sizes`, (n, 2)."""
        shift = random.uniform(-self.jitter, self.jitter, (len(windows), 2)) * windows[:, 2:]
        start = np.clip(windows[:, :2] + shift.round().astype(np.int64), 0, sizes - windows[:, 2:])
        return np.concatenate([start, windows[:, 2:]], 1)

    def visible(self, boxes: np.ndarray, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Return the boxes that a tile shows.

        Args:
            boxes: float32 (n, 4), in pixels of the file.

        Returns:
            float32 (m, 4), clipped, in pixels of the tile; and int64 (m,), their indices.
        """
        top, left, height, width = window
        moved = boxes - np.array([left, top, left, top], np.float32)
        clipped = np.clip(moved, 0, np.array([width, height, width, height], np.float32))
        area, visible = (np.prod(b[:, 2:] - b[:, :2], axis=1) for b in (moved, clipped))
        kept = np.flatnonzero((visible > 0) & (visible >= self.min_visible * area))
        return clipped[kept], kept

    truth = visible  #: The former name, kept for one version.


def _starts(length: int, tile: int, overlap: float) -> list[int]:
    if length <= tile:
        return [0]
    count = 1 + -(-(length - tile) // max(1, int(tile * (1 - overlap))))
    return np.linspace(0, length - tile, count).round().astype(int).tolist()


def merge_tiles(
    predictions: Iterable[dict[str, Any]], *, iou: float = 0.5, cut: float = 0.7
) -> dict[str, dict[str, torch.Tensor]]:
    """Merge predictions of tiles into those of entire images.

    Two boxes of one class are considered the same defect, and one of them is removed: if they overlap by more than
    `iou`, the one with the lower score; if a box ends at an inner edge of its tile, and so was cut there, and a box of
    another tile with at least half its score covers more than `cut` of it, the cut one.

    Args:
        predictions: for each tile `image_id`; `window` (top, left, height, width) and `image_size` (height, width) in
            pixels of the file; `boxes` float (n, 4) in pixels of the tile, x_min y_min x_max y_max; `scores` (n,);
            `labels` (n,).

    Returns:
        image_id -> `boxes` in pixels of the entire image, `scores`, `labels`, best first.
    """
    import torch  # here, so that tiles work without it
    from torchvision.ops import batched_nms

    def suppress(boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray, iou: float) -> np.ndarray:
        return batched_nms(torch.from_numpy(boxes), torch.from_numpy(scores), torch.from_numpy(labels), iou).numpy()

    merged = merge_arrays(predictions, iou=iou, cut=cut, suppress=suppress)
    return {
        image_id: {name: torch.from_numpy(value) for name, value in found._asdict().items()}
        for image_id, found in merged.items()
    }
