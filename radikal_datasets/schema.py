"""The one schema every source, config and split yields.

All boxes are `x_min, y_min, x_max, y_max` in pixels, 0-based and half-open: pixel k covers [k, k + 1), so a box over
the whole image is (0, 0, width, height).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
from datasets import ClassLabel, Dataset, Features, Image, IterableDataset, List, Value

from .errors import ColumnsError, InvalidExampleError

if TYPE_CHECKING:
    from .raw.tree import Tree

#: Part of every cache key: raise it whenever the meaning or the columns change.
SCHEMA_VERSION = 1

Box = tuple[float, float, float, float]


def features(class_names: Sequence[str]) -> Features:
    """The columns of every dataset here; sources differ in the class names alone."""
    return Features(
        {
            "image_id": Value("string"),
            "image": Image(),
            "width": Value("int32"),
            "height": Value("int32"),
            "boxes": List(List(Value("float32"), length=4)),
            "labels": List(ClassLabel(names=list(class_names))),
            "masks": List(Image()),
            "reference": Image(),
            "annotated": Value("bool"),
            "group": Value("string"),
        }
    )


def require_columns(split: Dataset | IterableDataset | Iterable[str], names: Sequence[str], *, what: str) -> None:
    """Refuse a split that lacks columns of the schema.

    Args:
        split: a split, or the names of its columns; `Features` are such.
        names: the columns needed.
        what: the split's name, which begins the message: `split train of org/set`.

    Raises:
        ColumnsError: some of `names` are missing.
    """
    present = list((split.column_names or ()) if isinstance(split, Dataset | IterableDataset) else split)
    if missing := [name for name in names if name not in present]:
        raise ColumnsError(
            f"{what} lacks the columns {', '.join(missing)}. Needed are {', '.join(names)}; it has "
            f"{', '.join(present) or 'none'}. Give a dataset with the schema's columns, which load_dataset returns, "
            "prepare writes and docs/training.md describes."
        )


class MaskSource(Protocol):
    """Where the pixels of instances are: a mask file, a run-length string, a polygon. Small, hashable, picklable."""

    def labels(self, tree: Tree, width: int, height: int) -> np.ndarray:
        """An integer array of shape (height, width): 0 is background, k the pixels of component k."""
        ...


@dataclass(frozen=True)
class InstanceMask:
    """Component `component` (from 1) of a mask source."""

    source: MaskSource
    component: int = 1


@dataclass(frozen=True)
class Instance:
    """One defect: its class name, its box, and where its pixels are (None: the source has boxes only)."""

    label: str
    box: Box
    mask: InstanceMask | None = None


@dataclass
class Example:
    """One image with its truth, parsed; the bytes stay in the tree until they are written.

    Attributes:
        image_id: canonical name, the same for every layout, root and config.
        image: posix path of the image below the root.
        width, height: pixels, from the image file.
        instances: the defects; empty and `annotated` means defect-free.
        annotated: False where nobody looked. Never a negative.
        group: what must not be split; None: the image by itself (byte-identical twins are found later).
        reference: posix path of the defect-free twin, or None.
        publisher_split: "train" or "test" where the publisher has a split, else None.
    """

    image_id: str
    image: str
    width: int
    height: int
    instances: list[Instance] = field(default_factory=list)
    annotated: bool = True
    group: str | None = None
    reference: str | None = None
    publisher_split: str | None = None


def validate(example: Example, class_names: Sequence[str]) -> Example:
    """Returns the example, or raises `InvalidExampleError` naming what breaks the schema.

    Every builder passes every example through here, after clipping: a box outside its image or a class outside the
    config's is a fault of the source module.
    """

    def fail(what: str) -> None:
        raise InvalidExampleError(f"{example.image_id} ({example.image}): {what}")

    if not example.image_id or "\\" in example.image or example.image.startswith("/"):
        fail(f"image_id must be given and image be a posix path below the root, got {example.image!r}")
    if example.width <= 0 or example.height <= 0:
        fail(f"size {example.width}x{example.height} is not a size")
    if example.instances and not example.annotated:
        fail("boxes on an image that nobody annotated")
    with_mask = sum(instance.mask is not None for instance in example.instances)
    if with_mask not in (0, len(example.instances)):
        fail(f"{with_mask} of {len(example.instances)} boxes have a mask: all must, or none")
    for instance in example.instances:
        x_min, y_min, x_max, y_max = instance.box
        if instance.label not in class_names:
            fail(f"class {instance.label!r} is none of {list(class_names)}")
        if not (0 <= x_min < x_max <= example.width and 0 <= y_min < y_max <= example.height):
            fail(f"box {instance.box} is empty or not inside {example.width}x{example.height}")
    return example
