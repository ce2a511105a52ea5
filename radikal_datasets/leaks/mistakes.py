"""Find suspicious boxes: large, tiny, doubled, or of a class other than the one in the file's name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from .image_set import Item

#: A box is called large if it covers more than this share of the image's area.
LARGE = 0.9
#: A box is called tiny if its shorter side is under this many pixels of the file.
TINY = 2.0
#: Two boxes of one class are called one box drawn twice if their intersection over union exceeds this.
DOUBLED = 0.9

#: The meaning of each kind.
MEANINGS = {
    "large_box": f"a box that covers over {LARGE:.0%} of its image",
    "tiny_box": f"a box with a side under {TINY:.0f} pixels",
    "doubled_box": f"two boxes of one class that overlap by more than {DOUBLED:.0%} (IoU)",
    "class_not_name": "a box whose class differs from the one in its image's file or folder name",
}


@dataclass(frozen=True)
class Mistake:
    """Something about an image's boxes that may be wrong.

    Attributes:
        kind: one of `MEANINGS`.
        boxes: numbers of the boxes concerned.
        found: in words.
    """

    kind: str
    item: Item
    boxes: tuple[int, ...]
    found: str


def find_mistakes(items: Sequence[Item], classes: Sequence[str]) -> list[Mistake]:
    """Return all of them, in the order of `MEANINGS`, then in the order of the items."""
    found = [mistake for item in items for mistake in _mistakes(item, classes)]
    kinds = list(MEANINGS)
    return sorted(found, key=lambda mistake: kinds.index(mistake.kind))


def _mistakes(item: Item, classes: Sequence[str]) -> Iterator[Mistake]:
    if not item.labels:
        return
    boxes = np.asarray(item.boxes, float)
    sides = boxes[:, 2:] - boxes[:, :2]
    shares = sides.prod(1) / (item.width * item.height)
    for i in np.flatnonzero(shares > LARGE):
        yield Mistake("large_box", item, (int(i),), f"{item.labels[i]} covers {shares[i]:.0%} of the image")
    for i in np.flatnonzero(sides.min(1) < TINY):
        size = " x ".join(f"{side:g}" for side in sides[i].round(1))
        yield Mistake("tiny_box", item, (int(i),), f"{item.labels[i]} is {size} pixels")
    overlaps = iou(boxes, boxes)
    for i, k in zip(*np.nonzero(np.triu(overlaps > DOUBLED, 1)), strict=True):
        if item.labels[i] == item.labels[k]:
            found = f"two boxes of {item.labels[i]}, IoU {overlaps[i, k]:.2f}"
            yield Mistake("doubled_box", item, (int(i), int(k)), found)
    named = _named(item.image_id, classes)
    others = [i for i, label in enumerate(item.labels) if named and label not in named]
    if others:
        labels = ", ".join(dict.fromkeys(item.labels[i] for i in others))
        found = f"{labels} ({len(others)} of {len(item.labels)} boxes), but the name says {' and '.join(named)}"
        yield Mistake("class_not_name", item, tuple(others), found)


def _named(image_id: str, classes: Sequence[str]) -> list[str]:
    """Return the classes that an id names: as a folder, or in the file's name before its number."""
    place = PurePosixPath(image_id)
    stem = re.sub(r"[_-]?\d+$", "", place.stem)
    return [name for name in classes if name == stem or name in place.parts[:-1]]


def iou(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return intersection over union, (n, m), of (n, 4) and (m, 4) boxes as xyxy."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(1) for boxes in (one, other)]
    return shared / np.maximum(areas[0][:, None] + areas[1][None] - shared, 1e-9)
