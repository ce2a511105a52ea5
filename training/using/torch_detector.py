"""A detector in a run's folder, a saved folder or on a Hub, run by torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers.utils import logging as transformers_logging

from loaders.merging import Found
from loaders.normalization import normalize
from training import models
from training.models.inputs import model_inputs
from training.run.settings import RUN_SETTINGS
from training.using.prediction import ModelFacts
from training.using.trained_model import open_model, trained_resize, trained_tiles


@contextmanager
def _without_bar() -> Iterator[None]:
    """Keep transformers from drawing a progress bar for a load of milliseconds."""
    before = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if before:
            transformers_logging.enable_progress_bar()


class TorchDetector:
    """An opened model; see `prediction.Detector`. The best/ of a run counts as the run, whose settings are beside it.

    Raises:
        RunNotFoundError, ModelError, HubContentError: see `trained_model.open_model`.
    """

    def __init__(self, where: str, device: str | None = None) -> None:
        folder = Path(where)
        of_run = folder.name == "best" and (folder.parent / RUN_SETTINGS).is_file()
        with _without_bar():
            opened = open_model(folder.parent if of_run else where)
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._device, self._opened = torch.device(device), opened
        self._model: Any = opened.model.to(self._device).eval()  # pyright: ignore[reportArgumentType]
        self._folded = models.is_folded(opened.model)
        self._norm = models.normalization(opened.processor)
        channels: Any = opened.channels
        resize: Any = trained_resize(opened)
        self.facts = ModelFacts(
            where,
            opened.class_names,
            opened.canvas,
            channels,
            resize,
            models.stored_gray_scale(opened.model),
            trained_tiles(opened.settings),
            opened.threshold,
            str(self._device),
        )

    @torch.no_grad()
    def detect(self, planes: np.ndarray, sizes: Sequence[tuple[int, int]]) -> list[Found]:
        """See `prediction.Detector`."""
        images = torch.from_numpy(planes).to(self._device)
        images = images[:, None] if images.ndim == 3 else images
        images = images.permute(0, 3, 1, 2) if self.facts.channels == "rgb" else images
        values = normalize(images, **self._norm)
        outputs = self._model(**model_inputs({"pixel_values": values}, folded=self._folded))
        outputs.logits, outputs.pred_boxes = outputs.logits.float(), outputs.pred_boxes.float()
        limits = torch.tensor(sizes, dtype=torch.float32, device=self._device)
        results = self._opened.processor.post_process_object_detection(outputs, threshold=0.0, target_sizes=limits)
        found = []
        for (height, width), one in zip(sizes, results, strict=True):
            limit = np.array([width, height, width, height], np.float32)
            boxes = np.minimum(np.maximum(one["boxes"].cpu().numpy(), 0), limit)
            found.append(Found(boxes, one["scores"].cpu().numpy(), one["labels"].cpu().numpy()))
        return found
