"""The targets of a batch, in the frame of its canvas."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from loaders.canvas import Canvas
from loaders.records import Records


@dataclass
class Targets:
    """Boxes and labels of all images of a batch, concatenated.

    Attributes:
        content: int64 (B, 2), (height, width) of each image on the canvas; the rest is padding. None: no padding.
        boxes: float32 (N, 4), x_min y_min x_max y_max in pixels of the canvas.
        labels: int64 (N,).
        counts: number of boxes of each of the B images, int64 (B,).
    """

    content: np.ndarray | None
    boxes: np.ndarray
    labels: np.ndarray
    counts: np.ndarray

    @property
    def owners(self) -> np.ndarray:
        """int64 (N,): the image to which each box belongs."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    def inside(self, size: tuple[int, int]) -> np.ndarray | None:
        """Return bool (B, H, W): where on a canvas of `size` the images are; None if they cover it entirely."""
        if self.content is None or (self.content == size).all():
            return None
        rows = np.arange(size[0])[None, :, None] < self.content[:, :1, None]
        return rows & (np.arange(size[1])[None, None] < self.content[:, 1:, None])


def on_canvas(records: Records, canvas: Canvas) -> Targets:
    """Return the targets of a batch, converted from pixels of the file to pixels of the canvas."""
    # Runs for every batch, while the decoding threads wait for the GIL: few steps, and no more than necessary.
    content = None
    if canvas.keep_aspect:
        content = np.array([canvas.content((height, width)) for height, width in records.shown.tolist()], np.int64)
    scale = ((canvas.size if content is None else content) / records.shown).astype(np.float32)
    boxes = records.boxes.reshape(-1, 2, 2) * scale[:, None, ::-1].repeat(records.counts, axis=0)
    return Targets(content, boxes.reshape(-1, 4), records.labels.astype(np.int64, copy=False), records.counts)
