from __future__ import annotations

import os
import signal

import pytest

from training.run.signals import StoppedError, StopSignals


def test_a_second_signal_ends_the_process_at_once(monkeypatch):
    ended = []
    monkeypatch.setattr(os, "_exit", ended.append)
    with StopSignals() as stop:
        stop.in_loop = True
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)  # within a second: the same one, forwarded by a launcher
        assert stop.signum == signal.SIGINT and ended == []
        stop.SAME = -1.0
        signal.raise_signal(signal.SIGTERM)
        assert ended == [143] and stop.signum == signal.SIGINT


@pytest.mark.parametrize(
    ("step", "message"), [(None, "before the first step"), (9, "Stopped at step 9. Continue with")]
)
def test_outside_the_loop_a_signal_ends_the_run_immediately(step, message):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(StoppedError, match=message) as caught, StopSignals() as stop:
        stop.step = step
        signal.raise_signal(signal.SIGTERM)
    assert caught.value.exit_code == 143 and signal.getsignal(signal.SIGTERM) is before


def test_worker_processes_continue(monkeypatch):
    """Forked workers inherit the handler; Ctrl-C in a terminal reaches them, and the step needs their images."""
    with StopSignals() as stop:
        monkeypatch.setattr(os, "getpid", lambda: -1)
        signal.raise_signal(signal.SIGINT)
        assert stop.signum is None
