"""The truth of a batch, in the frame of its canvas."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from loaders.canvas import Canvas
from loaders.records import Record


@dataclass
class Truth:
    """Boxes of all images of a batch, one behind the other.

    Attributes:
        content: int64 (B, 2), (height, width) of each image on the canvas; the rest is padding.
        boxes: float32 (N, 4), x_min y_min x_max y_max in pixels of the canvas.
        labels: int64 (N,).
        counts: int64 (B,), how many boxes each image has.
    """

    content: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    counts: np.ndarray

    @property
    def owners(self) -> np.ndarray:
        """int64 (N,): which image each box belongs to."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    def inside(self, size: tuple[int, int]) -> np.ndarray:
        """bool (B, H, W): where on a canvas of `size` the images are."""
        rows = np.arange(size[0])[None, :, None] < self.content[:, :1, None]
        return rows & (np.arange(size[1])[None, None] < self.content[:, 1:, None])


def on_canvas(records: list[Record], shown: np.ndarray, canvas: Canvas) -> Truth:
    """The truth of a batch, moved from pixels of the file to those of the canvas.

    Args:
        shown: int64 (B, 2), (height, width) of what is shown of each record.
    """
    counts = np.array([len(record.boxes) for record in records])
    if canvas.keep_aspect:
        content = np.array([canvas.content((height, width)) for height, width in shown.tolist()], np.int64)
    else:
        content = np.full(shown.shape, canvas.size, np.int64)
    scale = (content / shown).astype(np.float32)[:, [1, 0, 1, 0]]
    boxes = np.concatenate([record.boxes for record in records]) * np.repeat(scale, counts, axis=0)
    labels = np.concatenate([record.labels for record in records]).astype(np.int64, copy=False)
    return Truth(content, boxes, labels, counts)
