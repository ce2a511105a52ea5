"""The page of `stats`: notices first, then figures; one self-contained file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import OutputError
from ..files import refuse_inside
from ..view.pages import render, table, write_page
from ..view.palette import SHADES
from . import figures as figures
from . import image_figures as image_figures
from .split_statistics import SetStatistics
from .statistics import Statistics

if TYPE_CHECKING:
    from markupsafe import Markup

_PACKAGE = "radikal_datasets.stats"  # of the templates


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
    header = ("dataset", "images", "defect-free", "not annotated", "boxes", "classes", "notices")
    rows = [
        (
            title,
            found.overall.images["all"],
            found.overall.images["defect_free"],
            found.overall.images["unannotated"],
            len(found.overall.columns.labels),
            len(found.classes),
            len(found.notices),
        )
        for title, found in sets.items()
    ]
    shown = [{"title": title, "images": _images(one.overall), "body": _set(one)} for title, one in sets.items()]
    heading = next(iter(sets)) if len(sets) == 1 else name
    write_page(
        file,
        "statistics.html",
        _PACKAGE,
        title=f"{heading}: statistics",
        sets=shown,
        overview=table(header, rows) if len(sets) > 1 else "",
        shades=SHADES,
    )


def _set(found: Statistics) -> Markup:
    overall = found.overall
    images = [
        figures.splits_figure(found),
        figures.boxes_an_image_figure(overall),
        figures.classes_figure(found),
        figures.together_figure(overall),
    ]
    boxes = bool(len(overall.columns.labels))
    return render(
        "set.html",
        _PACKAGE,
        numbers=_numbers(overall),
        notices=[notice.text for notice in found.notices],
        images=[figure for figure in images if figure],
        sizes=[figures.sizes_figure(overall), figures.size_table_figure(overall)] if boxes else [],
        places=figures.places_figures(found) if boxes else "",
        files=[
            image_figures.image_sizes_figure(overall),
            *image_figures.gray_figures(found),
            image_figures.files_figure(overall),
        ],
    )


def _numbers(overall: SetStatistics) -> dict[str, str]:
    images, share = overall.images, overall.defect_free_share
    numbers = {
        "images": f"{images['all']:,}",
        "defect-free": "?" if share is None else f"{images['defect_free']:,} ({share:.0%})",
        "not annotated": f"{images['unannotated']:,}",
        "boxes": f"{len(overall.columns.labels):,}",
        "classes": f"{len(overall.classes):,}",
        "image files": f"{sum(size for _, size in overall.files.values()) / 1e6:,.1f} MB",
    }
    return numbers if images["unannotated"] else {k: v for k, v in numbers.items() if k != "not annotated"}


def _images(overall: SetStatistics) -> str:
    return f"{overall.images['all']:,} images, {len(overall.columns.labels):,} boxes"
