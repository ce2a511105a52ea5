"""`combine`: several sources as one dataset with one label space; no image is copied, and none is in two splits."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
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
from ..gray_scale import GrayScale, scale_of
from ..schema import features as schema_features
from ..splits import SPLITS, TRAIN, UNLABELED
from .label_spaces import label_space, relabel
from .named_sets import Item, NamedSet, load_sets
from .parts import Part, check_ids, separate_duplicates

logger = logging.getLogger(__name__)

_ANNOTATION = ("image_id", "boxes", "labels", "masks", "annotated")


def combine(
    datasets: Sequence[Item] | Mapping[str, Item],
    *,
    labels: str | Mapping[str, str | None] = "union",
    weights: Sequence[float] | Mapping[str, float] | None = None,
    seed: int = 0,
) -> DatasetDict:
    """Combine several datasets into one with one label space; image bytes are not copied.

    Every dataset keeps its own splits, protocol and groups. Byte-identical images of different datasets get a common
    group; if they are in different splits, only the copy in the most held-out one is kept (test, validation, train,
    unlabeled), and a warning reports how many were left out. Columns that are not in the schema are left out.

    Args:
        datasets: the datasets. Each is a path that `load_dataset` accepts ("radikal_datasets/neu_det", a prepared
            folder), a tuple (path, config), a dict of `load_dataset`'s arguments, or a loaded DatasetDict. A dataset
            needs the columns `image_id image width height boxes labels annotated`; `masks reference group` are filled
            in. In a mapping, the keys name the datasets; otherwise a dataset's name is the prefix of its image_ids
            ("neu_det/...").
        labels: "union": equal class names are one class. "source": every class is `<name of the dataset>_<class>`.
            "defect": all are one class, `defect`. Or a mapping of class names, with their dataset ("neu_det/scratches")
            or without, to new ones; "*" stands for those it does not name; None drops a class. An image that loses a
            box this way loses all of them and moves to the split `unlabeled`, since a partial annotation is misleading.
        weights: one positive number per dataset: how often a row of the train split comes from it, as shares of their
            sum. Rows are drawn until every row of each dataset has occurred at least once, so rows of other datasets
            repeat, under the same image_id. None: every image once, one dataset after another.
        seed: for the weighted mix.

    Returns:
        The available splits, of train, validation, test and unlabeled, with `schema.features(class names)`.

    Raises:
        CombiningError: a repeated image_id, different gray scales, a streamed dataset, a missing column or name,
            unsuitable labels or weights.
        RadikalError: as raised by `load_dataset`.
    """
    sets = load_sets(datasets)
    class_names, lookups = label_space([(one.name, one.classes) for one in sets], labels)
    features = schema_features(class_names, _gray_scale(sets))
    parts = [
        part
        for number, one in enumerate(sets)
        for split in SPLITS
        if split in one.splits and len(one.splits[split])
        for part in _parts(number, one, split, features, lookups[number])
    ]
    check_ids(sets, parts)
    separate_duplicates(parts)
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


def _parts(number: int, one: NamedSet, split: str, features: Features, lookup: Mapping[str, int]) -> Iterator[Part]:
    """Yield a split in the common schema and labels; separately, rows that lost their annotation. Reads no image."""
    dataset: Dataset = one.splits[split]
    table, mapping = dataset.data.table, dataset._indices  # select() and shuffle() set indices and move no row
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
        new = relabel(pa.table({name: columns[name] for name in _ANNOTATION}), [lookup[name] for name in names])
    except CombiningError as error:
        raise CombiningError(f"{one.called}, split {split}: {error}") from None
    columns.update(new.columns)
    changed.update(new.columns)
    if new.duplicates:
        logger.info("%s, split %s: %d boxes were merged with an equal one.", one.called, split, new.duplicates)
    lost = new.lost[rows]
    yield Part(number, split, dataset, columns, changed, rows[~lost])
    if lost.any():
        logger.warning(
            "%s: %d images of %s hold a class that labels drops; they were moved to the split %s, without their boxes.",
            *(one.called, lost.sum(), split, UNLABELED),
        )
        yield Part(number, UNLABELED, dataset, columns, changed, rows[lost])


def _gray_scale(sets: Sequence[NamedSet]) -> GrayScale | None:
    """Return the scale of all images of more than 8 bits.

    Raises:
        CombiningError: two datasets have different ones.
    """
    scales = {one.called: scale for one in sets if (scale := scale_of(one.splits)) is not None}
    if len(set(scales.values())) > 1:
        found = ", ".join(f"{called} from {one.low:,g} to {one.high:,g}" for called, one in scales.items())
        raise CombiningError(
            f"The images of more than 8 bits have different gray scales: {found}. State one window for all of them: "
            "`pixels: {window: [low, high]}` in the radikal.yaml of each."
        )
    return next(iter(scales.values()), None)


def _dataset(part: Part, features: Features) -> Dataset:
    """Build a dataset: unchanged columns stay in their memory-mapped file; the others are small and in memory."""
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
    unfiltered = np.array_equal(part.rows, np.arange(len(dataset)))
    return dataset if unfiltered else dataset.select(part.rows)


def _shares(weights: Any, sets: Sequence[NamedSet], with_train: set[int]) -> dict[int, float]:
    """Return dataset number -> its share of the train split; empty without weights."""
    if weights is None:
        return {}
    called = ", ".join(one.called for one in sets)
    if isinstance(weights, Mapping):
        names = [one.name for one in sets]
        if len(set(names)) < len(names) or set(weights) != set(names):
            raise CombiningError(f"weights names {sorted(weights)}, but must name each dataset once: {names}.")
        weights = [weights[name] for name in names]
    if len(weights) != len(sets) or not all(math.isfinite(weight) and weight > 0 for weight in weights):
        raise CombiningError(f"weights={list(weights)} is invalid. Give one positive number for each of {called}.")
    for number, one in enumerate(sets):
        if number not in with_train:
            raise CombiningError(
                f"{one.called} has no train images (left), so it cannot be weighted. Omit it or weights."
            )
    return {number: weight / sum(weights) for number, weight in enumerate(weights)}
