"""`DetectionLoader`: one split to batches for transformers' object detection models."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import torch

from loaders.loader import Loader
from loaders.targets import Truth


class DetectionLoader(Loader):
    """Batches of one split, in an order and with an augmentation that depend on (seed, epoch, batch) alone.

    A batch is a dict:

    - `pixel_values`: float32 (B, 3, H, W), normalised, on `device`. A view with three equal planes where the set is
      gray and `mean` and `std` are equal for all planes.
    - `labels`: B dicts of `class_labels`, int64 (N,), and `boxes`, float32 (N, 4), (centre x, centre y, width, height)
      as fractions of the canvas (H, W); with `masks=True` also `masks`, bool (N, H, W); all on `device`.
    - `pixel_mask`: int64 (B, H, W), 1 on image and 0 on padding; only where there is padding.
    - `image_id`: B strings. `orig_size`: int64 (B, 2), (height, width) in the file's pixels, on the CPU.
    - `canvas_size`: float32 (B, 2), the canvas in the file's pixels: multiply predicted boxes by it. It equals
      `orig_size` where nothing is padded.
    - `repeated`: bool (B,), true for an image that another rank scores, or that stands in for one that can't be read.
    - with `tiles`: `window`, int64 (B, 4), (top, left, height, width) of each tile in its image, and `image_size`,
      int64 (B, 2), of the whole; `orig_size` and `canvas_size` are the tile's. `merge_tiles` puts predictions together.

    Images with `annotated=False` are left out: nobody looked at them, so they teach nothing.

    Args:
        dataset: one split with radikal_datasets' columns, whole or streamed. The order of a stream, and its shuffling,
            are its own (`IterableDataset.shuffle`); every rank reads all of it and decodes its batches.
        batch_size: images (or tiles) a batch, on each rank.
        image_size: edge, or (height, width), in pixels, of the canvas.
        device: where `pixel_values` and `labels` end up. On a GPU bytes travel, and floats are made there.
        augment: an `Augmentation`, or a function of (Batch, torch.Generator); None: nothing but the resize.
        channels: "gray" luminance; "rgb"; "pair" image, template (`reference`) and their absolute difference; "auto"
            gray if the images of the set are (of the 64 that are looked at, one in twenty may be coloured), else rgb.
        sampler: which rows make an epoch (`loaders.sampling`); None: each annotated row once.
        seed: with the epoch decides order and augmentation.
        shuffle: another order each epoch, or the dataset's own.
        keep_aspect: resize to fit and pad right and below, instead of stretching.
        drop_last: leave out an incomplete last batch.
        rank, world_size: this process among those that share the epoch.
        threads: that decode; None: one for each core.
        prefetch: batches that are decoded ahead.
        tiles: cut images to overlapping tiles.
        masks: give instance masks; the source must have them.
        resize: "fast", or "exact" as the saved image processor resizes (`decoding.Resize`).
        mean, std: of each plane, pixels scaled to 0..1.
        on_error: "raise" at an image that can't be read, or "skip": another image of the batch takes its place, marked
            `repeated`, and `skipped` holds its name and what is wrong.

    Raises:
        ValueError: columns are missing, an argument has a value that can't be, or (while iterating) a template or mask
            that was asked for is not there.
        radikal_datasets.errors.UnreadableImageError: while iterating, naming the image_id.
    """

    def _with_labels(self, result: dict[str, Any], truth: Truth, masks: torch.Tensor | None) -> dict[str, Any]:
        boxes, labels, counts = truth.boxes, truth.labels, truth.counts
        thick = boxes[:, 2:] > boxes[:, :2]
        if not thick.all():  # thinner than float32 can tell
            keep = np.flatnonzero(thick.all(1))
            counts = np.bincount(truth.owners[keep], minlength=len(counts))
            boxes, labels = boxes[keep], labels[keep]
            masks = masks if masks is None else masks[torch.from_numpy(keep).to(masks.device)]
        each = counts.tolist()
        classes = torch.from_numpy(labels).to(self.device, non_blocking=True).split_with_sizes(each)
        fractions = torch.from_numpy(boxes @ self._to_fractions).to(self.device, non_blocking=True)
        columns = zip(classes, fractions.split_with_sizes(each), strict=True)
        result["labels"] = [{"class_labels": found, "boxes": places} for found, places in columns]
        if masks is not None:
            for label, some in zip(result["labels"], masks.split_with_sizes(each), strict=True):
                label["masks"] = some
        return result

    @cached_property
    def _to_fractions(self) -> np.ndarray:
        """float32 (4, 4): corners in pixels times this are centre and size as fractions of the canvas."""
        height, width = self.image_size
        turned = np.array([[0.5, 0, -1, 0], [0, 0.5, 0, -1], [0.5, 0, 1, 0], [0, 0.5, 0, 1]])
        return (turned / [width, height, width, height]).astype(np.float32)
