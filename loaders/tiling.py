"""Small defects in large images: split them into overlapping tiles at full resolution, and merge their predictions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torchvision.ops import batched_nms

from loaders.records import Window


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
    gathered: dict[str, list[tuple[torch.Tensor, ...]]] = {}
    for number, one in enumerate(predictions):
        boxes = torch.as_tensor(one["boxes"], dtype=torch.float32).reshape(-1, 4)
        top, left, height, width = (int(edge) for edge in one["window"])
        image_height, image_width = one["image_size"]
        inner = torch.tensor([left > 0, top > 0, left + width < image_width, top + height < image_height])
        at_edge = torch.cat([boxes[:, :2] <= 1, boxes[:, 2:] >= torch.tensor([width, height]) - 1], 1)
        shift = torch.tensor([left, top, left, top], dtype=torch.float32)
        gathered.setdefault(str(one["image_id"]), []).append(
            (
                boxes + shift,
                torch.as_tensor(one["scores"], dtype=torch.float32),
                torch.as_tensor(one["labels"], dtype=torch.int64),
                (at_edge & inner).any(1),
                torch.full((len(boxes),), number),
            )
        )
    return {image_id: _merged(parts, iou, cut) for image_id, parts in gathered.items()}


def _merged(parts: list[tuple[torch.Tensor, ...]], iou: float, cut: float) -> dict[str, torch.Tensor]:
    boxes, scores, labels, was_cut, tiles = (torch.cat(column) for column in zip(*parts, strict=True))
    keep = torch.ones(len(boxes), dtype=torch.bool)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1).clamp_min(1e-9)
    for some in torch.nonzero(was_cut)[:, 0].split(256):  # not all pairs at once: a large image has many thousands
        low = torch.maximum(boxes[some, None, :2], boxes[None, :, :2])
        high = torch.minimum(boxes[some, None, 2:], boxes[None, :, 2:])
        covered = (high - low).clamp_min(0).prod(2) > cut * area[some, None]
        other = (labels[some, None] == labels) & (tiles[some, None] != tiles) & (scores >= scores[some, None] / 2)
        # Of two cut boxes that cover each other, the larger one stays.
        keep[some] = ~(covered & other & (~was_cut | (area > area[some, None]))).any(1)
    kept = torch.nonzero(keep)[:, 0]
    kept = kept[batched_nms(boxes[kept], scores[kept], labels[kept], iou)]
    return {"boxes": boxes[kept], "scores": scores[kept], "labels": labels[kept]}
