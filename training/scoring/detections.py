"""A detector's detections on a split, and their COCO scores."""

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
    """COCO scores of `model` on the images of `loader`, over all ranks, each image once.

    Returns:
        What `detection_map` returns, the same on every rank.
    """
    predictions, truths = found_and_true(model, processor, loader, accelerator)
    # The module itself would write all boxes into an Arrow table first, which takes longer than to score them.
    return scores_of(evaluate_coco(predictions, truths, class_names), class_names)


@torch.no_grad()
def found_and_true(
    model: PreTrainedModel, processor: Any, loader: Loader, accelerator: Accelerator
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Predictions and truths of the images of `loader`, over all ranks, each image once, by their names.

    Args:
        model: not wrapped by accelerate; put in eval mode here and left so.
        processor: its `post_process_object_detection` turns outputs to boxes in pixels.

    Returns:
        A dict an image of `boxes`, `scores`, `labels`, and one of `boxes`, `labels`; boxes xyxy in pixels of the image.
    """
    model.eval()
    found: list[tuple[str, dict[str, Any]]] = []
    for batch in loader:
        found += predict(model, processor, batch, accelerator)
    loader.set_epoch(0)
    found = gather_object(found) if accelerator.num_processes > 1 else found
    found = sorted(found, key=lambda pair: pair[0])
    if loader.tiles is not None:
        merged = merge_tiles({"image_id": image_id, **prediction} for image_id, prediction in found)
        found = [(i, {name: value.tolist() for name, value in one.items()}) for i, one in merged.items()]
    rows = loader.dataset.select_columns(["image_id", "boxes", "labels"])
    truth = {row["image_id"]: {"boxes": row["boxes"], "labels": row["labels"]} for row in rows}  # pyright: ignore
    return [prediction for _, prediction in found], [truth[image_id] for image_id, _ in found]


@torch.no_grad()
def predict(
    model: PreTrainedModel, processor: Any, batch: Mapping[str, Any], accelerator: Accelerator
) -> list[tuple[str, dict[str, Any]]]:
    """(image_id, boxes, scores and labels) of every image of a batch that is not a repetition.

    Boxes are x_min, y_min, x_max, y_max in pixels of the original image, clipped to it. Where the batch holds tiles, of
    the tile; `window` and `image_size` are there too then, as `merge_tiles` takes them.
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
