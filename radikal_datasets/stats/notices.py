"""Notices: what to know about a dataset before training on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..splits import UNLABELED
from .split_statistics import IMAGE_SIZE, TINY, SetStatistics

#: A class with fewer boxes than this is called rare.
FEW_BOXES = 20
#: Ratio of the boxes of the most frequent class to those of the rarest, from which classes are called unbalanced.
UNBALANCED = 10
#: Gray levels, and standard deviations of the brightness of all images, by which a split must differ to be reported.
BRIGHTNESS_LEVELS, BRIGHTNESS_DEVIATIONS = 10, 0.5

_FEWEST_DECODED = 20  # minimum number of images in a split for comparing its mean brightness
_MOST_NAMED = 8


@dataclass(frozen=True)
class Notice:
    """One notice.

    Attributes:
        kind: its name, the same in every dataset.
        text: one or two sentences: what was found, and what it means.
    """

    kind: str
    text: str


def notices(overall: SetStatistics, splits: Mapping[str, SetStatistics]) -> list[Notice]:
    """Return the notices about a dataset, in a fixed order; empty if there are none."""
    texts = {
        "unannotated": _unannotated(overall),
        "no_boxes": None if len(overall.columns.labels) else "No image has a box, so no detector can be trained on it.",
        "no_defect_free": _no_defect_free(overall),
        "absent_class": _absent(overall),
        "few_boxes": _few(overall),
        "split_lacks_class": _lacking(overall, splits),
        "unbalanced": _unbalanced(overall),
        "tiny_boxes": _tiny(overall),
        "brightness_differs": _brightness(overall, splits),
        "undecodable": _undecodable(overall),
    }
    return [Notice(kind, text) for kind, text in texts.items() if text]


def _unannotated(overall: SetStatistics) -> str | None:
    images = overall.images
    if not images["unannotated"]:
        return None
    return (
        f"{images['unannotated']:,} of {images['all']:,} images are unannotated: they count neither as defective nor "
        "as defect-free."
    )


def _no_defect_free(overall: SetStatistics) -> str | None:
    if not overall.images["annotated"] or overall.images["defect_free"]:
        return None
    return "No image is defect-free, so the rate of false positives on good parts cannot be measured on this dataset."


def _absent(overall: SetStatistics) -> str | None:
    absent = _where(overall, overall.class_boxes == 0)
    return f"There are no boxes of {_named(absent)}." if absent and len(overall.columns.labels) else None


def _few(overall: SetStatistics) -> str | None:
    boxes = overall.class_boxes
    few = [
        f"{name} ({boxes[overall.classes.index(name)]})" for name in _where(overall, (boxes > 0) & (boxes < FEW_BOXES))
    ]
    if not few:
        return None
    return f"Fewer than {FEW_BOXES} boxes: {_named(few)}. A score on so few means little."


def _lacking(overall: SetStatistics, splits: Mapping[str, SetStatistics]) -> str | None:
    """Report classes of the dataset that a split lacks; classes that no split has are reported elsewhere."""
    held = overall.class_boxes > 0
    texts = []
    for split, part in splits.items():
        if split == UNLABELED or not part.images["annotated"] or not held.any():
            continue
        lacking = _where(part, held & (part.class_boxes == 0))
        if lacking:
            texts.append(
                f"{split} has no boxes at all" if not part.class_boxes.any() else f"{split} has no {_named(lacking)}"
            )
    return "; ".join(texts) + "." if texts else None


def _unbalanced(overall: SetStatistics) -> str | None:
    there = np.flatnonzero(overall.class_boxes)
    if len(there) < 2:
        return None
    boxes = overall.class_boxes[there]
    most, least = there[boxes.argmax()], there[boxes.argmin()]
    if boxes.max() < UNBALANCED * boxes.min():
        return None
    return (
        f"The classes are very unbalanced: {boxes.max():,} boxes of {overall.classes[most]}, but {boxes.min():,} of "
        f"{overall.classes[least]}, {boxes.max() / boxes.min():,.0f} times fewer."
    )


def _tiny(overall: SetStatistics) -> str | None:
    tiny, total = overall.box_sizes.tiny, len(overall.columns.labels)
    if not tiny:
        return None
    by_class = [overall.boxes_of(label).tiny for label in range(len(overall.classes))]
    most = int(np.argmax(by_class))
    mostly = f", {by_class[most]:,} of them {overall.classes[most]}" if tiny > 1 and len(overall.classes) > 1 else ""
    return (
        f"{tiny:,} of {total:,} boxes ({tiny / total:.1%}) have a side under {TINY} pixels when images are "
        f"stretched to {IMAGE_SIZE} x {IMAGE_SIZE}{mostly}, which makes them hard to find. "
        "Train on larger images or on tiles."
    )


def _brightness(overall: SetStatistics, splits: Mapping[str, SetStatistics]) -> str | None:
    """Report splits whose images are on average darker or brighter than all images."""
    values = overall.brightness
    if not len(values):
        return None
    least = max(BRIGHTNESS_LEVELS, BRIGHTNESS_DEVIATIONS * values.std())
    texts = []
    for split, part in splits.items():
        if len(part.brightness) < _FEWEST_DECODED:
            continue
        difference = float(part.brightness.mean() - values.mean())
        if abs(difference) > least:
            which = "brighter" if difference > 0 else "darker"
            texts.append(f"{split} is {which} than the dataset as a whole by {abs(difference):.0f} gray levels")
    return "; ".join(texts) + " of 255." if texts else None


def _undecodable(overall: SetStatistics) -> str | None:
    if not overall.undecodable:
        return None
    tried = overall.undecodable + len(overall.columns.gray)
    return (
        f"{overall.undecodable:,} of {tried:,} images cannot be decoded. "
        "Run radikal-datasets verify --deep to see which."
    )


def _where(part: SetStatistics, chosen: np.ndarray) -> list[str]:
    return [part.classes[int(label)] for label in np.flatnonzero(chosen)]


def _named(names: list[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
