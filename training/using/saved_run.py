"""A finished run's output folder, opened: its settings, its best model, and its data's classes checked against both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
from transformers import AutoImageProcessor

from loaders.classification import target_names
from radikal_datasets.errors import ClassNamesError, RunNotFoundError, TrainingDataError
from training.run.checkpoints import load_classifier, load_model
from training.run.data import class_names
from training.run.settings import RUN_SETTINGS, Settings, parse


def checked_classes(settings: Settings, splits: datasets.DatasetDict, split: str, model: Any) -> list[str]:
    """The classes that the model and a split have in common: all.

    Raises:
        TrainingDataError: no such split.
        ClassNamesError: the data's classes are not the model's.
    """
    if split not in splits:
        raise TrainingDataError(f"{settings.dataset_name} has no split {split!r}; it has {', '.join(map(str, splits))}")
    names = class_names(splits[split])
    if settings.task == "classification":
        names = target_names(names, settings.target)
    known = [model.config.id2label[i] for i in range(len(model.config.id2label))]
    if names != known:
        raise ClassNamesError(f"the model's classes are {known}, those of {settings.dataset_name} are {names}")
    return names


def open_run(run: Path, overrides: list[str]) -> tuple[Settings, Any, Any]:
    """Settings, best model and image processor of an output folder.

    Raises:
        RunNotFoundError: the folder does not hold a run, or one without a model yet.
    """
    if not (run / RUN_SETTINGS).is_file():
        raise RunNotFoundError(
            f"{run.absolute()} is not the output_dir of a run: "
            + (f"it has no {RUN_SETTINGS}" if run.is_dir() else "there is no such folder")
        )
    if not (run / "best" / "config.json").is_file():
        raise RunNotFoundError(
            f"{run}: this run has no scored model yet (best/ is missing). The first comes when the run first scores, "
            "after eval_steps steps"
        )
    settings = parse([str(run / RUN_SETTINGS), *overrides])
    best = run / "best"
    if settings.task == "classification":
        return settings, load_classifier(best), AutoImageProcessor.from_pretrained(best)
    return settings, load_model(best), AutoImageProcessor.from_pretrained(best)
