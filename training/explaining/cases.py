"""From a run's split to the images that are explained, each with its truth and the detector's calls on it."""

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
class Subject:
    """A trained detector with what it takes to show it images; `splits` are those of its dataset."""

    detector: Detector
    processor: Any
    splits: Any
    settings: Settings
    accelerator: Accelerator


@dataclass(frozen=True)
class Answer:
    """The calls and the truth of one image or tile, boxes xyxy in its own pixels, as `match` takes them."""

    name: str
    image_id: str
    prediction: dict[str, Any]
    truth: dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One image to explain.

    Attributes:
        name: its image_id; of a tile also where it lies.
        pixels: as the model sees it, normalised, (1, 3, H, W).
        paired: its planes are image, template and difference, so that only the first is a picture.
        size: (height, width) in pixels of the file, or of the tile.
        truth: boxes in pixels of H x W, with their class indices.
        detections: over the threshold, surest first, boxes in pixels of H x W.
        partners: for each detection the true box it found (same class, IoU >= 0.5, none twice); None: a false call.
    """

    name: str
    pixels: torch.Tensor
    paired: bool
    size: tuple[int, int]
    truth: list[tuple[Box, int]]
    detections: list[Detection]
    partners: list[Box | None]


def answers(subject: Subject, split: str) -> list[Answer]:
    """What the model says on every annotated image of a split; empty where there is none."""
    found = []
    for batch, i, image_id, prediction in _predicted(subject, subject.splits, split):
        label, size = batch["labels"][i], batch["canvas_size"][i].tolist()
        boxes = [list(box) for box in _corners(label["boxes"].cpu(), size[0], size[1])]
        truth = {"boxes": boxes, "labels": label["class_labels"].tolist()}
        found.append(Answer(_name(image_id, prediction), image_id, prediction, truth))
    return found


def choose(found: Sequence[Answer], wanted: int | Sequence[str], threshold: float) -> list[str]:
    """Names of the images to explain.

    Args:
        wanted: image ids, or how many of the images with a detection over the threshold, spread evenly over the split.

    Raises:
        SettingsError: an id that is not among the split's annotated images.
    """
    if isinstance(wanted, int):
        called = [one.name for one in found if max(one.prediction["scores"], default=0.0) >= threshold]
        count = min(wanted, len(called))
        return [called[i * len(called) // count] for i in range(count)]
    known = {one.image_id for one in found}
    if missing := [image_id for image_id in wanted if image_id not in known]:
        raise SettingsError(
            f"--images: the split has no annotated image {', '.join(missing)}; it has {len(known)}, such as "
            f"{', '.join(sorted(known)[:3])}"
        )
    return [one.name for one in found if one.image_id in set(wanted)]


def cases(subject: Subject, split: str, names: Sequence[str], threshold: float, most: int) -> Iterator[Case]:
    """The images of these names, read anew, in the split's order.

    Args:
        threshold: detections with a lower score are left out.
        most: detections of an image that are kept, the surest.
    """
    ids = {name.rsplit("@", 1)[0] for name in names} | set(names)
    rows = [i for i, image_id in enumerate(subject.splits[split]["image_id"]) if image_id in ids]
    some = datasets.DatasetDict({split: subject.splits[split].select(rows)})
    for batch, i, image_id, prediction in _predicted(subject, some, split):
        if _name(image_id, prediction) in names:
            yield _case(subject, batch, i, _name(image_id, prediction), prediction, threshold, most)


def _predicted(subject: Subject, splits: Any, split: str) -> Iterator[tuple[Any, int, str, dict[str, Any]]]:
    """(batch, place in it, image_id, prediction) of every annotated image or tile."""
    options = models.normalization(subject.processor)
    model, accelerator = subject.detector.model, subject.accelerator
    for batch in eval_loader(splits, split, subject.settings, accelerator, **options) or []:
        places = [i for i, repeated in enumerate(batch["repeated"].tolist()) if not repeated]
        found = predict(model, subject.processor, batch, accelerator)
        for i, (image_id, prediction) in zip(places, found, strict=True):
            yield batch, i, image_id, prediction


def _case(
    subject: Subject, batch: Any, i: int, name: str, prediction: dict[str, Any], threshold: float, most: int
) -> Case:  # fmt: skip
    # The loader writes its next batch into the same memory.
    pixels = batch["pixel_values"][i : i + 1].clone()
    height, width = pixels.shape[-2:]
    label = batch["labels"][i]
    truth = list(zip(_corners(label["boxes"].cpu(), height, width), label["class_labels"].tolist(), strict=True))
    rows, columns = batch["canvas_size"][i].tolist()
    scale = torch.tensor([width / columns, height / rows] * 2)
    detections = _detections(subject.detector, pixels, prediction, scale, threshold)
    rows, columns = batch["orig_size"][i].tolist()
    partners = _partners(detections, truth)
    paired = subject.settings.channels == "pair"
    return Case(name, pixels, paired, (rows, columns), truth, detections[:most], partners[:most])


def _detections(
    detector: Detector, pixels: torch.Tensor, prediction: dict[str, Any], scale: torch.Tensor, threshold: float
) -> list[Detection]:
    """Those over the threshold, surest first, in pixels of the model's input, each with the query it came from."""
    with torch.no_grad():
        logits, boxes = detector(pixels)
    probabilities = detector.probabilities(logits)[0]
    found = []
    calls = zip(prediction["boxes"], prediction["labels"], prediction["scores"], strict=True)
    for box, label, score in sorted(calls, key=lambda call: -call[2]):
        if score >= threshold:
            place = torch.tensor(box) * scale
            query = own_query(probabilities, boxes[0], place.to(boxes.device), label, score)
            found.append(Detection(_box(place), label, score, query, _box(boxes[0, query].cpu())))
    return found


def _partners(detections: Sequence[Detection], truth: Sequence[tuple[Box, int]]) -> list[Box | None]:
    """As `training.scoring.operating_point.match`: the surest choose first."""
    free = list(truth)
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
    """The image's, or image@left,top of a tile."""
    if "window" not in prediction:
        return image_id
    top, left = prediction["window"][:2]
    return f"{image_id}@{left},{top}"


def _corners(boxes: torch.Tensor, height: Any, width: Any) -> list[Box]:
    """Boxes (N, 4), centre and size as fractions, as xyxy in pixels."""
    centre, size = boxes[:, :2], boxes[:, 2:]
    scale = torch.tensor([width, height, width, height], dtype=torch.float32)
    return [_box(box) for box in torch.cat([centre - size / 2, centre + size / 2], 1) * scale]


def _box(values: torch.Tensor) -> Box:
    x0, y0, x1, y1 = values.tolist()
    return x0, y0, x1, y1
