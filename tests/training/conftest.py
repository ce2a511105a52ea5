"""A tiny prepared dataset on disk, and the settings of a run on it that takes seconds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from accelerate.state import AcceleratorState, PartialState

from tests.loaders.conftest import drawn_row, make_split
from tests.loaders.conftest import one_thread as one_thread  # a fixture here, too

ROOT = Path(__file__).resolve().parents[2]
TINY = """\
model_type: rt_detr_v2
model_size: nano
backbone: test_resnet
decoder_layers: 2
num_queries: 12
num_denoising: 8
image_size: 64
per_device_train_batch_size: 4
learning_rate: 1e-3
warmup_steps: 2
ema_decay: 0.9
report_to: none
draw_curves: false
num_threads: 1
"""


def write_hub_folder(folder: Path, splits: dict[str, list[dict]]) -> Path:
    """Parquet files that `load_dataset(folder)` reads."""
    for name, rows in splits.items():
        file = folder / "data" / f"{name}-00000-of-00001.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        make_split(rows).to_parquet(file)
    return folder


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    counts = {"train": range(26), "validation": range(100, 109), "test": range(200, 207)}
    splits = {name: [drawn_row(i) for i in numbers] for name, numbers in counts.items()}
    return write_hub_folder(tmp_path_factory.mktemp("tiny"), splits)


@pytest.fixture
def tiny_config(tmp_path: Path, tiny_data: Path) -> Path:
    file = tmp_path / "tiny.yaml"
    file.write_text(f"dataset_name: {tiny_data}\noutput_dir: {tmp_path / 'run'}\n{TINY}", encoding="utf-8")
    return file


@pytest.fixture(autouse=True)
def fresh_accelerator(monkeypatch: pytest.MonkeyPatch):
    """accelerate keeps device and precision for the lifetime of a process; each test resets it, on the CPU."""
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    monkeypatch.delenv("ACCELERATE_MIXED_PRECISION", raising=False)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)
    PartialState._reset_state()


def launch(*arguments: str, launcher: tuple[str, ...] = (), **options) -> subprocess.Popen:
    """Run `accelerate launch training/train.py ...` as a user types it, or, without a launcher, plain Python."""
    start = (
        [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch", *launcher]
        if launcher
        else [sys.executable]
    )
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true"}
    return subprocess.Popen(
        [*start, str(ROOT / "training" / "train.py"), *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )
