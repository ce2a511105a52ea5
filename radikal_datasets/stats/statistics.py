"""`stats`: what a set holds, by split and whole: counts, box sizes and places, image sizes, gray levels, files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from datasets import Dataset
from datasets.utils import tqdm

from .columns import Columns, checked_classes, joined, read
from .notices import Notice, notices
from .split_statistics import QUANTILES, SetStatistics

#: Images that are decoded for the gray levels, at most.
MOST_DECODED = 1000


@dataclass(frozen=True)
class Statistics:
    """A set, whole and by split.

    Attributes:
        whole: all splits together.
        splits: split -> its own.
    """

    whole: SetStatistics
    splits: dict[str, SetStatistics]

    @cached_property
    def notices(self) -> list[Notice]:
        """What somebody should know before training on the set."""
        return notices(self.whole, self.splits)

    @property
    def classes(self) -> list[str]:
        """The classes' names."""
        return self.whole.classes

    def to_dict(self) -> dict[str, Any]:
        """Everything, for JSON. Maps of places by class stand in `whole` alone: they are large."""
        return {
            "classes": self.classes,
            "notices": [vars(notice) for notice in self.notices],
            "quantiles": list(QUANTILES),
            "whole": self.whole.to_dict(places_by_class=True),
            "splits": {split: part.to_dict() for split, part in self.splits.items()},
        }


def statistics(dataset_dict: Mapping[Any, Dataset], *, most_decoded: int = MOST_DECODED) -> Statistics:
    """Describes a set; every row is read once, 64 in memory, and about 80 bytes an image and 50 a box are kept.

    Gray levels are those of images spread evenly over all rows, decoded in threads: of a JPEG the luminance, of 16-bit
    images the upper byte.

    Args:
        dataset_dict: split -> rows with the schema's columns, as `load_dataset` gives them.
        most_decoded: images that are decoded, at most.

    Raises:
        LayoutError: a column is missing, splits have other classes, or a row has not one label a box.
    """
    classes = checked_classes(dataset_dict)
    splits = {str(split): dataset for split, dataset in dataset_dict.items() if len(dataset)}
    total = sum(map(len, splits.values()))
    count = min(total, most_decoded)
    sampled = np.arange(count) * total // max(count, 1)
    parts: dict[str, Columns] = {}
    start = 0
    with tqdm(total=total, unit=" images", desc="reading") as bar:
        for split, dataset in splits.items():
            low, high = np.searchsorted(sampled, [start, start + len(dataset)])
            parts[split] = read(dataset, sampled[low:high] - start, bar.update)
            start += len(dataset)
    whole = SetStatistics(classes, joined(list(parts.values())))
    return Statistics(whole, {split: SetStatistics(classes, part) for split, part in parts.items()})
