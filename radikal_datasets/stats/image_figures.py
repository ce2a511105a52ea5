"""The figures on the page of `stats` about the images themselves: sizes, gray levels, files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..view import plots as plots
from ..view.pages import table
from .figures import figure, percent
from .split_statistics import SetStatistics
from .statistics import Statistics

if TYPE_CHECKING:
    from markupsafe import Markup


def image_sizes_figure(overall: SetStatistics) -> Markup:
    """Plot the most frequent image sizes."""
    sizes = overall.image_sizes
    (width, height, count), *others = sizes
    if not others:
        return figure("Image sizes", f"Every image is {width} x {height} pixels.")
    edges = overall.columns.sizes
    (w1, h1), (w2, h2) = edges.min(axis=0), edges.max(axis=0)
    summary = f"{len(sizes):,} sizes, {w1} to {w2} pixels wide and {h1} to {h2} high. "
    summary += f"Most frequent: {width} x {height} ({count:,} images)."
    drawn = sizes[:10]
    rows = {f"{w} x {h}": [float(n)] for w, h, n in drawn}
    if len(sizes) > len(drawn):
        rows[f"{len(sizes) - len(drawn):,} other sizes"] = [float(sum(n for *_, n in sizes[len(drawn) :]))]
    return figure("Image sizes", summary, plots.bars(rows, [f"{n:,.0f}" for (n,) in rows.values()], summary))


def gray_figures(found: Statistics) -> Sequence[Markup]:
    """Plot gray levels of pixels, and mean gray levels of images, by split."""
    overall, decoded = found.overall, len(found.overall.columns.gray)
    if not decoded:
        return [figure("Gray levels", "No image could be decoded.")]
    parts = {split: part for split, part in found.splits.items() if len(part.columns.gray)}
    brightness = overall.brightness
    low, middle, high = np.quantile(brightness, (0.05, 0.5, 0.95))
    summary = (
        f"Images have a median mean gray level of {middle:.0f} of 255, 90 % are between {low:.0f} and {high:.0f}. "
    )
    summary += "Splits should look alike here; if they do not, they were taken under different light."
    spread = {
        split: np.histogram(part.brightness, 32, (0, 256))[0] / len(part.brightness) for split, part in parts.items()
    }
    levels = overall.gray_histogram
    assert levels is not None
    shown = {split: part.columns.gray.mean(axis=0).reshape(64, 4).sum(axis=1) for split, part in parts.items()}
    about = f"Pixels by gray level, mean of {decoded:,} images"
    about += "" if decoded == overall.images["all"] else f" spread evenly over the {overall.images['all']:,}"
    about += f". {percent(float(levels[0]))} of the pixels are black (0), {percent(float(levels[255]))} white (255)."
    ends = ("0 black", "255 white")
    return [
        figure("Gray levels of pixels", about, plots.key(parts), plots.lines(shown, ends, "gray level", about)),
        figure(
            "Brightness of images", summary, plots.key(parts), plots.lines(spread, ends, "mean gray level", summary)
        ),
    ]


def files_figure(overall: SetStatistics) -> Markup:
    """Tabulate formats and bytes of the image files."""
    rows = [(name, n, f"{size / 1e6:,.1f}", f"{size / 1e3 / n:,.1f}") for name, (n, size) in overall.files.items()]
    summary = "Formats and sizes of the image files as stored in the dataset."
    return figure("Files", summary, table(("format", "files", "MB", "kB per file"), rows))
