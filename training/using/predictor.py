"""`Predictor`: load a trained detector, give it an image as a camera delivers it, get boxes and a verdict."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np

from loaders.merging import Found, merge_arrays
from loaders.tiling import Tiling
from radikal_datasets.errors import ModelError, SettingsError
from training.run.arguments import DEFAULT_THRESHOLD
from training.using.delivered import Delivered, Preparation, Prepared
from training.using.prediction import Detector, ModelFacts, Prediction

# Resolved when a model is opened: an ONNX file needs no torch, and a folder no onnxruntime.
_ONNX, _TORCH = ("training.using.onnx_detector", "OnnxDetector"), ("training.using.torch_detector", "TorchDetector")


class Predictor:
    """A trained detector for images as programs have them, by torch or, from an ONNX file, without torch.

    `predictor(image)` returns the `Prediction` of one image, `predictor.batch(images)` those of many, in order.
    Images are decoded, split into tiles, resized and normalized as in the training of the model. Not for several
    threads at a time.

    Args:
        path_or_repo: output folder of a run, its best/, another saved folder, a repository of the configured Hub, or an
            ONNX file that export-model wrote.
        device: "cpu", "cuda" or another device; None: a GPU if torch has one, and the CPU for an ONNX file.
        threshold: least score of a detection; None: the operating point stored with the model, or, without one,
            the default of predict.py, and then predictions have no verdict.

    Raises:
        RunNotFoundError: there is no such model.
        ModelError: it can't be opened or is not a detector, or packages that it needs are not installed.
        SettingsError: the threshold is not between 0 and 1.
    """

    def __init__(
        self, path_or_repo: str | os.PathLike[str], *, device: str | None = None, threshold: float | None = None
    ) -> None:
        if threshold is not None and not 0 <= threshold <= 1:
            raise SettingsError(f"threshold is {threshold}; it must be between 0 and 1.")
        self._detector = _opened(os.fspath(path_or_repo), device)
        #: Class names, size, channels, tiles, gray scale and stored operating point of the model.
        self.facts: ModelFacts = self._detector.facts
        self._prepare = Preparation(self.facts)
        stored = self.facts.threshold
        self._judges = threshold is not None or stored is not None
        #: Least score of a detection.
        self.threshold: float = next(one for one in (threshold, stored, DEFAULT_THRESHOLD) if one is not None)

    @property
    def class_names(self) -> list[str]:
        """The class names, in the order of their numbers."""
        return self.facts.class_names

    def __call__(self, image: Delivered, reference: Delivered | None = None) -> Prediction:
        """Return the detections in an image.

        Args:
            image: path; bytes of a file; PIL image; or array (H, W[, C]), RGB, of uint8, uint16 or floats, where
                more than 8 bits are on the gray scale of the model's training images.
            reference: the defect-free template, for a model of pairs.

        Raises:
            ImageFileError: the image cannot be read, or the template is missing or superfluous.
        """
        return self.predictions([self._prepare(image, reference)], 8)[0]

    def batch(
        self,
        images: Iterable[Delivered],
        references: Iterable[Delivered] | None = None,
        *,
        batch_size: int = 8,
    ) -> Iterator[Prediction]:
        """Yield the detections in each of many images, in order, reading as many ahead as fill a batch.

        Args:
            images: as in a call, also endless.
            references: their templates, for a model of pairs; as many as images.
            batch_size: images (or tiles) that the model gets at a time.

        Raises:
            ImageFileError: at an image that cannot be read.
            ValueError: there are fewer or more templates than images.
        """
        if batch_size < 1:
            raise SettingsError(f"batch_size is {batch_size}; it must be at least 1.")
        pairs = zip(images, repeat(None)) if references is None else zip(images, references, strict=True)
        waiting: list[Prepared] = []
        for image, reference in pairs:
            waiting.append(self._prepare(image, reference))
            if sum(len(one.planes) for one in waiting) >= batch_size:
                yield from self.predictions(waiting, batch_size)
                waiting = []
        yield from self.predictions(waiting, batch_size)

    def set_tiles(self, tiles: Tiling | None) -> None:
        """Split images into these tiles, instead of those of the training; None: show entire images."""
        self.facts = replace(self.facts, tiles=tiles)
        self._prepare = Preparation(self.facts)

    def predictions(self, images: list[Prepared], batch_size: int) -> list[Prediction]:
        """Return the detections in images that a `Preparation` for `facts` prepared."""
        planes = [plane for one in images for plane in one.planes]
        sizes = [one.size if window is None else window[2:] for one in images for window in one.windows]
        found: list[Found] = []
        for start in range(0, len(planes), batch_size):
            part = slice(start, start + batch_size)
            found += self._detector.detect(np.stack(planes[part]), sizes[part])
        parts = iter(found)
        return [self._prediction(one, [next(parts) for _ in one.planes]) for one in images]

    def _prediction(self, image: Prepared, parts: list[Found]) -> Prediction:
        if self.facts.tiles is None:
            whole = parts[0]
        else:
            # Detections down to half the threshold may still suppress boxes that a tile's edge cut.
            rows: list[dict[str, Any]] = [
                {
                    "image_id": "",
                    "window": window,
                    "image_size": image.size,
                    **_above(one, self.threshold / 2)._asdict(),
                }
                for window, one in zip(image.windows, parts, strict=True)
            ]
            whole = merge_arrays(rows)[""]
        whole = _above(whole, self.threshold)
        order = np.argsort(-whole.scores, kind="stable")
        labels = whole.labels[order].tolist()
        verdict = None if not self._judges else "bad" if labels else "good"
        names = [self.class_names[label] for label in labels]
        boxes, scores = whole.boxes[order].tolist(), whole.scores[order].tolist()
        height, width = image.size
        return Prediction((width, height), boxes, scores, labels, names, self.threshold, verdict)


def _above(found: Found, threshold: float) -> Found:
    # As Python's floats, like predict.py: float32 would round the threshold.
    keep = found.scores.astype(np.float64) >= threshold
    return Found(found.boxes[keep], found.scores[keep], found.labels[keep])


def _opened(where: str, device: str | None) -> Detector:
    onnx = where.endswith(".onnx")
    module, name = _ONNX if onnx else _TORCH
    try:
        kind = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith(("training", "loaders", "radikal_datasets")):
            raise
        extra = "predict" if onnx else "train"
        raise ModelError(
            f"{where} needs {error.name}, which is not installed: pip install 'radikal-datasets[{extra}]'"
            + ("." if onnx else ", or export the model: an ONNX file needs no torch.")
        ) from error
    return kind(Path(where) if onnx else where, device)
