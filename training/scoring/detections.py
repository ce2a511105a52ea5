"""Detections of a model on a split, and their COCO scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from transformers import PreTrainedModel

from loaders import merge_tiles
from loaders.loader import Loader
from training.models import is_folded
from training.models.inputs import model_inputs
from training.scoring.detection_map.detection_map import evaluate_coco, scores_of


def evaluate(
    model: PreTrainedModel, processor: Any, loader: Loader, class_names: list[str], accelerator: Accelerator
) -> dict[str, Any]:
    """Compute the COCO scores of `model` on the images of `loader` over all ranks, each image counted once.

    Returns:
        The result of `detection_map`, the same on every rank.
    """
    _, predictions, targets = predictions_and_ground_truth(model, processor, loader, accelerator)
    return coco_scores(predictions, targets, class_names)


def coco_scores(
    predictions: list[dict[str, Any]], targets: list[dict[str, Any]], class_names: list[str]
) -> dict[str, Any]:
    """Return the result of `detection_map` for predictions that were already made."""
    # The `evaluate` module would first write all boxes into an Arrow table, which takes longer than scoring them.
    return scores_of(evaluate_coco(predictions, targets, class_names), class_names)


@torch.no_grad()
def predictions_and_ground_truth(
    model: PreTrainedModel, processor: Any, loader: Loader, accelerator: Accelerator
) -> tuple[list[str], list[dict[str, Any]], list[dict[str, Any]]]:
    """Return ids, predictions and ground truth of the images of `loader` over all ranks, each image once, sorted by id.

    Args:
        model: not wrapped by accelerate; it is set to eval mode and stays in it.
        processor: its `post_process_object_detection` converts outputs to boxes in pixels.

    Returns:
        The ids, and two lists with one dict per image: `boxes`, `scores` and `labels`; and `boxes` and `labels`. Boxes
        are xyxy in pixels of the image.
    """
    model.eval()
    predictions: list[tuple[str, dict[str, Any]]] = []
    for batch in loader:
        predictions += predict(model, processor, batch, accelerator)
    loader.set_epoch(0)
    predictions = gather_object(predictions) if accelerator.num_processes > 1 else predictions
    predictions = sorted(predictions, key=lambda pair: pair[0])
    if loader.tiles is not None:
        merged = merge_tiles({"image_id": image_id, **prediction} for image_id, prediction in predictions)
        predictions = [(i, {name: value.tolist() for name, value in one.items()}) for i, one in merged.items()]
    rows = loader.dataset.select_columns(["image_id", "boxes", "labels"])
    targets = {row["image_id"]: {"boxes": row["boxes"], "labels": row["labels"]} for row in rows}  # pyright: ignore
    image_ids = [image_id for image_id, _ in predictions]
    return image_ids, [prediction for _, prediction in predictions], [targets[image_id] for image_id in image_ids]


@torch.no_grad()
def predict(
    model: PreTrainedModel, processor: Any, batch: Mapping[str, Any], accelerator: Accelerator
) -> list[tuple[str, dict[str, Any]]]:
    """Return (image_id, boxes, scores and labels) of every image of a batch, except repetitions that pad the batch.

    Boxes are x_min, y_min, x_max, y_max in pixels of the original image, clipped to it. If the batch holds tiles, they
    are in pixels of the tile, and `window` and `image_size` are included for `merge_tiles`.
    """
    with accelerator.autocast():
        outputs = model(**model_inputs(batch, folded=is_folded(model)))
    outputs.logits, outputs.pred_boxes = outputs.logits.float(), outputs.pred_boxes.float()
    sizes = batch["canvas_size"].to(outputs.logits.device)
    results = processor.post_process_object_detection(outputs, threshold=0.0, target_sizes=sizes)
    found = []
    for number, (image_id, (height, width), repeated, result) in enumerate(
        zip(batch["image_id"], batch["orig_size"].tolist(), batch["repeated"].tolist(), results, strict=True)
    ):
        if not repeated:
            limit = torch.tensor([width, height, width, height], dtype=torch.float32)
            boxes = torch.minimum(result["boxes"].cpu().clamp_min(0), limit)
            values = {"scores": result["scores"].tolist(), "labels": result["labels"].tolist()}
            if "window" in batch:
                values |= {name: batch[name][number].tolist() for name in ("window", "image_size")}
            found.append((image_id, {"boxes": boxes.tolist(), **values}))
    return found
