"""`combine`: several sources as one set with one label space, no image copied and none in two splits."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import (
    Dataset,
    DatasetDict,
    DatasetInfo,
    Features,
    NamedSplit,
    concatenate_datasets,
    interleave_datasets,
)
from datasets.fingerprint import Hasher
from datasets.table import InMemoryTable, cast_array_to_feature

from ..errors import CombiningError
from ..schema import features as schema_features
from ..splits import SPLITS, TRAIN, UNLABELED
from .duplicates import Twin, common_groups, find_twins, losers
from .label_spaces import label_space, relabel
from .named_sets import Item, NamedSet, load_sets

logger = logging.getLogger(__name__)

_TRUTH = ("image_id", "boxes", "labels", "masks", "annotated")


@dataclass
class _Part:
    """Rows of one split of one set; `columns`, in the schema's order and types, are of all rows of its Arrow data."""

    item: int
    split: str
    origin: Dataset
    columns: dict[str, pa.ChunkedArray]
    changed: set[str]
    rows: np.ndarray

    def strings(self, column: str) -> np.ndarray:
        return self.columns[column].to_numpy(zero_copy_only=False)[self.rows]


def combine(
    datasets: Sequence[Item] | Mapping[str, Item],
    *,
    labels: str | Mapping[str, str | None] = "union",
    weights: Sequence[float] | Mapping[str, float] | None = None,
    seed: int = 0,
) -> DatasetDict:
    """Several sets as one, with one label space; image bytes stay where they are.

    Every set keeps its own splits, protocol and groups. Byte-identical images of different sets get a common group;
    where they stand in different splits, only the copy in the most held-out one stays (test, validation, train,
    unlabeled), and a warning says how many were left out. Columns that are not in the schema are left out.

    Args:
        datasets: the sets. Each is a path that `load_dataset` takes ("radikal_datasets/neu_det", a prepared folder),
            a tuple (path, config), a dict of `load_dataset`'s arguments, or a loaded DatasetDict. A set needs the
            columns `image_id image width height boxes labels annotated`; `masks reference group` are filled in.
            As a mapping, its keys name the sets; else a set is named by what its image_ids begin with ("neu_det/...").
        labels: "union": equal class names are one class. "source": every class is `<name of the set>_<class>`.
            "defect": all are one class, `defect`. Or a mapping of class names, with their set ("neu_det/scratches") or
            without, to new ones; "*" stands for those it does not name; None drops a class. An image that loses a box
            this way loses all and moves to the split `unlabeled`, for half a truth is none.
        weights: one positive number a set: how often a row of the train split is of it, as shares of their sum. Rows
            are drawn until each set's were all there at least once, so rows of other sets come again, under the same
            image_id. None: every image once, set after set.
        seed: of the weighted mix.

    Returns:
        The splits there are, of train, validation, test and unlabeled, with `schema.features(class names)`.

    Raises:
        CombiningError: an image_id twice, a streamed set, a column or a name missing, labels or weights that don't fit.
        RadikalError: as `load_dataset` raises it.
    """
    sets = load_sets(datasets)
    class_names, lookups = label_space([(one.name, one.classes) for one in sets], labels)
    features = schema_features(class_names)
    parts = [
        part
        for number, one in enumerate(sets)
        for split in SPLITS
        if split in one.splits and len(one.splits[split])
        for part in _parts(number, one, split, features, lookups[number])
    ]
    _check_ids(sets, parts)
    _separate_twins(parts)
    built = [(part, _dataset(part, features)) for part in parts if len(part.rows)]
    shares = _shares(weights, sets, {part.item for part, _ in built if part.split == TRAIN})
    combined = DatasetDict()
    for split in SPLITS:
        of_split = [(part.item, dataset) for part, dataset in built if part.split == split]
        if split == TRAIN and shares:
            combined[split] = interleave_datasets(
                [dataset for _, dataset in of_split],
                probabilities=[shares[item] for item, _ in of_split],
                seed=seed,
                split=NamedSplit(split),
                stopping_strategy="all_exhausted",
            )
        elif of_split:
            combined[split] = concatenate_datasets([dataset for _, dataset in of_split], split=NamedSplit(split))
    return combined


def _parts(number: int, one: NamedSet, split: str, features: Features, lookup: Mapping[str, int]) -> Iterator[_Part]:
    """A split in the common schema and label space; apart from it, the rows that lost their truth. Reads no image."""
    dataset: Dataset = one.splits[split]
    table, mapping = dataset.data.table, dataset._indices  # select() and shuffle() leave indices and move no row
    rows = np.arange(table.num_rows) if mapping is None else mapping.column(0).to_numpy().astype(np.int64)
    columns, changed = {}, set()
    for name, feature in features.items():
        kind = features.arrow_schema.field(name).type
        if name in table.column_names and table.schema.field(name).type == kind:
            columns[name] = table.column(name)
            continue
        changed.add(name)
        if name in table.column_names:
            columns[name] = cast_array_to_feature(table.column(name), feature)
        elif name == "masks":
            columns[name] = pa.chunked_array([pa.array([[]] * table.num_rows, kind)])
        else:
            columns[name] = pa.chunked_array([pa.nulls(table.num_rows, kind)])
    if columns["group"].null_count:
        columns["group"] = pc.call_function("coalesce", [columns["group"], columns["image_id"]])
        changed.add("group")
    names = dataset.features["labels"].feature.names
    try:
        new = relabel(pa.table({name: columns[name] for name in _TRUTH}), [lookup[name] for name in names])
    except CombiningError as error:
        raise CombiningError(f"{one.called}, split {split}: {error}") from None
    columns.update(new.columns)
    changed.update(new.columns)
    if new.duplicates:
        logger.info("%s, split %s: %d boxes are one with another now.", one.called, split, new.duplicates)
    lost = new.lost[rows]
    yield _Part(number, split, dataset, columns, changed, rows[~lost])
    if lost.any():
        logger.warning(
            "%s: %d images of %s hold a class that labels drops; they moved to the split %s, without their boxes.",
            *(one.called, lost.sum(), split, UNLABELED),
        )
        yield _Part(number, UNLABELED, dataset, columns, changed, rows[lost])


def _check_ids(sets: Sequence[NamedSet], parts: Sequence[_Part]) -> None:
    seen: dict[str, tuple[int, str]] = {}
    for part in parts:
        for image_id in part.strings("image_id"):
            if image_id in seen:
                item, split = seen[image_id]
                raise CombiningError(
                    f"image_id {image_id} is in {sets[item].called}, split {split}, and in {sets[part.item].called}, "
                    f"split {part.split}. An image may come once: leave one of the two sets out (a source's config "
                    "'all' holds its other configs), or give the images of your own set other ids."
                )
            seen[image_id] = part.item, part.split


def _separate_twins(parts: Sequence[_Part]) -> None:
    """Leaves out copies of an image that another set has in a more held-out split; copies that stay share a group."""
    dropped: dict[int, list[int]] = {}
    together: list[list[str]] = []
    pairs: list[str] = []
    for twins in find_twins([(part.item, part.columns["image"], part.rows) for part in parts]):
        stays, goes = [], []
        for twin, leaks in zip(twins, losers([parts[twin.part].split for twin in twins]), strict=True):
            (goes if leaks else stays).append(twin)
        together.append([_text(parts, twin, "group") for twin in stays])
        for twin in goes:
            dropped.setdefault(twin.part, []).append(twin.row)
            where, kept_where = parts[twin.part].split, parts[stays[0].part].split
            pairs.append(f"{_text(parts, twin)} ({where}) is {_text(parts, stays[0])} ({kept_where})")
    for number, rows in dropped.items():
        parts[number].rows = parts[number].rows[~np.isin(parts[number].rows, rows)]
    if pairs:
        logger.warning(
            "%d images were left out: another set has the same bytes in a more held-out split. %s%s",
            *(len(pairs), "; ".join(pairs[:3]), " ..." if len(pairs) > 3 else ""),
        )
    renamed = common_groups(together)
    for part in parts:
        if renamed and not renamed.keys().isdisjoint(part.strings("group")):
            groups = [renamed.get(group, group) for group in part.columns["group"].to_pylist()]
            part.columns["group"] = pa.chunked_array([pa.array(groups)])
            part.changed.add("group")


def _text(parts: Sequence[_Part], twin: Twin, column: str = "image_id") -> str:
    return parts[twin.part].columns[column][twin.row].as_py()


def _dataset(part: _Part, features: Features) -> Dataset:
    """Columns that did not change stay in the memory-mapped file they are in; the others are small and in memory."""
    old = part.origin
    blocks = []
    for changed, group in groupby(features, key=lambda name: name in part.changed):
        names = list(group)
        info = DatasetInfo(features=Features({name: features[name] for name in names}))
        if changed:
            blocks.append(Dataset(InMemoryTable(pa.table({name: part.columns[name] for name in names})), info))
        else:
            fingerprint = Hasher.hash([old._fingerprint, names])
            blocks.append(Dataset(old.data.select(names), info, fingerprint=fingerprint))
    about = DatasetInfo(
        description=old.info.description,
        citation=old.info.citation,
        homepage=old.info.homepage,
        license=old.info.license,
    )
    dataset = concatenate_datasets(blocks, info=about, axis=1)
    whole = np.array_equal(part.rows, np.arange(len(dataset)))
    return dataset if whole else dataset.select(part.rows)


def _shares(weights: Any, sets: Sequence[NamedSet], with_train: set[int]) -> dict[int, float]:
    """Set number -> its share of the train split; empty without weights."""
    if weights is None:
        return {}
    called = ", ".join(one.called for one in sets)
    if isinstance(weights, Mapping):
        names = [one.name for one in sets]
        if len(set(names)) < len(names) or set(weights) != set(names):
            raise CombiningError(f"weights names {sorted(weights)}; it must name each set once, and they are {names}.")
        weights = [weights[name] for name in names]
    if len(weights) != len(sets) or not all(math.isfinite(weight) and weight > 0 for weight in weights):
        raise CombiningError(f"weights={list(weights)}: give one positive number for each of {called}.")
    for number, one in enumerate(sets):
        if number not in with_train:
            raise CombiningError(
                f"{one.called} has no train image (left), so it can't be weighted. Leave it or weights out."
            )
    return {number: weight / sum(weights) for number, weight in enumerate(weights)}
