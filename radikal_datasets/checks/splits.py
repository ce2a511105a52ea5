"""The gate before training: the one check of columns, classes and annotations that every reader of splits uses.

Only columns of numbers and names are read, in batches; no image is decoded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import ClassLabel, Dataset

from ..errors import AnnotationsError, ColumnsError
from ..schema import require_columns
from .examination import MOST_CLASSES, Examination, Fault, Rows

#: The columns that are checked.
COLUMNS = ("image_id", "width", "height", "boxes", "labels", "annotated")
_ROWS_AT_ONCE = 65_536


def faults_of(
    splits: Mapping[Any, Dataset],
    columns: Sequence[str] = COLUMNS,
    *,
    what: str = "Split {split}",
    one_class_list: bool = True,
) -> list[Fault]:
    """Return what makes a set unfit for training, in the order of the splits; reads the columns in `COLUMNS`.

    Args:
        splits: split -> rows with the schema's columns.
        columns: all columns that are needed; `COLUMNS` are required anyway.
        what: begins the message of an error; `{split}` stands for the split's name.
        one_class_list: whether splits with different class lists are a fault.

    Raises:
        ColumnsError: a column is missing, or is not of the schema's kind.
    """
    classes: dict[str, list[str]] = {}
    for split, dataset in splits.items():
        where = what.replace("{split}", str(split))
        require_columns(dataset, [*dict.fromkeys((*columns, *COLUMNS))], what=where)
        classes[str(split)] = class_names(dataset, what=where)
    found: list[Fault] = []
    first = next(iter(classes), "")
    for split, dataset in splits.items():
        own = classes[str(split)]
        if one_class_list and own != classes[first]:
            different = f"has the classes {_listed(own)}, but split {first} has {_listed(classes[first])}"
            found.append(Fault("classes", str(split), None, different, "Give all splits the same list of classes."))
        found += examined(dataset, own).faults(str(split))
    return found + list(_ids_in_two(splits))


def check_splits(
    splits: Mapping[Any, Dataset],
    columns: Sequence[str] = COLUMNS,
    *,
    what: str = "Split {split}",
    one_class_list: bool = True,
) -> list[str]:
    """Reject splits that lack columns, or whose annotations are unfit for training; return the first split's classes.

    Args:
        splits, columns, what, one_class_list: as for `faults_of`.

    Raises:
        ColumnsError: a column is missing, or is not of the schema's kind.
        AnnotationsError: the faults, each with split and image.
    """
    if found := faults_of(splits, columns, what=what, one_class_list=one_class_list):
        raise AnnotationsError("\n".join(fault.sentence(what) for fault in found))
    return next((class_names(dataset, what=what) for dataset in splits.values()), [])


def check_annotations(dataset: Dataset, what: str) -> None:
    """Reject one split by itself, as a loader gets it, if its annotations are unfit for training.

    Raises:
        AnnotationsError: the faults, each with the image.
    """
    inner = getattr(dataset.features["labels"], "feature", None)
    classes = inner.names if isinstance(inner, ClassLabel) else None
    _reject(examined(dataset, classes), what)


def check_row(row: Mapping[str, Any], classes: Sequence[str] | None, what: str) -> None:
    """Reject one row of a stream if its annotation is unfit for training.

    Args:
        classes: the class names; None: unknown.

    Raises:
        AnnotationsError: the faults.
    """
    boxes, labels = row["boxes"] or [], row["labels"] or []
    examination = Examination(classes)
    examination.add(
        Rows(
            ids=[row["image_id"]],
            sizes=np.array([[row["width"] or 0, row["height"] or 0]], np.float64),
            boxes=np.array([box if len(box) == 4 else [np.nan] * 4 for box in boxes], np.float64).reshape(-1, 4),
            counts=np.array([len(boxes)]),
            numbers=np.array([len(box) for box in boxes], np.int64),
            labels=np.array(labels, np.int64),
            label_counts=np.array([len(labels)]),
        )
    )
    _reject(examination, what)


def _reject(examination: Examination, what: str) -> None:
    if found := examination.faults(""):
        raise AnnotationsError("\n".join(fault.sentence(what) for fault in found))


def class_names(dataset: Dataset, *, what: str) -> list[str]:
    """Return the class names of a split, in the order of their labels.

    Raises:
        ColumnsError: the column `labels` is no list of ClassLabel.
    """
    feature = dataset.features["labels"]
    inner = getattr(feature, "feature", None)
    if not isinstance(inner, ClassLabel):
        raise ColumnsError(
            f"{what.rstrip(',')}: the column labels is {feature}; it must be a list of ClassLabel, which holds the "
            "class names. docs/training.md shows how to create such a folder."
        )
    return cast("list[str]", inner.names)


def examined(dataset: Dataset, classes: Sequence[str] | None) -> Examination:
    """Return the examination of all rows of a split.

    Raises:
        ColumnsError: the columns `boxes` or `labels` do not hold lists of numbers.
    """
    examination = Examination(classes)
    chosen = dataset.select_columns(list(COLUMNS)).with_format("arrow")
    for table in cast("Iterator[pa.Table]", chosen.iter(_ROWS_AT_ONCE)):
        examination.add(_rows(table))
    return examination


def _rows(table: pa.Table) -> Rows:
    boxes = _compute("list_flatten", table["boxes"])
    if pa.types.is_null(boxes.type):  # no box at all
        numbers, corners = np.zeros(0, np.int64), np.zeros((0, 4))
    elif not _is_list(boxes.type) or pa.types.is_nested(boxes.type.value_type):
        raise ColumnsError(f"The column boxes holds lists of {boxes.type}; it must hold lists of four numbers.")
    else:
        numbers = _lengths(boxes)
        flat = _compute("list_flatten", boxes).to_numpy().astype(np.float64)
        corners = np.full((len(numbers), 4), np.nan)
        good = numbers == 4
        corners[good] = flat[np.repeat(good, numbers)].reshape(-1, 4)
    sizes = [_compute("fill_null", table[name], 0).to_numpy().astype(np.float64) for name in ("width", "height")]
    return Rows(
        ids=table["image_id"].combine_chunks(),
        sizes=np.stack(sizes, 1),
        boxes=corners,
        counts=_lengths(table["boxes"]),
        numbers=numbers,
        labels=_compute("fill_null", _compute("list_flatten", table["labels"]), -1).to_numpy().astype(np.int64),
        label_counts=_lengths(table["labels"]),
    )


def _ids_in_two(splits: Mapping[Any, Dataset]) -> Iterator[Fault]:
    """Yield a fault for each split that shares images with an earlier one; repeated rows of one split are none."""
    earlier: list[tuple[str, Any]] = []
    for split, dataset in splits.items():
        column = dataset.select_columns(["image_id"]).with_format("arrow")[:]
        ids = column["image_id"].unique()  # pyright: ignore[reportAttributeAccessIssue, reportCallIssue, reportArgumentType]
        for other, known in earlier:
            shared = ids.filter(_compute("is_in", ids, value_set=known))
            if len(shared):
                also = f"is in split {other}, too"
                remedy = "Keep an image in one split; give different images different image_ids."
                yield Fault("two_splits", str(split), str(shared[0]), also, remedy, len(shared), len(shared))
                break
        earlier.append((str(split), ids))


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_CLASSES:,} more" if len(names) > MOST_CLASSES else ""
    return f"{', '.join(names[:MOST_CLASSES])}{more}" or "none"


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _lengths(lists: Any) -> np.ndarray:
    return _compute("fill_null", _compute("list_value_length", lists), 0).to_numpy().astype(np.int64)


def _compute(name: str, *arguments: Any, **options: Any) -> Any:
    # pyarrow creates these functions at run time: a type checker cannot see them.
    return getattr(pc, name)(*arguments, **options)
