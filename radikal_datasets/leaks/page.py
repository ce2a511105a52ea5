"""The page of `verify --deep`: pairs side by side with their boxes, then everything else that deserves a look."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

import PIL.Image

from ..view.drawing import draw
from ..view.pages import embedded, facts, table, write_page
from .finding import PAIRS, Leaks, Pair
from .image_set import Item
from .mistakes import MEANINGS, Mistake
from .tables import crosses, group_text, mistakes_by_kind, pair_counts, summary

#: Maximum number of examples in each section: a page of 60 pairs is about 3 MB.
MOST_LEAKS, MOST_OTHERS, MOST_OF_A_CROWD = 60, 12, 6

_EDGE = 360  # pixels of an image
_STYLE = """
.pairs { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 520px), 1fr)); gap: 1.25rem }
.row { display: grid; grid-template-columns: 1fr 1fr; gap: 4px; align-items: start }
.row.many { grid-template-columns: repeat(auto-fill, minmax(min(33%, 150px), 1fr)) }
.row img { width: 100% } .row div { min-width: 0 } .row p { margin: 0; padding: .35rem .6rem 0; font-size: .8rem;
overflow-wrap: anywhere; line-height: 1.35 }
.split { font-weight: 600 } figcaption { border-top: 1px solid var(--line); margin-top: .35rem }
details { margin: 1.5rem 0 } summary { cursor: pointer } summary h2, summary h3 { display: inline; margin: 0 }
.kind { font-weight: 600; color: var(--ink) } h3 { font-size: 1.05rem; margin: 2rem 0 .5rem }
ul { padding-left: 1.25rem } li { overflow-wrap: anywhere; max-width: 80ch }
"""


def write_leaks_page(file: Path, name: str, sets: Mapping[str, Leaks]) -> None:
    """Write one self-contained HTML page; an older one stays until this one is complete.

    Args:
        name: of the source or folder, for the heading.
        sets: title -> what was found; several are folded, those with findings open.
    """
    if len(sets) == 1:
        ((title, found),) = sets.items()
        write_page(file, f"{title}: leaks and mistakes", _set(found), style=_STYLE)
        return
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
    folded = "".join(
        f"<details{' open' if found.across or found.conflicts else ''}><summary><h2>{html.escape(title)}</h2></summary>"
        f"{_set(found)}</details>"
        for title, found in sets.items()
    )
    write_page(file, f"{name}: leaks and mistakes", table(header, rows) + folded, style=_STYLE)


def _set(found: Leaks) -> str:
    numbers = {
        "images": f"{len(found.images.items):,}",
        "pairs across splits": f"{len(found.across):,}",
        "groups split": f"{len(found.groups):,}",
        "conflicting annotations": f"{len(found.conflicts):,}",
    }
    notes = "".join(f"<li>{html.escape(line)}</li>" for line in summary(found))
    header = ("pairs of images with", "across splits", "one unlabeled", "within a split")
    counts = [(PAIRS[kind].partition(":")[0], *numbers) for kind, numbers in pair_counts(found).items()]
    others = [pair for pair in found.pairs if not pair.leaks and not pair.conflict]
    crowds = sorted(found.lookalikes, key=crosses, reverse=True)
    return "".join(
        (
            facts(numbers),
            f"<ul>{notes}</ul>" if notes else "<p>No leaks found.</p>",
            table(header, counts),
            _pairs(found, "Across splits", found.across, MOST_LEAKS),
            _pairs(found, "Identical images with different annotations", found.conflicts, MOST_LEAKS),
            _groups(found),
            _pairs(found, "Within a split, or with an image of the split unlabeled", others, MOST_OTHERS),
            _crowds(found, crowds),
            *(_mistakes(found, kind, mistakes) for kind, mistakes in mistakes_by_kind(found).items()),
            _undecodable(found),
        )
    )


def _heading(text: str, count: int, shown: int) -> str:
    more = f" ({shown:,} of {count:,})" if shown < count else f" ({count:,})"
    return f"<h3>{html.escape(text)}{more}</h3>"


def _pairs(found: Leaks, heading: str, pairs: Sequence[Pair], most: int) -> str:
    if not pairs:
        return ""
    figures = []
    for pair in pairs[:most]:
        cells = "".join(_picture(found, item) for item in (pair.first, pair.second))
        text = f'<span class="kind">{PAIRS[pair.kind].partition(":")[0]}</span>'
        text += f": {html.escape(pair.how)}" if pair.how else ""
        text += f"<br>Annotations differ: {html.escape(pair.conflict)}" if pair.conflict else ""
        figures.append(f'<figure><div class="row">{cells}</div><figcaption>{text}</figcaption></figure>')
    return _heading(heading, len(pairs), len(figures)) + f'<div class="pairs">{"".join(figures)}</div>'


def _groups(found: Leaks) -> str:
    if not found.groups:
        return ""
    lines = "".join(f"<li>{html.escape(group_text(group))}</li>" for group in found.groups)
    return _heading("Groups spread over splits", len(found.groups), len(found.groups)) + f"<ul>{lines}</ul>"


def _crowds(found: Leaks, crowds: Sequence[Sequence[Item]]) -> str:
    if not crowds:
        return ""
    figures = []
    for items in crowds[:MOST_OTHERS]:
        # One of each split first, so that a set across splits is visible as such.
        first = list({item.split: item for item in reversed(items)}.values())
        shown = [*first, *(item for item in items if item not in first)][:MOST_OF_A_CROWD]
        cells = "".join(_picture(found, item, 200) for item in shown)
        text = f"{len(items):,} images" + (", across splits" if crosses(items) else "")
        figures.append(f'<figure><div class="row many">{cells}</div><figcaption>{text}</figcaption></figure>')
    note = "<p>The same scene taken many times. Whether two of these are the same image cannot be determined.</p>"
    heading = _heading("Sets that look alike", len(crowds), len(figures))
    return f'{heading}{note}<div class="pairs">{"".join(figures)}</div>'


def _mistakes(found: Leaks, kind: str, mistakes: Sequence[Mistake]) -> str:
    figures = [
        f'<figure><div class="row many">{_picture(found, mistake.item, 300, mistake.boxes)}</div>'
        f"<figcaption>{html.escape(mistake.found)}</figcaption></figure>"
        for mistake in mistakes[:MOST_OTHERS]
    ]
    return _heading(f"To check: {MEANINGS[kind]}", len(mistakes), len(figures)) + (
        f'<div class="grid">{"".join(figures)}</div>'
    )


def _undecodable(found: Leaks) -> str:
    if not found.undecodable:
        return ""
    lines = "".join(f"<li>{html.escape(f'{item.image_id}: {error}')}</li>" for item, error in found.undecodable)
    return _heading("Without pixels", len(found.undecodable), len(found.undecodable)) + f"<ul>{lines}</ul>"


def _picture(found: Leaks, item: Item, edge: int = _EDGE, only: Sequence[int] | None = None) -> str:
    """Return an image with its boxes (or `only` some of them), its name and its split."""
    name = f'{html.escape(item.image_id)} <span class="split">{html.escape(item.split)}</span>'
    data = found.images.read(item)
    try:
        with PIL.Image.open(BytesIO(data or b"")) as image:
            numbers = range(len(item.boxes)) if only is None else only
            boxes = [item.boxes[i] for i in numbers]
            labels = [found.images.classes.index(item.labels[i]) for i in numbers]
            source = embedded(draw(image, boxes, labels, found.images.classes, edge=edge), edge)
    except Exception:  # stated in the caption: the image could be decoded before, or never could be
        return f"<div><p>{name}: cannot be shown</p></div>"
    return f'<div><img src="{source}" alt="{html.escape(item.image_id)}" loading="lazy"><p>{name}</p></div>'
