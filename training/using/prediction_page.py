"""A self-contained HTML page of predictions beside the ground truth."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from radikal_datasets.view import pages


@dataclass(frozen=True)
class Picture:
    """One image of the page: its file's bytes, size in pixels, true and predicted boxes (xyxy in its pixels)."""

    image_id: str
    data: bytes
    width: int
    height: int
    truth: dict[str, Any]
    prediction: dict[str, Any]


_STYLE = """
.key { color: var(--dim) }
.key i { display: inline-block; width: 1.1em; height: .8em; border: 3px solid; margin: 0 .35em 0 1em;
vertical-align: -.05em }
.grid { grid-template-columns: repeat(auto-fill, minmax(min(100%, 520px), 1fr)) }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 2px; background: var(--line) }
b { color: var(--ink); font-weight: 600 }
"""
_TRUTH, _PREDICTED = "#22c55e", "#f59e0b"


def write_page(
    file: Path, *, title: str, note: str, numbers: dict[str, str], pictures: Sequence[Picture], class_names: list[str],
    threshold: float, about: str = "", links: Mapping[str, str] | None = None,
) -> None:  # fmt: skip
    """Write the page; it needs no other file and no network.

    Args:
        note: shown at the top, such as that the images are synthetic.
        numbers: name to text, shown in large type.
        threshold: predictions with a lower score are not drawn.
        about: what the numbers mean and how the images were chosen; shown below the numbers.
        links: relative addresses of other pages, with descriptions.
    """
    figures = "".join(_figure(i, picture, class_names, threshold) for i, picture in enumerate(pictures))
    key = (
        f'<i style="border-color:{_TRUTH}"></i>ground truth, left<i style="border-color:{_PREDICTED}"></i>predicted '
        f"with a score of at least {threshold:.2f}, right"
    )
    pages.write_page(
        file, title,
        f'<p class="note">{html.escape(note)}</p>{pages.facts(numbers)}<p>{html.escape(about)}</p>{_links(links or {})}'
        f'<p class="key">{key}</p><div class="grid">{figures}</div>',
        style=_STYLE,
    )  # fmt: skip


def _links(links: Mapping[str, str]) -> str:
    if not links:
        return ""
    items = (f'<a href="{html.escape(address)}">{html.escape(text)}</a>' for address, text in links.items())
    return f"<p>More pages of this run: {'; '.join(items)}.</p>"


def evenly_mixed(right: Sequence[bool], count: int) -> list[int]:
    """Return the indices of `count` images (or all), with correct and wrong ones evenly mixed in their true proportion.

    Each kind is spread over the entire sequence, in its order.
    """
    kinds = [[i for i, value in enumerate(right) if value is kind] for kind in (True, False)]
    count = min(count, len(right))
    rights = round(count * len(kinds[0]) / max(1, len(right)))
    marked = [
        ((k + 0.5) / wanted, kind, members[k * len(members) // wanted])
        for kind, (members, wanted) in enumerate(zip(kinds, (rights, count - rights), strict=True))
        for k in range(wanted)
    ]
    return [index for _, _, index in sorted(marked)]


def _figure(number: int, picture: Picture, class_names: list[str], threshold: float) -> str:
    size = f"0 0 {picture.width} {picture.height}"
    shared = (
        f'<image id="i{number}" width="{picture.width}" height="{picture.height}" '
        f'href="{pages.embedded(picture.data)}"/>'
    )
    pen = max(picture.width, picture.height) / 200
    truth = [
        (box, class_names[label]) for box, label in zip(picture.truth["boxes"], picture.truth["labels"], strict=True)
    ]
    rows = zip(picture.prediction["boxes"], picture.prediction["labels"], picture.prediction["scores"], strict=True)
    shown = [(box, f"{class_names[label]} {score:.2f}") for box, label, score in rows if score >= threshold]
    left = f'<svg viewBox="{size}" role="img" aria-label="ground truth">{shared}{_boxes(truth, _TRUTH, pen)}</svg>'
    right = (
        f'<svg viewBox="{size}" role="img" aria-label="predictions"><use href="#i{number}"/>'
        f"{_boxes(shown, _PREDICTED, pen)}</svg>"
    )
    text = f"<b>{html.escape(picture.image_id)}</b> &middot; {len(truth)} true, {len(shown)} predicted"
    return f'<figure><div class="pair">{left}{right}</div><figcaption>{text}</figcaption></figure>'


def _boxes(boxes: list[tuple[list[float], str]], color: str, pen: float) -> str:
    """Return SVG rectangles with the text as a tooltip."""
    return "".join(
        f'<rect x="{x0:.1f}" y="{y0:.1f}" width="{x1 - x0:.1f}" height="{y1 - y0:.1f}" fill="{color}" '
        f'fill-opacity=".06" stroke="{color}" stroke-width="{pen:.2f}"><title>{html.escape(text)}</title></rect>'
        for (x0, y0, x1, y1), text in boxes
    )
