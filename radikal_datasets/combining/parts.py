"""The parts of a combined dataset, each with rows of one split of one dataset; no image is in two of them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from datasets import (
    Dataset,
)

from ..errors import CombiningError
from .duplicates import Duplicate, common_groups, find_duplicates, losers
from .named_sets import NamedSet

logger = logging.getLogger(__name__)


@dataclass
class Part:
    """Rows of one split of one dataset; `columns`, in the schema's order and types, cover all its Arrow rows."""

    item: int
    split: str
    origin: Dataset
    columns: dict[str, pa.ChunkedArray]
    changed: set[str]
    rows: np.ndarray

    def strings(self, column: str) -> np.ndarray:
        """Return a column of text, of these rows."""
        return self.columns[column].to_numpy(zero_copy_only=False)[self.rows]


def check_ids(sets: Sequence[NamedSet], parts: Sequence[Part]) -> None:
    """Check that no image_id occurs twice.

    Raises:
        CombiningError: one does; names both datasets.
    """
    seen: dict[str, tuple[int, str]] = {}
    for part in parts:
        for image_id in part.strings("image_id"):
            if image_id in seen:
                item, split = seen[image_id]
                raise CombiningError(
                    f"image_id {image_id} is in {sets[item].called}, split {split}, and in {sets[part.item].called}, "
                    f"split {part.split}. An image may occur only once: omit one of the two datasets (a config "
                    "'all' holds its source's other configs), or give the images of your own dataset other ids."
                )
            seen[image_id] = part.item, part.split


def separate_duplicates(parts: Sequence[Part]) -> None:
    """Remove copies of an image that another dataset has in a more held-out split; copies that stay share a group."""
    dropped: dict[int, list[int]] = {}
    together: list[list[str]] = []
    pairs: list[str] = []
    for copies in find_duplicates([(part.item, part.columns["image"], part.rows) for part in parts]):
        stays, goes = [], []
        for copy, leaks in zip(copies, losers([parts[copy.part].split for copy in copies]), strict=True):
            (goes if leaks else stays).append(copy)
        together.append([_text(parts, copy, "group") for copy in stays])
        for copy in goes:
            dropped.setdefault(copy.part, []).append(copy.row)
            where, kept_where = parts[copy.part].split, parts[stays[0].part].split
            pairs.append(f"{_text(parts, copy)} ({where}) is {_text(parts, stays[0])} ({kept_where})")
    for number, rows in dropped.items():
        parts[number].rows = parts[number].rows[~np.isin(parts[number].rows, rows)]
    if pairs:
        logger.warning(
            "%d images were left out: another dataset has the same bytes in a more held-out split. %s%s",
            *(len(pairs), "; ".join(pairs[:3]), " ..." if len(pairs) > 3 else ""),
        )
    renamed = common_groups(together)
    for part in parts:
        if renamed and not renamed.keys().isdisjoint(part.strings("group")):
            groups = [renamed.get(group, group) for group in part.columns["group"].to_pylist()]
            part.columns["group"] = pa.chunked_array([pa.array(groups)])
            part.changed.add("group")


def _text(parts: Sequence[Part], copy: Duplicate, column: str = "image_id") -> str:
    return parts[copy.part].columns[column][copy.row].as_py()
