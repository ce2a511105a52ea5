"""The page of `stats`: notices first, then figures; one self-contained file."""

from __future__ import annotations

import html
import os
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from ..errors import OutputError
from ..files import refuse_inside
from ..view.pages import facts, table, write_page
from ..view.palette import SHADES
from . import figures as figures
from .split_statistics import SetStatistics
from .statistics import Statistics


def check_place(file: Path, data_dir: str | os.PathLike[str] | None) -> None:
    """Reject an output path before any work is done for the page.

    Raises:
        OutputError: it does not end in `.html`, or is inside the raw tree.
    """
    if file.suffix.lower() != ".html":
        raise OutputError(f"{file} is not an HTML file name. Choose a name that ends in .html.")
    refuse_inside(file, [data_dir], what="the raw tree")


def write_statistics_page(file: Path, name: str, sets: Mapping[str, Statistics]) -> None:
    """Write one self-contained HTML page; an older one stays until this one is complete.

    Args:
        name: of the source or folder, for the heading.
        sets: title -> statistics; a single one is shown open, several are folded below a table of all.
    """
    shades = "".join(f".s{i} {{ fill: {color} }}" for i, color in enumerate(SHADES))
    style = (files("radikal_datasets.stats") / "statistics.css").read_text("utf-8") + shades
    bodies = {title: _set(found) for title, found in sets.items()}
    if len(bodies) == 1:
        (title, body), *_ = bodies.items()
        write_page(file, f"{title}: statistics", body, style=style)
        return
    header = ("dataset", "images", "defect-free", "not annotated", "boxes", "classes", "notices")
    rows = [
        (
            title,
            found.whole.images["all"],
            found.whole.images["defect_free"],
            found.whole.images["unannotated"],
            len(found.whole.columns.labels),
            len(found.classes),
            len(found.notices),
        )
        for title, found in sets.items()
    ]
    folded = "".join(
        f'<details class="set"><summary><h2>{html.escape(title)}</h2><span>{_images(sets[title].whole)}</span>'
        f"</summary>{body}</details>"
        for title, body in bodies.items()
    )
    intro = f"<p>{len(sets)} datasets. Open one below to see its plots.</p>"
    write_page(file, f"{name}: statistics", intro + table(header, rows) + f"<p></p>{folded}", style=style)


def _set(found: Statistics) -> str:
    overall = found.whole
    notes = "".join(f'<li class="note">{html.escape(notice.text)}</li>' for notice in found.notices)
    parts = [
        _facts(overall),
        "<h3>Notices</h3>" + (f'<ul class="notices">{notes}</ul>' if notes else "<p>Nothing stands out.</p>"),
        "<h3>Images and classes</h3>"
        + figures.grid(
            figures.splits_figure(found),
            figures.boxes_an_image_figure(overall),
            figures.classes_figure(found),
            figures.together_figure(overall),
        ),
    ]
    if len(overall.columns.labels):
        parts += [
            "<h3>Box sizes and positions</h3>"
            + figures.grid(figures.sizes_figure(overall), figures.size_table_figure(overall), kind="pair"),
            figures.places_figures(found),
        ]
    parts.append(
        "<h3>Image files</h3>"
        + figures.grid(figures.image_sizes_figure(overall), *figures.gray_figures(found), figures.files_figure(overall))
    )
    return "".join(parts)


def _facts(overall: SetStatistics) -> str:
    images, share = overall.images, overall.defect_free_share
    numbers = {
        "images": f"{images['all']:,}",
        "defect-free": "?" if share is None else f"{images['defect_free']:,} ({share:.0%})",
        "not annotated": f"{images['unannotated']:,}",
        "boxes": f"{len(overall.columns.labels):,}",
        "classes": f"{len(overall.classes):,}",
        "image files": f"{sum(size for _, size in overall.files.values()) / 1e6:,.1f} MB",
    }
    return facts(numbers if images["unannotated"] else {k: v for k, v in numbers.items() if k != "not annotated"})


def _images(overall: SetStatistics) -> str:
    return f"{overall.images['all']:,} images, {len(overall.columns.labels):,} boxes"
