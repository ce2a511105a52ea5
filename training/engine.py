"""The parts of a training run that are not its loop: losses, parameter groups, moving average, scoring."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch.nn.functional import interpolate
from transformers import PreTrainedModel

from loaders import DetectionLoader, merge_tiles
from training.detection_map.detection_map import evaluate_coco, scores_of
from training.models import is_folded


class NonFiniteError(RuntimeError):
    """Too many steps in a row had a loss or gradients that are not numbers."""


def float32_loss(model: PreTrainedModel) -> None:
    """Make the model compute its loss in float32, autocast or not.

    Hungarian matching and focal losses square and take logarithms of small numbers, which leave float16's range.
    """
    original: Callable[..., Any] = model.loss_function

    def loss_function(logits: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        with torch.autocast(logits.device.type, enabled=False):
            return original(_float32(logits), *map(_float32, args), **{k: _float32(v) for k, v in kwargs.items()})

    model.loss_function = loss_function


def _float32(value: Any) -> Any:
    """Every half-precision tensor in a nest of lists and dicts as float32; anything else as it is."""
    if isinstance(value, torch.Tensor):
        return value.float() if value.dtype in (torch.float16, torch.bfloat16) else value
    if type(value) in (list, tuple):
        return type(value)(_float32(item) for item in value)
    if type(value) is dict:
        return {key: _float32(item) for key, item in value.items()}
    return value


def parameter_groups(
    model: torch.nn.Module, learning_rate: float, backbone_learning_rate: float, weight_decay: float
) -> list[dict[str, Any]]:
    """AdamW's groups: the backbone apart, and no decay on norms and biases (all that has one dimension)."""
    groups: dict[tuple[bool, bool], list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((".backbone." in f".{name}", parameter.ndim > 1), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": backbone_learning_rate if backbone else learning_rate,
            "weight_decay": weight_decay if decayed else 0.0,
        }
        for (backbone, decayed), parameters in sorted(groups.items())
    ]


class MovingAverage:
    """Exponential moving average of a model's weights: steadier than the last step's, and what is scored and saved.

    The decay grows with the steps, `min(decay, (1 + n) / (10 + n))`, so that the random start is soon forgotten.
    Buffers (batch norm's statistics) are averaged too, counters copied. A decay of 0 keeps the model's own weights.
    """

    def __init__(self, model: PreTrainedModel, decay: float) -> None:
        self.decay, self.updates = decay, 0
        self.model = copy.deepcopy(model).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, model: torch.nn.Module) -> None:
        """Take in the weights of one more step."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        mine, theirs = _tensors(self.model), _tensors(model)
        moving = [(a, b.to(a.dtype)) for a, b in zip(mine, theirs, strict=True) if a.is_floating_point()]
        if moving:
            ours, new = ([pair[i] for pair in moving] for i in (0, 1))
            torch._foreach_lerp_(ours, new, 1 - decay)  # pyright: ignore[reportPrivateImportUsage]
        for a, b in zip(mine, theirs, strict=True):
            if not a.is_floating_point():
                a.copy_(b)

    def state_dict(self) -> dict[str, Any]:
        """For accelerate's `register_for_checkpointing`."""
        return {"updates": self.updates, "weights": self.model.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Counterpart of `state_dict`."""
        self.updates = state["updates"]
        self.model.load_state_dict(state["weights"])


def _tensors(model: torch.nn.Module) -> list[torch.Tensor]:
    # parameters(), unlike state_dict(), names a tied weight once; averaging it twice would be another decay.
    return [*(p.detach() for p in model.parameters()), *model.buffers()]


def evaluate(
    model: PreTrainedModel, processor: Any, loader: DetectionLoader, class_names: list[str], accelerator: Accelerator
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
    model: PreTrainedModel, processor: Any, loader: DetectionLoader, accelerator: Accelerator
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


def model_inputs(
    batch: Mapping[str, Any], *, folded: bool, size: tuple[int, int] | None = None, labels: bool = False
) -> dict[str, Any]:
    """What a model's forward takes of a batch.

    Args:
        folded: the model takes one plane (`models.fold_gray`): the first of three equal ones.
        size: (height, width) in pixels to resize to; None: as the batch has it.
        labels: with the truth, for a loss. Boxes are fractions and need no resize.
    """
    names = ("pixel_values", "pixel_mask", "labels") if labels else ("pixel_values", "pixel_mask")
    inputs = {name: batch[name] for name in names if name in batch}
    if folded:
        inputs["pixel_values"] = inputs["pixel_values"][:, :1]
    if size is not None and size != tuple(inputs["pixel_values"].shape[-2:]):
        inputs["pixel_values"] = interpolate(inputs["pixel_values"], size, mode="bilinear", antialias=True)
        if "pixel_mask" in inputs:
            mask = interpolate(inputs["pixel_mask"][:, None].float(), size, mode="nearest")
            inputs["pixel_mask"] = mask[:, 0].to(torch.int64)
    return inputs


def training_mode(model: torch.nn.Module, *, freeze_batch_norms: bool) -> None:
    """Put a model into training mode, its batch norms left out where they are frozen."""
    model.train()
    if freeze_batch_norms:
        for module in model.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.eval().requires_grad_(False)


def any_rank(accelerator: Accelerator, flag: bool) -> bool:
    """Whether the flag is set on any rank. All of them must skip a step together, or the others wait forever."""
    if accelerator.num_processes == 1:
        return flag
    value = torch.tensor(float(flag), device=accelerator.device)
    return bool(accelerator.reduce(value, reduction="sum") > 0)  # pyright: ignore[reportOperatorIssue]
