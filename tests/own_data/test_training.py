"""Two training steps on a folder of own images, by its path."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.training.conftest import TINY
from training import train

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("format_", ["coco", "yolo"])
def test_a_folder_is_trained_on(format_: str, own_tree: Callable[..., Path], tmp_path: Path) -> None:
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(f"output_dir: {tmp_path / 'run'}\n{TINY}", encoding="utf-8")
    arguments = [str(recipe), "--dataset_name", str(own_tree(format_)), "--max_train_steps", "2"]
    assert train.main(arguments) == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["training"]["steps"] == 2 and metrics["validation"] and metrics["test"]
    classes = json.loads((tmp_path / "run" / "best" / "config.json").read_text(encoding="utf-8"))["id2label"]
    assert sorted(classes.values()) == ["Fleck", "Haarriß", "Kratzer tief"]
