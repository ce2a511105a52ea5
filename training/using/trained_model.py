"""Open a trained model from its run, its folder, or the Hub, for predict.py and export.py."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub.errors import HfHubHTTPError
from transformers import AutoImageProcessor, PreTrainedModel

from loaders.tiling import Tiling
from radikal_datasets.errors import HubContentError, ModelError, RunNotFoundError
from radikal_datasets.gray_scale import GrayScale
from radikal_datasets.hub_client.client_errors import chain_of
from radikal_datasets.hub_client.endpoint import hub_name, stay_at_endpoint
from training.models.gray_scale import gray_scale_of
from training.run.checkpoints import load_model
from training.run.settings import RUN_SETTINGS, Settings
from training.using.saved_run import open_run

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class OpenedModel:
    """A detector with its settings, image processor and operating point.

    Attributes:
        where: the name or path as the user gave it.
        settings: settings of its run; None for a model folder or a model from a Hub.
        model: the detector in eval mode, on the CPU.
        processor: its image processor.
        threshold: the operating point stored with it; None if there is none.
    """

    where: str
    settings: Settings | None
    model: PreTrainedModel
    processor: Any
    threshold: float | None

    @property
    def class_names(self) -> list[str]:
        """The class names, in the order of their indices."""
        names: Any = self.model.config.id2label
        return [names[i] for i in range(len(names))]

    @property
    def canvas(self) -> tuple[int, int]:
        """(height, width) in pixels of the model's input.

        Raises:
            ModelError: its image processor does not resize all images to one size.
        """
        size = self.processor.size
        if not self.processor.do_resize or not size.get("height") or not size.get("width"):
            raise ModelError(
                f"The image processor of {self.where} resizes to {dict(size)}. It must resize all images to one height "
                "and width, as saved by training/train.py."
            )
        return int(size["height"]), int(size["width"])

    @property
    def gray_scale(self) -> GrayScale:
        """The scale of gray levels of more than 8 bits; see `models.gray_scale_of`."""
        return gray_scale_of(self.model)

    @property
    def channels(self) -> str:
        """The three input channels: "rgb", "gray" (three times luminance) or "pair" (image, template, difference)."""
        return getattr(self.model.config, "radikal_channels", "rgb")


def open_model(where: str | os.PathLike[str]) -> OpenedModel:
    """Open the best model of a run's output_dir, a `from_pretrained` folder, or a Hub repository.

    Raises:
        RunNotFoundError: there is no such model.
        ModelError: it can't be loaded, or is not a detector.
        HubContentError: the Hub's answer is not safe to use (see `radikal_datasets.hub_client.response_checks`).
    """
    where, folder = str(where), Path(where)
    if (folder / RUN_SETTINGS).is_file():
        settings, model, processor = open_run(folder, [])
        stored = stored_threshold(folder / "metrics.json")
    elif (folder / "config.json").is_file() or (not folder.exists() and _on_hub(where)):
        settings, stored = None, None
        model, processor = _pretrained(where)
    else:
        raise RunNotFoundError(
            f"{folder.absolute()} is not a trained model: "
            + (f"it has neither {RUN_SETTINGS} nor config.json" if folder.is_dir() else "there is no such folder")
            + ". Pass the output_dir of a run, or the folder of a saved model, such as its best/."
        )
    if not hasattr(processor, "post_process_object_detection"):
        raise ModelError(
            f"{where} is a {model.config.model_type}, which does not predict boxes. Only detectors are supported here."
        )
    if stored is None:
        stored = getattr(model.config, "radikal_threshold", None)
    return OpenedModel(where, settings, model, processor, stored)


def _on_hub(where: str) -> bool:
    """Return whether it can be a repository of the configured Hub; a mistyped folder is not sent to huggingface.co."""
    return bool(os.environ.get("HF_ENDPOINT")) and _HUB_NAME.fullmatch(where) is not None


def _pretrained(where: str) -> tuple[PreTrainedModel, Any]:
    stay_at_endpoint()
    try:
        return load_model(where), AutoImageProcessor.from_pretrained(where)
    except (OSError, ValueError, HfHubHTTPError) as error:
        for link in chain_of(error):  # transformers wraps whatever is raised below it
            if isinstance(link, HubContentError):
                raise link from None
        name = where if Path(where).exists() else f"{where} (not a folder, so looked up on {hub_name()})"
        raise ModelError(f"Cannot load {name} as a detector: {' '.join(str(error).split())}") from error


def stored_threshold(metrics: Path) -> float | None:
    """Return the threshold chosen on validation, from a run's metrics.json."""
    if not metrics.is_file():
        return None
    point = json.loads(metrics.read_text(encoding="utf-8")).get("operating_point") or {}
    threshold = point.get("threshold")
    return None if threshold is None else float(threshold)


def trained_resize(opened: OpenedModel) -> str:
    """Return how the images of training were resized."""
    return "exact" if opened.settings is None else opened.settings.resize


def trained_tiles(settings: Settings | None) -> Tiling | None:
    """Return the tiles of training, as predict.py uses them; None: entire images, or no settings."""
    if settings is None or settings.tile_size is None:
        return None
    size = settings.tile_size
    height, width = size if isinstance(size, list) else (size, size)
    return Tiling((height, width), settings.tile_overlap)
