"""Batches filled in threads, ahead of their use, in memory that is reused."""

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

# Threads and not processes: decoding and resizing let go of Python's lock, and what they write need not be copied.

# A thread that has decoded a small image wants Python's lock for a few microseconds, every 200. By default whoever has
# it may keep it for 5,000, and the threads did wait while whole batches were put together. 10 were measured to be a few
# per cent better than 50, and as good as 1.
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
        made: what the ring's `make` made of it; None where there is none, or where anything went wrong.
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
        """Gives it memory; how many groups there are, of `together` images each, which threads take one by one."""
        groups = _groups(len(self.records), together)
        self.array, self._count = array, len(groups)
        self.groups = iter(groups)  # one iterator that all threads share
        return len(groups)

    def finish_group(self, make: Callable[[Job], Any] | None = None) -> None:
        """Told by the thread that has written a group; the last one makes what is to be made and lets `wait` go on."""
        if next(self._finished) == self._count:
            if make is not None and not self.errors:
                # Who asks for the job makes what could not be made here, and so gets the exception.
                with suppress(Exception):
                    self.made = make(self)
            self._done.release()

    def wait(self) -> None:
        """Until all images are written."""
        self._done.acquire()


@lru_cache
def _groups(count: int, together: int) -> list[range]:
    return [range(n, min(n + together, count)) for n in range(0, count, together)]


class Ring:
    """Fills jobs ahead of their use and hands them out in order.

    Args:
        batches: where to.
        threads: how many write at the same time.
        depth: batches that are ready or being filled, besides the one that is in use.
        make: of a filled job whatever its user wants to have, `Job.made`. It runs in the thread that wrote the last
            image: where all cores decode, a thread more that does it was measured to cost twice its own time.
    """

    def __init__(self, batches: Batches, threads: int, depth: int, make: Callable[[Job], Any] | None = None) -> None:
        self.batches, self.threads, self.depth, self._make = batches, threads, depth, make
        self._stopping = False

    def run(self, jobs: Iterator[Job]) -> Generator[Job, None, None]:
        """Each job when it is filled; its array is the caller's until the next one is asked for.

        An exception of `jobs` itself is raised behind the jobs that came before it. Leaving the loop early, or an
        exception in it, ends the threads.
        """
        queue: SimpleQueue[Job | None] = SimpleQueue()
        threads, pending = list[threading.Thread](), deque[Job]()
        failure: BaseException | None = None
        more, cv2_threads, interval = True, cv2.getNumThreads(), sys.getswitchinterval()
        cv2.setNumThreads(1)  # OpenCV's own threads would share out every single image
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
            except BaseException:  # Ctrl-C while they end, as they do behind every epoch: once more, and then tell it
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
                except RuntimeError:  # it has not started: Ctrl-C fell into its start, or just before that
                    time.sleep(0.01)

    def _work(self, queue: SimpleQueue[Job | None]) -> None:
        worker, batches, canvas = Worker(), self.batches, self.batches.canvas
        decoder = worker.decoder
        while (job := queue.get()) is not None:
            rows = job.records.rows
            for group in job.groups:
                if self._stopping:
                    return
                try:
                    targets = batches.targets(worker, job.array, group)  # there may be more than the group needs
                    for position, target in zip(group, targets, strict=False):
                        record = rows[position]
                        try:
                            canvas.paint(decoder, record, target)
                            if record.masks:
                                job.masks[position] = canvas.masks(decoder, record)
                        except Exception as error:  # told by whoever asks for the batch; the others are painted
                            job.errors[position] = error
                    batches.painted(worker, job.array, group)
                except Exception as error:  # and here it is of all of them
                    job.errors[group.start] = error
                job.finish_group(self._make)
