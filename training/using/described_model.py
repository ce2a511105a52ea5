"""What the card of a model describes: the model, its run, and the datasets it was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from radikal_datasets.hub_client.endpoint import DEFAULT_NAMESPACE
from radikal_datasets.prepared.manifest import source_in
from radikal_datasets.source import Source
from radikal_datasets.sources import is_source, source_info
from training.run.settings import Settings, without_folders
from training.using.trained_model import OpenedModel

SCORES = {"map": "AP", "map_50": "AP50", "map_75": "AP75", "mar_100": "AR100"}


@dataclass(frozen=True)
class TrainingSet:
    """A dataset the model was trained on: name, configuration, and source (None for a user's own images)."""

    name: str
    config: str | None
    source: Source | None


@dataclass(frozen=True)
class TrainedModel:
    """The model that a card describes.

    Attributes:
        opened: the model of a run.
        settings: settings of the run.
        metrics: content of its metrics.json; empty if the run has not finished.
    """

    opened: OpenedModel
    settings: Settings
    metrics: Mapping[str, Any]

    @cached_property
    def sets(self) -> list[TrainingSet]:
        """The datasets it was trained on, in the order of the settings."""
        sets = [_training_set(self.settings.dataset_name, self.settings.dataset_config_name)]
        for other in self.settings.combine_with or []:
            known = other if isinstance(other, Mapping) else {"path": other}
            sets.append(_training_set(str(known.get("path")), known.get("name")))
        return sets

    @property
    def sources(self) -> list[Source]:
        """The sources of these datasets, without repetition."""
        return list({one.source.name: one.source for one in self.sets if one.source is not None}.values())


def _training_set(path: str, config: str | None) -> TrainingSet:
    name = path.rpartition("/")[2]
    source = source_in(path) if Path(path).is_dir() else source_info(name) if is_source(name) else None
    shown = path if path.startswith(f"{DEFAULT_NAMESPACE}/") else without_folders(path)
    return TrainingSet(shown, config, source)


def coco_scores(part: Any) -> dict[str, Any]:
    """Return the COCO scores of one split, from metrics.json."""
    if not isinstance(part, Mapping):
        return {}
    inner = part.get("coco")
    return dict(inner if isinstance(inner, Mapping) else part)
