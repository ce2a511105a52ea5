"""The tasks a run can train for: the `Task` protocol, and the registry of the tasks that implement it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import datasets
from accelerate import Accelerator
from transformers import PreTrainedModel

from loaders.loader import Loader
from training.run.settings import Settings
from training.tasks.classification import ClassificationTask
from training.tasks.detection import DetectionTask


class Task(Protocol):
    """Interface of a task for the training loop: model, batches and scores.

    Attributes:
        model: with random or pretrained weights, in float32 on the CPU.
        processor: the image processor saved beside the model.
        class_names: class names of the model and of the dataset.
        loader: training batches.
        folded: whether the model takes one channel (`models.fold_gray`).
        world_boxes: see `models.families.Family`.
        key: the score that chooses the best model.
    """

    model: PreTrainedModel
    processor: Any
    class_names: list[str]
    loader: Loader
    folded: bool
    world_boxes: bool
    key: str

    def __init__(self, settings: Settings, splits: datasets.DatasetDict, accelerator: Accelerator) -> None: ...

    def eval_loader(self, split: str) -> Loader | None:
        """Return the batches of a split to be scored; None if it can't be scored."""
        ...

    def evaluate(self, model: PreTrainedModel, loader: Loader) -> dict[str, Any]:
        """Return the scores of a model (the average of this task's, or one returned by `load`), on every rank."""
        ...

    def report(
        self, model: PreTrainedModel, loader: Loader, folder: Path, threshold: float | None, *, chosen_on: str
    ) -> dict[str, Any]:
        """Return all scores of a split, and draw plots of them and a page of images in `folder`.

        `scores` are those of `evaluate`. On the first rank only; {} elsewhere.

        Args:
            threshold: the operating point; None: choose it on this split, which must be validation.
            chosen_on: where the operating point comes from.
        """
        ...

    def load(self, folder: Path) -> PreTrainedModel:
        """Return a saved model of this run, on the device."""
        ...

    def weight(self, batch: Mapping[str, Any]) -> int:
        """Return the number of boxes or images that the loss of a batch is a mean over."""
        ...

    def short(self, scores: dict[str, Any] | None) -> str:
        """Return the main scores as text, for a log line."""
        ...


TASKS: dict[str, type[Task]] = {"detection": DetectionTask, "classification": ClassificationTask}
