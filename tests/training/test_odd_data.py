"""Odd training sets and checkpoints: a right result, or one message that says what to do. Dense, and a DETR."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from tests.loaders.conftest import encode
from tests.training.conftest import write_hub_folder
from training import train


def plain_row(number: int, boxes: list[list[float]], size: int = 96, **more) -> dict:
    """A gray image with bright rectangles at its boxes."""
    array = np.full((size, size), 30, np.uint8)
    for x0, y0, x1, y1 in boxes:
        array[int(y0) : math.ceil(y1), int(x0) : math.ceil(x1)] = 220
    row = {"image_id": f"odd/{number}", "bytes": encode(array), "width": size, "height": size}
    return {**row, "boxes": boxes, "labels": [0] * len(boxes), **more}


def grid(count: int, size: int) -> list[list[float]]:
    """Boxes of two pixels, all apart."""
    places = [(x, y) for y in range(1, size - 2, 4) for x in range(1, size - 2, 4)]
    return [[float(x), float(y), float(x + 2), float(y + 2)] for x, y in places[:count]]


def both_splits(rows: list[dict]) -> dict[str, list[dict]]:
    """The same images in train and validation, under other names: what matters here is that they can be learned."""
    return {
        name: [{**row, "image_id": f"{row['image_id']}/{name}"} for row in rows] for name in ("train", "validation")
    }


ODD = {
    "one image": [plain_row(0, [[10, 10, 40, 40]])],
    "one class": [plain_row(n, [[10, 10 + n, 40, 40 + n]]) for n in range(5)],
    "no defect": [plain_row(n, []) for n in range(5)],
    "boxes of one pixel": [plain_row(n, [[20 + n, 30, 21 + n, 31], [0, 0, 1, 1], [95, 95, 96, 96]]) for n in range(5)],
    "2,000 boxes": [plain_row(0, grid(2000, 200), 200), plain_row(1, [], 200)],
    "a box nearly as large as the image": [plain_row(n, [[0, 0, 95, 96]]) for n in range(5)],
    "equal boxes": [plain_row(n, [[10, 10, 40, 40]] * 3) for n in range(5)],
}


@pytest.mark.parametrize("family", ["dense", "rt_detr_v2"])
@pytest.mark.parametrize("kind", ODD)
def test_an_odd_set_trains_and_is_scored(tiny_config, tmp_path, capsys, kind, family):
    rows = ODD[kind]
    data = write_hub_folder(tmp_path / "d", both_splits(rows))
    command = [str(tiny_config), "--dataset_name", str(data), "--model_type", family, "--max_train_steps", "3"]
    assert train.main(command) == 0, capsys.readouterr().err
    metrics = json.loads((tmp_path / "run/metrics.json").read_text(encoding="utf-8"))
    assert all(entry["loss"] is not None and math.isfinite(entry["loss"]) for entry in metrics["training"]["history"])
    assert metrics["training"]["skipped_steps"] == 0
    assert (metrics["validation"]["map"] >= 0) == (kind != "no defect")


@pytest.mark.parametrize("size", [(40, 90), (200, 100), (1, 1)])
def test_a_template_of_another_size_is_fitted(tiny_config, tmp_path, capsys, size):
    template = {"bytes": encode(np.full(size, 30, np.uint8)), "path": None}
    rows = [plain_row(n, [[10, 10, 40, 40]], reference=template) for n in range(4)]
    data = write_hub_folder(tmp_path / "d", both_splits(rows))
    command = [str(tiny_config), "--dataset_name", str(data), "--channels", "pair", "--max_train_steps", "2"]
    assert train.main([*command, "--model_type", "dense"]) == 0, capsys.readouterr().err


def test_a_missing_template_is_named(tiny_config, tmp_path, capsys):
    template = {"bytes": encode(np.full((96, 96), 30, np.uint8)), "path": None}
    rows = [plain_row(n, [], reference=None if n == 2 else template) for n in range(4)]
    data = write_hub_folder(tmp_path / "d", both_splits(rows))
    command = [str(tiny_config), "--dataset_name", str(data), "--channels", "pair", "--max_train_steps", "2"]
    assert train.main(command) == 1
    err = capsys.readouterr().err
    assert "'odd/2/train' has no reference" in err and "Traceback" not in err


def test_a_checkpoint_of_another_family_keeps_its_family_and_says_so(tiny_config, tmp_path, capsys):
    assert train.main([str(tiny_config), "--model_type", "dense", "--max_train_steps", "1"]) == 0
    capsys.readouterr()
    more = ["--model_name_or_path", str(tmp_path / "run/best"), "--output_dir", str(tmp_path / "other")]
    assert train.main([str(tiny_config), *more, "--max_train_steps", "1"]) == 0
    out = capsys.readouterr().out
    assert "is a dense_detector: model_type rt_detr_v2 and the other settings of a new model play no part" in out
    # The same family needs no remark.
    more = ["--model_name_or_path", str(tmp_path / "run/best"), "--output_dir", str(tmp_path / "again")]
    assert train.main([str(tiny_config), *more, "--model_type", "dense", "--max_train_steps", "1"]) == 0
    assert "play no part" not in capsys.readouterr().out


@pytest.mark.parametrize("broken", ["not a model", "half a model", "no such folder"])
def test_a_broken_checkpoint_is_one_message(tiny_config, tmp_path, capsys, broken):
    folder = tmp_path / "model"
    if broken != "no such folder":
        folder.mkdir()
        (folder / "config.json").write_text(
            '{"model_type": "dense_detector"' + ("}" if broken == "not a model" else "")
        )
    assert train.main([str(tiny_config), "--model_name_or_path", str(folder), "--max_train_steps", "1"]) == 1
    err = capsys.readouterr().err
    assert "error: model_name_or_path: cannot load" in err and str(folder) in err


def test_flaws_need_one_class(tiny_config, capsys):
    assert train.main([str(tiny_config), "--flaws", "0.5", "--max_train_steps", "1"]) == 1
    assert "flaws is 0.5, but a drawn blob has no class of its own among hole, scratch" in capsys.readouterr().err
