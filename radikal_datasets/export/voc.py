"""Pascal VOC: `JPEGImages/`, `Annotations/`, `ImageSets/Main/<split>.txt`; integer pixels, 1-based, inclusive.

The inverse of `annotations/voc.py`.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import ClassVar
from xml.etree import ElementTree

import PIL.Image

from ..schema import Box
from .shared import About, ImageFolders, Record, short_split


class VocWriter:
    """Write VOC files.

    In `X/VOCdevkit/VOC2012` they are where `torchvision.datasets.VOCDetection("X", "2012", split)` looks, which reads
    only images named `.jpg`.
    """

    HOLDS_MASKS: ClassVar[bool] = False
    REMARK: ClassVar[str] = "classes are given by name; boxes are integer pixels, 1-based and inclusive"

    def __init__(self, folder: Path, classes: Sequence[str], about: About) -> None:
        self._folder, self._classes, self._about = folder, classes, about
        self._images = ImageFolders(folder)
        self._splits: dict[str, list[str]] = defaultdict(list)
        self._rounded = self._widened = 0

    def __enter__(self) -> VocWriter:
        return self

    def add(self, record: Record) -> None:
        """Write the image and its XML file."""
        self._splits[short_split(record.split)].append(record.stem)
        self._images.add(record, "JPEGImages")
        self._images.write(f"Annotations/{record.stem}.xml", self._xml(record))
        for box in record.boxes:
            self._rounded += any(value != int(value) for value in box)
            self._widened += _round(box[0]) == _round(box[2]) or _round(box[1]) == _round(box[3])

    def _xml(self, record: Record) -> bytes:
        with PIL.Image.open(BytesIO(record.data)) as image:
            depth = len(image.getbands())
        root = ElementTree.Element("annotation")
        _fill(root, {"folder": "JPEGImages", "filename": record.file})
        _fill(ElementTree.SubElement(root, "source"), {"database": self._about.title, "image": record.image_id})
        _fill(ElementTree.SubElement(root, "size"), {"width": record.width, "height": record.height, "depth": depth})
        _fill(root, {"segmented": 0})
        for label, box in zip(record.labels, record.boxes, strict=True):
            element = ElementTree.SubElement(root, "object")
            _fill(element, {"name": self._classes[label], "pose": "Unspecified", "truncated": 0, "difficult": 0})
            corners = zip(("xmin", "ymin", "xmax", "ymax"), voc_box(box), strict=True)
            _fill(ElementTree.SubElement(element, "bndbox"), dict(corners))
        ElementTree.indent(root)
        return ElementTree.tostring(root, encoding="utf-8") + b"\n"

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        self._images.close()
        if kind is not None:
            return
        # Datumaro, and with it CVAT, accepts only classes of this file: name, color, parts, actions.
        names = "".join(f"{_NOT_XML.sub('_', name)}:::\n" for name in ("background", *self._classes))
        (self._folder / "labelmap.txt").write_text(f"# label:color_rgb:parts:actions\n{names}", encoding="utf-8")
        folder = self._folder / "ImageSets" / "Main"
        folder.mkdir(parents=True)
        for split, stems in self._splits.items():
            (folder / f"{split}.txt").write_text("".join(f"{stem}\n" for stem in stems), encoding="utf-8")

    def not_held(self) -> list[str]:
        """Return fractions of a pixel."""
        phrases = []
        if self._rounded:
            phrases.append(f"fractions of a pixel: {self._rounded:,} boxes rounded, by at most half a pixel")
        if self._widened:
            phrases.append(f"{self._widened:,} boxes so thin that they were widened to one pixel")
        return phrases


def voc_box(box: Box) -> tuple[int, int, int, int]:
    """Return `xmin, ymin, xmax, ymax` of VOC for a box of the schema: each edge moves by at most half a pixel.

    An edge that would round onto its opposite is the exception: the box becomes the pixel that holds its middle.
    """
    x_min, x_max = _pixels(box[0], box[2])
    y_min, y_max = _pixels(box[1], box[3])
    return x_min + 1, y_min + 1, x_max, y_max


def _pixels(low: float, high: float) -> tuple[int, int]:
    start, end = _round(low), _round(high)
    if start == end:
        start = math.floor((low + high) / 2)
        end = start + 1
    return start, end


def _round(value: float) -> int:
    """Round halves up, unlike `round`: a box between two halves keeps its size."""
    return math.floor(value + 0.5)


#: Characters that XML 1.0 does not allow.
_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _fill(element: ElementTree.Element, children: dict[str, object]) -> None:
    for tag, value in children.items():
        ElementTree.SubElement(element, tag).text = _NOT_XML.sub("_", str(value))
