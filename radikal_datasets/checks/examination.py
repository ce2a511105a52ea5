"""Examine annotations as arrays: numbers that cannot be boxes of their image, and labels outside the classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

#: A float32 edge may lie this far outside its image, in pixels.
TOLERANCE = 0.01
#: From this share of boxes on that are reversed or leave their image, the format was probably misunderstood.
_MISREAD = 0.2
#: So many images with no box but their first pixel have fractions for boxes, (0, 0, 1, 1): their complete image.
_MANY = 8
MOST_CLASSES = 8

_REMEDIES = {
    "count": "Give each box one label.",
    "numbers": "A box is x_min, y_min, x_max, y_max.",
    "size": "State the image's own width and height in pixels.",
    "not_finite": "Correct the box, or remove it together with its label.",
    "reversed": "A box is x_min, y_min, x_max, y_max.",
    "empty": "A box must cover at least a part of a pixel; remove it, or correct it.",
    "outside": "Boxes are in pixels of the image as it is displayed; correct or clip them.",
    "label": "Labels are positions in the list of classes, counted from 0.",
    "fractions": "By their look they are fractions of the image; multiply them by width and height.",
}
_XYWH = "By their look they are x, y, width, height; add x to the third number and y to the fourth."
_FROM_ONE = "By their look the labels are counted from 1; they must be counted from 0."


@dataclass(frozen=True)
class Fault:
    """One kind of fault in one split.

    Attributes:
        kind: its name, such as `outside`.
        split: where it is.
        image_id: the first image that has it; None if it concerns the split.
        found: what was found there.
        remedy: what to do about it.
        times, images: how many boxes (or labels) have it, in how many images.
    """

    kind: str
    split: str
    image_id: str | None
    found: str
    remedy: str
    times: int = 1
    images: int = 1

    def to_dict(self) -> dict[str, Any]:
        """Return all attributes, for `--json`."""
        return asdict(self)

    def sentence(self, what: str = "Split {split}") -> str:
        """Return a line that names split and image; `{split}` in `what` stands for the split's name."""
        where = what.replace("{split}", self.split).rstrip(",")
        image = "" if self.image_id is None else f"{self.image_id}: "
        images = "1 image" if self.images == 1 else f"{self.images:,} images"
        often = f" ({self.times:,} times, in {images})" if self.times > 1 else ""
        return f"{where}: {image}{self.found}{often}. {self.remedy}"


@dataclass
class Rows:
    """Annotations of n images with N boxes, M labels.

    Attributes:
        ids: n names.
        sizes: float64 (n, 2): width, height.
        boxes: float64 (N, 4), NaN where a box does not have four numbers.
        counts: int64 (n,): boxes of each image.
        numbers: int64 (N,): how many numbers each box has.
        labels: int64 (M,); `label_counts`: int64 (n,).
    """

    ids: Sequence[Any]
    sizes: np.ndarray
    boxes: np.ndarray
    counts: np.ndarray
    numbers: np.ndarray
    labels: np.ndarray
    label_counts: np.ndarray


@dataclass
class _Seen:
    image_id: str
    found: str
    times: int = 0
    images: int = 0


@dataclass
class Examination:
    """Collects the faults of one split, from its rows in any number of batches.

    Args:
        classes: the class names; None: unknown, then only negative labels are faults.
    """

    classes: Sequence[str] | None
    _seen: dict[str, _Seen] = field(default_factory=dict)
    _boxes: int = 0
    _misread: int = 0
    _as_xywh: int = 0
    _as_fractions: int = 0
    _has_parts: bool = False
    _lowest: float = math.inf
    _highest: float = -math.inf

    def add(self, rows: Rows) -> None:
        """Examine some rows."""
        owners = np.repeat(np.arange(len(rows.counts)), rows.counts)
        if (at := np.flatnonzero(rows.counts != rows.label_counts)).size:
            self._count("count", rows, at, f"{rows.counts[at[0]]} boxes, but {rows.label_counts[at[0]]} labels")
        if (at := np.flatnonzero(~(rows.sizes > 0).all(1))).size:
            self._count("size", rows, at, f"the size is {rows.sizes[at[0], 0]:g} x {rows.sizes[at[0], 1]:g}")
        self._examine_labels(rows)
        if len(rows.boxes):
            self._examine_boxes(rows, owners)

    def _examine_labels(self, rows: Rows) -> None:
        labels = rows.labels
        if not len(labels):
            return
        self._lowest, self._highest = min(self._lowest, int(labels.min())), max(self._highest, int(labels.max()))
        wrong = labels < 0
        if self.classes is not None:
            wrong |= labels >= len(self.classes)
        if (at := np.flatnonzero(wrong)).size:
            some = ", ".join(list(self.classes or ())[:MOST_CLASSES])
            there = f", but there are {len(self.classes):,} classes ({some})" if self.classes is not None else ""
            owners = np.repeat(np.arange(len(rows.label_counts)), rows.label_counts)
            self._count("label", rows, owners[at], f"label {labels[at[0]]}{there}")

    def _examine_boxes(self, rows: Rows, owners: np.ndarray) -> None:
        boxes, sizes = rows.boxes, rows.sizes[owners]
        low, high = boxes[:, :2], boxes[:, 2:]
        short = rows.numbers != 4
        infinite = ~np.isfinite(boxes).all(1) & ~short
        judged = ~(short | infinite) & (sizes > 0).all(1)
        with np.errstate(invalid="ignore"):
            turned = (high < low).any(1) & judged
            empty = (high == low).any(1) & judged & ~turned
            outside = ((low < -TOLERANCE) | (high > sizes + TOLERANCE)).any(1) & judged & ~turned
            as_xywh = ((low >= 0) & (high > 0) & (low + high <= sizes + TOLERANCE)).all(1)
            as_fractions = ((boxes >= 0) & (boxes <= 1)).all(1) & (sizes > 8).all(1)
        self._boxes += len(boxes)
        self._misread += int((turned | outside).sum())
        self._as_xywh += int(as_xywh.sum())
        self._as_fractions += int(as_fractions.sum())
        self._has_parts |= bool((boxes[as_fractions] % 1).any())
        if as_fractions.any():
            found = f"a box {_written(boxes[as_fractions][0])} lies within the first pixel, as all boxes do"
            self._count("fractions", rows, owners[as_fractions], found)
        for kind, wrong, what in (
            ("numbers", short, "has {numbers} numbers instead of 4"),
            ("not_finite", infinite, "is not finite"),
            ("reversed", turned, "is reversed: x_max < x_min or y_max < y_min"),
            ("empty", empty, "has no area"),
            ("outside", outside, "leaves the {width:g} x {height:g} image"),
        ):
            if (at := np.flatnonzero(wrong)).size:
                width, height = sizes[at[0]]
                found = what.format(numbers=rows.numbers[at[0]], width=width, height=height)
                box = "" if kind == "numbers" else f" {_written(boxes[at[0]])}"
                self._count(kind, rows, owners[at], f"a box{box} {found}")

    def _count(self, kind: str, rows: Rows, owners: np.ndarray, found: str) -> None:
        seen = self._seen.setdefault(kind, _Seen(str(rows.ids[int(owners[0])]), found))
        seen.times += len(owners)
        seen.images += len(np.unique(owners))

    def faults(self, split: str) -> list[Fault]:
        """Return what was found, one fault per kind."""
        remedies = dict(_REMEDIES)
        if self._misread > _MISREAD * self._boxes and self._as_xywh > 0.99 * self._boxes:
            remedies["reversed"] = remedies["outside"] = _XYWH
        if self.classes is not None and self._lowest == 1 and self._highest == len(self.classes):
            remedies["label"] = _FROM_ONE
        # One box may be the first pixel of an image, or a part of it; several parts, or the first of many images, not.
        many = self._seen["fractions"].images >= _MANY if "fractions" in self._seen else False
        fractions = self._as_fractions == self._boxes > 1 and (self._has_parts or many)
        return [
            Fault(kind, split, seen.image_id, seen.found, remedies[kind], seen.times, seen.images)
            for kind, seen in self._seen.items()
            if kind != "fractions" or fractions
        ]


def _written(box: np.ndarray) -> str:
    return f"({', '.join(f'{value:g}' for value in box)})"
