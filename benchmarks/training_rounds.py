"""Timing of a training's parts, and control of its rounds; both sides of benchmarks/training_step.py use it."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import torch

WAIT, FORWARD, LOSS, BACKWARD, CLIP, STEP, AVERAGE, POST, METRIC, OTHER = (
    "data wait",
    "forward",
    "loss",
    "backward",
    "clipping",
    "optimizer",
    "moving average",
    "post-processing",
    "metric",
    "other",
)


class Clock:
    """Seconds per part of the work. The time of a nested part is not counted in the outer part."""

    def __init__(self) -> None:
        #: On a GPU: synchronize between parts, so that the device's work is counted in the right part. Slows it down.
        self.exact = False
        self._open, self._seconds, self._since = [OTHER], defaultdict[str, float](float), time.perf_counter()

    @contextmanager
    def part(self, name: str) -> Generator[None]:
        self._charge()
        self._open.append(name)
        try:
            yield
        finally:
            self._charge()
            self._open.pop()

    def wrap(self, owner: Any, function: str, name: str) -> None:
        """Count every call of `owner.function` as the part `name`."""
        original: Callable[..., Any] = getattr(owner, function)

        @functools.wraps(original)
        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.part(name):
                return original(*args, **kwargs)

        setattr(owner, function, timed)

    def waits(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Yield the batches; the time to get each of them is counted as the part `WAIT`."""
        iterator = iter(batches)
        while True:
            with self.part(WAIT):
                batch = next(iterator, None)
            if batch is None:
                return
            yield batch

    def take(self) -> dict[str, float]:
        """Return the seconds of each part since the last call."""
        self._charge()
        taken, self._seconds = dict(self._seconds), defaultdict(float)
        return taken

    def _charge(self) -> None:
        if self.exact and torch.cuda.is_available():
            torch.cuda.synchronize()
        now = time.perf_counter()
        self._seconds[self._open[-1]] += now - self._since
        self._since = now


class Rounds:
    """An endless training in rounds of `warm_up + steps` batches, with an evaluation after each.

    A round begins with a line from stdin (`exact` or not), and ends with a line of JSON: its images, seconds and parts.
    At the end of stdin the process exits.
    """

    def __init__(self, warm_up: int, steps: int, answers: TextIO) -> None:
        self.warm_up, self.steps, self.clock = warm_up, steps, Clock()
        self._answers, self._done, self._images, self._began = answers, -1, 0, 0.0
        self._processor_began, self._found = 0.0, dict[str, Any]()

    @property
    def length(self) -> int:
        """Number of batches in a round."""
        return self.warm_up + self.steps

    def gate(self, batches: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Yield one epoch's batches, each once its round has begun."""
        waiting = self.clock.waits(batches)
        while True:
            if self._done in (-1, self.length):
                self._next_round()
            if self._done == self.warm_up:
                _settle()
                self.clock.take()
                self._images, self._began, self._processor_began = 0, time.perf_counter(), processor_seconds()
            batch = next(waiting, None)
            if batch is None:
                return
            self._done += 1
            self._images += len(batch["labels"])
            yield batch

    def evaluated(self, evaluate: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """End the timed part of a round, and time its evaluation."""
        _settle()
        self._found = {
            "images": self._images,
            "seconds": time.perf_counter() - self._began,
            "parts": self.clock.take(),
            "processor seconds": processor_seconds() - self._processor_began,
        }
        began, processor_began = time.perf_counter(), time.process_time()
        scores = evaluate()
        _settle()
        self._found |= {
            "evaluation": time.perf_counter() - began,
            "evaluation parts": self.clock.take(),
            "evaluation's processor seconds": time.process_time() - processor_began,
            "map_50": scores["map_50"],
        }
        return scores

    def _next_round(self) -> None:
        if self._done == self.length:
            if torch.cuda.is_available():
                self._found["peak MiB"] = torch.cuda.max_memory_allocated() / 2**20
            print(json.dumps(self._found), file=self._answers, flush=True)
        else:
            print(json.dumps({"ready": True}), file=self._answers, flush=True)
        line = sys.stdin.readline()
        if not line:
            raise SystemExit
        self.clock.exact, self._done = line.strip() == "exact", 0
        self.clock.take()


def processor_seconds() -> float:
    """Return the CPU seconds of this process and its live workers; other processes on the machine do not count."""
    ticks = 0
    children = Path(f"/proc/{os.getpid()}/task/{threading.main_thread().native_id}/children").read_text().split()
    for child in children:
        with contextlib.suppress(OSError):  # it has ended
            fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])  # user and system time
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def _settle() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
