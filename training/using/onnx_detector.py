"""A detector in an ONNX file that export-model wrote, run by onnxruntime: without torch."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from loaders.merging import Found
from loaders.tiling import Tiling
from radikal_datasets.errors import ModelError, RunNotFoundError
from radikal_datasets.gray_scale import GrayScale
from training.using.prediction import ModelFacts


class OnnxDetector:
    """An opened ONNX file; see `prediction.Detector`.

    It is shown images of its canvas's size, so that nothing is left for its own resize to do: onnxruntime's differs
    from torch's by one gray level in some pixels.

    Raises:
        RunNotFoundError: there is no such file.
        ModelError: it cannot be opened, or export-model did not write it.
    """

    def __init__(self, file: Path, device: str | None = None) -> None:
        if not file.is_file():
            raise RunNotFoundError(f"There is no file {file.absolute()}. export-model writes such files.")
        provider = "CUDAExecutionProvider" if (device or "cpu").startswith("cuda") else "CPUExecutionProvider"
        if provider not in onnxruntime.get_available_providers():
            raise ModelError(f"The installed onnxruntime has no {provider}. Omit device, or install onnxruntime-gpu.")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors
        options.intra_op_num_threads = _threads()
        try:
            self._session = onnxruntime.InferenceSession(str(file), options, providers=[provider])
        except Exception as error:  # onnxruntime raises a dozen kinds
            first = str(error).strip().split("\n")[0]
            raise ModelError(f"Cannot open {file} by onnxruntime {onnxruntime.__version__}: {first}") from error
        self.facts = _facts(file, self._session.get_modelmeta().custom_metadata_map, device or "cpu")

    def detect(self, planes: np.ndarray, sizes: Sequence[tuple[int, int]]) -> list[Found]:
        """See `prediction.Detector`."""
        found = self._session.run(None, self._inputs(planes))
        boxes, scores, labels = (np.asarray(one) for one in found)
        height, width = self.facts.canvas
        results = []
        for number, (h, w) in enumerate(sizes):
            limit = np.array([w, h, w, h], np.float32)
            scaled = boxes[number] * (limit / np.array([width, height, width, height], np.float32))
            results.append(Found(np.minimum(scaled, limit), scores[number], labels[number]))
        return results

    def _inputs(self, planes: np.ndarray) -> dict[str, np.ndarray]:
        if self.facts.channels == "pair":
            return {"images": _three(planes[:, 0]), "references": _three(planes[:, 1])}
        return {"images": _three(planes) if planes.ndim == 3 else planes}


def _threads() -> int:
    """Return the number of threads that OMP_NUM_THREADS asks for, as torch does; 0: onnxruntime's choice."""
    text = os.environ.get("OMP_NUM_THREADS", "")
    return int(text) if text.isdigit() else 0


def _three(gray: np.ndarray) -> np.ndarray:
    return np.repeat(gray[..., None], 3, -1)


def _facts(file: Path, about: Mapping[str, str], device: str) -> ModelFacts:
    if "classes" not in about or "image_size" not in about:
        raise ModelError(
            f"{file} has no list of classes in its metadata, so export-model did not write it. Write it by "
            "`radikal-datasets export-model RUN --output FILE.onnx`."
        )
    height, width = json.loads(about["image_size"])
    scale = json.loads(about["gray_scale"]) if "gray_scale" in about else None
    tiles = None
    if "tile_size" in about:
        tall, wide = json.loads(about["tile_size"])
        tiles = Tiling((tall, wide), float(about["tile_overlap"]))
    channels: Any = about.get("channels", "rgb")
    resize: Any = about.get("resize", "exact")  # as in open_model: the default of training
    threshold = float(about["threshold"]) if "threshold" in about else None
    names: list[str] = json.loads(about["classes"])
    gray_scale = GrayScale.parse(scale)
    return ModelFacts(str(file), names, (height, width), channels, resize, gray_scale, tiles, threshold, device)
