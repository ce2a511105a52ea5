"""The page of `verify --deep`: pairs side by side with their boxes, then everything else that deserves a look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..view.drawing import looks
from ..view.overlay import Mark, overlay
from ..view.pages import embedded, render, table, write_page
from .finding import PAIRS, Leaks, Pair
from .image_set import Item
from .mistakes import MEANINGS, Mistake
from .tables import crosses, group_text, mistakes_by_kind, pair_counts, summary

if TYPE_CHECKING:
    from markupsafe import Markup

#: Maximum number of examples in each section: a page of 60 pairs is about 3 MB.
MOST_LEAKS, MOST_OTHERS, MOST_OF_A_CROWD = 60, 12, 6

_EDGE = 360  # pixels of an image
_PACKAGE = "radikal_datasets.leaks"  # of the templates


@dataclass(frozen=True)
class _Cell:
    """An image, None if it can't be shown, with its id and split."""

    image: Markup | None
    name: str
    split: str


@dataclass(frozen=True)
class _Figure:
    """Images side by side; `kind` is the CSS class of their row."""

    cells: list[_Cell]
    text: str
    kind: str = "row many"
    label: str = ""
    conflict: str = ""


@dataclass(frozen=True)
class _Section:
    """A heading with `total` findings, of which `shown` follow, as figures or as lines of text."""

    heading: str
    total: int
    shown: int
    figures: list[_Figure] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    kind: str = "pairs"
    note: str = ""


def write_leaks_page(file: Path, name: str, sets: Mapping[str, Leaks]) -> None:
    """Write one self-contained HTML page; an older one stays until this one is complete.

    Args:
        name: of the source or folder, for the heading.
        sets: title -> what was found; several are folded, those with findings open.
    """
    rows = [
        (
            title,
            len(found.images.items),
            len(found.across),
            len(found.groups),
            len(found.conflicts),
            len(found.lookalikes),
            len(found.mistakes),
        )
        for title, found in sets.items()
    ]
    header = "dataset", "images", "pairs across splits", "groups split", "conflicts", "lookalikes", "boxes to check"
    shown = [
        {"title": title, "open": bool(found.across or found.conflicts), "body": _set(found)}
        for title, found in sets.items()
    ]
    heading = next(iter(sets)) if len(sets) == 1 else name
    # A class's color depends on its number alone: the looks of the longest list serve all sets.
    classes = max((found.images.classes for found in sets.values()), key=len)
    write_page(
        file,
        "leaks.html",
        _PACKAGE,
        title=f"{heading}: leaks and mistakes",
        sets=shown,
        overview=table(header, rows) if len(sets) > 1 else "",
        looks=looks(classes),
    )


def _set(found: Leaks) -> Markup:
    numbers = {
        "images": f"{len(found.images.items):,}",
        "pairs across splits": f"{len(found.across):,}",
        "groups split": f"{len(found.groups):,}",
        "conflicting annotations": f"{len(found.conflicts):,}",
    }
    header = ("pairs of images with", "across splits", "one unlabeled", "within a split")
    counts = [(PAIRS[kind].partition(":")[0], *numbers) for kind, numbers in pair_counts(found).items()]
    others = [pair for pair in found.pairs if not pair.leaks and not pair.conflict]
    undecodable = [f"{item.image_id}: {error}" for item, error in found.undecodable]
    sections = [
        _pairs(found, "Across splits", found.across, MOST_LEAKS),
        _pairs(found, "Identical images with different annotations", found.conflicts, MOST_LEAKS),
        _lines("Groups spread over splits", [group_text(group) for group in found.groups]),
        _pairs(found, "Within a split, or with an image of the split unlabeled", others, MOST_OTHERS),
        _crowds(found, sorted(found.lookalikes, key=crosses, reverse=True)),
        *(_mistakes(found, kind, mistakes) for kind, mistakes in mistakes_by_kind(found).items()),
        _lines("Without pixels", undecodable),
    ]
    return render(
        "set.html",
        _PACKAGE,
        numbers=numbers,
        notes=summary(found),
        counts=table(header, counts),
        sections=[section for section in sections if section.total],
    )


def _pairs(found: Leaks, heading: str, pairs: Sequence[Pair], most: int) -> _Section:
    figures = [
        _Figure(
            [_cell(found, item) for item in (pair.first, pair.second)],
            pair.how,
            kind="row",
            label=PAIRS[pair.kind].partition(":")[0],
            conflict=pair.conflict,
        )
        for pair in pairs[:most]
    ]
    return _Section(heading, len(pairs), len(figures), figures)


def _lines(heading: str, lines: list[str]) -> _Section:
    return _Section(heading, len(lines), len(lines), lines=lines)


def _crowds(found: Leaks, crowds: Sequence[Sequence[Item]]) -> _Section:
    figures = []
    for items in crowds[:MOST_OTHERS]:
        # One of each split first, so that a set across splits is visible as such.
        first = list({item.split: item for item in reversed(items)}.values())
        shown = [*first, *(item for item in items if item not in first)][:MOST_OF_A_CROWD]
        text = f"{len(items):,} images" + (", across splits" if crosses(items) else "")
        figures.append(_Figure([_cell(found, item, 200) for item in shown], text))
    note = "The same scene taken many times. Whether two of these are the same image cannot be determined."
    return _Section("Sets that look alike", len(crowds), len(figures), figures, note=note)


def _mistakes(found: Leaks, kind: str, mistakes: Sequence[Mistake]) -> _Section:
    figures = [
        _Figure([_cell(found, mistake.item, only=mistake.boxes)], mistake.found) for mistake in mistakes[:MOST_OTHERS]
    ]
    return _Section(f"To check: {MEANINGS[kind]}", len(mistakes), len(figures), figures, kind="grid")


def _cell(found: Leaks, item: Item, edge: int = _EDGE, only: Sequence[int] | None = None) -> _Cell:
    """Return an image with its boxes, or `only` some of them."""
    data, classes = found.images.read(item), found.images.classes
    try:
        address = embedded(data or b"", edge, gray_scale=found.images.gray_scale)
    except Exception:  # stated in the caption: the image could be decoded before, or never could be
        return _Cell(None, item.image_id, item.split)
    styles = looks(classes)
    marks = []
    for i in range(len(item.boxes)) if only is None else only:
        label = classes.index(item.labels[i])
        marks.append(Mark(item.boxes[i], f"c{label}", styles[label].code, item.labels[i]))
    image = overlay((item.width, item.height), address, marks, alt=item.image_id)
    return _Cell(image, item.image_id, item.split)
