"""Batches filled in threads, ahead of their use, in memory that is reused."""

from __future__ import annotations

import itertools
import sys
import threading
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from queue import SimpleQueue
from typing import Any, Protocol

import cv2
import numpy as np
import torch

from loaders.canvas import Canvas
from loaders.decoding import Decoder
from loaders.records import Record

# Threads and not processes: decoding and resizing let go of Python's lock, and what they write need not be copied.

# A thread that has decoded a small image wants Python's lock for a few microseconds, every 200. By default whoever has
# it may keep it for 5,000, and the threads did wait while whole batches were put together.
_SWITCH_SECONDS = 5e-5


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

    def __init__(self, number: int, records: list[Record], repeated: bool = False) -> None:
        self.number, self.records = number, records
        self.repeated = np.full(len(records), repeated)
        self.array: Any = None
        self.masks: list[np.ndarray | None] = [None] * len(records)
        self.errors: dict[int, Exception] = {}
        # One iterator that all threads share: each takes the next image when it is done with one.
        self.todo = iter(range(len(records)))
        self._finished = itertools.count(1)
        self._done = threading.Lock()
        self._done.acquire()

    def finish_one(self) -> None:
        """Told by the thread that has written an image; the last one lets `wait` go on."""
        if next(self._finished) == len(self.records):
            self._done.release()

    def wait(self) -> None:
        """Until all images are written."""
        self._done.acquire()


class Batches(Protocol):
    """Memory for batches, and how one image gets there."""

    canvas: Canvas

    def take(self) -> np.ndarray:
        """A batch that nobody uses."""
        ...

    def give_back(self, array: np.ndarray) -> None:
        """The user of the ring is done with it."""
        ...

    def write(self, worker: Worker, job: Job, position: int) -> None:
        """Puts `job.records[position]` at `job.array[position]`."""
        ...


class Worker:
    """What a thread keeps for itself: a decoder, and room for one image."""

    def __init__(self) -> None:
        self.decoder = Decoder()
        self._scratch: np.ndarray | None = None

    def scratch(self, shape: tuple[int, ...]) -> np.ndarray:
        """uint8 of that shape, the same memory each time."""
        if self._scratch is None or self._scratch.shape != shape:
            self._scratch = np.empty(shape, np.uint8)
        return self._scratch


class ByteBatches:
    """uint8 batches as the canvas has them; pinned where they are copied to a GPU."""

    def __init__(self, canvas: Canvas, batch_size: int, pinned: bool) -> None:
        self.canvas, self._shape, self._pinned = canvas, (batch_size, *canvas.shape), pinned
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

    def write(self, worker: Worker, job: Job, position: int) -> None:
        """See `Batches`."""
        self.canvas.paint(worker.decoder, job.records[position], job.array[position])


class FloatBatches:
    """float32 batches (B, planes, H, W), normalised by the thread that has just decoded: the image is still in cache.

    A batch that was handed out is used again when nothing refers to it any more; who keeps batches keeps them whole.
    Touching new memory for every batch instead was measured at 1.7 times the time of writing it.

    Args:
        scale, shift: of each plane, `value * scale + shift`; one number of each for one plane.
    """

    def __init__(self, canvas: Canvas, batch_size: int, scale: list[float], shift: list[float]) -> None:
        self.canvas, self._scale, self._shift = canvas, scale, shift
        self._shape, self._image = (batch_size, len(scale), *canvas.size), canvas.shape
        self._one_plane = len(scale) == 1
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

    def write(self, worker: Worker, job: Job, position: int) -> None:
        """See `Batches`."""
        array, pixels = job.array, worker.scratch(self._image)
        self.canvas.paint(worker.decoder, job.records[position], pixels)
        if self._one_plane:
            cv2.addWeighted(pixels, self._scale[0], pixels, 0.0, self._shift[0], array[position, 0], cv2.CV_32F)
        else:
            for plane, channel, scale, shift in zip(
                array[position], self._channels(pixels), self._scale, self._shift, strict=True
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
                    job.array = self.batches.take()
                    pending.append(job)
                    for _ in range(min(self.threads, len(job.records))):
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
        worker = Worker()
        while (job := queue.get()) is not None:
            for position in job.todo:
                if self._stopping:
                    return
                try:
                    self.batches.write(worker, job, position)
                    record = job.records[position]
                    if record.masks:
                        job.masks[position] = self.batches.canvas.masks(worker.decoder, record)
                except Exception as error:  # told by whoever asks for the batch
                    job.errors[position] = error
                job.finish_one()
