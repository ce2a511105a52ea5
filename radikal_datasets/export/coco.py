"""COCO: `images/<split>/` and `annotations/instances_<split>.json`, masks as uncompressed run lengths.

And the same files as Roboflow lays them out: `train/_annotations.coco.json` beside the images, `valid/`, `test/`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar

import numpy as np
import PIL.Image

from ..annotations.rle import run_lengths
from .shared import About, ImageFolders, Record, short_split


class CocoWriter:
    """Write COCO detection files.

    Ids of images, annotations and categories start at 1: the COCO tools take annotation 0 for "no match", torchvision
    reserves class 0 for the background, and ultralytics subtracts one.
    """

    HOLDS_MASKS: ClassVar[bool] = True
    REMARK: ClassVar[str] = "category ids start at 1 (transformers' image processors expect them from 0: use objects)"

    #: Folder of a split's images, and of its annotation file below the export, by the split's short name.
    IMAGES: ClassVar[str] = "images/{}"
    ANNOTATIONS: ClassVar[str] = "annotations/instances_{}.json"
    #: Names of splits that differ from the short ones.
    SPLITS: ClassVar[dict[str, str]] = {}

    def __init__(self, folder: Path, classes: Sequence[str], about: About) -> None:
        self._folder = folder
        self._images = ImageFolders(folder)
        self._header = {
            "info": {"description": about.title},
            "licenses": [{"id": 1, "name": about.license}] if about.license else [],
            "categories": [{"id": number, "name": name} for number, name in enumerate(classes, start=1)],
        }
        self._license = {"license": 1} if about.license else {}
        self._splits: dict[str, dict[str, list[Any]]] = defaultdict(lambda: {"images": [], "annotations": []})
        self._annotations = 0

    def __enter__(self) -> CocoWriter:
        return self

    def add(self, record: Record) -> None:
        """Write the image; its annotations are written when the export ends."""
        split = short_split(record.split)
        split = self.SPLITS.get(split, split)
        self._images.add(record, self.IMAGES.format(split))
        size = {"width": record.width, "height": record.height}
        self._splits[split]["images"].append({"id": record.number, "file_name": record.file, **size, **self._license})
        for index in range(len(record.boxes)):
            self._annotations += 1
            self._splits[split]["annotations"].append(_annotation(record, index, self._annotations))

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        self._images.close()
        if kind is not None:
            return
        for split, lists in self._splits.items():
            text = json.dumps({**self._header, **lists}, separators=(",", ":"))
            path = self._folder / self.ANNOTATIONS.format(split)
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def not_held(self) -> list[str]:
        """Return nothing: boxes are floats, and group and image_id are in images.csv."""
        return []


class RoboflowWriter(CocoWriter):
    """Write COCO detection files in the layout that RF-DETR and Roboflow's tools look for."""

    REMARK: ClassVar[str] = "category ids start at 1; the validation split is called valid"
    IMAGES: ClassVar[str] = "{}"
    ANNOTATIONS: ClassVar[str] = "{}/_annotations.coco.json"
    SPLITS: ClassVar[dict[str, str]] = {"val": "valid"}


def _annotation(record: Record, index: int, number: int) -> dict[str, Any]:
    x_min, y_min, x_max, y_max = record.boxes[index]
    annotation: dict[str, Any] = {
        "id": number,
        "image_id": record.number,
        "category_id": record.labels[index] + 1,
        "bbox": [x_min, y_min, x_max - x_min, y_max - y_min],
        "area": (x_max - x_min) * (y_max - y_min),
        "iscrowd": 0,
        # Readers expect the key. Without masks, the box itself.
        "segmentation": [[x_min, y_min, x_max, y_min, x_max, y_max, x_min, y_max]],
    }
    if record.masks:
        with PIL.Image.open(BytesIO(record.masks[index])) as opened:
            mask = np.asarray(opened) > 0
        annotation["area"] = int(mask.sum())
        annotation["segmentation"] = {"size": [record.height, record.width], "counts": run_lengths(mask)}
    return annotation
