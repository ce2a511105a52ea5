"""Run folders as training writes them, with untrained detectors whose scores are spread over 0..1."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from PIL import Image

from training import models
from training.models import building
from training.run.checkpoints import save_model
from training.run.settings import RUN_SETTINGS, Settings, save

NAMES = ["hole", "scratch", "dent"]
SIZE = (64, 96)


def untrained(model_type: str, backbone: str = "test_resnet", *, seed: int = 0) -> Any:
    """A small detector with scores spread over 0..1: nearly equal ones would be reordered by any rounding."""
    torch.manual_seed(seed)
    options: dict[str, Any] = {"decoder_layers": 2, "num_queries": 12}
    # transformers' own initialization, apart from the neck's norms: the scores below were chosen for it.
    with patch.object(building, "initialize", _open_norms):
        model: Any = models.build_model(model_type, NAMES, size="nano", backbone=backbone, image_size=SIZE, **options)
    for name, module in model.named_modules():
        last = name.rpartition(".")[2]
        if isinstance(module, torch.nn.Linear) and module.out_features in (len(NAMES), len(NAMES) + 1):
            torch.nn.init.normal_(module.weight, std=0.2)
            torch.nn.init.zeros_(module.bias)
        elif isinstance(module, torch.nn.Linear) and last != "sampling_offsets" and "bbox" in name:
            torch.nn.init.normal_(module.weight, std=0.3)
    return model.eval()


def _open_norms(model: Any) -> None:
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.BatchNorm2d) and ".backbone." not in f".{name}":
            torch.nn.init.ones_(module.weight)


def write_run(
    folder: Path,
    *,
    model_type: str = "rt_detr_v2",
    channels: str = "rgb",
    threshold: float | None = None,
    **settings: Any,
) -> Path:
    """`folder` with best/, train_config.yaml and metrics.json in it."""
    model = untrained(model_type)
    model.config.radikal_channels = channels
    folder.mkdir(parents=True, exist_ok=True)
    save_model(model, models.image_processor(model.config.model_type, SIZE), folder / "best")
    given = {"dataset_name": "radikal_datasets/neu_det", "image_size": list(SIZE), "model_type": model_type, **settings}
    save(Settings(**given), folder / RUN_SETTINGS)
    scores = {"map": 0.5, "map_50": 0.8, "map_75": 0.4, "mar_100": 0.6, "map_per_class": dict.fromkeys(NAMES, 0.5)}
    point = {"parts": 40, "misses_per_100_parts": 7.5, "false_calls_per_100_parts": 2.5}
    metrics = {
        "validation": scores,
        "test": {**scores, "map": 0.456, "map_per_class": {**scores["map_per_class"], "dent": 0.01}},
        **({} if threshold is None else {"operating_point": {"threshold": threshold, "test": point}}),
        "config": {"device": "cpu", "precision": "no"},
        "training": {"steps": 60, "seconds": 120.0, "processes": 1},
    }
    (folder / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    return folder


def drawn(seed: int, size: tuple[int, int] = (100, 140), *, color: bool = True) -> np.ndarray:
    """uint8 (height, width, 3): a soft gradient with rectangles on it; gray with three equal planes if not `color`."""
    rng = np.random.default_rng(seed)
    height, width = size
    image = np.linspace(30, 180, width)[None, :, None] + np.linspace(0, 50, height)[:, None, None] + np.zeros(3)
    for _ in range(4):
        y, x = int(rng.integers(0, height - 20)), int(rng.integers(0, width - 20))
        image[y : y + 16, x : x + 18] = rng.integers(0, 256, 3 if color else 1)
    return image.clip(0, 255).astype(np.uint8)


def write_images(folder: Path, count: int = 3) -> Path:
    """`folder` with PNG files 0.png, 1.png, ... of different sizes."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        Image.fromarray(drawn(i, (90 + 10 * i, 150 - 12 * i))).save(folder / f"{i}.png")
    return folder
