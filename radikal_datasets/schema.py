"""The schema that every source, config and split shares.

All boxes are `x_min, y_min, x_max, y_max` in pixels, 0-based and half-open: pixel k covers [k, k + 1), so a box that
covers the entire image is (0, 0, width, height).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from datasets import ClassLabel, Dataset, Features, Image, IterableDataset, List, Value

from .errors import ColumnsError, InvalidExampleError
from .gray_scale import GrayScale

if TYPE_CHECKING:
    from .raw.tree import Tree

#: Part of every cache key: increase it whenever the columns or their meaning change.
SCHEMA_VERSION = 1

Box = tuple[float, float, float, float]


def features(class_names: Sequence[str], gray_scale: GrayScale | None = None) -> Features:
    """Return the columns of every dataset in this library; sources differ only in the class names.

    Args:
        gray_scale: of images of more than 8 bits. It stands in the `id` of the feature `image`, which `datasets` keeps
            in its cache, in Parquet files, in cards, and in whatever is selected from a dataset.
    """
    return Features(
        {
            "image_id": Value("string"),
            "image": Image(id=None if gray_scale is None else gray_scale.feature_id),
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
    """Reject a split that lacks columns of the schema.

    Args:
        split: a split, or the names of its columns, such as `Features`.
        names: the required columns.
        what: the split's name, which begins the message: `split train of org/set`.

    Raises:
        ColumnsError: some of `names` are missing.
    """
    present = list((split.column_names or ()) if isinstance(split, Dataset | IterableDataset) else split)
    if missing := [name for name in names if name not in present]:
        raise ColumnsError(
            f"{what} lacks the columns {', '.join(missing)}. It needs {', '.join(names)}, but has "
            f"{', '.join(present) or 'none'}. Use a dataset with the schema's columns, as load_dataset returns "
            "and prepare writes them; see docs/training.md."
        )


def is_image_level(splits: Mapping[Any, Dataset]) -> bool:
    """Return whether only images are known to be defective: there are boxes, and each covers its complete image."""
    any_box = False
    for split in splits.values():
        columns = split.select_columns(["boxes", "width", "height"]).with_format("arrow")
        for table in columns.iter(4096):
            for row in table.to_pylist():  # pyright: ignore[reportAttributeAccessIssue]
                for box in row["boxes"]:
                    if list(box) != [0, 0, row["width"], row["height"]]:
                        return False
                    any_box = True
    return any_box


#: Why a set of which `is_image_level` is true is refused.
IMAGE_LEVEL_REASON = (
    "Only whole images are known to be defective here, not where: every box is the complete image. Use the set for "
    "classification or anomaly detection, or add boxes or masks."
)


class MaskSource(Protocol):
    """Where the pixels of instances come from: a mask file, RLE string or polygon. Small, hashable, picklable."""

    def labels(self, tree: Tree, width: int, height: int) -> np.ndarray:
        """Return an integer array of shape (height, width): 0 is background, k marks the pixels of component k."""
        ...


@dataclass(frozen=True)
class InstanceMask:
    """Component `component` (counted from 1) of a mask source."""

    source: MaskSource
    component: int = 1


@dataclass(frozen=True)
class Instance:
    """One defect: its class name, its box, and its pixels (None if the source has only boxes)."""

    label: str
    box: Box
    mask: InstanceMask | None = None


@dataclass
class Example:
    """One parsed image with its annotation; the image bytes stay in the tree until they are written.

    Attributes:
        image_id: canonical name, the same for every layout, root and config.
        image: posix path of the image below the root.
        width, height: pixels, from the image file.
        instances: the defects; empty together with `annotated` means defect-free.
        annotated: False if the image is unannotated. Such an image is never a negative.
        group: what must not be split; None: the image by itself (byte-identical duplicates are found later).
        reference: posix path of the defect-free counterpart, or None.
        publisher_split: "train" or "test" if the publisher defines a split, in own data also "validation"; else None.
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
    """Return the example, or raise `InvalidExampleError` naming the schema violation.

    Every builder passes every example through here, after clipping: a box outside its image or a class outside the
    config's classes is a bug in the source module.
    """

    def fail(what: str) -> None:
        raise InvalidExampleError(f"{example.image_id} ({example.image}): {what}")

    if not example.image_id or "\\" in example.image or example.image.startswith("/"):
        fail(f"image_id must not be empty and image must be a posix path below the root, got {example.image!r}")
    if example.width <= 0 or example.height <= 0:
        fail(f"{example.width}x{example.height} is not a valid image size")
    if example.instances and not example.annotated:
        fail("an unannotated image must not have boxes")
    with_mask = sum(instance.mask is not None for instance in example.instances)
    if with_mask not in (0, len(example.instances)):
        fail(f"{with_mask} of {len(example.instances)} boxes have a mask; either all boxes must have one or none")
    for instance in example.instances:
        x_min, y_min, x_max, y_max = instance.box
        if instance.label not in class_names:
            fail(f"class {instance.label!r} is not one of {list(class_names)}")
        if not (0 <= x_min < x_max <= example.width and 0 <= y_min < y_max <= example.height):
            fail(f"box {instance.box} is empty or extends beyond the {example.width}x{example.height} image")
    return example
