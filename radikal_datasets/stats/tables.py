"""The tables that `stats` prints."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .split_statistics import IMAGE_SIZE, TINY, SetStatistics
from .statistics import Statistics


def print_sets(console: Console, sets: Mapping[str, Statistics], page: Path | None = None) -> None:
    """Print one dataset after another, and the location of their page."""
    for title, found in sets.items():
        console.rule(escape(title), align="left")
        _print_set(console, found)
    if page is not None:
        console.print(f"Wrote the same with plots to {page}", highlight=False, markup=False, soft_wrap=True)


def _print_set(console: Console, found: Statistics) -> None:
    console.print(_splits(found))
    if len(found.overall.columns.labels):
        console.print(_classes(found))
        console.print(_sizes(found.overall))
        if len(found.classes) > 1:
            console.print(_pairs(found.overall), highlight=False, markup=False)
    for line in (_boxes_per_image, _image_sizes, _gray, _files):
        console.print(line(found.overall), highlight=False, markup=False)
    for notice in found.notices:
        console.print(f"! {notice.text}", highlight=False, markup=False)


def _splits(found: Statistics) -> Table:
    table = _table("split", "images", "with boxes", "defect-free", "not annotated", "boxes")
    for split, part in [*found.splits.items(), ("all", found.overall)]:
        images, share = part.images, part.defect_free_share
        clean = f"{images['defect_free']:,}" + ("" if share is None else f" ({share:.0%})")
        boxes = len(part.columns.labels)
        holding = images["annotated"] - images["defect_free"]
        table.add_row(
            escape(split), f"{images['all']:,}", f"{holding:,}", clean, f"{images['unannotated']:,}", f"{boxes:,}"
        )
    return table


def _classes(found: Statistics) -> Table:
    there = [(split, part) for split, part in found.splits.items() if part.images["annotated"]]
    table = _table(
        "class", *(escape(split) for split, _ in there), "all", caption="Boxes, and in parentheses images with one."
    )
    for label, name in enumerate(found.classes):
        parts = [*(part for _, part in there), found.overall]
        table.add_row(escape(name), *(f"{part.class_boxes[label]:,} ({part.class_images[label]:,})" for part in parts))
    return table


def _sizes(overall: SetStatistics) -> Table:
    table = _table(
        "class",
        "width",
        "height",
        "of image",
        "small",
        "medium",
        "large",
        "tiny",
        caption="Medians in pixels of the file; small, medium and large as defined by COCO; tiny: a side under "
        f"{TINY} pixels at {IMAGE_SIZE} x {IMAGE_SIZE}.",
    )
    for label, name in enumerate(overall.classes):
        sizes = overall.boxes_of(label)
        if len(sizes.width):
            width, height, share = (np.median(values) for values in (sizes.width, sizes.height, sizes.share))
            counts = (f"{count:,}" for count in (*sizes.coco.values(), sizes.tiny))
            table.add_row(escape(name), f"{width:.0f}", f"{height:.0f}", f"{share:.2%}", *counts)
    return table


def _pairs(overall: SetStatistics) -> str:
    pairs = np.triu(overall.together, 1)
    most = [np.unravel_index(i, pairs.shape) for i in np.argsort(-pairs, axis=None, kind="stable")[:3]]
    texts = [f"{overall.classes[i]} + {overall.classes[j]} ({pairs[i, j]:,})" for i, j in most if pairs[i, j]]
    return f"Classes that occur together: {', '.join(texts)}." if texts else "No image holds two classes."


def _boxes_per_image(overall: SetStatistics) -> str:
    histogram = overall.boxes_per_image
    counts = np.repeat(np.arange(len(histogram)), histogram)
    if not len(counts):
        return "Boxes per image: no image is annotated."
    return f"Boxes per image: {counts.mean():.2f} on average, median {np.median(counts):.0f}, maximum {counts.max()}."


def _image_sizes(overall: SetStatistics) -> str:
    sizes = overall.image_sizes
    texts = ", ".join(f"{width} x {height} ({count:,})" for width, height, count in sizes[:3])
    return f"Image sizes: {texts}" + (f" and {len(sizes) - 3:,} more." if len(sizes) > 3 else ".")


def _gray(overall: SetStatistics) -> str:
    decoded = len(overall.columns.gray)
    if not decoded:
        return "Gray levels: no image could be decoded."
    low, middle, high = np.quantile(overall.brightness, (0.05, 0.5, 0.95))
    return (
        f"Gray levels: median of the image means {middle:.0f} of 255, 90 % from {low:.0f} to {high:.0f}; "
        f"{decoded:,} of {overall.images['all']:,} images decoded."
    )


def _files(overall: SetStatistics) -> str:
    return (
        "Files: " + ", ".join(f"{n:,} {name}, {size / 1e6:,.1f} MB" for name, (n, size) in overall.files.items()) + "."
    )


def _table(*header: str, caption: str | None = None) -> Table:
    table = Table(caption=caption, caption_justify="left")
    for i, name in enumerate(header):
        table.add_column(name, justify="right" if i else "left", overflow="fold")
    return table
