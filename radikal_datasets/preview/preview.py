"""`preview`: a contact sheet (PNG) or a gallery (HTML) of a few images with their truth drawn on them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageOps

from ..errors import OutputError
from ..files import atomic_file, refuse_inside
from ..loading.sets import open_sets
from ..view.drawing import Look, draw, font, looks, swatch
from ..view.palette import DIM, INK, PAPER
from .chosen_images import Choice, ChoiceError, Picture, choose
from .gallery import write_gallery

#: Images shown where none are asked for.
SHEET_IMAGES, GALLERY_IMAGES = 24, 200
#: A sheet is one picture in memory: with so many images some 0.6 GB.
MOST_ON_SHEET = 400

_WIDTH, _GAP, _LINE = 1320, 12, 18  # pixels: the sheet, between the images, a line of text
_HIGH, _WIDE = 300, 636  # pixels: an image's greatest height and width
_NARROWEST = 220  # pixels: leaves room for the text below an image


@dataclass(frozen=True)
class Written:
    """What was written: images in it, images there are, and its size in bytes."""

    file: Path
    shown: int
    total: int
    size: int


def write_preview(
    name: str,
    config: str | None = None,
    *,
    output: str | os.PathLike[str],
    data_dir: str | os.PathLike[str] | None = None,
    protocol: str | None = None,
    split: str | None = None,
    classes: Sequence[str] = (),
    images: int | None = None,
    seed: int = 0,
) -> Written:
    """Writes `output`, a contact sheet if it ends in `.png`, a gallery if in `.html`; replaces an older one when whole.

    Args:
        name, config, data_dir, protocol: as in `opened.open_sets`.
        split, classes, seed: as in `pictures.choose`.
        images: how many, at most; None: 24 on a sheet, 200 in a gallery.

    Raises:
        OutputError: `output` ends in something else, or lies in the raw tree.
        ChoiceError: no image to show.
        RadikalError: as `load_dataset` raises it.
    """
    file = Path(output)
    if file.suffix.lower() not in (".png", ".html"):
        raise OutputError(f"{file}: give a name that ends in .png (contact sheet) or .html (gallery)")
    refuse_inside(file, [data_dir], what="the raw tree")
    on_sheet = file.suffix.lower() == ".png"
    count = images if images is not None else SHEET_IMAGES if on_sheet else GALLERY_IMAGES
    sets = open_sets(name, config, data_dir=data_dir, protocol=protocol)
    if on_sheet and count > MOST_ON_SHEET:
        raise ChoiceError(f"{count:,} images for one sheet; it holds {MOST_ON_SHEET:,} at most: ask for fewer")
    choice = choose(sets, split=split, classes=classes, images=count, seed=seed)
    shown = _write_sheet(file, choice) if on_sheet else write_gallery(file, choice)
    return Written(file, shown, choice.total, file.stat().st_size)


def contact_sheet(choice: Choice) -> tuple[Image.Image, int]:
    """An RGB image 1,320 pixels wide with every image of the choice, and how many these are.

    On top the classes with their looks; images in rows, a template right of the image that it belongs to; below each
    its id, split and truth.
    """
    styles = looks(choice.names)
    held: set[int] = set()
    cells = []
    for picture in choice.pictures():
        held |= set(picture.labels)
        cells.append(_cell(picture, choice.names))
    about = f"{len(cells):,} of {choice.total:,} images, taken from classes and splits in turn (seed {choice.seed})"
    top = _heading(choice.heading(), about, [styles[label] for label in sorted(held)])
    rows = _rows(cells)
    heights = [max(cell.height for cell in row) + _GAP for row in rows]
    sheet = Image.new("RGB", (_WIDTH, top.height + sum(heights) + _GAP), PAPER)
    sheet.paste(top, (0, 0))
    y = top.height
    for row, height in zip(rows, heights, strict=True):
        x = _GAP
        for cell in row:
            sheet.paste(cell, (x, y))
            x += cell.width + _GAP
        y += height
    return sheet, len(cells)


def _write_sheet(file: Path, choice: Choice) -> int:
    sheet, shown = contact_sheet(choice)
    with atomic_file(file) as part:
        sheet.save(part, "PNG", optimize=True)
    return shown


def _cell(picture: Picture, names: Sequence[str]) -> Image.Image:
    """The image with its truth, right of it the template if there is one, and two lines of text."""
    scale = min(_HIGH / picture.image.height, _WIDE / picture.image.width)
    edge = max(1, round(max(picture.image.size) * scale))
    drawn = draw(picture.image, picture.boxes, picture.labels, names, picture.masks, edge=edge)
    parts = [drawn]
    if picture.reference is not None:
        parts.append(_template(picture.reference, drawn.size))
    framed = [ImageOps.expand(part, 1, DIM) for part in parts]  # a white image has an edge, too
    wide = sum(part.width for part in framed) + 4 * (len(parts) - 1)
    cell = Image.new("RGB", (max(wide, _NARROWEST), framed[0].height + 2 * _LINE + 4), PAPER)
    x = 0
    for part in framed:
        cell.paste(part, (x, 0))
        x += part.width + 4
    canvas = ImageDraw.Draw(cell)
    for line, (text, color) in enumerate(
        ((picture.image_id, INK), (f"{picture.split} \N{MIDDLE DOT} {picture.told(names)}", DIM))
    ):
        fitted = _fitted(canvas, text, cell.width, keep_end=line == 0)
        canvas.text((0, framed[0].height + 3 + line * _LINE), fitted, fill=color, font=font(13))
    return cell


def _template(reference: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The template, as large as the image beside it, and said to be one."""
    picture = reference.resize(size, Image.Resampling.LANCZOS)
    canvas = ImageDraw.Draw(picture)
    canvas.rectangle((0, 0, canvas.textlength("template", font(13)) + 8, _LINE), fill=PAPER)
    canvas.text((4, 1), "template", fill=INK, font=font(13))
    return picture


def _rows(cells: Sequence[Image.Image]) -> list[list[Image.Image]]:
    """As many cells in a row as it holds, in order."""
    rows: list[list[Image.Image]] = []
    left = 0
    for cell in cells:
        if not rows or cell.width + _GAP > left:
            rows.append([])
            left = _WIDTH - _GAP
        rows[-1].append(cell)
        left -= cell.width + _GAP
    return rows


def _heading(title: str, about: str, held: Sequence[Look]) -> Image.Image:
    """Title, what was chosen, and the classes, in as many lines as they need."""
    canvas = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    places, x, y = [], _GAP, 64
    for style in held:
        wide = 46 + round(canvas.textlength(style.name, font(15))) + 18
        if x > _GAP and x + wide > _WIDTH - _GAP:
            x, y = _GAP, y + 28
        places.append((x, y))
        x += wide
    top = Image.new("RGB", (_WIDTH, y + 28 + _GAP if held else y), PAPER)
    canvas = ImageDraw.Draw(top)
    canvas.text((_GAP, _GAP), _fitted(canvas, title, _WIDTH - 2 * _GAP, size=22), fill=INK, font=font(22))
    canvas.text((_GAP, 40), about, fill=DIM, font=font(15))
    for style, (x, y) in zip(held, places, strict=True):
        top.paste(swatch(style), (x, y))
        canvas.text((x + 46, y + 2), style.name, fill=INK, font=font(15))
    return top


def _fitted(canvas: Any, text: str, width: float, *, keep_end: bool = False, size: int = 13) -> str:
    """The text, cut where it is longer than `width`; an id is cut at its start: its end tells it from others."""
    letters = font(size)
    if canvas.textlength(text, letters) <= width:
        return text
    while text and canvas.textlength(f"{text}…", letters) > width:
        text = text[1:] if keep_end else text[:-1]
    return f"…{text}" if keep_end else f"{text}…"
