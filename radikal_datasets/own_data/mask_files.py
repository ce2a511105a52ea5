"""Find the image files that are masks of other images, by folder and file name."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from .names import ROLES, nfc, split_in

#: Folders that hold masks, in lower case.
_MASK_FOLDERS = frozenset(
    (
        *("mask", "masks", "ground_truth", "groundtruth", "gt", "segmentation", "segmentations", "seg"),
        *("segmentationclass", "segmentationobject", "annotations", "annotation", "labels", "label"),
    )
)
_NO_MASK_FOLDERS = frozenset(("segmentationobject",))
_SUFFIX = re.compile(r"(?:[._ -](?:mask|masks|gt|seg|segmentation|label))$", re.IGNORECASE)
#: Folders of defect-free images, in lower case.
GOOD = frozenset(
    (
        *("good", "ok", "normal", "clean", "defect_free", "defect-free", "no_defect", "no_defects", "non_defective"),
        *("gut", "i.o", "io", "i.o.", "fehlerfrei", "in_ordnung", "pass", "negative", "without_defect"),
    )
)


@dataclass
class MaskFiles:
    """Masks and the images they belong to.

    Attributes:
        of_image: image -> its masks, in path order.
        lost: masks without an image.
        object_masks: files with a number per object instead of per class; they are not read.
    """

    of_image: dict[str, list[str]] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    object_masks: list[str] = field(default_factory=list)

    @property
    def all(self) -> set[str]:
        """All files that are masks."""
        return {mask for masks in self.of_image.values() for mask in masks} | {*self.lost, *self.object_masks}


def find_masks(images: Iterable[str]) -> MaskFiles:
    """Pair masks with images: `x_mask.png` beside `x.png`, or `x.png` in a folder of masks, anywhere in the tree."""
    candidates: list[str] = []
    pictures: list[str] = []
    found = MaskFiles()
    for image in images:
        folders = [part.lower() for part in PurePosixPath(image).parts[:-1]]
        if _NO_MASK_FOLDERS & {*folders}:
            found.object_masks.append(image)
        elif _MASK_FOLDERS & {*folders} or _SUFFIX.search(PurePosixPath(image).stem):
            candidates.append(image)
        else:
            pictures.append(image)
    by_stem: dict[str, list[str]] = defaultdict(list)
    for image in pictures:
        by_stem[_stem(image)].append(image)
    unmatched = []
    for mask in candidates:
        owner = _owner(mask, by_stem)
        if owner is None:
            unmatched.append(mask)
        else:
            found.of_image.setdefault(owner, []).append(mask)
    # A folder called `labels` without a single match holds images of something else.
    matched_roots = {_mask_root(mask) for masks in found.of_image.values() for mask in masks}
    found.lost = [mask for mask in unmatched if _mask_root(mask) in matched_roots or _certain(mask)]
    if not found.of_image:
        found.lost = []
    return found


def class_in(mask: str, image: str) -> str | None:
    """Return the folder of a mask that may name its class: below the folder of masks, and not on the image's path."""
    folders = PurePosixPath(mask).parts[:-1]
    last = max((i for i, part in enumerate(folders) if part.lower() in _MASK_FOLDERS), default=None)
    below = [part for part in folders[last + 1 :] if split_in(part) is None] if last is not None else []
    there = {nfc(part).casefold() for part in PurePosixPath(image).parts[:-1]}
    own = [nfc(part) for part in below if nfc(part).casefold() not in there]
    return own[0] if own else None


def _stem(path: str) -> str:
    return nfc(PurePosixPath(path).stem).casefold()


def _folders(path: str) -> list[str]:
    return [nfc(part).casefold() for part in PurePosixPath(path).parts[:-1]]


def _mask_root(mask: str) -> tuple[str, ...]:
    """Return the folders up to the last one that holds masks; for one beside its image, its folder."""
    folders = _folders(mask)
    last = max((i for i, part in enumerate(folders) if part in _MASK_FOLDERS), default=len(folders) - 1)
    return tuple(folders[: last + 1])


def _certain(mask: str) -> bool:
    return bool(_SUFFIX.search(PurePosixPath(mask).stem)) or bool({"mask", "masks", "ground_truth"} & {*_folders(mask)})


def _owner(mask: str, by_stem: dict[str, list[str]]) -> str | None:
    """Return the image of a mask: the one whose folders agree best with its own."""
    stem = _stem(mask)
    matches = by_stem.get(stem) or by_stem.get(_SUFFIX.sub("", stem)) or []
    if len(matches) < 2:
        return matches[0] if matches else None
    wanted = [part for part in _folders(mask) if part not in ROLES]

    def rank(image: str) -> tuple[int, int, int]:
        folders = [part for part in _folders(image) if part not in ROLES]
        same = len({*folders} & {*wanted})
        same_split = split_in(image) == split_in(mask)
        good = not GOOD & {*folders}
        return same, int(good), int(same_split)

    ranked = sorted(matches, key=rank, reverse=True)
    return ranked[0] if rank(ranked[0]) > rank(ranked[1]) else None
