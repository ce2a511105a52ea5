"""A self-contained HTML page of predictions beside the truth."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image


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
:root { color-scheme: light dark; --ink: #1c2430; --paper: #f6f7f9; --card: #fff; --line: #d5dae1; --dim: #5c6878 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --paper: #12161c; --card: #1b212a; --line: #323b48;
--dim: #97a3b4 } } * { box-sizing: border-box } body { margin: 0; background: var(--paper); color: var(--ink); font:
16px/1.5 system-ui, sans-serif } main { max-width: 1180px; margin: 0 auto; padding: 2rem 1.25rem 4rem } h1 { font-size:
1.6rem; margin: 0 0 .5rem } p { max-width: 70ch; margin: .5rem 0 } .note { border-left: 4px solid #d97706; padding:
.25rem .75rem; background: var(--card) } dl { display: flex; flex-wrap: wrap; gap: 1rem 2.5rem; margin: 1.5rem 0 } dt {
color: var(--dim); font-size: .85rem } dd { margin: 0; font-size: 1.5rem; font-variant-numeric: tabular-nums } .key {
color: var(--dim) } .key i { display: inline-block; width: 1.1em; height: .8em; border: 3px solid; margin: 0 .35em 0
1em; vertical-align: -.05em } .grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 520px),
1fr)); gap: 1.25rem } figure { margin: 0; background: var(--card); border: 1px solid var(--line); border-radius: 6px;
overflow: hidden } .pair { display: grid; grid-template-columns: 1fr 1fr; gap: 2px; background: var(--line) } svg {
display: block; width: 100% } figcaption { padding: .5rem .75rem; font-size: .85rem; color: var(--dim) } b { color:
    var(--ink); font-weight: 600 }
"""
_TRUTH, _PREDICTED = "#22c55e", "#f59e0b"


def write_page(
    file: Path, *, title: str, note: str, numbers: dict[str, str], pictures: Sequence[Picture], class_names: list[str],
    threshold: float, about: str = "",
) -> None:  # fmt: skip
    """Write the page; it needs no other file and no network.

    Args:
        note: shown above everything, such as that the images are made up.
        numbers: name to text, shown large.
        threshold: predictions with a lower score are not drawn.
        about: what the numbers mean and how the pictures were chosen; shown below the numbers.
    """
    facts = "".join(f"<div><dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd></div>" for k, v in numbers.items())
    figures = "".join(_figure(i, picture, class_names, threshold) for i, picture in enumerate(pictures))
    key = (
        f'<i style="border-color:{_TRUTH}"></i>ground truth, left<i style="border-color:{_PREDICTED}"></i>predicted '
        f"with a score of at least {threshold:.2f}, right"
    )
    part = file.with_name(f".{file.name}.part")
    part.write_text(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style><main><h1>{html.escape(title)}</h1>'
        f'<p class="note">{html.escape(note)}</p><dl>{facts}</dl><p>{html.escape(about)}</p><p class="key">{key}</p>'
        f'<div class="grid">{figures}</div></main>\n',
        encoding="utf-8",
    )
    part.replace(file)  # an older page stays until this one is whole


def evenly_mixed(right: Sequence[bool], count: int) -> list[int]:
    """Indices of `count` pictures (or all), right and wrong ones in the proportion of all, evenly among each other.

    Each kind is spread over the whole sequence, in its order.
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
        f'href="data:image/jpeg;base64,{_jpeg(picture.data)}"/>'
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
    """Rectangles; a browser shows the text where the pointer rests."""
    return "".join(
        f'<rect x="{x0:.1f}" y="{y0:.1f}" width="{x1 - x0:.1f}" height="{y1 - y0:.1f}" fill="{color}" '
        f'fill-opacity=".06" stroke="{color}" stroke-width="{pen:.2f}"><title>{html.escape(text)}</title></rect>'
        for (x0, y0, x1, y1), text in boxes
    )


def _jpeg(data: bytes, edge: int = 560) -> str:
    """Base64 of a small JPEG, so that the page stays light."""
    with Image.open(io.BytesIO(data)) as image:
        small = image.convert("RGB")
    small.thumbnail((edge, edge))
    out = io.BytesIO()
    small.save(out, "JPEG", quality=82)
    return base64.b64encode(out.getvalue()).decode()
