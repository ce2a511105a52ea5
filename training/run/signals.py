"""Ctrl-C and SIGTERM: the run ends behind the present step, with a checkpoint of it."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import Self


class StoppedError(KeyboardInterrupt):
    """The run was told to stop, and did; as Python's own, it passes every `except Exception`.

    Attributes:
        signum: of the signal.
        step: of the checkpoint that was written; None where there is none.
    """

    def __init__(self, signum: int, step: int | None) -> None:
        self.signum, self.step = signum, step
        super().__init__(
            "stopped before the first step; start it again as you did"
            if step is None
            else f"stopped at step {step}; go on with --resume_from_checkpoint latest"
        )

    @property
    def exit_code(self) -> int:
        """As shells have it: 130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + self.signum


class StopSignals:
    """While entered, SIGINT and SIGTERM are the run's own; otherwise it is inert.

    Attributes:
        signum: of the first signal, None before.
        in_loop: the loop looks at `signum` after each step; without it the first signal raises StoppedError. A second
            one ends the process at once.
        step: of the last checkpoint.
    """

    #: Seconds in which a second signal is taken for the same one: a launcher passes on what the terminal sent to both.
    SAME = 1.0

    def __init__(self) -> None:
        self.signum: int | None = None
        self.in_loop = False
        self.step: int | None = None
        self._received, self._pid = 0.0, os.getpid()
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # Python allows handlers nowhere else
            for signum in (signal.SIGINT, signal.SIGTERM):
                self._before[signum] = signal.signal(signum, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)  # pyright: ignore[reportArgumentType]

    def _receive(self, signum: int, _: FrameType | None) -> None:
        if os.getpid() != self._pid:
            return  # a worker process that decodes images: this one's step needs it, and it ends with this one
        now = time.monotonic()
        if self.signum is None:
            self.signum, self._received = signum, now
            if not self.in_loop:
                raise StoppedError(signum, self.step)
            print("\nstopping behind this step; once more to end at once", file=sys.stderr, flush=True)
        elif now - self._received > self.SAME:
            print("\nended at once", file=sys.stderr, flush=True)
            os._exit(128 + signum)
