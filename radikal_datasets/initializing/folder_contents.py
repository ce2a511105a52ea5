"""`init`: look at a folder of own images, and write `radikal.yaml` with what was found and what is proposed."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import PIL.Image
import yaml

from ..errors import LayoutError, OutputError
from ..files import write_atomically
from ..leaks.image_set import of_tree
from ..leaks.mistakes import MEANINGS, find_mistakes
from ..own_data.scanning import Scan, nothing_recognized, scan_folder
from ..own_data.settings import SETTINGS_FILENAME
from ..raw.tree import Tree
from ..report import Report
from ..schema import Example
from ..sources.folder import Folder
from ..splits import BY_SHARE, SPLITS

_SAMPLED = 32  # images that are decoded for their gray levels
#: How names may tell that images belong together, as regular expressions over the path without its extension.
_GROUPINGS = {
    "images of one folder": r"^(.*)/",
    "images of one name up to its last - or _": r"^(.*)[_-][^_/-]*$",
    "images of one name without the number at its end": r"^(.*?)[ _-]*\d+(?:\.[^.]*)?$",
}


@dataclass(frozen=True)
class Grouping:
    """A way to tell which images must not be split.

    Attributes:
        what: in words.
        pattern: for `group` in `radikal.yaml`.
        groups, largest: how many groups it makes, and how many images the largest one has.
    """

    what: str
    pattern: str
    groups: int
    largest: int


@dataclass(frozen=True)
class FolderContents:
    """What `init` found in a folder.

    Attributes:
        root: the folder.
        format: of its annotations.
        files: number of its annotation files.
        images, annotated, clean: numbers of images.
        classes: class -> (images that hold it, boxes).
        sizes: (width, height) -> images, the most frequent first.
        depths: in words -> images, of those that were decoded.
        suspicious: kind of suspicious box -> boxes.
        own_splits: split -> images, as folders or lists say.
        proposed_splits: split -> images, as the program would split them.
        groupings: proposals for `group`.
        report: every problem.
        image_level: whether defects are known per image only.
    """

    root: Path
    format: str
    files: int
    images: int
    annotated: int
    clean: int
    classes: dict[str, tuple[int, int]]
    sizes: Counter[tuple[int, int]]
    depths: Counter[str]
    suspicious: dict[str, int]
    own_splits: Counter[str]
    proposed_splits: dict[str, int]
    groupings: list[Grouping] = field(default_factory=list)
    report: Report = field(default_factory=Report)
    image_level: bool = False

    @property
    def keeps_splits(self) -> bool:
        """Whether every annotated image is in a split of the folder's own, and there are several."""
        return len(self.own_splits) > 1 and sum(self.own_splits.values()) == self.annotated


def look_at(folder: str | os.PathLike[str], format: str | None = None) -> FolderContents:
    """Look at a folder as the builder would read it, without writing anything.

    Args:
        folder: of own images.
        format: one of the formats, if there are several in it; None: recognized.

    Raises:
        LayoutError: nothing was recognized, or not one image is there.
        ConfigNameError: several formats, and none was named.
    """
    scan = scan_folder(folder)
    if not scan.files.images:
        raise LayoutError(nothing_recognized(scan))
    builder = Folder(data_dir=folder, config_name=format, protocol=BY_SHARE)
    index = builder.index()
    examples = [example for rows in index.splits.values() for example in rows]
    annotated = [example for example in examples if example.annotated]
    images = of_tree(builder.tree, index.splits, builder.class_names)
    mistakes = Counter(mistake.kind for mistake in find_mistakes(images.items, images.classes))
    stated = Counter(e.publisher_split for e in annotated)
    own = Counter({split: stated[split] for split in SPLITS if stated[split]})
    name = builder.config.name
    return FolderContents(
        root=Path(folder),
        format=name,
        files=len(scan.files.annotations.get(name, [])),
        images=len(examples),
        annotated=len(annotated),
        clean=sum(not example.instances for example in annotated),
        classes=_by_class(annotated, builder.class_names),
        sizes=Counter((example.width, example.height) for example in examples),
        depths=_depths(builder.tree, [example.image for example in examples]),
        suspicious={kind: mistakes[kind] for kind in MEANINGS if mistakes[kind]},
        own_splits=own,
        proposed_splits={split: len(rows) for split, rows in index.splits.items()},
        groupings=_groupings(scan, examples),
        report=index.report,
        image_level=scan.parsed(name).image_level,
    )


def _by_class(examples: Iterable[Example], classes: Iterable[str]) -> dict[str, tuple[int, int]]:
    images, boxes = Counter[str](), Counter[str]()
    for example in examples:
        labels = [instance.label for instance in example.instances]
        boxes.update(labels)
        images.update({*labels})
    return {name: (images[name], boxes[name]) for name in classes}


def _depths(tree: Tree, images: list[str]) -> Counter[str]:
    """Return how many bits the gray levels of a sample of images use."""
    found: Counter[str] = Counter()
    for path in images[:: max(1, len(images) // _SAMPLED)]:
        try:
            with tree.open_file(path) as file, PIL.Image.open(file) as image:
                if image.mode in ("I;16", "I;16B", "I;16L", "I", "F"):
                    pixels = np.asarray(image)
                    if image.mode == "F":
                        found[f"float, {pixels.min():g} to {pixels.max():g}"] += 1
                    else:
                        found[f"{max(8, int(pixels.max()).bit_length())} of 16 bits"] += 1
                else:
                    found["8 bits, " + ("gray" if image.mode in ("1", "L", "LA") else "color")] += 1
        except Exception:  # reported by the builder, or by verify --deep
            found["cannot be decoded"] += 1
    return found


def _groupings(scan: Scan, examples: list[Example]) -> list[Grouping]:
    """Return ways of grouping that make several groups of several images each."""
    if scan.settings.group:
        return []
    found = []
    for what, pattern in _GROUPINGS.items():
        matches = (re.search(pattern, example.image.rpartition(".")[0]) for example in examples)
        groups = Counter(match[1] for match in matches if match)
        of_several = sum(count > 1 for count in groups.values())
        if of_several >= 3 and max(groups.values()) <= len(examples) / 2:
            found.append(Grouping(what, pattern, len(groups), max(groups.values())))
    return found


def write_settings(contents: FolderContents, *, overwrite: bool = False) -> Path:
    """Write `radikal.yaml` into the folder.

    Raises:
        OutputError: there is one already, and `overwrite` is false.
    """
    target = contents.root / SETTINGS_FILENAME
    if target.exists() and not overwrite:
        raise OutputError(f"{target} exists already. Edit it, or pass --overwrite to replace it.")
    write_atomically(target, settings_text(contents))
    return target


def settings_text(contents: FolderContents) -> str:
    """Return `radikal.yaml`: what was found, and as comments what may be stated."""
    classes = list(contents.classes)
    lines = [
        f"# What only you know about these images. Written by radikal-datasets init from {contents.images:,} images.",
        "# Every line may be changed or removed; radikal-datasets verify says what follows from it.",
        "",
        "# Image ids begin with this name. Changing it changes them and the splits.",
        _line("name", re.sub(r"[\\/:*?\"<>|\x00-\x1f]+", "_", contents.root.resolve().name) or "images"),
        _line("title", contents.root.resolve().name),
        "",
        "# Your images stay yours: nothing is pushed to a public repository. To state terms of your own:",
        "# license: {name: CC-BY-4.0, summary: May be passed on with attribution., may_be_passed_on: true}",
        "",
        _line("format", contents.format),
        "",
        "# Classes in their order. To rename or merge some, write `old name: new name` lines instead.",
        *_block("classes", classes),
        "",
        "# Images that must not be separated by a split (views of one part, frames of one series): a regular",
        "# expression over the path; what its brackets match is the group. Proposals, with what they would give:",
        *[f"# {_line('group', one.pattern)}  # {one.what}: {one.groups:,} groups" for one in contents.groupings],
        *(["# group: '^(.*)/'  # images of one folder"] if not contents.groupings else []),
        "",
        "# Images that no annotation mentions: `clean` if someone looked at them and found nothing, else `unknown`.",
        f"# Here: {contents.images - contents.annotated:,} of {contents.images:,} images.",
        _line("unlabeled", "unknown"),
        "",
        "# `recommended`: 70 % train, 15 % validation, 15 % test, by class and group. `as_they_are`: by your folders.",
        *([f"# Your folders: {_counts(contents.own_splits)}."] if contents.own_splits else []),
        _line("splits", "as_they_are" if contents.keeps_splits else "recommended"),
        "",
        "# How gray levels of more than 8 bits are scaled: bits auto, 8 to 16 or float; window full, [low, high], or",
        "# {percentile: [1, 99]}. Found: " + _counts(contents.depths) + ".",
        "# pixels: {bits: auto, window: full}",
        "",
        "# Paths that are not read:",
        '# ignore: ["old/*", "*.bak"]',
    ]
    return "\n".join(lines) + "\n"


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counter.most_common())


def _line(key: str, value: object) -> str:
    return yaml.safe_dump({key: value}, allow_unicode=True, width=10_000).strip()


def _block(key: str, values: list[str]) -> list[str]:
    return yaml.safe_dump({key: values}, allow_unicode=True, width=10_000).strip().split("\n")
