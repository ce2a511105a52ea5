"""`find_leaks`: examine every image and box of a dataset; report what is in several splits and what may be wrong."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
from datasets import Dataset, DatasetDict

from ..errors import LayoutError
from ..splits import UNLABELED
from .identical import duplicates, joined, look_at_all
from .image_set import ImageSet, Item, of_rows
from .mistakes import Mistake, find_mistakes, iou
from .near_duplicates import Match, connected, near_duplicates

#: The meaning of each kind of pair.
PAIRS = {
    "identical_file": "the same bytes",
    "identical_pixels": "the same pixels in two files",
    "near_identical": "near-identical: one image with other light, compression or size, flipped, or cropped elsewhere",
}

#: Among splits that show the same, the first of these keeps its images.
_HELD_OUT = ("test", "validation")
_MOST_IN_FULL = 6  # duplicates of which every pair is reported; beyond that, each with the first


@dataclass(frozen=True)
class Pair:
    """Two images that show the same.

    Attributes:
        kind: one of `PAIRS`.
        how: for near-identical images, in words: their similarity, the shared part, and the orientation.
        conflict: for identical images, in words: how their annotations differ; "" if they agree.
    """

    kind: str
    first: Item
    second: Item
    similarity: float = 1.0
    how: str = ""
    conflict: str = ""

    @property
    def leaks(self) -> bool:
        """Whether they are in different splits that are used for training or testing."""
        return self.first.split != self.second.split and UNLABELED not in (self.first.split, self.second.split)

    @property
    def where(self) -> str:
        """`train and test`."""
        return " and ".join(dict.fromkeys((self.first.split, self.second.split)))


@dataclass(frozen=True)
class SplitGroup:
    """A group (a series, a board) whose images are in several splits, and the number in each."""

    group: str
    images: dict[str, int]


@dataclass(frozen=True)
class Leaks:
    """The findings for a dataset.

    Attributes:
        images: what was examined.
        pairs: those that leak first, then by kind.
        lookalikes: sets of images that show one scene many times: whether two are the same image is undecidable.
        groups: groups that are spread over splits.
        mistakes: boxes to check.
        undecodable: images without pixels, and why.
    """

    images: ImageSet = field(repr=False)
    pairs: list[Pair]
    lookalikes: list[list[Item]]
    groups: list[SplitGroup]
    mistakes: list[Mistake]
    undecodable: list[tuple[Item, str]]

    @property
    def across(self) -> list[Pair]:
        """The pairs that leak."""
        return [pair for pair in self.pairs if pair.leaks]

    @property
    def conflicts(self) -> list[Pair]:
        """Identical images with different annotations."""
        return [pair for pair in self.pairs if pair.conflict]

    def to_dict(self) -> dict[str, Any]:
        """Return everything, for JSON."""
        return {
            "images": len(self.images.items),
            "pairs": [
                {
                    "kind": pair.kind,
                    "leaks": pair.leaks,
                    "images": [pair.first.image_id, pair.second.image_id],
                    "splits": [pair.first.split, pair.second.split],
                    "similarity": pair.similarity,
                    "how": pair.how,
                    "conflict": pair.conflict,
                }
                for pair in self.pairs
            ],
            "lookalikes": [[item.image_id for item in items] for items in self.lookalikes],
            "groups": [vars(group) for group in self.groups],
            "mistakes": [
                {"kind": m.kind, "image": m.item.image_id, "boxes": list(m.boxes), "found": m.found}
                for m in self.mistakes
            ],
            "undecodable": [[item.image_id, error] for item, error in self.undecodable],
        }


def find_leaks(dataset_dict: Mapping[Any, Dataset]) -> Leaks:
    """Examine every image and every box of a dataset; see `examine`.

    Args:
        dataset_dict: split -> rows with the schema's columns, as `load_dataset` returns them. To examine another split
            of the same images, pass it: `{"train": rows.select(...), "test": rows.select(...)}`.

    Raises:
        LayoutError: a column is missing, or splits have different classes.
    """
    return examine(of_rows(dataset_dict))


def without_leaks(dataset_dict: Mapping[Any, Dataset], found: Leaks | None = None) -> DatasetDict:
    """Return the dataset without images that a more held-out split also shows: test outranks validation, and train.

    Images that are connected through pairs (one like the next, that like a third) count as one. Lookalikes stay:
    whether they are the same image is undecidable. A split that becomes empty is removed.

    Args:
        found: the result of `find_leaks(dataset_dict)`; computed here if it is not given.

    Raises:
        LayoutError: images are in two splits, neither of which is called `validation` or `test`.
    """
    found = find_leaks(dataset_dict) if found is None else found
    dropped = _less_held_out(found)

    def kept(split: str, dataset: Dataset) -> Dataset:
        ids = enumerate(dataset["image_id"])
        return dataset.select([i for i, image_id in ids if (split, image_id) not in dropped])

    splits = {str(split): kept(str(split), dataset) for split, dataset in dataset_dict.items()}
    return DatasetDict({split: dataset for split, dataset in splits.items() if len(dataset)})


def _less_held_out(found: Leaks) -> set[tuple[str, str]]:
    """Return (split, image id) of images that are connected to one in a more held-out split."""
    items, dropped = found.images.items, set()
    labeled = [pair for pair in found.pairs if UNLABELED not in (pair.first.split, pair.second.split)]
    for numbers in connected([(pair.first.number, pair.second.number) for pair in labeled]):
        splits = {items[number].split for number in numbers}
        most = next((split for split in _HELD_OUT if split in splits), min(splits))
        if len(splits) > 1 and most not in _HELD_OUT:
            raise LayoutError(
                f"{items[numbers[0]].image_id} is in {' and '.join(sorted(splits))}, and neither name says which is "
                "held out. Rename the one that keeps the image to `validation` or `test`."
            )
        dropped |= {(items[n].split, items[n].image_id) for n in numbers if items[n].split != most}
    return dropped


def examine(images: ImageSet) -> Leaks:
    """Decode every image once, compare all pairs, and check the boxes.

    Memory: about 40 KB per image, and 64 decoded images.
    """
    seen, thumbnails = look_at_all(images)
    undecodable = [(images.items[number], one.error) for number, one in enumerate(seen) if one.error]
    sets = duplicates(seen)
    pairs = [pair for kind, members in sets for pair in _identical(kind, [images.items[n] for n in members])]
    members_of = {members[0]: members for members in joined(sets)}
    others = {number for members in members_of.values() for number in members[1:]}
    chosen = [n for n, one in enumerate(seen) if not one.error and n not in others]
    for place, number in enumerate(chosen):  # in place: they are most of the memory
        thumbnails[place] = thumbnails[number]
    found = near_duplicates(thumbnails[: len(chosen)])
    for match in found.pairs:
        alike = [[images.items[n] for n in members_of.get(chosen[i], [chosen[i]])] for i in (match.first, match.second)]
        pairs.append(_near(match, *alike))
    kinds = list(PAIRS)
    pairs.sort(key=lambda pair: (not pair.leaks, kinds.index(pair.kind), -pair.similarity, pair.first.number))
    lookalikes = [[images.items[chosen[i]] for i in crowd] for crowd in found.lookalikes]
    mistakes = find_mistakes(images.items, images.classes)
    return Leaks(images, pairs, lookalikes, _split_groups(images.items), mistakes, undecodable)


def _identical(kind: str, items: list[Item]) -> Iterator[Pair]:
    items = sorted(items, key=lambda item: item.is_unlabeled)  # if there are many, all are compared to an annotated one
    pairs = combinations(items, 2) if len(items) <= _MOST_IN_FULL else ((items[0], other) for other in items[1:])
    for first, second in pairs:
        yield Pair(kind, first, second, conflict=_conflict(first, second))


def _conflict(first: Item, second: Item) -> str:
    """Describe how the annotations of two identical images differ; "" if one of them is unannotated."""
    if first.is_unlabeled or second.is_unlabeled:
        return ""
    counts = [Counter(item.labels) for item in (first, second)]
    labels = " against ".join(
        ", ".join(f"{count} {label}" for label, count in sorted(counted.items())) or "no defect" for counted in counts
    )
    if counts[0] != counts[1]:
        return labels
    if not first.boxes or sorted(zip(first.labels, first.boxes, strict=True)) == sorted(
        zip(second.labels, second.boxes, strict=True)
    ):
        return ""
    overlaps = iou(np.asarray(first.boxes, float), np.asarray(second.boxes, float))
    overlaps = np.where(np.asarray(first.labels)[:, None] == np.asarray(second.labels), overlaps, 0.0)
    least = min(overlaps.max(0).min(), overlaps.max(1).min())  # of each box with the closest one of its class
    return f"{labels}, at different positions (lowest IoU {least:.2f})"


def _near(match: Match, firsts: list[Item], seconds: list[Item]) -> Pair:
    """Of each image's copies, choose two in different splits if there are any."""
    every = (Pair("near_identical", first, second) for first in firsts for second in seconds)
    chosen = next((pair for pair in every if pair.leaks), Pair("near_identical", firsts[0], seconds[0]))
    how = [f"similarity {match.similarity:.2f}"]
    if match.overlap < 0.98:
        how.append(f"{match.overlap:.0%} in common")
    if match.turned:
        how.append(f"the second {match.turned}")
    return Pair("near_identical", chosen.first, chosen.second, match.similarity, ", ".join(how))


def _split_groups(items: Sequence[Item]) -> list[SplitGroup]:
    images: dict[str, Counter[str]] = defaultdict(Counter)
    for item in items:
        if item.split != UNLABELED:
            images[item.group][item.split] += 1
    return [SplitGroup(group, dict(counts)) for group, counts in sorted(images.items()) if len(counts) > 1]
