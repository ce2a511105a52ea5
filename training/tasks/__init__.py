"""What a run can learn: the `Task` protocol, and the registry of the tasks that implement it."""

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
    """What the training loop needs of a task: its model, its batches, its scores.

    Attributes:
        model: with random or given weights, in float32 on the CPU.
        processor: its image processor, saved beside it.
        class_names: of the model and of the dataset.
        loader: training batches.
        folded: the model takes one plane (`models.fold_gray`).
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
        """Return the batches of a split to be scored; None where there is nothing to score."""
        ...

    def evaluate(self, model: PreTrainedModel, loader: Loader) -> dict[str, Any]:
        """Return the scores of a model (this one's average, or one that `load` gave), on every rank."""
        ...

    def report(self, model: PreTrainedModel, loader: Loader, folder: Path, threshold: float | None) -> dict[str, Any]:
        """Return all scores of a split, and draw plots of them in `folder`; `scores` are those of `evaluate`.

        On the first rank only; {} elsewhere.

        Args:
            threshold: chosen on validation; None where this is validation.
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
