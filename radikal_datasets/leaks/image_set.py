"""A dataset's images with their annotations, from prepared rows or a raw tree, one in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from datasets import Dataset

from ..checks.splits import check_splits
from ..errors import RadikalError
from ..gray_scale import GrayScale, scale_of
from ..loading.sets import rows
from ..raw.tree import Tree
from ..schema import Example
from ..splits import UNLABELED

_ANNOTATION = ("image_id", "width", "height", "boxes", "labels", "annotated", "group")


@dataclass(frozen=True)
class Item:
    """One image and its annotation, without pixels.

    Attributes:
        number: its position in the dataset.
        boxes: xyxy, pixels, 0-based, half-open.
        labels: one class name per box.
        annotated: False if the image is unannotated.
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
        """Whether it is used for neither training nor testing."""
        return self.split == UNLABELED or not self.annotated


@dataclass(frozen=True)
class ImageSet:
    """The images of a dataset.

    Attributes:
        classes: the class names.
        items: in the order of splits and rows.
        stream: the files' bytes, in the order of `items`; None for an unreadable file.
        read: the bytes of one item.
        gray_scale: of images of more than 8 bits.
    """

    classes: list[str]
    items: list[Item]
    stream: Callable[[], Iterator[bytes | None]]
    read: Callable[[Item], bytes | None]
    gray_scale: GrayScale | None = None


def of_rows(dataset_dict: Mapping[Any, Dataset]) -> ImageSet:
    """Return the images of prepared splits.

    Args:
        dataset_dict: split -> rows with the schema's columns, as `load_dataset` returns them.

    Raises:
        ColumnsError: a column is missing.
        AnnotationsError: the rows are unfit for training, or splits have different classes.
    """
    splits = {str(split): dataset for split, dataset in dataset_dict.items()}
    classes = check_splits(splits, (*_ANNOTATION, "image"))
    items: list[Item] = []
    places: list[tuple[Dataset, int]] = []
    for split, dataset in splits.items():
        for number, row in enumerate(rows(dataset, _ANNOTATION, at_once=4096)):
            labels = tuple(classes[label] for label in row["labels"])
            boxes = tuple(tuple(box) for box in row["boxes"])
            annotation = (row["width"], row["height"], boxes, labels, row["annotated"], row["group"])
            items.append(Item(len(items), row["image_id"], split, *annotation))
            places.append((dataset, number))

    def stream() -> Iterator[bytes | None]:
        for dataset in splits.values():
            for row in rows(dataset, ["image"], at_once=16):
                yield row["image"]["bytes"]

    def read(item: Item) -> bytes | None:
        dataset, number = places[item.number]
        return next(rows(dataset.select([number]), ["image"]))["image"]["bytes"]

    return ImageSet(classes, items, stream, read, scale_of(splits))


def of_tree(
    tree: Tree,
    examples: Mapping[str, Sequence[Example]],
    classes: Sequence[str],
    gray_scale: GrayScale | None = None,
) -> ImageSet:
    """Return the images of a raw tree; one that cannot be read has no bytes."""
    items: list[Item] = []
    paths: list[str] = []
    for split, found in examples.items():
        for one in found:
            boxes, labels = tuple(i.box for i in one.instances), tuple(i.label for i in one.instances)
            annotation = (one.width, one.height, boxes, labels, one.annotated, one.group or one.image_id)
            items.append(Item(len(items), one.image_id, split, *annotation))
            paths.append(one.image)

    def read(item: Item) -> bytes | None:
        try:
            return tree.read(paths[item.number])
        except RadikalError:  # reported as an image without bytes
            return None

    return ImageSet(list(classes), items, lambda: map(read, items), read, gray_scale)
