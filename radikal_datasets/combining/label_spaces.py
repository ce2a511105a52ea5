"""Map several sources' classes to one list of class names, and relabel Arrow data without touching an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import CombiningError

UNION, SOURCE, DEFECT = "union", "source", "defect"
#: Key in a mapping for every class that it does not name.
OTHERS = "*"
#: In a lookup: boxes of this class are not part of the label space.
DROPPED = -1

#: Class names by source: (the source's name, or None if it has none; its class names in label order).
Classes = Sequence[tuple[str | None, Sequence[str]]]


def label_space(sources: Classes, labels: str | Mapping[str, str | None]) -> tuple[list[str], list[dict[str, int]]]:
    """Return the common class names, and for every source its class name -> number among them, or `DROPPED`.

    Order: of first appearance; with a mapping, the order of its values.

    Raises:
        CombiningError: classes that the mapping does not name, names in it that are not classes, no class left, or a
            source without a name where one is needed.
    """
    if isinstance(labels, Mapping):
        targets = _mapped(sources, labels)
        order = list(labels.values())
    elif labels in (UNION, SOURCE, DEFECT):
        targets = [{name: _named(source, name, labels) for name in names} for source, names in sources]
        order = []
    else:
        raise CombiningError(
            f"labels={labels!r} is neither 'union', 'source' or 'defect' nor a mapping of class names."
        )
    used = dict.fromkeys(target for source in targets for target in source.values() if target is not None)
    names = [str(name) for name in dict.fromkeys(order) if name in used] or list(used)
    if not names:
        raise CombiningError("No class is left: labels maps every one of them to None.")
    numbers = {name: number for number, name in enumerate(names)}
    lookups = [
        {name: DROPPED if target is None else numbers[target] for name, target in source.items()} for source in targets
    ]
    return names, lookups


def _named(source: str | None, name: str, labels: str) -> str:
    if labels != SOURCE:
        return DEFECT if labels == DEFECT else name
    if source is None:
        raise CombiningError(
            f"labels='source' needs a name for the dataset with the class {name!r}, but its image_ids do not begin "
            "with one. Give the datasets as a mapping {name: dataset}."
        )
    return f"{source}_{name}"


def _mapped(sources: Classes, labels: Mapping[str, str | None]) -> list[dict[str, str | None]]:
    """Return the user's mapping, per source; a name with its source takes precedence over one without."""
    if odd := [key for key, value in labels.items() if value is not None and not (isinstance(value, str) and value)]:
        raise CombiningError(f"labels maps {odd} to something that is neither a class name nor None.")
    unused, unnamed = set(labels) - {OTHERS}, []
    targets: list[dict[str, str | None]] = []
    for source, names in sources:
        targets.append({})
        for name in names:
            keys = [key for key in (f"{source}/{name}", name) if key in labels]
            unused.difference_update(keys)
            if keys or OTHERS in labels:
                targets[-1][name] = labels[keys[0] if keys else OTHERS]
            else:
                unnamed.append(_full(source, name))
    there = ", ".join(_full(source, name) for source, names in sources for name in names)
    if unnamed:
        raise CombiningError(
            f"labels does not name {', '.join(unnamed)}. Name each (None drops its boxes), or add a '*' for the rest."
        )
    if unused:
        raise CombiningError(
            f"labels names {', '.join(sorted(unused))}, which no dataset has. The classes are {there}."
        )
    return targets


def _full(source: str | None, name: str) -> str:
    return name if source is None else f"{source}/{name}"


@dataclass(frozen=True)
class Relabeled:
    """The result of relabeling a table.

    Attributes:
        columns: those that changed, of `labels`, `boxes`, `masks` and `annotated`.
        lost: bool, one per row: one of its classes was dropped, so the row is no longer annotated.
        duplicates: boxes that repeat another one, now that their classes are the same.
    """

    columns: dict[str, pa.ChunkedArray]
    lost: np.ndarray
    duplicates: int


def relabel(table: pa.Table, lookup: Sequence[int]) -> Relabeled:
    """Convert labels to another label space.

    An image with a box of a dropped class loses all its boxes and is no longer annotated: its defect is still there,
    and the rest of its boxes would declare it background. If two classes become one, boxes that are equal in class, box
    and mask (as PNG bytes) become one box.

    Args:
        table: `image_id`, `boxes`, `labels`, `masks`, `annotated` in the schema's types; no image.
        lookup: old label -> new label, or `DROPPED`.

    Raises:
        CombiningError: a row does not have one label per box, or a label has no name.
    """
    kept = [number for number in lookup if number != DROPPED]
    merges = len(set(kept)) < len(kept)
    old = [batch for batch in table.to_batches() if batch.num_rows]
    new = [_relabel_batch(batch, np.asarray(lookup, np.int64), merges) for batch in old]
    columns = {
        name: pa.chunked_array([now.get(name, was.column(name)) for (now, *_), was in zip(new, old, strict=True)])
        for name in sorted({name for now, *_ in new for name in now})
    }
    lost = np.concatenate([lost for _, lost, _ in new]) if new else np.zeros(0, bool)
    return Relabeled(columns, lost, sum(duplicates for *_, duplicates in new))


def _relabel_batch(batch: pa.RecordBatch, lookup: np.ndarray, merges: bool) -> tuple[dict[str, Any], np.ndarray, int]:
    boxes, labels, masks = batch.column("boxes"), batch.column("labels"), batch.column("masks")
    lengths = _lengths(labels)
    old = labels.flatten().to_numpy(zero_copy_only=False)
    rows = np.repeat(np.arange(len(lengths)), lengths)
    _check(batch, lengths, rows, old, len(lookup))
    new = lookup[old]
    lost = np.zeros(len(lengths), bool)
    lost[rows[new == DROPPED]] = True
    keep = ~lost[rows]
    duplicates = 0
    if merges:
        repeated = _repeated(rows, new, boxes, masks) & keep
        duplicates = int(repeated.sum())
        keep &= ~repeated
    if keep.all():
        return {"labels": _lists(lengths, pa.array(new), labels.type)}, lost, 0
    mask_lengths = _lengths(masks)
    kept_lengths = np.bincount(rows[keep], minlength=len(lengths))
    columns = {
        "labels": _lists(kept_lengths, pa.array(new[keep]), labels.type),
        "boxes": _lists(kept_lengths, boxes.flatten().filter(pa.array(keep)), boxes.type),
    }
    if mask_lengths.any():
        keep_masks = pa.array(keep[mask_lengths[rows] > 0])  # a row has one mask per box, or none at all
        columns["masks"] = _lists(
            np.where(mask_lengths, kept_lengths, 0), masks.flatten().filter(keep_masks), masks.type
        )
    if lost.any():
        columns["annotated"] = pc.call_function("and_not", [batch.column("annotated"), pa.array(lost)])
    return columns, lost, duplicates


def _check(batch: pa.RecordBatch, lengths: np.ndarray, rows: np.ndarray, labels: np.ndarray, classes: int) -> None:
    def fail(row: Any, what: str) -> None:
        image_id = batch.column("image_id")[int(row)]
        raise CombiningError(f"{image_id}: {what}. Correct it, or omit it with filter() and flatten_indices().")

    boxes, masks = _lengths(batch.column("boxes")), _lengths(batch.column("masks"))
    for row in np.flatnonzero(boxes != lengths)[:1]:
        fail(row, f"{boxes[row]} boxes, but {lengths[row]} labels")
    for row in np.flatnonzero((masks != lengths) & (masks > 0))[:1]:
        fail(row, f"{masks[row]} masks for {lengths[row]} boxes, but there must be one per box or none")
    for place in np.flatnonzero(~((labels >= 0) & (labels < classes)))[:1]:
        fail(rows[place], f"label {labels[place]} is not one of the {classes} classes")


def _repeated(rows: np.ndarray, labels: np.ndarray, boxes: pa.ListArray, masks: pa.ListArray) -> np.ndarray:
    """Return bool, one per box: an earlier one of the same row has the same class, box and mask."""
    corners = boxes.flatten().flatten().to_numpy(zero_copy_only=False).reshape(-1, 4)
    keys = np.column_stack([rows, labels, corners]).astype(np.float64)
    _, first, same = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    repeated = np.ones(len(keys), bool)
    repeated[first] = False
    if not (repeated.any() and _lengths(masks).any()):
        return repeated
    start = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(masks)))])
    same, seen = same.reshape(-1), set()
    for box in np.flatnonzero(np.isin(same, same[repeated])):  # few: only these masks are compared
        row = rows[box]
        held = masks[row]
        mask = held[box - start[row]]["bytes"].as_py() if len(held) else None
        repeated[box] = (same[box], mask) in seen
        seen.add((same[box], mask))
    return repeated


def _lengths(lists: pa.ListArray) -> np.ndarray:
    return pc.fill_null(lists.value_lengths(), 0).to_numpy(zero_copy_only=False)


def _lists(lengths: np.ndarray, values: pa.Array, kind: pa.DataType) -> pa.Array:
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values.cast(kind.value_type), type=kind)
