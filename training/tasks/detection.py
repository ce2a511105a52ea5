"""The task `detection`: its model, batches and scores."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import datasets
from accelerate import Accelerator
from transformers import PreTrainedModel

from loaders.loader import Loader
from radikal_datasets.errors import SettingsError, TrainingDataError
from radikal_datasets.loading.origin import source_of_set
from radikal_datasets.schema import IMAGE_LEVEL_REASON, is_image_level
from training import models
from training.models.families import FAMILIES, family_of
from training.run.checkpoints import load_model
from training.run.data import class_names, eval_loader, train_loader
from training.run.optimization import float32_loss, training_mode
from training.run.settings import Settings
from training.scoring.detections import evaluate, predictions_and_ground_truth
from training.scoring.prediction_page import write_split_page
from training.scoring.report import PUBLISHER_SCORES, full_report
from training.scoring.worst_cases import write_worst_detections


class DetectionTask:
    """Boxes with classes; see `training.tasks.Task`. The best model has the highest mAP."""

    key: str = "map"

    def __init__(self, settings: Settings, splits: datasets.DatasetDict, accelerator: Accelerator) -> None:
        self._settings, self._splits, self._accelerator = settings, splits, accelerator
        self.class_names = class_names(splits["train"])
        if is_image_level(splits):
            raise TrainingDataError(
                f"{settings.dataset_name}: {IMAGE_LEVEL_REASON} To train a classifier: --task classification"
            )
        self._publisher_scores = _publisher_scores(settings.dataset_name)
        if settings.model_name_or_path:
            model = models.from_checkpoint(settings.model_name_or_path, self.class_names)
            if family_of(model) is not FAMILIES.get(settings.model_type):
                accelerator.print(
                    f"{settings.model_name_or_path} is a {model.config.model_type}: model_type {settings.model_type} "
                    "and the other settings of a new model play no part."
                )
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
                feature_strides=settings.feature_strides,
            )
        if settings.backbone_weights:
            models.load_backbone_weights(model, settings.backbone_weights)
        float32_loss(model)
        training_mode(model, freeze_batch_norms=settings.freeze_batch_norms)  # decides what the optimizer trains
        self.model: PreTrainedModel = model
        # The loader looks at the images to determine their channels; mean and standard deviation depend on those.
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
                f"channels is {settings.channels!r}, but {settings.model_name_or_path} was trained with {before!r}, so "
                "the meaning of its input channels would change. Use --channels pair for both, or for neither."
            )
        model.config.radikal_channels = self.loader.channels
        models.keep_gray_scale(model, self.loader.gray_scale)
        family = family_of(model)
        self.world_boxes: bool = family is not None and family.world_boxes

    def eval_loader(self, split: str) -> Loader | None:
        """Return the batches of a split to be scored; None if it can't be scored."""
        return eval_loader(
            self._splits, split, self._settings, self._accelerator, gray_scale=self.loader.gray_scale, **self._norm
        )

    def evaluate(self, model: PreTrainedModel, loader: Loader) -> dict[str, Any]:
        """Score a model (the average of this task's, or one returned by `load`), on every rank."""
        return evaluate(model, self.processor, loader, self.class_names, self._accelerator)

    def report(
        self, model: PreTrainedModel, loader: Loader, folder: Path, threshold: float | None, *, chosen_on: str
    ) -> dict[str, Any]:
        """Return all scores of a split, and draw plots of them and pages of predictions in `folder`.

        `scores` are those of `evaluate`. On the first rank only; {} elsewhere.

        Args:
            threshold: the operating point; None: choose it on this split, which must be validation.
            chosen_on: where the operating point comes from.
        """
        found = predictions_and_ground_truth(model, self.processor, loader, self._accelerator)
        _, predictions, ground_truth = found
        if not self._accelerator.is_main_process:
            return {}
        report = full_report(
            predictions,
            ground_truth,
            self.class_names,
            folder,
            threshold,
            chosen_on=chosen_on,
            pictures=self._settings.draw_curves,
            publisher_scores=self._publisher_scores,
        )
        scores, point = report.pop("coco"), report["operating_point"]
        write_split_page(
            folder,
            folder.name,
            loader.dataset,
            found,
            self.class_names,
            point["threshold"],
            chosen_on if threshold is not None else "these images (highest F1)",
            loader.gray_scale,
        )
        write_worst_detections(folder, loader.dataset, found, self.class_names, point["threshold"], loader.gray_scale)
        return {**report, "map_50_per_class": scores.pop("map_50_per_class"), "scores": scores}

    def load(self, folder: Path) -> PreTrainedModel:
        """Load a saved model of this run onto the device."""
        return load_model(folder).to(self._accelerator.device)  # pyright: ignore[reportArgumentType]

    @staticmethod
    def weight(batch: Mapping[str, Any]) -> int:
        """Return the number of boxes that the loss of a batch is averaged over."""
        return sum(len(label["class_labels"]) for label in batch["labels"])

    @staticmethod
    def short(scores: dict[str, Any] | None) -> str:
        """Return the two most important scores as one line."""
        return "not scored" if scores is None else f"mAP {scores['map']:.3f} mAP50 {scores['map_50']:.3f}"


def _publisher_scores(dataset_name: str) -> tuple[str, ...]:
    """Return which scores of `PUBLISHER_SCORES` the source of a dataset asks for."""
    source = source_of_set(dataset_name)
    asked = () if source is None else source.publisher_scores
    if source is not None and (unknown := [key for key in asked if key not in PUBLISHER_SCORES]):
        raise TrainingDataError(
            f"{source.name} asks for the publisher_scores {', '.join(unknown)}, which do not exist. There are: "
            f"{', '.join(PUBLISHER_SCORES)}."
        )
    return asked
