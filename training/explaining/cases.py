"""Select the images of a split to explain, each with its ground truth and detections."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import datasets
import torch
from accelerate import Accelerator
from torchvision.ops import box_iou

from radikal_datasets.errors import SettingsError
from training import models
from training.explaining.targets import Detection, Detector, own_query
from training.run.data import eval_loader
from training.run.settings import Settings
from training.scoring.detections import predict

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class DetectorRun:
    """A trained detector with everything needed to run it; `splits` are those of its dataset."""

    detector: Detector
    processor: Any
    splits: Any
    settings: Settings
    accelerator: Accelerator


@dataclass(frozen=True)
class ImageResult:
    """Predictions and target of one image or tile, boxes xyxy in its own pixels, as `match` takes them."""

    name: str
    image_id: str
    prediction: dict[str, Any]
    ground_truth: dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One image to explain.

    Attributes:
        name: its image_id; for a tile also its position.
        pixels: the model's input, normalized, (1, 3, H, W).
        paired: whether the channels are image, template and difference, so that only the first is an image.
        size: (height, width) in pixels of the file, or of the tile.
        ground_truth: true boxes in pixels of H x W, with their class indices.
        detections: those above the threshold, highest score first, boxes in pixels of H x W.
        partners: for each detection the true box it matches (same class, IoU >= 0.5, each box once); None: a false
            positive.
    """

    name: str
    pixels: torch.Tensor
    paired: bool
    size: tuple[int, int]
    ground_truth: list[tuple[Box, int]]
    detections: list[Detection]
    partners: list[Box | None]


def predict_images(detector_run: DetectorRun, split: str) -> list[ImageResult]:
    """Run the model on every annotated image of a split; empty if there is none."""
    found = []
    for batch, i, image_id, prediction in _predicted(detector_run, detector_run.splits, split):
        label, size = batch["labels"][i], batch["canvas_size"][i].tolist()
        boxes = [list(box) for box in _corners(label["boxes"].cpu(), size[0], size[1])]
        ground_truth = {"boxes": boxes, "labels": label["class_labels"].tolist()}
        found.append(ImageResult(_name(image_id, prediction), image_id, prediction, ground_truth))
    return found


def choose(found: Sequence[ImageResult], wanted: int | Sequence[str], threshold: float) -> list[str]:
    """Return the names of the images to explain.

    Args:
        wanted: image ids, or the number of images with a detection above the threshold, spread evenly over the split.

    Raises:
        SettingsError: an id is not among the split's annotated images.
    """
    if isinstance(wanted, int):
        detected = [one.name for one in found if max(one.prediction["scores"], default=0.0) >= threshold]
        count = min(wanted, len(detected))
        return [detected[i * len(detected) // count] for i in range(count)]
    known = {one.image_id for one in found}
    if missing := [image_id for image_id in wanted if image_id not in known]:
        raise SettingsError(
            f"--images: the split has no annotated image {', '.join(missing)}. It has {len(known)}, such as "
            f"{', '.join(sorted(known)[:3])}."
        )
    return [one.name for one in found if one.image_id in set(wanted)]


def cases(detector_run: DetectorRun, split: str, names: Sequence[str], threshold: float, most: int) -> Iterator[Case]:
    """Read the images with these names again and yield them in the split's order.

    Args:
        threshold: detections with a lower score are left out.
        most: maximum number of detections per image; those with the highest scores are kept.
    """
    ids = {name.rsplit("@", 1)[0] for name in names} | set(names)
    rows = [i for i, image_id in enumerate(detector_run.splits[split]["image_id"]) if image_id in ids]
    some = datasets.DatasetDict({split: detector_run.splits[split].select(rows)})
    for batch, i, image_id, prediction in _predicted(detector_run, some, split):
        if _name(image_id, prediction) in names:
            yield _case(detector_run, batch, i, _name(image_id, prediction), prediction, threshold, most)


def _predicted(detector_run: DetectorRun, splits: Any, split: str) -> Iterator[tuple[Any, int, str, dict[str, Any]]]:
    """Yield (batch, index in it, image_id, prediction) of every annotated image or tile."""
    model, accelerator = detector_run.detector.model, detector_run.accelerator
    options = models.loader_options(model, detector_run.processor)
    for batch in eval_loader(splits, split, detector_run.settings, accelerator, **options) or []:
        indices = [i for i, repeated in enumerate(batch["repeated"].tolist()) if not repeated]
        found = predict(model, detector_run.processor, batch, accelerator)
        for i, (image_id, prediction) in zip(indices, found, strict=True):
            yield batch, i, image_id, prediction


def _case(
    detector_run: DetectorRun, batch: Any, i: int, name: str, prediction: dict[str, Any], threshold: float, most: int
) -> Case:
    # Cloned: the loader writes its next batch into the same memory.
    pixels = batch["pixel_values"][i : i + 1].clone()
    height, width = pixels.shape[-2:]
    label = batch["labels"][i]
    ground_truth = list(zip(_corners(label["boxes"].cpu(), height, width), label["class_labels"].tolist(), strict=True))
    rows, columns = batch["canvas_size"][i].tolist()
    scale = torch.tensor([width / columns, height / rows] * 2)
    detections = _detections(detector_run.detector, pixels, prediction, scale, threshold)
    rows, columns = batch["orig_size"][i].tolist()
    partners = _partners(detections, ground_truth)
    paired = detector_run.settings.channels == "pair"
    return Case(name, pixels, paired, (rows, columns), ground_truth, detections[:most], partners[:most])


def _detections(
    detector: Detector, pixels: torch.Tensor, prediction: dict[str, Any], scale: torch.Tensor, threshold: float
) -> list[Detection]:
    """Return the detections above the threshold, highest score first, in the model's pixels, with their query."""
    with torch.no_grad():
        logits, boxes = detector(pixels)
    probabilities = detector.probabilities(logits)[0]
    found = []
    rows = zip(prediction["boxes"], prediction["labels"], prediction["scores"], strict=True)
    for box, label, score in sorted(rows, key=lambda row: -row[2]):
        if score >= threshold:
            scaled = torch.tensor(box) * scale
            query = own_query(probabilities, boxes[0], scaled.to(boxes.device), label, score)
            found.append(Detection(_box(scaled), label, score, query, _box(boxes[0, query].cpu())))
    return found


def _partners(detections: Sequence[Detection], ground_truth: Sequence[tuple[Box, int]]) -> list[Box | None]:
    """Match like `training.scoring.operating_point.match`: the highest score chooses first."""
    free = list(ground_truth)
    partners: list[Box | None] = []
    for detection in detections:
        mine = [(box, label) for box, label in free if label == detection.label]
        if not mine:
            partners.append(None)
            continue
        overlaps = box_iou(torch.tensor([detection.box]), torch.tensor([box for box, _ in mine]))[0]
        best = int(overlaps.argmax())
        partners.append(mine[best][0] if float(overlaps[best]) >= 0.5 else None)
        if partners[-1] is not None:
            free.remove(mine[best])
    return partners


def _name(image_id: str, prediction: dict[str, Any]) -> str:
    """Return the image's name, or image@left,top for a tile."""
    if "window" not in prediction:
        return image_id
    top, left = prediction["window"][:2]
    return f"{image_id}@{left},{top}"


def _corners(boxes: torch.Tensor, height: Any, width: Any) -> list[Box]:
    """Convert boxes (N, 4), center and size as fractions, to xyxy in pixels."""
    center, size = boxes[:, :2], boxes[:, 2:]
    scale = torch.tensor([width, height, width, height], dtype=torch.float32)
    return [_box(box) for box in torch.cat([center - size / 2, center + size / 2], 1) * scale]


def _box(values: torch.Tensor) -> Box:
    x0, y0, x1, y1 = values.tolist()
    return x0, y0, x1, y1
