"""The part that all loaders share: the order of images, and their path from encoded bytes to planes on the device."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, product
from typing import Any, Literal

import datasets
import numpy as np
import torch

from loaders.augmentation import Augment, Augmentation, Batch
from loaders.canvas import Canvas, Channels
from loaders.decoding import Resize
from loaders.examination import found_channels, found_gray_scale
from loaders.memory import ByteBatches, FloatBatches
from loaders.normalization import IMAGENET_MEAN, IMAGENET_STD, normalize, scale_and_shift
from loaders.ordering import mix
from loaders.planning import Order, StreamPlan, TablePlan
from loaders.prefetch import on_device
from loaders.records import Record, Records, StreamRecords, TableRecords
from loaders.ring import Job, Ring
from loaders.sampling import Sampler
from loaders.targets import Targets, on_canvas
from loaders.tiling import Tiling
from radikal_datasets.errors import UnreadableImageError
from radikal_datasets.gray_scale import GrayScale


@dataclass
class RawBatch:
    """Unprocessed batch of `raw()`.

    Attributes:
        pixels: uint8 (B, C, H, W), a view of the ring: it is overwritten when the next batch is requested. C is 1 for
            gray datasets, else 3.
        records: names, sizes, boxes and labels, in pixels of what is shown.
        repeated: bool (B,), as in `DetectionLoader`.
    """

    pixels: torch.Tensor
    records: Records
    repeated: np.ndarray


class Loader:
    """Batches of one split; the arguments are documented in `DetectionLoader`."""

    def __init__(
        self,
        dataset: datasets.Dataset | datasets.IterableDataset,
        batch_size: int,
        image_size: int | tuple[int, int],
        *,
        device: str | torch.device = "cpu",
        augment: Augment | None = None,
        channels: Channels | Literal["auto"] = "auto",
        sampler: Sampler | None = None,
        seed: int = 0,
        shuffle: bool = True,
        keep_aspect: bool = False,
        drop_last: bool = False,
        rank: int = 0,
        world_size: int = 1,
        threads: int | None = None,
        prefetch: int = 2,
        tiles: Tiling | None = None,
        masks: bool = False,
        resize: Resize = "fast",
        gray_scale: GrayScale | None = None,
        mean: tuple[float, float, float] = IMAGENET_MEAN,
        std: tuple[float, float, float] = IMAGENET_STD,
        on_error: Literal["raise", "skip"] = "raise",
    ) -> None:
        height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
        self.image_size = (height, width)
        threads = cpu_cores() if threads is None else threads
        if min(batch_size, height, width, threads, prefetch) < 1:
            raise ValueError(
                f"batch_size {batch_size}, image_size {self.image_size}, threads {threads} and prefetch {prefetch} "
                "must be positive."
            )
        if not 0 <= rank < world_size:
            raise ValueError(f"rank is {rank}, but must be from 0 to {world_size - 1}, below world_size.")
        if (channels, resize, on_error) not in product(
            ("auto", "gray", "rgb", "pair"), ("fast", "exact"), ("raise", "skip")
        ):
            raise ValueError(
                f"channels is {channels!r} and must be auto, gray, rgb or pair; resize is {resize!r} and must be fast "
                f"or exact; on_error is {on_error!r} and must be raise or skip."
            )
        self.dataset, self.batch_size, self.device = dataset, batch_size, torch.device(device)
        self.augment, self.seed, self.shuffle, self.drop_last = augment, seed, shuffle, drop_last
        self.sampler, self.tiles, self.masks, self.on_error = sampler, tiles, masks, on_error
        self.rank, self.world_size, self.threads, self.prefetch = rank, world_size, threads, prefetch
        self.mean, self.std = mean, std
        #: image_id -> the problem, for images left out by `on_error="skip"`.
        self.skipped: dict[str, str] = {}
        self.epoch, self._position = 0, 0
        self._memory: dict[bool, FloatBatches | ByteBatches] = {}
        stated = GrayScale.stated_by(dataset) if gray_scale is None else gray_scale
        self._canvas = Canvas(self.image_size, "rgb" if channels == "auto" else channels, keep_aspect, resize, stated)
        self._channels_known, self._gray_scale_known = channels != "auto", gray_scale is not None
        order = Order(batch_size, seed, shuffle, drop_last, rank, world_size)
        if isinstance(dataset, datasets.Dataset):
            table = TableRecords(dataset, masks=masks, reference=channels == "pair")
            self._plan: TablePlan | StreamPlan = TablePlan(table, order, tiles, sampler, masks)
            if not (self._channels_known and self._gray_scale_known):
                self._look_at(self._plan.some_records())
        elif sampler is not None:
            raise ValueError("A streamed dataset has no row numbers for a sampler. Load it without streaming=True.")
        else:
            stream = StreamRecords(dataset, masks=masks, reference=channels == "pair")
            self._plan = StreamPlan(stream, order, tiles, prefetch, masks)
            # Only then the head of the stream is read before its first batch is made.
            self._plan.look_at = None if self._channels_known else self._look_at

    @property
    def channels(self) -> Channels:
        """What the planes are; "auto" is decided by examining images of the dataset (of a stream: its first)."""
        return self._canvas.channels

    @property
    def gray_scale(self) -> GrayScale | None:
        """The scale of images of more than 8 bits; None if there are none (of a stream: among its first)."""
        return self._canvas.gray_scale

    @property
    def num_images(self) -> int:
        """Annotated images of the split, over all ranks; TypeError for a streamed dataset."""
        return self._plan.num_images

    def __len__(self) -> int:
        """Number of steps of the current epoch, the same on every rank; TypeError for a streamed dataset."""
        return self._plan.steps(self.epoch)

    def set_epoch(self, epoch: int) -> None:
        """Start at the beginning of `epoch` (counted from 0) with the next iteration."""
        self.epoch, self._position = epoch, 0

    def state_dict(self) -> dict[str, Any]:
        """Return the loader's position: this rank has returned `position` batches of `epoch`."""
        planes: dict[str, Any] = {"channels": self.channels if self._channels_known else "auto"}
        if self.gray_scale is not None:
            planes["gray_scale"] = self.gray_scale.to_list()
        return {"epoch": self.epoch, "position": self._position, **self._fingerprint(), **planes}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue after the last batch that was returned when `state` was taken.

        A streamed dataset is read again up to that position, without decoding: a shuffle buffer cannot be restored
        otherwise.

        Raises:
            ValueError: the state is from another dataset size, batch size, seed or number of ranks.
        """
        for name, value in self._fingerprint().items():
            if state[name] != value:
                raise ValueError(
                    f"Cannot resume: the saved loader had {name}={state[name]}, this one has {value}. Resume with the "
                    "settings with which the run was started."
                )
        self.epoch, self._position = int(state["epoch"]), int(state["position"])
        if not self._channels_known and state["channels"] != "auto":
            self._settle(state["channels"])
            self._canvas.gray_scale = GrayScale.parse(state.get("gray_scale"))
            if isinstance(self._plan, StreamPlan):
                self._plan.look_at = None

    def raw(self) -> Iterator[RawBatch]:
        """Yield the rest of the current epoch as uint8 batches, on the CPU, without augmentation, in reused memory."""
        with closing(self._filled(floats=False)) as jobs:
            for job in jobs:
                self._position += 1
                yield RawBatch(self._planes(job), job.records, job.repeated)
        self.set_epoch(self.epoch + 1)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the rest of the current epoch; when it ends, the next iteration begins the following epoch."""
        epoch = self.epoch
        # Without a GPU and augmentation, the decoding threads write the floats as well.
        floats = self.device.type == "cpu" and self.augment is None
        with closing(self._float_batches(epoch) if floats else self._byte_batches(epoch)) as batches:
            for batch in batches:
                self._position += 1
                yield batch
                del batch  # otherwise a ring of floats would consider it in use, here and below
        self.set_epoch(epoch + 1)

    def _float_batches(self, epoch: int) -> Generator[dict[str, Any], None, None]:
        def make(job: Job) -> dict[str, Any]:
            return self._finish(job, self._planes(job).expand(-1, 3, -1, -1), epoch)

        # Padding is written by torch, which would start its own threads for each of the ring's.
        in_threads = None if self._canvas.keep_aspect else make
        with closing(self._filled(floats=True, make=in_threads)) as jobs:
            for job in jobs:
                batch, job.made = job.made or make(job), None
                yield batch
                del batch

    def _byte_batches(self, epoch: int) -> Generator[dict[str, Any], None, None]:
        with closing(self._filled(floats=False)) as jobs:
            for job, planes in on_device(jobs, self._planes, self.device):
                batch = self._finish(job, planes, epoch)
                del planes
                yield batch
                del batch

    def _look_at(self, records: list[Record]) -> None:
        """Decide what the planes are and how deep images are scaled, by some images of the dataset."""
        if isinstance(self._plan, StreamPlan):
            self._plan.look_at = None
        if not self._gray_scale_known:
            self._canvas.gray_scale, self._gray_scale_known = found_gray_scale(records, self.gray_scale), True
        if not self._channels_known:
            self._settle(found_channels(records))

    def _settle(self, channels: Channels) -> None:
        self._canvas.channels, self._channels_known = channels, True

    def _fingerprint(self) -> dict[str, int]:
        # The length of a stream is unknown until it has been read.
        count = self.num_images if isinstance(self._plan, TablePlan) else -1
        return {
            "images": count,
            "batch_size": self.batch_size,
            "seed": self.seed,
            "world_size": self.world_size,
        }

    # --- from bytes to the device -------------------------------------------------------------------------------------

    def _filled(
        self, *, floats: bool, make: Callable[[Job], dict[str, Any]] | None = None
    ) -> Generator[Job, None, None]:
        """Yield decoded jobs of the rest of the epoch, in order; broken images are reported or replaced."""
        jobs = self._plan.jobs(self.epoch, self._position)
        first = next(jobs, None)  # requested here, because with a stream it decides the channels
        if first is None:
            return
        memory = self._memory.get(floats)
        if memory is None:  # kept for later epochs: memory that was never touched is slow to write to
            if floats:
                scale, shift = scale_and_shift(self.mean, self.std, one_plane=self.channels == "gray")
                memory = FloatBatches(self._canvas, self.batch_size, scale, shift)
            else:
                memory = ByteBatches(self._canvas, self.batch_size, pinned=self.device.type == "cuda")
            self._memory[floats] = memory
        # Closed explicitly and not left to the garbage collector: a traceback that is kept would keep threads alive.
        ring = Ring(memory, self.threads, self.prefetch, make)
        with closing(jobs), closing(ring.run(chain([first], jobs))) as filled:
            for job in filled:
                if job.errors:
                    self._replace_broken(job)
                yield job

    def _replace_broken(self, job: Job) -> None:
        """Raise the first error of a batch; with on_error="skip" put another image of the batch in its place.

        Raises:
            UnreadableImageError: according to `on_error`; also if no image of the batch can be read.
        """
        marked = list(job.records)
        good = next((n for n in range(len(marked)) if n not in job.errors), None)
        for position, error in sorted(job.errors.items()):
            if self.on_error == "raise" or good is None or not isinstance(error, UnreadableImageError):
                raise error
            self.skipped[marked[position].record.image_id] = str(error)
            job.array[position], job.masks[position] = job.array[good], job.masks[good]
            marked[position] = marked[good]
            job.repeated[position] = True
        job.records = Records.of(marked)

    def _planes(self, job: Job) -> torch.Tensor:
        """Return (B, C, H, W), whatever the order of the ring's memory."""
        # Numpy's views, since each operation of torch releases the GIL and has to wait for it again.
        planes = job.array[: len(job.records)]
        if planes.dtype == np.uint8 and self.channels != "pair":
            planes = planes[:, None] if self.channels == "gray" else planes.transpose(0, 3, 1, 2)
        return torch.from_numpy(planes)

    def _finish(self, job: Job, planes: torch.Tensor, epoch: int) -> dict[str, Any]:
        """Return the finished batch; `planes` are float32 if they are already normalized."""
        shown, targets = job.records.shown, on_canvas(job.records, self._canvas)
        masks = None
        if self.masks:
            found = [mask for mask in job.masks if mask is not None]
            masks = torch.from_numpy(np.concatenate(found) if found else np.zeros((0, *self.image_size), bool))
            masks = masks.to(self.device, non_blocking=True)
        if self.augment is not None:
            planes, targets, masks = self._augmented(planes, targets, masks, mix(self.seed, epoch, 2, job.number))
        elif planes.dtype == torch.uint8:
            planes = normalize(planes, self.mean, self.std)
        result: dict[str, Any] = {"pixel_values": planes, "image_id": [record.image_id for record in job.records.rows]}
        if (inside := targets.inside(self.image_size)) is not None:
            mask = torch.from_numpy(inside).to(self.device, non_blocking=True)
            # Padding is the mean color, zero after normalization, as in transformers' processors.
            result |= {"pixel_values": planes * mask[:, None], "pixel_mask": mask.to(torch.int64)}
        canvas = shown if targets.content is None else shown * (self.image_size / targets.content)
        result["orig_size"] = torch.from_numpy(shown)
        result["canvas_size"] = torch.from_numpy(canvas.astype(np.float32))
        result["repeated"] = torch.from_numpy(job.repeated)
        if self.tiles is not None:
            result["window"] = torch.tensor([record.window for record in job.records.rows])
            result["image_size"] = torch.tensor([record.size for record in job.records.rows])
        return self._with_labels(result, targets, masks)

    def _augmented(
        self, planes: torch.Tensor, targets: Targets, masks: torch.Tensor | None, seed: int
    ) -> tuple[torch.Tensor, Targets, torch.Tensor | None]:
        assert self.augment is not None
        content = targets.content
        if content is None:
            content = np.full((len(targets.counts), 2), self.image_size, np.int64)
        # Nothing here refers to the input floats: they are freed as soon as the augmentation is done with them.
        batch = self.augment(
            Batch(
                planes.float(),
                torch.from_numpy(content),
                torch.from_numpy(targets.boxes),
                torch.from_numpy(targets.labels),
                torch.from_numpy(targets.owners),
                masks,
            ),
            torch.Generator().manual_seed(seed),
        )
        images = batch.images
        if self.channels == "pair":  # computed from the two augmented planes, not the augmented difference
            images = torch.cat([images[:, :2], (images[:, :1] - images[:, 1:2]).abs()], 1)
        counts = np.bincount(batch.owners.numpy(), minlength=len(targets.counts))
        content = None if targets.content is None else batch.content.numpy()
        moved = Targets(content, batch.boxes.numpy(), batch.labels.numpy(), counts)
        # No one else holds what `Augmentation` returns; another function may keep it.
        mine = isinstance(self.augment, Augmentation)
        return normalize(images, self.mean, self.std, in_place=mine), moved, batch.masks

    def _with_labels(self, result: dict[str, Any], targets: Targets, masks: torch.Tensor | None) -> dict[str, Any]:
        """Add the labels for the model."""
        raise NotImplementedError


def cpu_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
