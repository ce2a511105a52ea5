"""Find the gray scale of a raw tree's images, and report bit depth, used range, and a scale that leaves too little."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from io import BytesIO

import numpy as np
import PIL.Image

from ..errors import BadFileError
from ..gray_scale import LEAST_LEVELS, GrayScale, PixelSettings, levels_of, spread
from ..raw.tree import Tree
from ..report import Report


def find_gray_scale(
    tree: Tree, images: Sequence[str], settings: PixelSettings | None, report: Report
) -> GrayScale | None:
    """Return the scale of the images of more than 8 bits, from a sample of them; None if there is none.

    Args:
        images: all images of a configuration, paths below the root.
        settings: how the owner wants them scaled.
    """
    _report_deep_colors(tree, images, report)
    deep = [path for path in images if path in tree.deep]
    levels = levels_of(_read(tree, [deep[i] for i in spread(len(deep))]))
    if levels is None:
        return None
    scale = levels.scale(settings)
    found = f"{len(deep):,} of {len(images):,} images: {levels}; shown from {scale.low:,g} to {scale.high:,g}"
    report.add("deep_gray_levels", deep[0], found, count=len(deep))
    if problem := levels.problem(scale):
        report.add("few_gray_levels", deep[0], problem, count=len(deep))
    elif dark := levels.too_dark(scale):
        found = (
            f"{dark:,} of {len(levels.images):,} examined images keep fewer than {LEAST_LEVELS} gray levels, since "
            "others have more bits. Convert all to one depth (12 to 16 bits: multiply by 16) or make one set per depth"
        )
        report.add("mixed_gray_levels", deep[0], found, count=dark)
    return scale


def _report_deep_colors(tree: Tree, images: Sequence[str], report: Report) -> None:
    """Report color images of 16 bits; a loss if what is decoded of them would be nearly black."""
    paths = [path for path in images if path in tree.deep_color]
    if not paths:
        return
    brightest = 0
    for data in _read(tree, [paths[i] for i in spread(len(paths))]):
        # A damaged image does not decide, and is reported when its turn comes.
        with suppress(Exception), PIL.Image.open(BytesIO(data)) as image:
            brightest = max(brightest, int(np.asarray(image.convert("RGB")).max()))
    found = f"{len(paths):,} of {len(images):,} images; the brightest level that is read is {brightest} of 255"
    kind = "few_color_levels" if brightest <= (1 << 14) - 1 >> 8 else "deep_colors"
    report.add(kind, paths[0], found, count=len(paths))


def _read(tree: Tree, paths: Sequence[str]) -> Iterator[bytes]:
    for path in paths:
        try:
            yield tree.read(path)
        except BadFileError:  # raised when its row is written
            continue
