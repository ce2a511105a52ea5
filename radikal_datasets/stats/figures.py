"""The figures on the page of `stats`: each a plot or a table with a sentence that describes it, as HTML."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..view import plots as plots
from ..view.pages import render, table
from ..view.palette import ON_PAPER
from .split_statistics import COCO_AREAS, GRID, SetStatistics
from .statistics import Statistics

if TYPE_CHECKING:
    from markupsafe import Markup

_PACKAGE = "radikal_datasets.stats"  # of the templates

# On the page; `--json` contains everything.
_MOST_BARS, _MOST_MAPS, _MOST_IN_MATRIX, _MOST_COLUMNS, _MOST_POINTS = 20, 12, 16, 24, 1500


def figure(title: str, summary: str, *content: Markup, note: str = "") -> Markup:
    """Return a figure with its title and the sentence that describes it."""
    return render("figure.html", _PACKAGE, title=title, summary=summary, content=content, note=note)


def splits_figure(found: Statistics) -> Markup:
    """Plot images by split: with boxes, defect-free, not annotated."""
    kinds = ("with boxes", "defect-free", "not annotated")
    rows, texts = {}, []
    for split, part in found.splits.items():
        images = part.images
        rows[split] = [images["annotated"] - images["defect_free"], images["defect_free"], images["unannotated"]]
        texts.append(f"{images['all']:,} images, {len(part.columns.labels):,} boxes")
    summary = " ".join(
        f"{split}: {', '.join(f'{n:,} {kind}' for n, kind in zip(row, kinds, strict=True) if n)}."
        for split, row in rows.items()
    )
    shown = [kind for i, kind in enumerate(kinds) if i < 2 or found.overall.images["unannotated"]]
    return figure("Images by split", summary, plots.key(shown), plots.bars(rows, texts, f"Images by split. {summary}"))


def boxes_an_image_figure(overall: SetStatistics) -> Markup:
    """Plot a histogram of boxes per image."""
    histogram = overall.boxes_per_image
    if not histogram.sum():
        return figure("Boxes per image", "No image is annotated.")
    counts = np.repeat(np.arange(len(histogram)), histogram)
    summary = (
        f"An annotated image has {counts.mean():.1f} boxes on average, half have {np.median(counts):.0f} or fewer, "
    )
    summary += f"and the maximum is {counts.max()}."
    step = -(-len(histogram) // _MOST_COLUMNS)
    heights = [int(histogram[start : start + step].sum()) for start in range(0, len(histogram), step)]
    labels = [str(i * step) if step == 1 else f"{i * step}-{i * step + step - 1}" for i in range(len(heights))]
    return figure("Boxes per image", summary, plots.columns(heights, labels, "boxes", f"Histogram. {summary}"))


def classes_figure(found: Statistics) -> Markup:
    """Plot boxes by class and split, with a table of all numbers."""
    boxes, images = found.overall.class_boxes, found.overall.class_images
    there = [(split, part) for split, part in found.splits.items() if part.class_boxes.any()]
    if not there:
        return figure("Classes", "There are no boxes.")
    order = np.argsort(-boxes, kind="stable")
    most, least = order[0], order[-1]
    summary = f"Boxes by class. Most: {found.classes[most]} ({boxes[most]:,})"
    summary += f", fewest: {found.classes[least]} ({boxes[least]:,})." if len(order) > 1 else "."
    if len(order) > _MOST_BARS:
        summary += f" The {_MOST_BARS} most frequent of {len(order)} are drawn; the table lists all."
    drawn = order[:_MOST_BARS]
    rows = {found.classes[i]: [float(part.class_boxes[i]) for _, part in there] for i in drawn}
    texts = [f"{boxes[i]:,} in {images[i]:,} images" for i in drawn]
    header = ("class", *(f"{split}: images / boxes" for split, _ in there))
    lines = [
        (found.classes[i], *(f"{part.class_images[i]:,} / {part.class_boxes[i]:,}" for _, part in there)) for i in order
    ]
    numbers = render("numbers_by_split.html", _PACKAGE, numbers=table(header, lines))
    spoken = f"{summary} " + ", ".join(f"{name}: {text}" for name, text in zip(rows, texts, strict=True))
    return figure("Classes", summary, plots.key(split for split, _ in there), plots.bars(rows, texts, spoken), numbers)


def together_figure(overall: SetStatistics) -> Markup | None:
    """Plot which classes occur in the same image; None for a single class."""
    pairs = np.triu(overall.together, 1)
    if len(overall.classes) < 2:
        return None
    if not pairs.any():
        return figure("Classes together", "No image holds two classes.")
    i, j = np.unravel_index(pairs.argmax(), pairs.shape)
    names = overall.classes
    summary = f"Most often in the same image: {names[i]} and {names[j]}, {pairs[i, j]:,} times. {(pairs > 0).sum()} of "
    summary += f"{len(names) * (len(names) - 1) // 2} pairs of classes occur."
    chosen = np.arange(len(names))
    if len(names) > _MOST_IN_MATRIX:
        reach = (pairs + pairs.T).sum(axis=0)
        chosen = np.sort(np.argsort(-reach, kind="stable")[: min(_MOST_IN_MATRIX, int((reach > 0).sum()))])
        summary += f" {len(chosen)} of {len(names)} classes are drawn."
    picture = plots.matrix([names[c] for c in chosen], overall.together[np.ix_(chosen, chosen)], summary)
    note = "Numbers: images that hold both classes; on the diagonal, images that hold the class."
    return figure("Classes together", summary, picture, note=note)


def sizes_figure(overall: SetStatistics) -> Markup:
    """Plot width and height of the boxes, and COCO's limits; the dataset must have a box."""
    sizes, coco = overall.box_sizes, overall.box_sizes.coco
    (w1, w2), (h1, h2) = (np.quantile(edge, (0.25, 0.75)) for edge in (sizes.width, sizes.height))
    total = len(sizes.width)
    summary = f"Half of the boxes are {w1:.0f} to {w2:.0f} pixels wide, half are {h1:.0f} to {h2:.0f} high. "
    summary += f"The median covers {percent(float(np.median(sizes.share)))} of its image. "
    summary += "By COCO's limits (area below 32², below 96² pixels), "
    summary += ", ".join(f"{n / total:.0%} are {name}" for name, n in coco.items()) + "."
    drawn = np.arange(min(total, _MOST_POINTS)) * total // min(total, _MOST_POINTS)
    labels = overall.columns.labels[drawn]
    order = np.argsort(-overall.class_boxes, kind="stable")
    order = order[overall.class_boxes[order] > 0]
    by_class = 1 < len(order) <= len(ON_PAPER)
    chosen = [drawn[labels == label] for label in order] if by_class else [drawn]
    names = [plots.key(overall.classes[label] for label in order)] if by_class else []
    groups = [(sizes.width[rows], sizes.height[rows]) for rows in chosen if len(rows) or by_class]
    picture = plots.scatter(groups, COCO_AREAS, f"Scatter of box width and height. {summary}")
    note = f"Each dot is a box{f', {len(drawn):,} of {total:,}' if len(drawn) < total else ''}. "
    note += "Dashed: COCO's limits between small, medium and large."
    return figure("Width and height", summary, *names, picture, note=note)


def size_table_figure(overall: SetStatistics) -> Markup:
    """Tabulate medians and counts of the boxes, by class."""
    header = ("class", "boxes", "width", "height", "of image", "aspect", "small", "medium", "large", "tiny")
    rows = []
    for label in np.argsort(-overall.class_boxes, kind="stable"):
        sizes = overall.boxes_of(int(label))
        if len(sizes.width):
            middle = [float(np.median(x)) for x in (sizes.width, sizes.height, sizes.share, sizes.width / sizes.height)]
            rows.append(
                (
                    overall.classes[label],
                    len(sizes.width),
                    round(middle[0]),
                    round(middle[1]),
                    percent(middle[2]),
                    round(middle[3], 2),
                    *sizes.coco.values(),
                    sizes.tiny,
                )
            )
    summary = (
        "Medians of width, height (pixels), share of the image and width over height; then how many boxes are small, "
    )
    summary += "medium, large (COCO), and tiny: a side under 8 pixels at 640 x 640."
    return figure("Sizes by class", summary, table(header, rows))


def places_figures(found: Statistics) -> Markup:
    """Draw maps of box positions: in total, by split, by class; the dataset must have a box."""
    overall = found.overall
    every = overall.places.sum(axis=0)
    aspect = float(np.median(overall.columns.sizes[:, 0] / overall.columns.sizes[:, 1]))
    half = slice(round(GRID / 4), round(GRID * 3 / 4))
    middle = every[half, half].sum() / every.sum()
    summary = (
        f"The middle quarter of the image holds {middle:.0%} of the box area (25 % if boxes were evenly distributed). "
    )
    summary += (
        "If a map is uneven, a model can learn the position instead of the defect: shift and flip images in training."
    )
    top = max([every.max(), *(part.places.sum(axis=0).max() for part in found.splits.values())])
    maps = [_map("all splits", every, top, aspect)]
    maps += [
        _map(split, part.places.sum(axis=0), top, aspect) for split, part in found.splits.items() if part.places.any()
    ]
    order = np.argsort(-overall.class_boxes, kind="stable")
    order = order[overall.class_boxes[order] > 0]
    by_class = [
        _map(overall.classes[label], overall.places[label], float(overall.places[label].max()), aspect)
        for label in order[:_MOST_MAPS]
    ]
    return render(
        "positions.html",
        _PACKAGE,
        summary=summary,
        splits=maps,
        classes=by_class if len(order) > 1 else [],
        frequent=len(order) if len(order) > _MOST_MAPS else 0,
    )


def _map(name: str, values: np.ndarray, top: float, aspect: float) -> dict[str, Any]:
    row, column = np.unravel_index(values.argmax(), values.shape)
    where = f"{('upper', 'middle', 'lower')[3 * row // GRID]} {('left', 'center', 'right')[3 * column // GRID]}"
    summary = f"Map of positions, {name}: most boxes at the {where}, {values.max():.2g} boxes per image."
    drawn = plots.heat(values, top, aspect, summary)
    return {"heat": drawn, "scale": plots.scale(f"{top:.2g}"), "name": name, "where": where}


def percent(share: float) -> str:
    """Write a fraction in percent, with enough digits that it is not 0."""
    if share >= 0.1 or share == 0:
        return f"{share:.0%}"
    return f"{share:.1%}" if share >= 0.001 else f"{share:.3%}" if share >= 0.00001 else "under 0.001%"
