"""Signal handling: after Ctrl-C or SIGTERM the run finishes the current step, saves a checkpoint and ends."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import Self


class StoppedError(KeyboardInterrupt):
    """The run was stopped by a signal. Like KeyboardInterrupt, it is not caught by `except Exception`.

    Attributes:
        signum: number of the signal.
        step: step of the saved checkpoint; None if there is none.
    """

    def __init__(self, signum: int, step: int | None) -> None:
        self.signum, self.step = signum, step
        super().__init__(
            "Stopped before the first step. Start the run again with the same command."
            if step is None
            else f"Stopped at step {step}. Continue with --resume_from_checkpoint latest."
        )

    @property
    def exit_code(self) -> int:
        """Exit code by the shell's convention: 130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + self.signum


class StopSignals:
    """Context manager that handles SIGINT and SIGTERM while it is active.

    Attributes:
        signum: number of the first signal; None until it arrives.
        in_loop: true while the loop checks `signum` after each step; otherwise the first signal raises StoppedError.
            A second signal ends the process immediately.
        step: step of the last checkpoint.
    """

    #: A second signal within this many seconds counts as the same one: a launcher forwards what the terminal has
    #: already sent to both.
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
            return  # a worker process that decodes images: the current step needs it, and it ends with the main process
        now = time.monotonic()
        if self.signum is None:
            self.signum, self._received = signum, now
            if not self.in_loop:
                raise StoppedError(signum, self.step)
            print("\nStopping after this step. Press Ctrl-C again to quit immediately.", file=sys.stderr, flush=True)
        elif now - self._received > self.SAME:
            print("\nQuit immediately.", file=sys.stderr, flush=True)
            os._exit(128 + signum)
