"""The task `detection`: its model, its batches, its scores."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import datasets
from accelerate import Accelerator
from transformers import PreTrainedModel

from loaders.loader import Loader
from radikal_datasets.errors import SettingsError
from training import models
from training.models.families import family_of
from training.run.checkpoints import load_model
from training.run.data import class_names, eval_loader, train_loader
from training.run.optimization import float32_loss, training_mode
from training.run.settings import Settings
from training.scoring.detections import evaluate, found_and_true
from training.scoring.report import full_report


class DetectionTask:
    """Boxes with classes; see `training.tasks.Task`. The best model has the highest mAP."""

    key: str = "map"

    def __init__(self, settings: Settings, splits: datasets.DatasetDict, accelerator: Accelerator) -> None:
        self._settings, self._splits, self._accelerator = settings, splits, accelerator
        self.class_names = class_names(splits["train"])
        if settings.model_name_or_path:
            model = models.from_checkpoint(settings.model_name_or_path, self.class_names)
        else:
            model = models.build_model(
                settings.model_type,
                self.class_names,
                size=settings.model_size,
                backbone=settings.backbone,
                image_size=settings.canvas,
                num_queries=settings.num_queries,
                num_denoising=settings.num_denoising,
                decoder_layers=settings.decoder_layers,
            )
        if settings.backbone_weights:
            models.load_backbone_weights(model, settings.backbone_weights)
        float32_loss(model)
        training_mode(model, freeze_batch_norms=settings.freeze_batch_norms)  # for the optimizer: what is trained
        self.model: PreTrainedModel = model
        # Which planes there are is settled by looking at the images; mean and deviation follow from it.
        self.loader: Loader = train_loader(splits["train"], settings, accelerator)
        one_mean = self.loader.channels != "rgb"
        self.processor: Any = models.image_processor(
            model.config.model_type, settings.canvas, settings.model_name_or_path, gray=one_mean
        )
        self._norm = models.normalization(self.processor)
        self.loader.mean, self.loader.std = self._norm["mean"], self._norm["std"]
        self.folded: bool = models.fold_if_gray(
            model, self.loader.channels, self._norm, trained=settings.model_name_or_path is not None
        )
        before = getattr(model.config, "radikal_channels", self.loader.channels)
        if "pair" in (before, self.loader.channels) and before != self.loader.channels:
            raise SettingsError(
                f"channels is {settings.channels!r}, {settings.model_name_or_path} was trained with {before!r}: what "
                "its planes mean would change. Give --channels pair for both, or for neither"
            )
        model.config.radikal_channels = self.loader.channels
        family = family_of(model)
        self.world_boxes: bool = family is not None and family.world_boxes

    def eval_loader(self, split: str) -> Loader | None:
        """Batches of a split to be scored; None where there is nothing to score."""
        return eval_loader(self._splits, split, self._settings, self._accelerator, **self._norm)

    def evaluate(self, model: PreTrainedModel, loader: Loader) -> dict[str, Any]:
        """Scores of a model (this one's average, or one that `load` gave), on every rank."""
        return evaluate(model, self.processor, loader, self.class_names, self._accelerator)

    def report(self, model: PreTrainedModel, loader: Loader, folder: Path, threshold: float | None) -> dict[str, Any]:
        """All scores of a split, and pictures of them in `folder`; `scores` are those of `evaluate`.

        On the first rank only; {} elsewhere.

        Args:
            threshold: that validation chose; None where this is validation.
        """
        predictions, truths = found_and_true(model, self.processor, loader, self._accelerator)
        if not self._accelerator.is_main_process:
            return {}
        report = full_report(
            predictions,
            truths,
            self.class_names,
            folder,
            threshold,
            pictures=self._settings.draw_curves,
            deeppcb=self._settings.dataset_name.endswith("deeppcb"),
        )
        scores = report.pop("coco")
        return {**report, "map_50_per_class": scores.pop("map_50_per_class"), "scores": scores}

    def load(self, folder: Path) -> PreTrainedModel:
        """A saved model of this run, on the device."""
        return load_model(folder).to(self._accelerator.device)  # pyright: ignore[reportArgumentType]

    @staticmethod
    def weight(batch: Mapping[str, Any]) -> int:
        """How many boxes the loss of a batch is a mean over."""
        return sum(len(label["class_labels"]) for label in batch["labels"])

    @staticmethod
    def short(scores: dict[str, Any] | None) -> str:
        """The two numbers one looks at first."""
        return "not scored" if scores is None else f"mAP {scores['map']:.3f} mAP50 {scores['map_50']:.3f}"
