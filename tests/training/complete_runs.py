"""What tests read of a complete run."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from training.run.checkpoints import load_model


def metrics_of(folder: Path) -> dict:
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_model(folder).state_dict()


def assert_same_run(left: Path, right: Path) -> None:
    a, b = metrics_of(left), metrics_of(right)
    assert a["validation"] == b["validation"] and a["test"] == b["test"]
    assert a["training"]["history"] == b["training"]["history"]
    for folder in ("best", "last"):
        one, other = weights_of(left / folder), weights_of(right / folder)
        assert all(torch.equal(one[name], other[name]) for name in one)
