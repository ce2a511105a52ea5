"""Gradient accumulation: the batches of a step and the weights of their losses."""

from __future__ import annotations

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.loaders.conftest import drawn_row
from tests.training.conftest import ROOT, TINY, write_hub_folder
from training import train
from training.run.accumulation import accumulation_steps, scale_of_step

ALONE = SimpleNamespace(num_processes=1)


class Epochs:
    """Stand-in for a loader: each iteration is an epoch of batches with these numbers of boxes."""

    def __init__(self, counts):
        self.counts, self.epoch = counts, 0

    def __iter__(self):
        self.epoch += 1
        yield from ({"image_id": [f"{self.epoch}/{i}"], "boxes": count} for i, count in enumerate(self.counts))


@given(st.lists(st.integers(0, 50), min_size=1, max_size=9), st.integers(1, 4))
def test_weighted_sums_are_the_sum_of_one_large_batch(counts, size):
    loader = Epochs(counts)
    coming = accumulation_steps(loader, size, ALONE, lambda batch: batch["boxes"], world_boxes=False)
    steps = -(-len(counts) // size)
    seen = []
    for number in range(steps):
        accumulated = next(coming)
        own = counts[number * size : (number + 1) * size]
        total = max(1, sum(own))
        # A batch's loss is its sum over max(1, boxes); weighted, it is its sum over the boxes of the entire step.
        for count, weight in zip(own, accumulated.weights, strict=True):
            assert weight / max(1, count) == pytest.approx(1 / total)
        seen += accumulated.image_ids
    assert seen == [f"1/{i}" for i in range(len(counts))]
    assert next(coming).image_ids[0] == "2/0"


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.floats(0, 0.9))
def test_scales_are_multiples_of_32_within_bounds_and_known_from_seed_and_step(seed, step, change):
    size = scale_of_step((320, 480), change, seed, step)
    assert size == scale_of_step((320, 480), change, seed, step)
    for edge, asked in zip(size, (320, 480), strict=True):
        assert edge % 32 == 0
        assert asked * (1 - change) - 16 <= edge <= asked * (1 + change) + 16


def test_no_scale_when_none_is_requested():
    assert scale_of_step((64, 96), 0.0, 1, 2) == (64, 96)


@pytest.mark.slow
def test_two_processes_with_accumulation_have_the_losses_of_one_process(tmp_path):
    """Same effective batch of 8: one process, and two of two batches of 2. The first 20 losses agree within 1e-4."""
    rows = {"train": [drawn_row(i) for i in range(24)]}
    config = tmp_path / "config.yaml"
    config.write_text(
        f"dataset_name: {write_hub_folder(tmp_path / 'data', rows)}\n{TINY}num_train_epochs: 99\nmax_train_steps: 20\n"
        "eval_steps: 1\naugment: false\nfreeze_batch_norms: true\ncheckpointing_steps: 20\n",
        encoding="utf-8",
    )
    # As many queries as the maps have cells: choosing the best of nearly equal ones would depend on the last bit.
    common = [str(config), "--num_denoising", "0", "--num_queries", "84"]
    one = ["--per_device_train_batch_size", "8", "--output_dir", str(tmp_path / "one")]
    assert train.main([*common, *one]) == 0
    launcher = ["-m", "torch.distributed.run", "--nproc_per_node", "2", str(ROOT / "training" / "train.py")]
    two = ["--per_device_train_batch_size", "2", "--gradient_accumulation_steps", "2"]
    command = [sys.executable, *launcher, *common, *two, "--output_dir", str(tmp_path / "two")]
    process = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert process.returncode == 0, process.stderr
    losses = {}
    for name in ("one", "two"):
        metrics = json.loads((tmp_path / name / "metrics.json").read_text(encoding="utf-8"))
        losses[name] = [entry["loss"] for entry in metrics["training"]["history"]]
    assert len(losses["one"]) == 20
    assert losses["two"] == pytest.approx(losses["one"], rel=1e-4, abs=1e-4)
