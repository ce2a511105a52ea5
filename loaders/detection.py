"""`DetectionLoader`: one split to batches for transformers' object detection models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import datasets
import torch
from torch.utils.data import DataLoader

from loaders.augmentation import Augment
from loaders.normalization import IMAGENET_MEAN, IMAGENET_STD, normalize
from loaders.ordering import epoch_batches, mix
from loaders.samples import Samples, collate

_COLUMNS = ["image_id", "image", "width", "height", "boxes", "labels"]


class DetectionLoader:
    """Batches of one split, in an order and with an augmentation that depend on (seed, epoch, image) alone.

    A batch is a dict:

    - `pixel_values`: float32 (B, 3, H, W), normalised, on `device`.
    - `labels`: B dicts of `class_labels`, int64 (N,), and `boxes`, float32 (N, 4), (centre x, centre y, width, height)
      as fractions of the canvas (H, W); both on `device`.
    - `pixel_mask`: int64 (B, H, W), 1 on image and 0 on padding; only where there is padding.
    - `image_id`: B strings. `orig_size`: int64 (B, 2), (height, width) in the file's pixels, on the CPU.
    - `canvas_size`: float32 (B, 2), the canvas in the file's pixels: multiply predicted boxes by it. It equals
      `orig_size` where nothing is padded.
    - `repeated`: bool (B,), true for an image that some other rank scores (see `ordering.epoch_batches`).

    Images with `annotated=False` are left out: nobody looked at them, so they teach nothing.

    Args:
        dataset: one split with radikal_datasets' columns.
        batch_size: images a batch, on each rank.
        image_size: edge, or (height, width), in pixels, of the canvas.
        device: where `pixel_values` and `labels` end up.
        augment: called as `augment((image, boxes, labels), (H, W))`, draws from torch's global generator; None resizes
            only.
        seed: with the epoch decides order and augmentation.
        shuffle: another order each epoch, or the dataset's own.
        keep_aspect: resize to fit and pad right and below, instead of stretching.
        drop_last: leave out an incomplete last batch.
        rank, world_size: this process among those that share the epoch.
        num_workers: processes that decode ahead; 0 decodes in this one.

    Raises:
        ValueError: columns are missing or a size is not positive.
        radikal_datasets.errors.UnreadableImageError: while iterating, naming the image_id.
    """

    def __init__(
        self,
        dataset: datasets.Dataset,
        batch_size: int,
        image_size: int | tuple[int, int],
        *,
        device: str | torch.device = "cpu",
        augment: Augment | None = None,
        seed: int = 0,
        shuffle: bool = True,
        keep_aspect: bool = False,
        drop_last: bool = False,
        rank: int = 0,
        world_size: int = 1,
        num_workers: int = 0,
        mean: tuple[float, float, float] = IMAGENET_MEAN,
        std: tuple[float, float, float] = IMAGENET_STD,
    ) -> None:
        height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
        self.image_size = (height, width)
        if batch_size < 1 or min(self.image_size) < 1:
            raise ValueError(f"batch_size {batch_size} and image_size {self.image_size} must be positive")
        if not 0 <= rank < world_size:
            raise ValueError(f"rank {rank} is not one of the {world_size} ranks 0..{world_size - 1}")
        self.dataset = _annotated(dataset)
        self.batch_size, self.device = batch_size, torch.device(device)
        self.seed, self.shuffle, self.drop_last = seed, shuffle, drop_last
        self.rank, self.world_size, self.num_workers = rank, world_size, num_workers
        self.mean, self.std = mean, std
        self.epoch, self._position = 0, 0
        self._samples = Samples(self.dataset, self.image_size, augment, seed, keep_aspect)

    def __len__(self) -> int:
        """Steps of a whole epoch, the same on every rank."""
        return len(self._batches(self.epoch))

    @property
    def num_images(self) -> int:
        """Annotated images of the split, over all ranks."""
        return len(self.dataset)

    def set_epoch(self, epoch: int) -> None:
        """Start at the beginning of `epoch` (counted from 0) with the next iteration."""
        self.epoch, self._position = epoch, 0

    def state_dict(self) -> dict[str, Any]:
        """Where the loader stands: `position` batches of `epoch` were handed out on this rank."""
        return {"epoch": self.epoch, "position": self._position, **self._fingerprint()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on behind the last batch that was handed out when `state` was taken.

        Raises:
            ValueError: the state is of another dataset size, batch size, seed or number of ranks.
        """
        for name, value in self._fingerprint().items():
            if state[name] != value:
                raise ValueError(
                    f"can't resume: the saved loader had {name}={state[name]}, this one has {value}. Resume with the "
                    "settings the run was started with."
                )
        self.epoch, self._position = int(state["epoch"]), int(state["position"])

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The rest of the present epoch; when it ends, the next iteration begins the following epoch."""
        epoch, batches = self.epoch, self._batches(self.epoch)
        todo = [[(epoch, i, repeated) for i in indices] for indices, repeated in batches[self._position :]]
        fetcher = DataLoader(
            self._samples,
            batch_sampler=todo,
            num_workers=self.num_workers,
            collate_fn=collate,
            pin_memory=self.device.type == "cuda",
            # Its own generator: a DataLoader otherwise draws a number from the global one, and resuming would differ.
            generator=torch.Generator().manual_seed(mix(self.seed, epoch)),
        )
        for batch in fetcher:
            if "error" in batch:
                raise batch["error"]
            self._position += 1
            yield self._to_device(batch)
        self.set_epoch(epoch + 1)

    def _to_device(self, batch: dict[str, Any]) -> dict[str, Any]:
        images = batch["pixel_values"].to(self.device, non_blocking=True)
        batch["pixel_values"] = normalize(images, self.mean, self.std)
        batch["labels"] = [{k: v.to(self.device, non_blocking=True) for k, v in one.items()} for one in batch["labels"]]
        if "pixel_mask" in batch:
            batch["pixel_mask"] = batch["pixel_mask"].to(self.device, non_blocking=True)
            # Padding is the mean colour, which is zero behind the normalisation, as transformers' processors have it.
            batch["pixel_values"] = batch["pixel_values"] * batch["pixel_mask"][:, None]
        return batch

    def _batches(self, epoch: int) -> list[tuple[list[int], bool]]:
        return epoch_batches(
            len(self.dataset), self.batch_size, seed=self.seed, epoch=epoch, shuffle=self.shuffle,
            drop_last=self.drop_last, world_size=self.world_size, rank=self.rank,
        )  # fmt: skip

    def _fingerprint(self) -> dict[str, int]:
        return {
            "images": len(self.dataset), "batch_size": self.batch_size,
            "seed": self.seed, "world_size": self.world_size,
        }  # fmt: skip


def _annotated(dataset: datasets.Dataset) -> datasets.Dataset:
    """The images whose truth is known, undecoded, with the columns a detector needs."""
    missing = [name for name in [*_COLUMNS, "annotated"] if name not in dataset.column_names]
    if missing:
        raise ValueError(
            f"the dataset lacks the columns {missing} (it has {dataset.column_names}); a DetectionLoader takes one "
            "split with radikal_datasets' schema"
        )
    known = dataset.select_columns(["annotated"]).with_format("arrow")[:]["annotated"].to_pylist()
    keep = [i for i, value in enumerate(known) if value]
    if len(keep) != len(dataset):
        dataset = dataset.select(keep)
    return dataset.select_columns(_COLUMNS).cast_column("image", datasets.Image(decode=False)).with_format(None)
