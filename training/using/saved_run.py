"""Open the output folder of a run: its settings and best model, with the data's classes checked against the model."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import datasets
from transformers import AutoImageProcessor

from loaders.classification import target_names
from radikal_datasets.errors import ClassNamesError, RunNotFoundError, TrainingDataError
from training.run.checkpoints import load_classifier, load_model
from training.run.data import class_names
from training.run.settings import RUN_SETTINGS, Settings, command_line, parse, read_yaml


def checked_classes(settings: Settings, splits: datasets.DatasetDict, split: str, model: Any) -> list[str]:
    """Return the class names of a split, after checking that they are the model's.

    Raises:
        TrainingDataError: there is no such split.
        ClassNamesError: its classes differ from the model's.
    """
    if split not in splits:
        raise TrainingDataError(
            f"{settings.dataset_name} has no split {split!r}. It has {', '.join(map(str, splits))}."
        )
    names = class_names(splits[split])
    if settings.task == "classification":
        names = target_names(names, settings.target)
    known = [model.config.id2label[i] for i in range(len(model.config.id2label))]
    if names != known:
        raise ClassNamesError(
            f"The model's classes are {known}, but those of {settings.dataset_name} are {names}. Use the dataset the "
            "model was trained on, or one with the same classes in the same order."
        )
    return names


def open_run(run: Path, overrides: list[str]) -> tuple[Settings, Any, Any]:
    """Open an output folder and return its settings, best model and image processor.

    Another `--dataset_name` without a `--data_dir` replaces both: the run's `data_dir` lies in the run's own dataset.

    Raises:
        RunNotFoundError: the folder holds no run, or a run without a model so far.
    """
    if not (run / RUN_SETTINGS).is_file():
        raise RunNotFoundError(
            f"{run.absolute()} is not the output_dir of a run: "
            + (f"it has no {RUN_SETTINGS}." if run.is_dir() else "there is no such folder.")
        )
    if not (run / "best" / "config.json").is_file():
        raise RunNotFoundError(
            f"{run}: this run has no scored model yet (best/ is missing). The first one is saved at the first "
            "evaluation, after eval_steps steps."
        )
    settings = parse([str(run / RUN_SETTINGS), *overrides])
    given = command_line(overrides)
    if "data_dir" not in given and settings.dataset_name != read_yaml(run / RUN_SETTINGS)["dataset_name"]:
        settings = dataclasses.replace(settings, data_dir=None)
    best = run / "best"
    if settings.task == "classification":
        return settings, load_classifier(best), AutoImageProcessor.from_pretrained(best)
    return settings, load_model(best), AutoImageProcessor.from_pretrained(best)
