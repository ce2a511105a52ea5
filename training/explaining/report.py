"""The page of one image: ground truth, detections, and every map with its scores."""

from __future__ import annotations

import html
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from radikal_datasets.view.pages import embedded, facts, table, write_page
from radikal_datasets.view.palette import CORRECT, MISSED
from training.explaining.baselines import BASELINES
from training.explaining.drawing import CALL, TRUTH, overlay, picture, with_boxes
from training.explaining.explained import TITLES, Explained, Explanation, MapScores

#: CSS that image pages and the index share.
STYLE = f"""
.key i {{ display: inline-block; width: 1.5em; height: .9em; margin: 0 .5em 0 1em; vertical-align: -.1em }}
.key i.truth, .key i.call {{ background: #444; box-shadow: 0 0 0 3px #444 }}
.key i.truth {{ border: 2px dashed {TRUTH} }} .key i.call {{ border: 2px solid {CALL} }}
.key i.scale {{ width: 6em; margin-left: 0;
background: linear-gradient(to right, #000004, #420a68, #932667, #dd513a, #fca50a, #fcffa4) }}
.key span {{ white-space: nowrap }} figure img {{ width: 100% }} figcaption b {{ color: var(--ink) }}
nav a {{ margin-right: 1.5rem }} th {{ overflow-wrap: normal; white-space: normal; vertical-align: bottom }}
.verdicts td {{ white-space: normal }} .verdicts :is(th, td) {{ padding: .3rem .6rem .3rem 0 }}
.value {{ white-space: nowrap }}
table:not(.verdicts) :is(th, td):not(:first-child) {{ text-align: right }}
.maps {{ grid-template-columns: repeat(auto-fill, minmax(min(100%, 250px), 1fr)) }}
.fails {{ color: {MISSED}; font-weight: 600 }} .passes {{ color: {CORRECT}; font-weight: 600 }}
"""
KEY = (
    '<p class="key dim"><span><i class="truth" style="margin-left:3px"></i>true box</span> '
    '<span><i class="call"></i>detected box</span></p><p class="key dim"><span>a map, from least to most: '
    '<i class="scale"></i></span></p>'
)


@dataclass(frozen=True)
class Files:
    """Paths of an image's files, relative to the output folder."""

    page: str
    maps: str
    overlays: list[str]


def write_image(
    folder: Path, stem: str, explained: Explained, names: list[str], normalization: Mapping[str, Any],
    neighbors: tuple[str | None, str | None],
) -> Files:  # fmt: skip
    """Write the page, the overlays as PNG and the maps as one .npz file.

    In the .npz file, `d1_gradcam` is the Grad-CAM of the first detection: float16 (H, W), 0 to 1, in pixels of the
    model's input.

    Args:
        stem: stem of the files' names.
        names: class names.
        normalization: `mean` and `std` of the model's input.
        neighbors: stems of the previous and the next page.
    """
    plain = picture(explained.case, **normalization)
    arrays, overlays, sections = {}, [], []
    for number, one in enumerate(explained.explanations, start=1):
        figures = []
        for name, values in one.maps.items():
            if name in BASELINES:
                continue
            arrays[f"d{number}_{name}"] = values.astype(np.float16)
            drawn = _drawn(overlay(plain, values), explained, one)
            file = f"overlays/{stem}-d{number}-{name}.png"
            _save(folder / file, drawn)
            overlays.append(file)
            figures.append(_figure(drawn, TITLES[name], one.scores[name]))
        sections.append(_section(number, one, names, "".join(figures)))
    maps = f"maps/{stem}.npz"
    (folder / maps).parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / maps, **arrays)
    page = f"images/{stem}.html"
    write_page(folder / page, explained.case.name, _body(explained, names, plain, sections, neighbors), style=STYLE)
    return Files(page, maps, overlays)


def whole_picture(explained: Explained, normalization: Mapping[str, Any]) -> Image.Image:
    """Return the image with all true and all explained boxes."""
    case = explained.case
    shape = (case.pixels.shape[-2], case.pixels.shape[-1])
    truth, calls = [box for box, _ in case.truth], [one.box for one in case.detections]
    return with_boxes(picture(case, **normalization), shape, truth, calls)


def _body(
    explained: Explained, names: list[str], plain: Image.Image, sections: list[str],
    neighbors: tuple[str | None, str | None],
) -> str:  # fmt: skip
    case = explained.case
    shape = (case.pixels.shape[-2], case.pixels.shape[-1])
    drawn = with_boxes(plain, shape, [box for box, _ in case.truth], [one.box for one in case.detections])
    right = sum(partner is not None for partner in case.partners)
    before, after = neighbors
    links = [("../index.html", "all images"), (before, "previous image"), (after, "next image")]
    nav = "".join(
        f'<a href="{html.escape(target if target.startswith("..") else f"{target}.html")}">{text}</a>'
        for target, text in links
        if target
    )
    numbers = facts(
        {
            "true boxes": str(len(case.truth)),
            "detections explained": str(len(case.detections)),
            "true / false positives": f"{right} / {len(case.detections) - right}",
            "seconds": f"{explained.total_seconds:.1f}",
        }
    )
    true = ", ".join(names[label] for _, label in case.truth) or "no defect"
    return (
        f"<nav>{nav}</nav>{numbers}{KEY}"
        f'<div class="grid"><figure><img alt="image with boxes" src="{embedded(drawn)}"><figcaption>model '
        f"input, {case.pixels.shape[-1]} x {case.pixels.shape[-2]} pixels; true: "
        f"{html.escape(true)}</figcaption></figure>"
        f"</div>{''.join(sections) or '<p>No detection reaches the threshold: there is nothing to explain.</p>'}"
    )


def _section(number: int, one: Explanation, names: list[str], figures: str) -> str:
    verdict = "true positive" if one.partner else "false positive: IoU below 0.5 with every true box of its class"
    text = []
    if one.agreement is not None:
        text.append(f"Agreement of the methods: {one.agreement:.2f} (mean Spearman correlation; 1: identical).")
    text.append(f"On the blurred image, the detection's score is {one.hidden_score:.2f}.")
    if one.partner is None:
        text.append("Without a true box, energy and pointing are undefined.")
    rows = [_row(name, scores) for name, scores in one.scores.items()]
    heading = f"{number}. {html.escape(names[one.detection.label])} {one.detection.score:.2f}"
    return (
        f'<h2>{heading} <span class="dim">&middot; {verdict}</span></h2><p>{" ".join(text)}</p>'
        f'<div class="grid maps">{figures}</div><h3>Scores</h3>{table(_HEADER, rows)}'
    )


_HEADER = ["map", "energy in true box", "energy in detected box", "points into true box", "deletion", "insertion"]


def _row(name: str, scores: MapScores) -> list[object]:
    return [
        TITLES[name], number(scores.energy), number(scores.energy_in_call),
        "" if scores.pointing is None else ("yes" if scores.pointing >= 0.5 else "no"),
        number(scores.deletion), number(scores.insertion),
    ]  # fmt: skip


def number(value: float | None, digits: int = 2) -> str:
    """Format a number for a table cell; empty if there is none."""
    return "" if value is None else f"{value:.{digits}f}"


def _figure(drawn: Image.Image, title: str, scores: MapScores) -> str:
    values = {"energy in true box": scores.energy, "deletion": scores.deletion, "insertion": scores.insertion}
    known = ", ".join(f"{name} {value:.2f}" for name, value in values.items() if value is not None)
    caption = f"<b>{title}</b><br>{known}"
    return f'<figure><img alt="{title}" src="{embedded(drawn)}"><figcaption>{caption}</figcaption></figure>'


def _drawn(image: Image.Image, explained: Explained, one: Explanation) -> Image.Image:
    shape = (explained.case.pixels.shape[-2], explained.case.pixels.shape[-1])
    return with_boxes(image, shape, [one.partner] if one.partner else [], [one.detection.box])


def _save(file: Path, image: Image.Image) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    out = io.BytesIO()
    image.save(out, "PNG")
    file.write_bytes(out.getvalue())
