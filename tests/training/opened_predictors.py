"""Models of all kinds that a `Predictor` opens, in torch and as ONNX files, with images like their training's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from radikal_datasets.gray_scale import GrayScale
from tests.training.saved_runs import drawn, write_run
from training.export import _write, metadata
from training.run.checkpoints import save_model
from training.using.onnx_module import ExportedDetector
from training.using.predictor import Predictor
from training.using.trained_model import OpenedModel, open_model

THRESHOLD = 0.3
#: name -> (family, channels, bits of the training images, edges of its tiles)
KINDS: dict[str, tuple[str, str, int, list[int] | None]] = {
    "rt_detr": ("rt_detr_v2", "rgb", 8, None),
    "rt_detr-12-bits": ("rt_detr_v2", "gray", 12, None),
    "rt_detr-tiles": ("rt_detr_v2", "rgb", 8, [70, 90]),
    "rt_detr-pairs": ("rt_detr_v2", "pair", 8, None),
    "dense": ("dense", "rgb", 8, None),
    "dense-16-bits-tiles": ("dense", "gray", 16, [70, 90]),
    "dense-pairs-tiles": ("dense", "pair", 8, [70, 90]),
}


class Exports:
    """Writer of ONNX files. Runs that differ only in their metadata share one graph, which is slow to trace."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, bool], tuple[Path, dict[str, torch.Tensor]]] = {}

    def write(self, opened: OpenedModel, file: Path) -> None:
        key = opened.model.config.model_type, opened.channels == "pair"
        if key not in self.known:
            _write(ExportedDetector(opened).eval(), opened, file, None)
            self.known[key] = file, opened.model.state_dict()
            return
        written, weights = self.known[key]
        own = opened.model.state_dict()
        assert own.keys() == weights.keys() and all(torch.equal(own[name], weights[name]) for name in own)
        model = onnx.load(written)
        onnx.helper.set_model_props(model, metadata(opened))
        onnx.save(model, file)


class Made:
    """A run, its ONNX file, and predictors of both."""

    def __init__(self, folder: Path, kind: str, exports: Exports) -> None:
        family, self.channels, self.bits, tile_size = KINDS[kind]
        self.run, self.file = folder / "run", folder / "model.onnx"
        write_run(self.run, model_type=family, channels=self.channels, threshold=THRESHOLD, tile_size=tile_size)
        opened = open_model(self.run)
        if self.bits > 8 or family == "dense":
            if self.bits > 8:
                opened.model.config.radikal_gray_scale = GrayScale.of_bits(self.bits).to_list()
            if family == "dense":  # the order of its scores decides which duplicates remain: they must not be tied
                head: Any = opened.model.get_submodule("class_head")
                head.weight.data *= 3000
                head.bias.data.fill_(-2)
            save_model(opened.model, opened.processor, self.run / "best")
            opened = open_model(self.run)
        exports.write(opened, self.file)
        self.torch, self.onnx = Predictor(self.run), Predictor(self.file)

    def image(self, seed: int, size: tuple[int, int]) -> np.ndarray:
        """Of the bit depth and colors of the training images."""
        image = drawn(seed, size, color=self.channels == "rgb")
        if self.bits == 8:
            return image
        noise = np.random.default_rng(seed).integers(0, 1 << (self.bits - 8), size)
        return ((image[..., 0].astype(np.uint16) << (self.bits - 8)) + noise).astype(np.uint16)

    def template(self, image: np.ndarray, seed: int) -> np.ndarray | None:
        return drawn(seed + 1, image.shape[:2], color=False) if self.channels == "pair" else None
