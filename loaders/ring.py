"""Fill batches in threads, ahead of their use, in reusable memory."""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from functools import lru_cache
from queue import SimpleQueue
from typing import Any

import cv2
import numpy as np

from loaders.memory import Batches, Worker
from loaders.records import Records

# Threads and not processes: decoding and resizing release the GIL, and what they write need not be copied.

# A thread that has decoded a small image wants the GIL for a few microseconds, every 200. By default whoever holds it
# may keep it for 5,000, and the threads did wait while batches were assembled. 10 were measured to be a few per cent
# better than 50, and as good as 1.
_SWITCH_SECONDS = 1e-5


class Job:
    """One batch in progress.

    Attributes:
        number: of the batch in its epoch, over all ranks.
        records: the images it will hold.
        repeated: bool (B,), images that another rank has, or that replace a broken one.
        array: where the images are written, one by one along the first axis.
        masks: of each item, bool (n, H, W).
        errors: the errors, by position in the batch.
        made: the result of the ring's `make`; None if there is none, or if anything failed.
    """

    def __init__(self, number: int, records: Records, repeated: bool = False) -> None:
        self.number, self.records = number, records
        self.repeated = np.full(len(records), repeated)
        self.array: Any = None
        self.masks: list[np.ndarray | None] = [None] * len(records)
        self.errors: dict[int, Exception] = {}
        self.made: Any = None
        self.groups: Iterator[range] = iter(())
        self._count = 0
        self._finished = itertools.count(1)
        self._done = threading.Lock()
        self._done.acquire()

    def start(self, array: np.ndarray, together: int) -> int:
        """Attach the output buffer and split the batch into groups of `together` images for the worker threads.

        Returns the number of groups.
        """
        groups = _groups(len(self.records), together)
        self.array, self._count = array, len(groups)
        self.groups = iter(groups)  # one iterator that all threads share
        return len(groups)

    def finish_group(self, make: Callable[[Job], Any] | None = None) -> None:
        """Count a group as written; the last one calls `make` and lets `wait` return."""
        if next(self._finished) == self._count:
            if make is not None and not self.errors:
                # If `make` fails here, the caller that asks for the job makes it again, and so gets the exception.
                with suppress(Exception):
                    self.made = make(self)
            self._done.release()

    def wait(self) -> None:
        """Wait until all images are written."""
        self._done.acquire()


@lru_cache
def _groups(count: int, together: int) -> list[range]:
    return [range(n, min(n + together, count)) for n in range(0, count, together)]


class Ring:
    """Fills jobs ahead of their use and returns them in order.

    Args:
        batches: the memory to fill.
        threads: number of threads that write at the same time.
        depth: number of batches that are ready or being filled, in addition to the one in use.
        make: turns a filled job into what its user needs, `Job.made`. It runs in the thread that wrote the last
            image: when all cores decode, an additional thread for it was measured to cost twice its own time.
    """

    def __init__(self, batches: Batches, threads: int, depth: int, make: Callable[[Job], Any] | None = None) -> None:
        self.batches, self.threads, self.depth, self._make = batches, threads, depth, make
        self._stopping = False

    def run(self, jobs: Iterator[Job]) -> Generator[Job, None, None]:
        """Yield each job when it is filled; its array belongs to the caller until the next one is requested.

        An exception from `jobs` itself is raised after the jobs that came before it. Leaving the loop early, or an
        exception in it, ends the threads.
        """
        queue: SimpleQueue[Job | None] = SimpleQueue()
        threads, pending = list[threading.Thread](), deque[Job]()
        failure: BaseException | None = None
        more, cv2_threads, interval = True, cv2.getNumThreads(), sys.getswitchinterval()
        cv2.setNumThreads(1)  # OpenCV's own threads would split every single image
        sys.setswitchinterval(min(interval, _SWITCH_SECONDS))
        try:
            for n in range(self.threads):
                threads.append(threading.Thread(target=self._work, args=(queue,), name=f"loader-{n}", daemon=True))
                threads[-1].start()
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
            cv2.setNumThreads(cv2_threads)
            sys.setswitchinterval(interval)
            try:
                self._end(threads, queue)
            except BaseException:  # Ctrl-C while they end, as they do after every epoch: end them again, then re-raise
                self._end(threads, queue)
                raise
            for job in pending:
                self.batches.give_back(job.array)

    def _end(self, threads: list[threading.Thread], queue: SimpleQueue[Job | None]) -> None:
        self._stopping = True
        for _ in threads:
            queue.put(None)
        for thread in threads:
            for _ in range(100):
                try:
                    thread.join()
                    break
                except RuntimeError:  # it has not started: Ctrl-C interrupted its start, or came just before
                    time.sleep(0.01)

    def _work(self, queue: SimpleQueue[Job | None]) -> None:
        batches, canvas = self.batches, self.batches.canvas
        worker = Worker(canvas.gray_scale)
        decoder = worker.decoder
        while (job := queue.get()) is not None:
            rows = job.records.rows
            for group in job.groups:
                if self._stopping:
                    return
                try:
                    targets = batches.targets(worker, job.array, group)  # may be more than the group needs
                    for position, target in zip(group, targets, strict=False):
                        record = rows[position]
                        try:
                            canvas.paint(decoder, record, target)
                            if record.masks:
                                job.masks[position] = canvas.masks(decoder, record)
                        except Exception as error:  # raised to whoever asks for the batch; the others are painted
                            job.errors[position] = error
                    batches.painted(worker, job.array, group)
                except Exception as error:  # here it concerns all of them
                    job.errors[group.start] = error
                job.finish_group(self._make)
