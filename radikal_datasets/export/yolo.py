"""YOLO as ultralytics reads it: `images/<split>/`, `labels/<split>/`, `data.yaml`; with boxes, or with polygons.

Polygons follow the edges of a mask's pixels. They cannot represent holes, which are filled, and only one polygon stands
for a box: further parts of its mask are joined to it by a line without width.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar

import numpy as np
import PIL.Image
import yaml

from ..annotations.outline import outlines
from ..schema import Box
from .shared import About, ImageFolders, Record, short_split

# The names in data.yaml, in this order; ultralytics knows no others.
_KNOWN = ("train", "val", "test")


class YoloWriter:
    """Write YOLO detection files; an image without a defect gets an empty label file."""

    HOLDS_MASKS: ClassVar[bool] = False
    REMARK: ClassVar[str] = "class numbers start at 0, in the order of data.yaml"

    def __init__(self, folder: Path, classes: Sequence[str], about: About) -> None:
        self._folder, self._classes, self._about = folder, classes, about
        self._images = ImageFolders(folder)
        self._splits: set[str] = set()
        self._equal = 0

    def __enter__(self) -> YoloWriter:
        return self

    def add(self, record: Record) -> None:
        """Write the image and its label file."""
        split = short_split(record.split)
        self._splits.add(split)
        self._images.add(record, f"images/{split}")
        lines = [self._line(record, index) for index in range(len(record.boxes))]
        self._equal += len(lines) - len(set(lines))
        self._images.write(f"labels/{split}/{record.stem}.txt", "".join(lines).encode())

    def _line(self, record: Record, index: int) -> str:
        return yolo_line(record.labels[index], record.boxes[index], record.width, record.height)

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        self._images.close()
        if kind is not None:
            return
        # Without `path`, ultralytics uses the folder of data.yaml: the export can be moved.
        splits = [*(name for name in _KNOWN if name in self._splits), *sorted(self._splits - {*_KNOWN})]
        data: dict[str, Any] = {name: f"images/{name}" for name in splits}
        data["names"] = dict(enumerate(self._classes))
        license = f"# License: {self._about.license}\n" if self._about.license else ""
        text = f"# {self._about.title}\n{license}{yaml.safe_dump(data, sort_keys=False, allow_unicode=True)}"
        (self._folder / "data.yaml").write_text(text, encoding="utf-8")

    def not_held(self) -> list[str]:
        """Return boxes that differ only in their masks, and missing splits that ultralytics needs."""
        phrases = [f"{self._equal:,} boxes identical to another of their class: dropped by ultralytics"]
        phrases = phrases if self._equal else []
        missing = [name for name in ("train", "val") if name not in self._splits]
        return phrases + [f"no {name} split, which ultralytics needs for training" for name in missing]


class YoloPolygonsWriter(YoloWriter):
    """Write YOLO segmentation files: a polygon per box, its own rectangle where there are no masks."""

    HOLDS_MASKS: ClassVar[bool] = True
    REMARK: ClassVar[str] = "class numbers start at 0, in the order of data.yaml; every line is a polygon"

    def __init__(self, folder: Path, classes: Sequence[str], about: About) -> None:
        super().__init__(folder, classes, about)
        self._holes = self._parts = self._rectangles = 0

    def _line(self, record: Record, index: int) -> str:
        if not record.masks:
            self._rectangles += 1
            x_min, y_min, x_max, y_max = record.boxes[index]
            corners = np.array([[x_min, y_min], [x_max, y_min], [x_max, y_max], [x_min, y_max]])
        else:
            with PIL.Image.open(BytesIO(record.masks[index])) as opened:
                polygons, holes = outlines(np.asarray(opened) > 0)
            self._holes += holes
            self._parts += len(polygons) - 1
            corners = joined(polygons)
        shares = (corners / (record.width, record.height)).ravel()
        return f"{record.labels[index]} {' '.join(f'{share:.8f}' for share in shares)}\n"

    def not_held(self) -> list[str]:
        """Return filled holes, joined parts and rectangles, beside what `yolo` reports."""
        phrases = super().not_held()
        if self._holes:
            phrases.append(f"{self._holes:,} holes of masks: filled")
        if self._parts:
            phrases.append(f"{self._parts:,} separate parts of masks: joined to the first part by a line")
        if self._rectangles:
            phrases.append(f"no masks for {self._rectangles:,} boxes: their rectangles are written as polygons")
        return phrases


def joined(polygons: Sequence[np.ndarray]) -> np.ndarray:
    """Return one polygon for several: from the first corner of the first to every other one, around it, and back."""
    first = polygons[0]
    detours = [np.concatenate([one, one[:1], first[:1]]) for one in polygons[1:]]
    return np.concatenate([first, first[:1], *detours]) if detours else first


def yolo_line(label: int, box: Box, width: int, height: int) -> str:
    """Return class and box as YOLO writes them: center x, center y, width, height, as shares of the image's size."""
    x_min, y_min, x_max, y_max = box
    shares = (
        (x_min + x_max) / 2 / width,
        (y_min + y_max) / 2 / height,
        (x_max - x_min) / width,
        (y_max - y_min) / height,
    )
    # A hundred-millionth of the largest image is a thousandth of a pixel.
    return f"{label} {' '.join(f'{share:.8f}' for share in shares)}\n"
