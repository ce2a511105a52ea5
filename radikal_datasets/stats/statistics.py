"""`stats`: describe a dataset, by split and in total: counts, box sizes, positions, image sizes, gray levels, files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from datasets import Dataset
from datasets.utils import tqdm

from ..gray_scale import scale_of
from .columns import Columns, checked_classes, joined, read
from .notices import Notice, notices
from .split_statistics import QUANTILES, SetStatistics

#: Maximum number of images that are decoded for the gray levels.
MOST_DECODED = 1000


@dataclass(frozen=True)
class Statistics:
    """Statistics of a dataset, in total and by split.

    Attributes:
        overall: all splits together.
        splits: split -> its statistics.
    """

    overall: SetStatistics
    splits: dict[str, SetStatistics]

    @property
    def whole(self) -> SetStatistics:
        """The former name of `overall`, kept for one version."""
        return self.overall

    @cached_property
    def notices(self) -> list[Notice]:
        """What to know before training on the dataset."""
        return notices(self.overall, self.splits)

    @property
    def classes(self) -> list[str]:
        """The class names."""
        return self.overall.classes

    def to_dict(self) -> dict[str, Any]:
        """Return everything, for JSON. Maps of positions by class are only in `whole`: they are large."""
        return {
            "classes": self.classes,
            "notices": [vars(notice) for notice in self.notices],
            "quantiles": list(QUANTILES),
            "whole": self.overall.to_dict(places_by_class=True),
            "splits": {split: part.to_dict() for split, part in self.splits.items()},
        }


def statistics(dataset_dict: Mapping[Any, Dataset], *, most_decoded: int = MOST_DECODED) -> Statistics:
    """Describe a dataset; every row is read once, 64 in memory, keeping about 80 bytes per image and 50 per box.

    Gray levels come from images spread evenly over all rows, decoded in threads: for JPEG the luminance, for
    more than 8 bits on the dataset's gray scale.

    Args:
        dataset_dict: split -> rows with the schema's columns, as `load_dataset` returns them.
        most_decoded: maximum number of images that are decoded.

    Raises:
        LayoutError: a column is missing, splits have different classes, or a row does not have one label per box.
    """
    classes = checked_classes(dataset_dict)
    splits = {str(split): dataset for split, dataset in dataset_dict.items() if len(dataset)}
    total = sum(map(len, splits.values()))
    count = min(total, most_decoded)
    sampled = np.arange(count) * total // max(count, 1)
    gray_scale = scale_of(splits)
    parts: dict[str, Columns] = {}
    start = 0
    with tqdm(total=total, unit=" images", desc="reading") as bar:
        for split, dataset in splits.items():
            low, high = np.searchsorted(sampled, [start, start + len(dataset)])
            parts[split] = read(dataset, sampled[low:high] - start, bar.update, gray_scale)
            start += len(dataset)
    overall = SetStatistics(classes, joined(list(parts.values())))
    return Statistics(overall, {split: SetStatistics(classes, part) for split, part in parts.items()})
