"""Choose the images that a preview shows, and decode them one at a time."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from itertools import zip_longest
from typing import Any

from datasets import Dataset, DatasetDict
from PIL import Image

from ..checks.splits import check_splits
from ..errors import ChoiceError
from ..gray_scale import GrayScale, scale_of
from ..loading.sets import rows
from ..raw.orientation import upright
from ..view.annotated_image import DEFECT_FREE, NOT_ANNOTATED, AnnotatedImage
from ..view.drawing import to_rgb

logger = logging.getLogger(__name__)

_COLUMNS = ("image_id", "image", "boxes", "labels", "masks", "reference", "annotated")


@dataclass(frozen=True)
class _Place:
    """Location of one image: row `row` of `dataset`; `kind` is the class it was chosen for."""

    image_id: str
    title: str
    split: str
    kind: str
    dataset: Dataset
    row: int


@dataclass(frozen=True)
class Choice:
    """The chosen images, in the order of datasets, splits and classes.

    Attributes:
        names: class names of all datasets, each once.
        titles, splits: of the datasets that were searched.
        total: number of images that could have been chosen.
        seed: of the random choice.
        gray_scales: title -> scale of its images of more than 8 bits.
    """

    names: list[str]
    titles: list[str]
    splits: list[str]
    total: int
    seed: int
    places: list[_Place]
    gray_scales: dict[str, GrayScale | None] = field(default_factory=dict)

    def heading(self) -> str:
        """Return the names of the first three datasets, and how many more there are."""
        more = len(self.titles) - 3
        return ", ".join(self.titles[:3]) + (f" and {more} more" if more > 0 else "")

    def images(self) -> Iterator[AnnotatedImage]:
        """Yield every chosen image; those that cannot be decoded are skipped with a warning."""
        number = {name: i for i, name in enumerate(self.names)}
        for place in self.places:
            row = next(rows(place.dataset.select([place.row]), _COLUMNS))
            own = place.dataset.features["labels"].feature.names
            scale = self.gray_scales.get(place.title)
            try:
                yield AnnotatedImage(
                    image_id=place.image_id,
                    title=place.title,
                    split=place.split,
                    image=to_rgb(_opened(row["image"]), scale),
                    boxes=row["boxes"],
                    labels=[number[own[label]] for label in row["labels"]],
                    masks=[_opened(mask) for mask in row["masks"] or ()],
                    reference=to_rgb(_opened(row["reference"]), scale) if row["reference"] else None,
                    annotated=row["annotated"],
                )
            except Exception as error:  # Pillow's plugins raise OSError, SyntaxError, struct.error, ValueError ...
                logger.warning("%s is left out of the preview, because it cannot be decoded: %s", place.image_id, error)


def choose(
    sets: Iterable[tuple[str, DatasetDict]],
    *,
    split: str | None = None,
    classes: Sequence[str] = (),
    images: int = 24,
    seed: int = 0,
) -> Choice:
    """Choose images in turn from every class (defect-free counts as a class) and every split of every dataset.

    The same datasets and seed give the same choice. An image in several datasets counts only for the first of them.

    Args:
        sets: as `loading.sets.open_sets` yields them.
        split: choose from this split only.
        classes: choose only images with at least one of these; `defect-free` is allowed too.
        images: maximum number of images.

    Raises:
        ChoiceError: no such split or class, or no image of that class in that split.
    """
    found, names, scales, splits = _found(sets)
    titles = list(scales)
    if split is not None and split not in splits:
        raise ChoiceError(f"{', '.join(titles)} has no split {split!r}. Choose one of: {', '.join(splits)}.")
    kinds = [*names, *(kind for kind in (DEFECT_FREE, NOT_ANNOTATED) if any(kind == place.kind for place in found))]
    if wrong := [name for name in classes if name not in kinds]:
        raise ChoiceError(f"{', '.join(titles)} has no class {wrong[0]!r}. Choose one of: {', '.join(kinds)}.")
    allowed = {place.image_id for place in found if not classes or place.kind in classes}
    found = [place for place in found if place.image_id in allowed and split in (None, place.split)]
    if not found:
        raise ChoiceError(f"There is no image of class {' or '.join(classes) or 'any'} in split {split or 'any'}.")
    # An image chosen for a requested class is listed under it, not under another of its classes.
    cells = [place for place in found if not classes or place.kind in classes]
    taken = _in_turn(cells, images, seed, titles, splits, kinds)
    order = {place.image_id: i for i, place in enumerate(found)}
    taken.sort(
        key=lambda place: (
            titles.index(place.title),
            splits.index(place.split),
            kinds.index(place.kind),
            order[place.image_id],
        )
    )
    return Choice(names, titles, splits, len({place.image_id for place in found}), seed, taken, scales)


def _found(
    sets: Iterable[tuple[str, DatasetDict]],
) -> tuple[list[_Place], list[str], dict[str, GrayScale | None], list[str]]:
    """Return one location per class of every image; all class names; title -> gray scale; and splits; each in order."""
    places: list[_Place] = []
    names: dict[str, None] = {}
    titles: dict[str, GrayScale | None] = {}
    splits: dict[str, None] = {}
    seen: dict[str, str] = {}
    for title, datasets in sets:
        check_splits(datasets, _COLUMNS, what=f"Split {{split}} of {title}")
        for split, dataset in datasets.items():
            own = dataset.features["labels"].feature.names
            for number, row in enumerate(rows(dataset, ["image_id", "labels", "annotated"], at_once=4096)):
                if seen.setdefault(row["image_id"], title) != title:
                    continue
                none = DEFECT_FREE if row["annotated"] else NOT_ANNOTATED
                held = dict.fromkeys(own[label] for label in row["labels"]) or {none: None}
                places += [_Place(row["image_id"], title, str(split), kind, dataset, number) for kind in held]
                splits[str(split)] = None
                if title not in titles:
                    titles[title] = scale_of(datasets)
            names |= dict.fromkeys(own)
    return places, list(names), titles, list(splits)


def _in_turn(
    cells: list[_Place], images: int, seed: int, titles: Sequence[str], splits: Sequence[str], kinds: Sequence[str]
) -> list[_Place]:
    """Return at most `images`, each once: one per (dataset, class), splits in turn, then of the next, and so on."""
    queues: dict[tuple[str, str, str], list[_Place]] = {}
    for place in sorted(cells, key=lambda place: _hash(seed, place.image_id)):
        queues.setdefault((place.title, place.kind, place.split), []).append(place)
    # Defect-free first; each dataset starts at the next class, so that a few images cover many datasets and classes.
    first = sorted(kinds, key=lambda kind: kind != DEFECT_FREE)
    there = {key[:2] for key in queues}
    by_set = [[(title, kind) for kind in first if (title, kind) in there] for title in titles]
    turned = [row[i % len(row) :] + row[: i % len(row)] for i, row in enumerate(by_set) if row]
    pairs = [pair for row in zip_longest(*turned) for pair in row if pair is not None]
    ordered = [
        queues.get((title, kind, splits[(i + turn) % len(splits)]), [])
        for turn in range(len(splits))
        for i, (title, kind) in enumerate(pairs)
    ]
    taken: dict[str, _Place] = {}
    waiting = [iter(queue) for queue in ordered]
    while waiting and len(taken) < images:
        for queue in list(waiting):
            place = next((place for place in queue if place.image_id not in taken), None)
            if place is None:
                waiting.remove(queue)
            else:
                taken[place.image_id] = place
    return list(taken.values())[:images]


def _hash(seed: int, image_id: str) -> bytes:
    return hashlib.sha256(f"{seed}|{image_id}".encode()).digest()


def _opened(file: dict[str, Any]) -> Image.Image:
    if file["bytes"] is None:  # never open a file that the dataset merely names
        raise ValueError(f"the row has no bytes, only the path {file['path']}")
    image = Image.open(BytesIO(file["bytes"]))
    image.load()
    return upright(image)
