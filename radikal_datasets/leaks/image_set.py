"""The images of a set with their truth, from prepared rows or straight from a raw tree, one in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from datasets import Dataset

from ..errors import LayoutError, RadikalError
from ..loading.sets import rows
from ..raw.tree import Tree
from ..schema import Example, require_columns
from ..splits import UNLABELED

_TRUTH = ("image_id", "width", "height", "boxes", "labels", "annotated", "group")


@dataclass(frozen=True)
class Item:
    """One image and its truth, without pixels.

    Attributes:
        number: its place in the set.
        boxes: xyxy, pixels, 0-based, half-open.
        labels: one class name a box.
        annotated: False where nobody looked.
    """

    number: int
    image_id: str
    split: str
    width: int
    height: int
    boxes: tuple[tuple[float, ...], ...]
    labels: tuple[str, ...]
    annotated: bool
    group: str

    @property
    def is_unlabeled(self) -> bool:
        """Whether it takes no part in training and testing."""
        return self.split == UNLABELED or not self.annotated


@dataclass(frozen=True)
class ImageSet:
    """A set's images.

    Attributes:
        classes: the classes' names.
        items: in the order of splits and rows.
        stream: the files' bytes, in the order of `items`; None where there are none.
        read: the bytes of one.
    """

    classes: list[str]
    items: list[Item]
    stream: Callable[[], Iterator[bytes | None]]
    read: Callable[[Item], bytes | None]


def of_rows(dataset_dict: Mapping[Any, Dataset]) -> ImageSet:
    """The images of prepared splits.

    Args:
        dataset_dict: split -> rows with the schema's columns, as `load_dataset` gives them.

    Raises:
        ColumnsError: a column is missing.
        LayoutError: splits have other classes.
    """
    splits = {str(split): dataset for split, dataset in dataset_dict.items()}
    classes: list[str] | None = None
    items: list[Item] = []
    places: list[tuple[Dataset, int]] = []
    for split, dataset in splits.items():
        require_columns(dataset, (*_TRUTH, "image"), what=f"Split {split}")
        own = dataset.features["labels"].feature.names
        classes = own if classes is None else classes
        if own != classes:
            raise LayoutError(f"split {split} has the classes {own}, another split {classes}")
        for number, row in enumerate(rows(dataset, _TRUTH, at_once=4096)):
            labels = tuple(own[label] for label in row["labels"])
            boxes = tuple(tuple(box) for box in row["boxes"])
            truth = (row["width"], row["height"], boxes, labels, row["annotated"], row["group"])
            items.append(Item(len(items), row["image_id"], split, *truth))
            places.append((dataset, number))

    def stream() -> Iterator[bytes | None]:
        for dataset in splits.values():
            for row in rows(dataset, ["image"], at_once=16):
                yield row["image"]["bytes"]

    def read(item: Item) -> bytes | None:
        dataset, number = places[item.number]
        return next(rows(dataset.select([number]), ["image"]))["image"]["bytes"]

    return ImageSet(classes or [], items, stream, read)


def of_tree(tree: Tree, examples: Mapping[str, Sequence[Example]], classes: Sequence[str]) -> ImageSet:
    """The images of a raw tree; one that can't be read has no bytes."""
    items: list[Item] = []
    paths: list[str] = []
    for split, found in examples.items():
        for one in found:
            boxes, labels = tuple(i.box for i in one.instances), tuple(i.label for i in one.instances)
            truth = (one.width, one.height, boxes, labels, one.annotated, one.group or one.image_id)
            items.append(Item(len(items), one.image_id, split, *truth))
            paths.append(one.image)

    def read(item: Item) -> bytes | None:
        try:
            return tree.read(paths[item.number])
        except RadikalError:  # told as an image without bytes
            return None

    return ImageSet(list(classes), items, lambda: map(read, items), read)
