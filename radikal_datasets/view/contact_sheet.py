"""A contact sheet: images in rows, each with its ground truth drawn and named, below a legend of the classes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from PIL import Image, ImageDraw, ImageOps

from .annotated_image import AnnotatedImage
from .drawing import Look, draw, font, looks, swatch
from .palette import DIM, INK, PAPER

_LINE = 18  # pixels: a line of text
_QUALITIES = (85, 70, 50, 30)  # of a JPEG, until it is small enough


@dataclass(frozen=True)
class Layout:
    """Where things go on a sheet, in pixels.

    Attributes:
        width: of the sheet; with `shrink` that of its longest row where this is less.
        high, wide: greatest height and width of an image.
        narrowest: of an image with its text, which needs room.
        gap: between images.
    """

    width: int = 1320
    high: int = 300
    wide: int = 636
    narrowest: int = 220
    gap: int = 12
    shrink: bool = False


def contact_sheet(
    images: Iterable[AnnotatedImage],
    names: Sequence[str],
    *,
    heading: tuple[str, str] | None = None,
    layout: Layout | None = None,
) -> tuple[Image.Image, int]:
    """Return an RGB image with every image on it, and how many these are.

    At the top the classes that occur, with their looks; then the images in rows, a template right of the image that it
    belongs to; below each its id, split and ground truth.

    Args:
        names: of the classes.
        heading: title and a line below it, as far as they fit; `{shown}` in the line is the number of images.
    """
    layout = layout or Layout()
    styles = looks(names)
    held: set[int] = set()
    cells = []
    for image in images:
        held |= set(image.labels)
        cells.append(_cell(image, names, layout))
    rows = _rows(cells, layout)
    width, gap = layout.width, layout.gap
    if layout.shrink:
        width = max((sum(cell.width + gap for cell in row) + gap for row in rows), default=width)
    title, about = heading or ("", "")
    top = _top(
        title, about.replace("{shown}", f"{len(cells):,}"), [styles[label] for label in sorted(held)], width, gap
    )
    heights = [max(cell.height for cell in row) + gap for row in rows]
    sheet = Image.new("RGB", (width, top.height + sum(heights) + gap), PAPER)
    sheet.paste(top, (0, 0))
    y = top.height
    for row, height in zip(rows, heights, strict=True):
        x = gap
        for cell in row:
            sheet.paste(cell, (x, y))
            x += cell.width + gap
        y += height
    return sheet, len(cells)


def jpeg_within(sheet: Image.Image, most_bytes: int) -> bytes:
    """Encode as JPEG with the highest of a few qualities that keeps to the size; the lowest where none does."""
    data = b""
    for quality in _QUALITIES:
        out = BytesIO()
        sheet.save(out, "JPEG", quality=quality, optimize=True)
        data = out.getvalue()
        if len(data) < most_bytes:
            break
    return data


def _cell(shown: AnnotatedImage, names: Sequence[str], layout: Layout) -> Image.Image:
    """The image with its ground truth, right of it the template if there is one, and two lines of text."""
    scale = min(layout.high / shown.image.height, layout.wide / shown.image.width)
    edge = max(1, round(max(shown.image.size) * scale))
    drawn = draw(shown.image, shown.boxes, shown.labels, names, shown.masks, edge=edge)
    parts = [drawn]
    if shown.reference is not None:
        parts.append(_template(shown.reference, drawn.size))
    framed = [ImageOps.expand(part, 1, DIM) for part in parts]  # a white image has an edge, too
    wide = sum(part.width for part in framed) + 4 * (len(parts) - 1)
    cell = Image.new("RGB", (max(wide, layout.narrowest), framed[0].height + 2 * _LINE + 4), PAPER)
    x = 0
    for part in framed:
        cell.paste(part, (x, 0))
        x += part.width + 4
    canvas = ImageDraw.Draw(cell)
    about = f"{shown.split} \N{MIDDLE DOT} {shown.described(names)}"
    for line, (text, color) in enumerate(((shown.image_id, INK), (about, DIM))):
        fitted = _fitted(canvas, text, cell.width, keep_end=line == 0)
        canvas.text((0, framed[0].height + 3 + line * _LINE), fitted, fill=color, font=font(13))
    return cell


def _template(reference: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The template, as large as the image beside it, and marked as one."""
    picture = reference.resize(size, Image.Resampling.LANCZOS)
    canvas = ImageDraw.Draw(picture)
    canvas.rectangle((0, 0, canvas.textlength("template", font(13)) + 8, _LINE), fill=PAPER)
    canvas.text((4, 1), "template", fill=INK, font=font(13))
    return picture


def _rows(cells: Sequence[Image.Image], layout: Layout) -> list[list[Image.Image]]:
    """As many cells in a row as it holds, in order."""
    rows: list[list[Image.Image]] = []
    left = 0
    for cell in cells:
        if not rows or cell.width + layout.gap > left:
            rows.append([])
            left = layout.width - layout.gap
        rows[-1].append(cell)
        left -= cell.width + layout.gap
    return rows


def _top(title: str, about: str, held: Sequence[Look], width: int, gap: int) -> Image.Image:
    """Title, what was chosen, and the classes, in as many lines as they need."""
    canvas = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    room = width - 2 * gap
    start = 64 if title else gap
    names = [_fitted(canvas, style.name, room - 46, size=15) for style in held]
    places, x, y = [], gap, start
    for name in names:
        wide = 46 + round(canvas.textlength(name, font(15))) + 18
        if x > gap and x + wide > width - gap:
            x, y = gap, y + 28
        places.append((x, y))
        x += wide
    top = Image.new("RGB", (width, y + 28 + gap if held else start), PAPER)
    canvas = ImageDraw.Draw(top)
    canvas.text((gap, 12), _fitted(canvas, title, room, size=22), fill=INK, font=font(22))
    canvas.text((gap, 40), _fitted(canvas, about, room, size=15), fill=DIM, font=font(15))
    for style, name, (x, y) in zip(held, names, places, strict=True):
        top.paste(swatch(style), (x, y))
        canvas.text((x + 46, y + 2), name, fill=INK, font=font(15))
    return top


def _fitted(canvas: Any, text: str, width: float, *, keep_end: bool = False, size: int = 13) -> str:
    """The text, cut where it is longer than `width`; an id is cut at its start: its end distinguishes it."""
    letters = font(size)
    if canvas.textlength(text, letters) <= width:
        return text
    while text and canvas.textlength(f"{text}…", letters) > width:
        text = text[1:] if keep_end else text[:-1]
    return f"…{text}" if keep_end else f"{text}…"
