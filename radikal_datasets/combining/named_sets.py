"""Load, name and check the datasets given to `combine`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import DatasetDict, Image, IterableDatasetDict

from ..checks.splits import check_splits, class_names
from ..errors import CombiningError
from ..loading.loading import load_dataset
from ..schema import require_columns
from ..splits import SPLITS

_NEEDED = ("image_id", "image", "width", "height", "boxes", "labels", "annotated")

#: What may stand for a dataset: see `radikal_datasets.combine`.
Item = str | os.PathLike[str] | tuple[str, str] | Mapping[str, Any] | DatasetDict


@dataclass(frozen=True)
class NamedSet:
    """A loaded dataset.

    Attributes:
        called: its name in messages.
        name: its source's name, or the one it was given; None if it has neither.
        splits: its splits, of those in `splits.SPLITS`.
        classes: its class names; if its splits differ, all of them.
    """

    called: str
    name: str | None
    splits: DatasetDict
    classes: list[str]


def load_sets(items: Sequence[Item] | Mapping[str, Item]) -> list[NamedSet]:
    """Load what `combine` was given, and check each dataset by itself.

    Raises:
        CombiningError: an item is not a dataset, is streamed, or lacks a column or any image.
        RadikalError: as raised by `load_dataset`.
    """
    single = isinstance(items, DatasetDict | IterableDatasetDict) or (isinstance(items, Mapping) and "path" in items)
    if single or isinstance(items, str) or not isinstance(items, Sequence | Mapping):
        raise CombiningError(
            "combine takes a list of datasets, or a mapping {name: dataset}. Put the one you gave into a list."
        )
    named: list[tuple[Any, Any]] = (
        list(items.items()) if isinstance(items, Mapping) else [(None, item) for item in items]
    )
    if not named:
        raise CombiningError("combine needs at least one dataset, but got none.")
    return [_load_one(number, name, item) for number, (name, item) in enumerate(named, start=1)]


def _load_one(number: int, name: str | None, item: Item) -> NamedSet:
    called, folder = f"dataset {number}", None
    if isinstance(item, DatasetDict | IterableDatasetDict):
        splits = item
    elif isinstance(item, str | os.PathLike):
        folder = os.fspath(item)
        splits = load_dataset(folder)
    elif isinstance(item, tuple) and len(item) == 2:
        folder = os.fspath(item[0])
        splits = load_dataset(folder, item[1])
    elif isinstance(item, Mapping) and "path" in item:
        folder = os.fspath(item["path"])
        splits = load_dataset(**item)
    else:
        raise CombiningError(
            f"{called} is a {type(item).__name__}. Give a path, a tuple (path, config), a dict of load_dataset's "
            'arguments with "path", or a DatasetDict (for a single Dataset: DatasetDict({"train": dataset})).'
        )
    called += f" ({name or folder})" if name or folder else ""
    if isinstance(splits, IterableDatasetDict) or not isinstance(splits, DatasetDict):
        raise CombiningError(
            f"{called} was loaded as {type(splits).__name__}. combine needs all splits, not streamed (a stream "
            "cannot be searched for images that are in two datasets). Omit streaming= and split=."
        )
    classes: dict[str, None] = {}
    for split, dataset in splits.items():
        if split not in SPLITS:
            raise CombiningError(f"{called} has a split {split!r}. Rename it to one of {', '.join(SPLITS)}.")
        require_columns(dataset, _NEEDED, what=f"{called}, split {split},")
        names = class_names(dataset, what=f"{called}, split {split}")
        if not isinstance(dataset.features["image"], Image):
            raise CombiningError(f"{called}, split {split}: image must be an Image column.")
        classes.update(dict.fromkeys(names))
    if not any(len(dataset) for dataset in splits.values()):
        raise CombiningError(f"{called} holds no image.")
    name = name or _source_name(splits, folder)
    if folder is None and name is not None:
        called = f"dataset {number} ({name})"
    # Splits with different lists of classes are no fault here: classes are combined by name.
    check_splits(splits, _NEEDED, what=f"{called}, split {{split}}", one_class_list=False)
    return NamedSet(called, name, splits, list(classes))


def _source_name(splits: DatasetDict, folder: str | None) -> str | None:
    ids = (name for dataset in splits.values() for name in dataset["image_id"])
    begins = {str(name).partition("/")[0] if "/" in str(name) else None for name in ids}
    begin = begins.pop() if len(begins) == 1 else None
    return begin or (Path(folder).name if folder else None)
