"""A run that was killed or stopped and goes on ends as one that was not, to the bit."""

from __future__ import annotations

import shutil
import signal
import time

import pytest

from tests.training.complete_runs import assert_same_run
from tests.training.conftest import launch
from training import train


def test_killed_and_resumed_equals_uninterrupted(tiny_config, tmp_path):
    """SIGKILL somewhere between two checkpoints, in mid-epoch; then `latest`: the same metrics, losses and weights."""
    common = [str(tiny_config), "--max_train_steps", "16", "--eval_steps", "4", "--checkpointing_steps", "3"]
    whole = launch(*common, "--output_dir", str(tmp_path / "whole"), launcher=("--num_processes", "1"))
    broken = launch(*common, "--output_dir", str(tmp_path / "broken"))
    deadline = time.monotonic() + 240
    while not (tmp_path / "broken" / "checkpoint-6").is_dir():
        assert broken.poll() is None, broken.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    broken.send_signal(signal.SIGKILL)
    assert broken.wait(60) == -signal.SIGKILL
    assert not (tmp_path / "broken" / "metrics.json").exists()
    # What a kill in the middle of saving would leave; it must neither be used nor get in the way.
    for leftover in (".checkpoint-99.part", ".checkpoint-99.tmp"):  # and what version 0.1 would leave
        (tmp_path / "broken" / leftover / "state").mkdir(parents=True)
    (tmp_path / "broken" / ".metrics.json.0a1b2c3d.part").write_text("{")
    resumed = launch(*common, "--output_dir", str(tmp_path / "broken"), "--resume_from_checkpoint", "latest")
    out, err = resumed.communicate(timeout=240)
    assert resumed.returncode == 0, err
    assert "resuming from" in out
    _, err = whole.communicate(timeout=240)
    assert whole.returncode == 0, err
    assert_same_run(tmp_path / "whole", tmp_path / "broken")
    assert not list((tmp_path / "broken").glob(".*"))


def test_resume_within_a_process_from_a_named_checkpoint(tiny_config, tmp_path, fresh_accelerator):
    from accelerate.state import AcceleratorState

    common = [str(tiny_config), "--max_train_steps", "7", "--eval_steps", "3", "--checkpointing_steps", "2"]
    keep = ["--checkpoints_total_limit", "9", "--gradient_accumulation_steps", "2"]
    assert train.main([*common, *keep, "--output_dir", str(tmp_path / "a")]) == 0
    AcceleratorState._reset_state(reset_partial_state=True)
    from_third = ["--resume_from_checkpoint", str(tmp_path / "a" / "checkpoint-4"), "--output_dir", str(tmp_path / "b")]
    (tmp_path / "b").mkdir()
    shutil.copytree(tmp_path / "a" / "best", tmp_path / "b" / "best")
    assert train.main([*common, *keep, *from_third]) == 0
    assert_same_run(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b" / "train_config.yaml").is_file()


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_in_mid_step_and_resumed_equals_uninterrupted(tiny_config, tmp_path, monkeypatch, capsys, signum, code):
    """The signal arrives while step 5 is computed; the checkpoint is of step 5, which no setting asked for."""
    from accelerate.state import AcceleratorState

    before = signal.getsignal(signum)
    common = [str(tiny_config), "--max_train_steps", "7", "--eval_steps", "3", "--gradient_accumulation_steps", "2"]
    stopped = [*common, "--output_dir", str(tmp_path / "stopped")]
    calls = []

    def clip(self, *arguments, **options):
        calls.append(0)
        if len(calls) == 5:
            signal.raise_signal(signum)
            signal.raise_signal(signum)  # what a launcher forwards at the same moment is not a second Ctrl-C
        return original(self, *arguments, **options)

    original = train.Accelerator.clip_grad_norm_
    with monkeypatch.context() as patch:
        patch.setattr(train.Accelerator, "clip_grad_norm_", clip)
        assert train.main(stopped) == code
    out, err = capsys.readouterr()
    assert out.strip().splitlines()[-1] == "Stopped at step 5. Continue with --resume_from_checkpoint latest."
    assert "Press Ctrl-C again to quit immediately." in err and "Traceback" not in out + err
    assert signal.getsignal(signum) is before and not list((tmp_path / "stopped").glob("run.*"))
    if signum == signal.SIGTERM:
        return
    AcceleratorState._reset_state(reset_partial_state=True)
    # Without a configuration file the run's own settings apply, and differences from them are reported.
    own = ["--output_dir", str(tmp_path / "stopped"), "--resume_from_checkpoint", "latest", "--ema_decay", "0.9"]
    assert train.main([*own, "--seed", "0", "--per_device_eval_batch_size", "4"]) == 0
    out, err = capsys.readouterr()
    assert "at step 5 of 7" in out and f"took {tmp_path / 'stopped' / 'train_config.yaml'}" in err
    assert "warning: per_device_eval_batch_size is 4; the run was started with None." in out
    assert out.count("warning:") == 1
    AcceleratorState._reset_state(reset_partial_state=True)
    assert train.main([*common, "--output_dir", str(tmp_path / "whole")]) == 0
    assert_same_run(tmp_path / "whole", tmp_path / "stopped")
