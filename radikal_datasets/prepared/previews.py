"""A contact sheet: a few images of a configuration with their boxes drawn, small enough for a card."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import BytesIO
from itertools import zip_longest
from typing import Any

from PIL import Image, ImageDraw, ImageFont, ImageOps

from ..building.builder import InspectionBuilder
from ..schema import Example
from ..view.drawing import to_rgb
from ..view.palette import DIM, HALO, INK, ON_IMAGES, PAPER

logger = logging.getLogger(__name__)

#: A sheet is never larger.
MAX_BYTES = 200_000

_COLUMNS, _ROWS = 4, 2
_EDGE, _LINE, _GAP = 256, 18, 8  # pixels: an image's square, a line of text, between the squares
_QUALITIES = (85, 70, 50, 30)


def contact_sheet(builder: InspectionBuilder) -> bytes | None:
    """A JPEG of up to eight images, every class in turn and one that is defect-free; None where none can be decoded.

    The same tree gives the same bytes (with the same Pillow). An image that can't be decoded is passed over.
    """
    examples = [example for rows in builder.index().splits.values() for example in rows]
    clean = [e for e in examples if e.annotated and not e.instances]
    found = list(_decoded(builder, _by_class(examples, builder.class_names), _COLUMNS * _ROWS))
    if clean and (last := list(_decoded(builder, _shuffled(clean), 1))):
        found = found[: _COLUMNS * _ROWS - 1] + last
    return _jpeg(_sheet(found, builder.class_names)) if found else None


def _shuffled(examples: Iterable[Example]) -> list[Example]:
    """In an order that is fixed and has nothing to do with names: neighbours are often of one object."""
    return sorted(examples, key=lambda example: _hash(example.image_id))


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _by_class(examples: list[Example], class_names: Sequence[str]) -> Iterator[Example]:
    """One image of each class, then a second of each, and so on; each image once."""
    mixed = _shuffled(example for example in examples if example.instances)
    if len(class_names) > _COLUMNS * _ROWS:  # not all have a place: neighbours are often of one category
        class_names = sorted(class_names, key=_hash)
    queues = [[e for e in mixed if any(i.label == name for i in e.instances)] for name in class_names]
    seen: set[str] = set()
    for example in (example for row in zip_longest(*queues) for example in row if example is not None):
        if example.image_id not in seen:
            seen.add(example.image_id)
            yield example


def _decoded(
    builder: InspectionBuilder, examples: Iterable[Example], count: int
) -> Iterator[tuple[Example, Image.Image]]:
    for example in examples:
        if count == 0:
            return
        try:
            with Image.open(BytesIO(builder.tree.read(example.image))) as image:
                image.draft("RGB", (2 * _EDGE, 2 * _EDGE))  # a large JPEG is decoded at a fraction of its size
                picture = ImageOps.contain(to_rgb(image), (_EDGE, _EDGE), Image.Resampling.LANCZOS)
        except Exception as error:  # Pillow's plugins raise OSError, SyntaxError, struct.error, ValueError ...
            logger.info("%s: not in the preview: %s", example.image, error)
            continue
        if 0 in picture.size:  # a line of a hundred times its height
            continue
        count -= 1
        yield example, picture


def _sheet(found: list[tuple[Example, Image.Image]], class_names: Sequence[str]) -> Image.Image:
    """Images in a grid, names below; below each its classes, or one legend for all where there are few classes."""
    common = len(class_names) <= len(ON_IMAGES)
    columns = min(_COLUMNS, len(found))
    rows = -(-len(found) // columns)
    step_x, step_y = _EDGE + _GAP, _EDGE + _LINE * (1 if common else 2) + _GAP
    sheet = Image.new("RGB", (columns * step_x + _GAP, rows * step_y + _GAP + _LINE * common), PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(13)
    for number, (example, picture) in enumerate(found):
        x, y = _GAP + number % columns * step_x, _GAP + number // columns * step_y
        corner = (x + (_EDGE - picture.width) // 2, y + (_EDGE - picture.height) // 2)
        colors = _colors(example, class_names)
        _draw_boxes(ImageDraw.Draw(picture), example, picture, colors)
        sheet.paste(picture, corner)
        kind = "" if colors else "defect-free: "
        name = _fitting(draw, example.image_id, _EDGE - draw.textlength(kind, font), font)
        draw.text((x, y + _EDGE + 2), kind + name, fill=DIM, font=font)
        if not common:
            _draw_legend(draw, (x, y + _EDGE + 2 + _LINE), colors, _EDGE, font)
    if common:
        every = dict(zip(class_names, ON_IMAGES, strict=False))
        _draw_legend(draw, (_GAP, _GAP + rows * step_y), every, columns * step_x, font)
    return sheet


def _colors(example: Example, class_names: Sequence[str]) -> dict[str, str]:
    """Class name -> color, of the classes of one image: the same in all images where there are enough colors."""
    held = sorted({instance.label for instance in example.instances}, key=list(class_names).index)
    number = class_names.index if len(class_names) <= len(ON_IMAGES) else held.index
    return {name: ON_IMAGES[number(name) % len(ON_IMAGES)] for name in held}


def _draw_boxes(draw: ImageDraw.ImageDraw, example: Example, picture: Image.Image, colors: dict[str, str]) -> None:
    scale_x, scale_y = picture.width / example.width, picture.height / example.height
    for instance in example.instances:
        x_min, y_min, x_max, y_max = instance.box
        # Drawn around the box, so that a small defect is not painted over; kept inside the picture.
        box = (
            max(x_min * scale_x - 3, 0),
            max(y_min * scale_y - 3, 0),
            min(x_max * scale_x + 2, picture.width - 1),
            min(y_max * scale_y + 2, picture.height - 1),
        )
        draw.rectangle(box, outline=HALO, width=4)
        if box[2] - box[0] >= 2 and box[3] - box[1] >= 2:  # else the halo is all there is room for
            draw.rectangle((box[0] + 1, box[1] + 1, box[2] - 1, box[3] - 1), outline=colors[instance.label], width=2)


def _draw_legend(
    draw: ImageDraw.ImageDraw, at: tuple[int, int], colors: Mapping[str, str], width: int, font: Any
) -> None:
    """Each class with its color, in one line; where they don't fit, how many more there are."""
    x, y = at
    end = x + width
    for number, (name, color) in enumerate(colors.items()):
        room_for_more = 40 if number + 1 < len(colors) else 0
        if number and x + 14 + draw.textlength(name, font) + room_for_more > end:
            draw.text((x, y), f"+{len(colors) - number}", fill=INK, font=font)
            return
        draw.rectangle((x, y + 3, x + 9, y + 12), fill=color, outline=HALO)
        text = _fitting(draw, name, end - x - 14, font)
        draw.text((x + 14, y), text, fill=INK, font=font)
        x += 14 + round(draw.textlength(text, font)) + 10


def _fitting(draw: ImageDraw.ImageDraw, text: str, width: float, font: Any) -> str:
    """The end of a text, which tells images and defects apart, as far as it fits."""
    if draw.textlength(text, font) <= width:
        return text
    while text and draw.textlength(f"...{text}", font) > width:
        text = text[1:]
    return f"...{text}"


def _jpeg(sheet: Image.Image) -> bytes:
    data = b""
    for quality in _QUALITIES:
        buffer = BytesIO()
        sheet.save(buffer, "JPEG", quality=quality, optimize=True)
        data = buffer.getvalue()
        if len(data) < MAX_BYTES:
            break
    return data
