"""`DetectionLoader`: load one split in batches for transformers' object detection models."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import torch

from loaders.loader import Loader
from loaders.targets import Targets


class DetectionLoader(Loader):
    """Batches of one split, in an order and with an augmentation that depend only on (seed, epoch, batch).

    A batch is a dict:

    - `pixel_values`: float32 (B, 3, H, W), normalized, on `device`. A view with three equal planes if the dataset is
      gray and `mean` and `std` are equal for all planes.
    - `labels`: B dicts of `class_labels`, int64 (N,), and `boxes`, float32 (N, 4), (center x, center y, width, height)
      as fractions of the canvas (H, W); with `masks=True` also `masks`, bool (N, H, W); all on `device`.
    - `pixel_mask`: int64 (B, H, W), 1 on image and 0 on padding; only if there is padding.
    - `image_id`: B strings. `orig_size`: int64 (B, 2), (height, width) in the file's pixels, on the CPU.
    - `canvas_size`: float32 (B, 2), the canvas in the file's pixels: multiply predicted boxes by it. It equals
      `orig_size` if nothing is padded.
    - `repeated`: bool (B,), true for an image that another rank scores, or that replaces an unreadable one.
    - with `tiles`: `window`, int64 (B, 4), (top, left, height, width) of each tile in its image, and `image_size`,
      int64 (B, 2), of the entire image; `orig_size` and `canvas_size` are the tile's. `merge_tiles` merges predictions.

    Images with `annotated=False` are left out: they are unannotated and cannot be used for training.

    Args:
        dataset: one split with radikal_datasets' columns, in memory or streamed. The order of a stream, and its
            shuffling, are its own (`IterableDataset.shuffle`); every rank reads all of it and decodes its own batches.
        batch_size: images (or tiles) per batch, on each rank.
        image_size: edge, or (height, width), of the canvas in pixels.
        device: where `pixel_values` and `labels` are placed. For a GPU, bytes are transferred and converted there.
        augment: an `Augmentation`, or a function of (Batch, torch.Generator); None: only resize.
        channels: "gray" luminance; "rgb"; "pair" image, template (`reference`) and their absolute difference; "auto"
            gray if the dataset's images are (of the 64 that are examined, one in twenty may be colored), else rgb.
        sampler: chooses the rows of an epoch (`loaders.sampling`); None: each annotated row once.
        seed: determines order and augmentation, together with the epoch.
        shuffle: a different order each epoch, or the dataset's own.
        keep_aspect: resize to fit and pad right and below, instead of stretching.
        drop_last: leave out an incomplete last batch.
        rank, world_size: this process among those that share the epoch.
        threads: number of decoding threads; None: one per core.
        prefetch: number of batches that are decoded ahead.
        tiles: split images into overlapping tiles.
        masks: return instance masks; the source must have them.
        gray_scale: of images of more than 8 bits; None: the one stored with the dataset, else
            found in a sample of it (of a stream: in its first images, with channels="auto").
        resize: "fast", or "exact" as the saved image processor resizes (`decoding.Resize`).
        mean, std: of each plane, pixels scaled to 0..1.
        on_error: "raise" at an unreadable image, or "skip": another image of the batch takes its place, marked
            `repeated`, and `skipped` records its name and the problem.

    Raises:
        ValueError: columns are missing, an argument has an invalid value, or (while iterating) a requested template or
            mask does not exist.
        radikal_datasets.errors.GrayScaleError: on the gray scale, fewer than 32 gray levels would be left.
        radikal_datasets.errors.UnreadableImageError: while iterating, naming the image_id.
    """

    def _with_labels(self, result: dict[str, Any], targets: Targets, masks: torch.Tensor | None) -> dict[str, Any]:
        boxes, labels, counts = targets.boxes, targets.labels, targets.counts
        thick = boxes[:, 2:] > boxes[:, :2]
        if not thick.all():  # thinner than float32 can represent
            keep = np.flatnonzero(thick.all(1))
            counts = np.bincount(targets.owners[keep], minlength=len(counts))
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
        """float32 (4, 4): corners in pixels times this give center and size as fractions of the canvas."""
        height, width = self.image_size
        turned = np.array([[0.5, 0, -1, 0], [0, 0.5, 0, -1], [0.5, 0, 1, 0], [0, 0.5, 0, 1]])
        return (turned / [width, height, width, height]).astype(np.float32)
