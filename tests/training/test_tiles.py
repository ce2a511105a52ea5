"""Training and scoring on tiles: scores are computed on entire images."""

from __future__ import annotations

import types

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from transformers import RTDetrImageProcessor

from loaders import DetectionLoader, Tiling
from tests.loaders.conftest import drawn_row, encode, make_split
from tests.training.complete_runs import metrics_of
from training import score, train
from training.scoring.detections import evaluate

SIZE = (96, 320)


def strip(index: int) -> dict:
    """A dark strip with one bright rectangle, of class 0, anywhere."""
    rng = np.random.default_rng(index)
    w, h = int(rng.integers(12, 30)), int(rng.integers(12, 30))
    x, y = int(rng.integers(0, SIZE[1] - w)), int(rng.integers(0, SIZE[0] - h))
    array = np.full(SIZE, 20, np.uint8)
    array[y : y + h, x : x + w] = 235
    return drawn_row(
        index, bytes=encode(array), width=SIZE[1], height=SIZE[0], boxes=[[x, y, x + w, y + h]], labels=[0]
    )


class BrightSpotFinder(torch.nn.Module):
    """A detector that needs no training: one query, around what is bright; none if nothing is."""

    def forward(self, pixel_values: torch.Tensor) -> types.SimpleNamespace:
        height, width = pixel_values.shape[-2:]
        logits, boxes = torch.full((len(pixel_values), 1, 2), -9.0), torch.zeros(len(pixel_values), 1, 4)
        for number, image in enumerate(pixel_values):
            ys, xs = (image[0] > 0).nonzero(as_tuple=True)
            if len(ys):
                x0, y0, x1, y1 = xs.min() / width, ys.min() / height, (xs.max() + 1) / width, (ys.max() + 1) / height
                logits[number, 0, 0] = 9
                boxes[number, 0] = torch.stack([(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0])
        return types.SimpleNamespace(logits=logits, pred_boxes=boxes)


@pytest.mark.parametrize("scale", [1, 2])
def test_a_perfect_detector_of_tiles_scores_perfectly_on_images(scale):
    """Also if tiles are resized for the model."""
    split = make_split([strip(i) for i in range(12)])
    tiles = Tiling(96, 0.35)
    loader = DetectionLoader(split, 5, 96 * scale, tiles=tiles, shuffle=False, resize="exact")
    accelerator = Accelerator(cpu=True)
    processor = RTDetrImageProcessor()
    scores = evaluate(BrightSpotFinder(), processor, loader, ["hole", "scratch"], accelerator)  # type: ignore[arg-type]
    assert scores["map_50"] == 1.0 and scores["map"] > (0.99 if scale == 1 else 0.8)


def test_a_run_on_tiles(tiny_config, tmp_path, capsys):
    settings = [
        "--tile_size",
        "48",
        "--empty_tiles",
        "0.5",
        "--max_train_steps",
        "3",
        "--mosaic",
        "0.5",
        "--turn",
        "0.5",
    ]
    assert train.main([str(tiny_config), *settings]) == 0
    metrics = metrics_of(tmp_path / "run")
    assert metrics["config"]["tile_size"] == 48 and 0 <= metrics["test"]["map"] <= 1
    capsys.readouterr()
    assert score.main([str(tmp_path / "run"), "--split", "test"]) == 0
    assert train.main([str(tiny_config), "--tile_size", "[48, 48, 48]", "--output_dir", str(tmp_path / "other")]) == 1
    assert "tile_size is [48, 48, 48]" in capsys.readouterr().err
    assert train.main([str(tiny_config), "--turn", "1.5", "--output_dir", str(tmp_path / "other")]) == 1
    assert "turn is 1.5, but must be a probability from 0 to 1" in capsys.readouterr().err
