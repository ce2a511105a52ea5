"""The task `classification`: its model, batches and scores."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, roc_auc_score
from transformers import PreTrainedModel

from loaders.loader import Loader
from radikal_datasets.errors import SettingsError
from training import models
from training.models.classifiers import (
    build_classifier,
    classifier_from_checkpoint,
    classifier_normalization,
    classifier_processor,
)
from training.models.inputs import model_inputs
from training.run.checkpoints import load_classifier
from training.run.data import eval_loader, train_loader
from training.run.settings import Settings
from training.scoring.class_page import write_class_page
from training.scoring.image_scores import best_image_threshold, image_scores
from training.scoring.plots import draw_image_roc
from training.scoring.worst_cases import write_worst_classified


class ClassificationTask:
    """One class per image; see `training.tasks.Task`. `scores_of` says which score chooses the best model."""

    key: str = "score"
    world_boxes: bool = False

    def __init__(self, settings: Settings, splits: datasets.DatasetDict, accelerator: Accelerator) -> None:
        if settings.tile_size is not None:
            raise SettingsError(
                "tile_size only works with --task detection: a classifier predicts one class for the entire image. "
                "Remove tile_size, or train a detector."
            )
        self._settings, self._splits, self._accelerator = settings, splits, accelerator
        loader: Any = train_loader(splits["train"], settings, accelerator, target=settings.target)
        self.loader: Loader = loader
        self.class_names: list[str] = loader.class_names
        one_mean = self.loader.channels != "rgb"
        if settings.model_name_or_path:
            model = classifier_from_checkpoint(
                settings.model_name_or_path, self.class_names, image_size=settings.canvas
            )
        else:
            model = build_classifier(
                self.class_names,
                size=settings.model_size,
                backbone=settings.backbone,
                image_size=settings.canvas,
                one_mean=one_mean,
            )
        if settings.backbone_weights:
            models.load_backbone_weights(model, settings.backbone_weights)
        self.processor: Any = classifier_processor(model)
        self._norm = classifier_normalization(model)
        self.loader.mean, self.loader.std = self._norm["mean"], self._norm["std"]
        self.folded: bool = models.fold_if_gray(
            model, self.loader.channels, self._norm, trained=settings.model_name_or_path is not None
        )
        model.config.radikal_channels = self.loader.channels
        models.keep_gray_scale(model, self.loader.gray_scale)
        self.model: PreTrainedModel = model

    def eval_loader(self, split: str) -> Loader | None:
        """Return the batches of a split to be scored; None if it can't be scored."""
        return eval_loader(
            self._splits,
            split,
            self._settings,
            self._accelerator,
            target=self._settings.target,
            gray_scale=self.loader.gray_scale,
            **self._norm,
        )

    def evaluate(self, model: PreTrainedModel, loader: Loader) -> dict[str, Any]:
        """Score a model (the average of this task's, or one returned by `load`), on every rank."""
        return scores_of(predict_classes(model, loader, self._accelerator), self._settings.target)

    def report(
        self, model: PreTrainedModel, loader: Loader, folder: Path, threshold: float | None, *, chosen_on: str
    ) -> dict[str, Any]:
        """Return all scores of a split, with a curve and a page of errors in `folder`; see `Task.report`."""
        predictions = predict_classes(model, loader, self._accelerator)
        if not self._accelerator.is_main_process:
            return {}
        defect_scores = np.array([1 - probabilities[0] for _, _, probabilities in predictions])
        defective = np.array([label > 0 for _, label, _ in predictions])
        origin = "these images" if threshold is None else chosen_on
        if threshold is None:
            threshold = best_image_threshold(defect_scores, defective)
        if self._settings.draw_curves and 0 < defective.sum() < len(defective):
            folder.mkdir(parents=True, exist_ok=True)
            title = f"Good or defective, {len(defective)} images"
            draw_image_roc(defect_scores, defective, folder / "image_roc.png", title, threshold)
        write_class_page(folder, folder.name, loader.dataset, predictions, self.class_names, loader.gray_scale)
        write_worst_classified(folder, loader.dataset, predictions, self.class_names, threshold, loader.gray_scale)
        return {
            "scores": scores_of(predictions, self._settings.target),
            "operating_point": {
                "threshold": threshold,
                "threshold_chosen_on": origin,
                **counts_of_parts(defect_scores, defective, threshold),
            },
            "image_level": image_scores(defect_scores, defective, threshold),
            "confusion_matrix": {"classes": self.class_names, "counts": _confusion(predictions, self.class_names)},
        }

    def load(self, folder: Path) -> PreTrainedModel:
        """Load a saved model of this run onto the device."""
        return load_classifier(folder).to(self._accelerator.device)  # pyright: ignore[reportArgumentType]

    @staticmethod
    def weight(batch: Mapping[str, Any]) -> int:
        """Return the number of images that the loss of a batch is averaged over."""
        return len(batch["image_id"])

    @staticmethod
    def short(scores: dict[str, Any] | None) -> str:
        """Return the most important scores as one line."""
        if scores is None:
            return "not scored"
        return f"accuracy {scores['accuracy']:.3f} F1 {scores['f1']:.3f} AUROC {scores['auroc']:.3f}"


def scores_of(predictions: list[tuple[str, int, list[float]]], target: str) -> dict[str, Any]:
    """Score the output of `predict_classes`; fractions, -1 where undefined.

    `accuracy`; `f1`, of the images with a defect (target defect) or the mean over the classes that occur (target
    class); `auroc`, of separating images with a defect from those without; `images`; and `score`, which chooses the
    best model: `auroc` for target defect where it is defined, else `f1`.
    """
    ground_truth = np.array([label for _, label, _ in predictions])
    probabilities = np.array([row for _, _, row in predictions]).reshape(len(ground_truth), -1)
    predicted, defective = probabilities.argmax(1), ground_truth > 0
    binary = target == "defect"
    average = "binary" if binary else "macro"
    f1 = float(f1_score(ground_truth, predicted, average=average, zero_division=0))  # pyright: ignore
    both = 0 < defective.sum() < len(ground_truth)
    auroc = float(roc_auc_score(defective, 1 - probabilities[:, 0])) if both else -1.0
    return {
        "score": auroc if binary and both else f1,
        "accuracy": float(accuracy_score(ground_truth, predicted)),
        "f1": f1,
        "auroc": auroc,
        "images": len(ground_truth),
    }


def counts_of_parts(scores: np.ndarray, defective: np.ndarray, threshold: float) -> dict[str, int]:
    """Return the counts of parts that `operating_point.Inspection` has for a detector.

    Args:
        scores: (I,), higher if a defect is more likely; images with at least `threshold` are rejected.
        defective: (I,) bool.
    """
    rejected = scores >= threshold
    return {
        "parts": len(defective),
        "bad_parts": int(defective.sum()),
        "bad_parts_passed": int((defective & ~rejected).sum()),
        "good_parts_called": int((~defective & rejected).sum()),
    }


def _confusion(predictions: list[tuple[str, int, list[float]]], class_names: list[str]) -> list[list[int]]:
    """Return counts, rows true and columns predicted classes: those with the highest probability."""
    pairs = [(true, int(np.argmax(row))) for _, true, row in predictions]
    return confusion_matrix(*zip(*pairs, strict=True), labels=range(len(class_names))).tolist() if pairs else []


@torch.no_grad()
def predict_classes(model: Any, loader: Any, accelerator: Accelerator) -> list[tuple[str, int, list[float]]]:
    """Return (image_id, true class, probability of each class) of all ranks' images, sorted by id, on every rank."""
    model.eval()
    predictions = []
    for batch in loader:
        with accelerator.autocast():
            logits = model(**model_inputs(batch, folded=models.is_folded(model))).logits
        probabilities = logits.float().softmax(1).tolist()
        rows = zip(batch["image_id"], batch["labels"].tolist(), probabilities, batch["repeated"].tolist(), strict=True)
        predictions += [(image_id, label, row) for image_id, label, row, repeated in rows if not repeated]
    loader.set_epoch(0)
    return sorted(gather_object(predictions) if accelerator.num_processes > 1 else predictions)
