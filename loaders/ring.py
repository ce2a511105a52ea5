"""Batches filled in threads, ahead of their use, in memory that is reused."""

from __future__ import annotations

import itertools
import math
import sys
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from functools import lru_cache
from queue import SimpleQueue
from typing import Any, Protocol

import cv2
import numpy as np
import torch

from loaders.canvas import Canvas
from loaders.decoding import Decoder
from loaders.records import Records

# Threads and not processes: decoding and resizing let go of Python's lock, and what they write need not be copied.

# A thread that has decoded a small image wants Python's lock for a few microseconds, every 200. By default whoever has
# it may keep it for 5,000, and the threads did wait while whole batches were put together.
_SWITCH_SECONDS = 1e-5


class Job:
    """One batch on its way.

    Attributes:
        number: of the batch in its epoch, over all ranks.
        records: the images it will hold.
        repeated: bool (B,), images that another rank has, or that stand in for a broken one.
        array: where the images are written, one by one along the first axis.
        masks: of each item, bool (n, H, W).
        errors: what went wrong, by position in the batch.
    """

    def __init__(self, number: int, records: Records, repeated: bool = False) -> None:
        self.number, self.records = number, records
        self.repeated = np.full(len(records), repeated)
        self.array: Any = None
        self.masks: list[np.ndarray | None] = [None] * len(records)
        self.errors: dict[int, Exception] = {}
        self.groups: Iterator[range] = iter(())
        self._count = 0
        self._finished = itertools.count(1)
        self._done = threading.Lock()
        self._done.acquire()

    def start(self, array: np.ndarray, together: int) -> int:
        """Gives it memory; how many groups there are, of `together` images each, which threads take one by one."""
        groups = _groups(len(self.records), together)
        self.array, self._count = array, len(groups)
        self.groups = iter(groups)  # one iterator that all threads share
        return len(groups)

    def finish_group(self) -> None:
        """Told by the thread that has written a group; the last one lets `wait` go on."""
        if next(self._finished) == self._count:
            self._done.release()

    def wait(self) -> None:
        """Until all images are written."""
        self._done.acquire()


@lru_cache
def _groups(count: int, together: int) -> list[range]:
    return [range(n, min(n + together, count)) for n in range(0, count, together)]


class Batches(Protocol):
    """Memory for batches, and how images get there.

    Attributes:
        together: images that a thread takes at a time.
    """

    canvas: Canvas
    together: int

    def take(self) -> np.ndarray:
        """A batch that nobody uses."""
        ...

    def give_back(self, array: np.ndarray) -> None:
        """The user of the ring is done with it."""
        ...

    def targets(self, worker: Worker, job: Job, group: range) -> Iterable[np.ndarray]:
        """Where to paint the images of `group`; there may be more places than images."""
        ...

    def painted(self, worker: Worker, job: Job, group: range) -> None:
        """All of them are painted: what has to be done to have them in `job.array`."""
        ...


class Worker:
    """What a thread keeps for itself: a decoder, and room for a group of images."""

    def __init__(self) -> None:
        self.decoder = Decoder()
        self._room = np.empty(0, np.uint8)
        self._images: list[np.ndarray] = []

    def room(self, shape: tuple[int, ...]) -> tuple[np.ndarray, list[np.ndarray]]:
        """uint8 of that shape, the same memory each time; and the images along its first axis."""
        if self._room.shape != shape:
            self._room = np.empty(shape, np.uint8)
            self._images = list(self._room)
        return self._room, self._images


class ByteBatches:
    """uint8 batches as the canvas has them; pinned where they are copied to a GPU."""

    def __init__(self, canvas: Canvas, batch_size: int, pinned: bool) -> None:
        self.canvas, self._shape, self._pinned = canvas, (batch_size, *canvas.shape), pinned
        self.together = _together(canvas)
        self._free: list[np.ndarray] = []

    def take(self) -> np.ndarray:
        """See `Batches`."""
        if self._free:
            return self._free.pop()
        if self._pinned:
            return torch.empty(self._shape, dtype=torch.uint8, pin_memory=True).numpy()
        return np.empty(self._shape, np.uint8)

    def give_back(self, array: np.ndarray) -> None:
        """See `Batches`."""
        self._free.append(array)

    def targets(self, worker: Worker, job: Job, group: range) -> Iterable[np.ndarray]:
        """See `Batches`."""
        return job.array[group.start : group.stop]

    def painted(self, worker: Worker, job: Job, group: range) -> None:
        """See `Batches`; they are where they belong."""


class FloatBatches:
    """float32 batches (B, planes, H, W), normalised by the thread that has just decoded: the image is still in cache.

    A batch that was handed out is used again when nothing refers to it any more; who keeps batches keeps them whole.
    Touching new memory for every batch instead was measured at 1.7 times the time of writing it.

    Args:
        scale, shift: of each plane, `value * scale + shift`; one number of each for one plane.
    """

    def __init__(self, canvas: Canvas, batch_size: int, scale: list[float], shift: list[float]) -> None:
        self.canvas, self._scale, self._shift = canvas, scale, shift
        self._shape = (batch_size, len(scale), *canvas.size)
        self._one_plane = len(scale) == 1
        self.together = _together(canvas)
        self._group = (self.together, *canvas.shape)
        self._all: list[np.ndarray] = []

    def take(self) -> np.ndarray:
        """See `Batches`."""
        for number in range(len(self._all)):
            # A tensor made by torch.from_numpy holds its array as long as any view of the tensor lives.
            if _holders(self._all, number) == _LIST_ALONE:
                return self._all[number]
        fresh = np.empty(self._shape, np.float32)
        self._all.append(fresh)
        return fresh

    def give_back(self, array: np.ndarray) -> None:
        """See `Batches`; `take` finds out by itself."""
        # Those that others kept are theirs alone from now on.
        if len(self._all) > _MOST_KEPT:
            self._all = self._all[-_MOST_KEPT:]

    def targets(self, worker: Worker, job: Job, group: range) -> Iterable[np.ndarray]:
        """See `Batches`."""
        return worker.room(self._group)[1]

    def painted(self, worker: Worker, job: Job, group: range) -> None:
        """See `Batches`."""
        pixels, floats = worker.room(self._group)[0][: len(group)], job.array[group.start : group.stop]
        if self._one_plane:
            width = floats.shape[-1]
            pixels, floats = pixels.reshape(-1, width), floats.reshape(-1, width)
            cv2.addWeighted(pixels, self._scale[0], pixels, 0.0, self._shift[0], floats, cv2.CV_32F)
            return
        for image, planes in zip(pixels, floats, strict=True):
            for plane, channel, scale, shift in zip(
                planes, self._channels(image), self._scale, self._shift, strict=True
            ):
                cv2.addWeighted(channel, scale, channel, 0.0, shift, plane, cv2.CV_32F)

    def _channels(self, pixels: np.ndarray) -> Sequence[np.ndarray]:
        """What goes into each plane."""
        if pixels.ndim == 2:
            return [pixels] * len(self._scale)
        return list(pixels) if self.canvas.channels == "pair" else cv2.split(pixels)


def _holders(arrays: list[Any], number: int) -> int:
    return sys.getrefcount(arrays[number])


# What getrefcount says of an object that nothing but a list holds; versions of Python differ in what they add.
_LIST_ALONE = _holders([object()], 0)
#: Float batches that are remembered for reuse; the ring has a few, and the user one or two.
_MOST_KEPT = 16


def _together(canvas: Canvas) -> int:
    """Images that a thread decodes before it normalises them, by one call: those that stay in its core's cache.

    Python around the decoding of a small image is a twentieth of the time; this saves a part of it.
    """
    return max(1, min(8, 128 * 1024 // math.prod(canvas.shape)))


class Ring:
    """Fills jobs ahead of their use and hands them out in order.

    Args:
        batches: where to.
        threads: how many write at the same time.
        depth: batches that are ready or being filled, besides the one that is in use.
    """

    def __init__(self, batches: Batches, threads: int, depth: int) -> None:
        self.batches, self.threads, self.depth = batches, threads, depth
        self._stopping = False

    def run(self, jobs: Iterator[Job]) -> Generator[Job, None, None]:
        """Each job when it is filled; its array is the caller's until the next one is asked for.

        An exception of `jobs` itself is raised behind the jobs that came before it. Leaving the loop early, or an
        exception in it, ends the threads.
        """
        queue: SimpleQueue[Job | None] = SimpleQueue()
        threads = [
            threading.Thread(target=self._work, args=(queue,), name=f"loader-{n}", daemon=True)
            for n in range(self.threads)
        ]
        pending: deque[Job] = deque()
        failure: BaseException | None = None
        more, cv2_threads, interval = True, cv2.getNumThreads(), sys.getswitchinterval()
        cv2.setNumThreads(1)  # OpenCV's own threads would share out every single image
        sys.setswitchinterval(min(interval, _SWITCH_SECONDS))
        try:
            for thread in threads:
                thread.start()
            while True:
                while more and len(pending) < self.depth:
                    try:
                        job = next(jobs, None)
                    except Exception as error:
                        failure, job = error, None
                    if job is None:
                        more = False
                        break
                    groups = job.start(self.batches.take(), self.batches.together)
                    pending.append(job)
                    for _ in range(min(self.threads, groups)):
                        queue.put(job)
                if not pending:
                    break
                job = pending.popleft()
                job.wait()
                yield job
                array, job.array = job.array, None
                self.batches.give_back(array)
                del array
            if failure is not None:
                raise failure
        finally:
            self._stopping = True
            for _ in threads:
                queue.put(None)
            for thread in threads:
                if thread.ident is not None:
                    thread.join()
            for job in pending:
                self.batches.give_back(job.array)
            cv2.setNumThreads(cv2_threads)
            sys.setswitchinterval(interval)

    def _work(self, queue: SimpleQueue[Job | None]) -> None:
        worker, batches, canvas = Worker(), self.batches, self.batches.canvas
        decoder = worker.decoder
        while (job := queue.get()) is not None:
            rows = job.records.rows
            for group in job.groups:
                if self._stopping:
                    return
                try:
                    for position, target in zip(group, batches.targets(worker, job, group)):  # noqa: B905
                        record = rows[position]
                        try:
                            canvas.paint(decoder, record, target)
                            if record.masks:
                                job.masks[position] = canvas.masks(decoder, record)
                        except Exception as error:  # told by whoever asks for the batch; the others are painted
                            job.errors[position] = error
                    batches.painted(worker, job, group)
                except Exception as error:  # and here it is of all of them
                    job.errors[group.start] = error
                job.finish_group()
