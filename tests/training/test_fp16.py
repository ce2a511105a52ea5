"""On a GPU: fp16, its guard against overflow, and resuming with the gradient scaler's state."""

from __future__ import annotations

import shutil

import pytest
import torch
from accelerate.state import AcceleratorState, PartialState
from safetensors.torch import load_file

from tests.training.complete_runs import metrics_of
from training import train
from training.tasks import detection

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]


@pytest.fixture(autouse=True)
def on_the_gpu(fresh_accelerator, monkeypatch):
    monkeypatch.delenv("ACCELERATE_USE_CPU")


def multiply_loss(monkeypatch: pytest.MonkeyPatch, factor: float, calls: set[int]) -> None:
    """Multiply the loss of these calls (counted from 1), after the model has computed it in float32."""
    original_wrapper = detection.float32_loss

    def wrapper(model):
        original_wrapper(model)
        original, count = model.loss_function, [0]

        def loss_function(*args, **kwargs):
            count[0] += 1
            loss, *rest = original(*args, **kwargs)
            return (loss * factor if count[0] in calls else loss, *rest)

        model.loss_function = loss_function

    monkeypatch.setattr(detection, "float32_loss", wrapper)


def test_trains_in_fp16(tiny_config, tmp_path):
    assert train.main([str(tiny_config), "--max_train_steps", "30"]) == 0
    metrics = metrics_of(tmp_path / "run")
    training = metrics["training"]
    assert metrics["config"]["precision"] == "fp16" and training["skipped_steps"] == 0
    assert training["peak_gpu_memory_mib"] > 0
    losses = [entry["loss"] for entry in training["history"]]
    assert losses[-1] < losses[0]


def test_a_loss_that_is_not_finite_is_skipped(tiny_config, tmp_path, monkeypatch):
    multiply_loss(monkeypatch, float("inf"), {2})
    assert train.main([str(tiny_config), "--max_train_steps", "6"]) == 0
    assert metrics_of(tmp_path / "run")["training"]["skipped_steps"] == 1
    assert all(torch.isfinite(v).all() for v in load_file(tmp_path / "run" / "best" / "model.safetensors").values())


def test_gradients_out_of_range_are_the_scalers(tiny_config, tmp_path, monkeypatch):
    """A finite loss whose gradients overflow: the scaler skips the step and halves its scale; no weight is harmed."""
    multiply_loss(monkeypatch, 1e30, {3})
    assert train.main([str(tiny_config), "--max_train_steps", "8"]) == 0
    training = metrics_of(tmp_path / "run")["training"]
    assert training["scaler_skips"] >= 1 and training["skipped_steps"] == 0
    assert all(torch.isfinite(v).all() for v in load_file(tmp_path / "run" / "best" / "model.safetensors").values())


def test_resumes_with_the_scalers_state(tiny_config, tmp_path, monkeypatch):
    """The resumed half ends where the uninterrupted run does; on a GPU not bit for bit, since sums are in any order."""
    multiply_loss(monkeypatch, 1e30, {2})  # so that the scale is no longer the initial one
    common = [str(tiny_config), "--max_train_steps", "8", "--eval_steps", "4", "--checkpointing_steps", "4"]
    common += ["--checkpoints_total_limit", "9"]
    complete, resumed = tmp_path / "complete", tmp_path / "resumed"
    assert train.main([*common, "--output_dir", str(complete)]) == 0
    AcceleratorState._reset_state(reset_partial_state=True)
    PartialState._reset_state()
    monkeypatch.undo()
    monkeypatch.delenv("ACCELERATE_USE_CPU", raising=False)
    resumed.mkdir()
    shutil.copytree(complete / "best", resumed / "best")
    start = ["--resume_from_checkpoint", str(complete / "checkpoint-4"), "--output_dir", str(resumed)]
    assert train.main([*common, *start]) == 0
    one, other = metrics_of(complete)["training"], metrics_of(resumed)["training"]
    assert one["scaler_skips"] == other["scaler_skips"] >= 1
    assert [entry["step"] for entry in one["history"]] == [entry["step"] for entry in other["history"]]
    assert one["history"][0] == other["history"][0]
    assert other["history"][-1]["loss"] == pytest.approx(one["history"][-1]["loss"], rel=0.05)
    scales = [torch.load(next((run / "checkpoint-8").rglob("scaler.pt"))) for run in (complete, resumed)]
    assert scales[0] == scales[1] and scales[0]["scale"] < 2.0**16
