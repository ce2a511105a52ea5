"""Boxes, masks and class names drawn on an image, distinguishable for color-blind people too.

Every class has a look: one of seven colors, a line pattern once there are more classes than colors, and a code of a
few letters at each of its boxes (`Cr` for crazing). The code alone identifies a class.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..gray_scale import GrayScale, is_deep
from .palette import HALO, ON_IMAGES, ink

#: Lengths of stroke and gap in line widths; empty: a solid line.
PATTERNS: tuple[tuple[int, ...], ...] = ((), (4, 2), (1, 2), (6, 2, 1, 2))
#: How much of a mask's color covers the pixels below.
MASK_OPACITY = 0.4


@dataclass(frozen=True)
class Look:
    """How one class is drawn: colors as `#rrggbb`, `ink` the color of text on `color`, `pattern` one of `PATTERNS`."""

    name: str
    code: str
    color: str
    ink: str
    pattern: tuple[int, ...]


def looks(names: Sequence[str]) -> list[Look]:
    """Return the look of every class, in order. Codes are unique; color and pattern together are, up to 28 classes."""
    return [
        Look(name, code, color, ink(color), PATTERNS[i // len(ON_IMAGES) % len(PATTERNS)])
        for i, (name, code) in enumerate(zip(names, _codes(names), strict=True))
        for color in [ON_IMAGES[i % len(ON_IMAGES)]]
    ]


def draw(
    image: Image.Image,
    boxes: Sequence[Sequence[float]] | np.ndarray,
    labels: Sequence[int] | np.ndarray,
    names: Sequence[str],
    masks: Sequence[Image.Image | np.ndarray | None] | None = None,
    scores: Sequence[float] | np.ndarray | None = None,
    *,
    edge: int | None = None,
) -> Image.Image:
    """Return a new RGB image with everything drawn; `image` is unchanged.

    Masks are translucent fills; boxes are lines of one width around their pixels, so that a small defect is not painted
    over. Each box has its class's code, followed by the score with two digits.

    Args:
        image: any mode; images deeper than 8 bits are stretched from their darkest to their lightest value.
        boxes: (n, 4) xyxy, pixels of `image`, 0-based, half-open.
        labels: (n,) indices into `names`.
        names: the classes' names; see `looks` for how each is drawn.
        masks: n of `image`'s size, or (height, width) arrays: inside where not 0. None, or empty: no masks.
        scores: (n,) fractions, or None.
        edge: longer edge of the result, pixels; line width and text size do not change. None: the size of `image`.

    Raises:
        ValueError: not as many labels, masks or scores as boxes; a label that is not an index into `names`; a mask
            that differs in size from the image.
    """
    masks = masks if masks is not None and len(masks) else None
    _check(image, boxes, labels, names, masks, scores)
    styles = looks(names)
    picture = to_rgb(image)
    if edge is not None:
        picture = _resized(picture, edge)
    for mask, label in zip(masks or (), labels, strict=masks is not None):
        if mask is not None:
            _fill(picture, mask, styles[int(label)].color)
    width = line_width(picture.size)
    canvas = ImageDraw.Draw(picture)
    scale = np.array([picture.width / image.width, picture.height / image.height] * 2)
    placed = [_around(np.asarray(box, float) * scale, width, picture.size) for box in boxes]
    for box, label in zip(placed, labels, strict=True):
        _rectangle(canvas, box, styles[int(label)].color, styles[int(label)].pattern, width)
    taken: list[tuple[float, float, float, float]] = []
    for i, (box, label) in enumerate(zip(placed, labels, strict=True)):
        style = styles[int(label)]
        text = style.code if scores is None else f"{style.code} {float(scores[i]):.2f}"
        taken.append(_tag(canvas, text, box, style, (taken, placed), picture.size))
    return picture


def outline(
    picture: Image.Image,
    boxes: Iterable[Sequence[float] | np.ndarray],
    color: str,
    *,
    pattern: Sequence[int] = (),
    width: int = 2,
    halo: bool = True,
) -> None:
    """Draw boxes without text on an RGB image itself.

    Args:
        boxes: xyxy, pixels of `picture`, 0-based, half-open.
        pattern: one of `PATTERNS`.
        width: of the line, pixels.
        halo: with a black edge, which keeps the line visible on any image.
    """
    canvas = ImageDraw.Draw(picture)
    for box in boxes:
        _rectangle(canvas, _around(np.asarray(box, float), width, picture.size), color, pattern, width, halo)


def to_rgb(image: Image.Image, gray_scale: GrayScale | None = None) -> Image.Image:
    """Return an 8-bit RGB copy of an image.

    Args:
        gray_scale: of its dataset or model, for gray levels of more than 8 bits. None: they are stretched from the
            image's darkest to its lightest.
    """
    if is_deep(image):
        if gray_scale is None:
            values = np.asarray(image, np.float64)
            low, high = float(values.min()), float(values.max())
            image = Image.fromarray(np.round((values - low) * (255 / max(high - low, 1e-12))).astype(np.uint8))
        else:
            image = gray_scale.image_to_bytes(image)
    return image.convert("RGB") if image.mode != "RGB" else image.copy()


def line_width(size: tuple[int, int]) -> int:
    """Return the width of box lines on an image of this size, in pixels, without the halo."""
    return max(2, round(max(size) / 400))


def swatch(style: Look, size: tuple[int, int] = (40, 22)) -> Image.Image:
    """Return a small image for a legend: the class's code on its color, framed in its line pattern."""
    picture = Image.new("RGB", size, style.color)
    canvas = ImageDraw.Draw(picture)
    _rectangle(canvas, (1, 1, size[0] - 2, size[1] - 2), style.color, style.pattern, 2)
    canvas.text((size[0] / 2, size[1] / 2), style.code, fill=style.ink, font=font(size[1] - 11), anchor="mm")
    return picture


@cache
def font(size: int) -> Any:
    """Return Pillow's built-in font, which needs no font file; size in pixels."""
    return ImageFont.load_default(size)


def _check(image: Image.Image, boxes: Any, labels: Any, names: Sequence[str], masks: Any, scores: Any) -> None:
    for what, values in (("labels", labels), ("masks", masks), ("scores", scores)):
        if values is not None and len(values) != len(boxes):
            raise ValueError(f"{len(boxes)} boxes and {len(values)} {what}: each box needs one")
    if wrong := [int(label) for label in labels if not 0 <= label < len(names)]:
        raise ValueError(f"label {wrong[0]} is none of the {len(names)} classes {', '.join(names)}")
    for mask in masks or ():
        size = image.size if mask is None else mask.size if isinstance(mask, Image.Image) else mask.shape[::-1]
        if tuple(size) != image.size:
            raise ValueError(f"a mask of {size} for an image of {image.size} (width, height)")


def _resized(picture: Image.Image, edge: int) -> Image.Image:
    scale = edge / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    # Enlarged pixels stay visible as squares, so that an interpolated edge is not mistaken for one of the image.
    return picture.resize(size, Image.Resampling.NEAREST if scale > 2 else Image.Resampling.LANCZOS)


def _fill(picture: Image.Image, mask: Image.Image | np.ndarray, color: str) -> None:
    """Blend the color in where the mask is not 0; in a smaller mask, thin parts become fainter but do not vanish."""
    values = np.where(np.asarray(mask) != 0, round(255 * MASK_OPACITY), 0).astype(np.uint8)
    alpha = Image.fromarray(values)
    if alpha.size != picture.size:
        alpha = alpha.resize(picture.size, Image.Resampling.BOX)
    picture.paste(Image.new("RGB", picture.size, color), mask=alpha)


def _around(box: np.ndarray, width: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the first and last pixel of the line's outer edge; the line is outside the box where there is room."""
    x_min, y_min = (max(0, int(value) - width - 1) for value in np.floor(box[:2]))
    x_max, y_max = (min(end - 1, int(value) + width) for value, end in zip(np.ceil(box[2:]), size, strict=True))
    return x_min, y_min, max(x_max, x_min), max(y_max, y_min)


def _rectangle(
    canvas: ImageDraw.ImageDraw,
    box: tuple[int, int, int, int],
    color: str,
    pattern: Sequence[int],
    width: int,
    halo: bool = True,
) -> None:
    x_min, y_min, x_max, y_max = box
    if halo:
        canvas.rectangle((x_min - 1, y_min - 1, x_max + 1, y_max + 1), outline=HALO, width=width + 2)
    if not pattern:
        canvas.rectangle(box, outline=color, width=width)
        return
    for start, end in _strokes(x_max - x_min + 1, pattern, width):
        for y in (y_min, y_max - width + 1):
            canvas.rectangle((x_min + start, y, x_min + end, y + width - 1), fill=color)
    for start, end in _strokes(y_max - y_min + 1, pattern, width):
        for x in (x_min, x_max - width + 1):
            canvas.rectangle((x, y_min + start, x + width - 1, y_min + end), fill=color)


def _strokes(length: int, pattern: Sequence[int], width: int) -> Iterator[tuple[int, int]]:
    """Yield the first and last pixel of every stroke along a line of this length."""
    at, part = 0, 0
    while at < length:
        step = pattern[part % len(pattern)] * width
        if part % 2 == 0:
            yield at, min(at + step, length) - 1
        at, part = at + step, part + 1


def _tag(
    canvas: ImageDraw.ImageDraw,
    text: str,
    box: tuple[int, int, int, int],
    style: Look,
    others: tuple[Sequence[Sequence[float]], Sequence[Sequence[float]]],
    size: tuple[int, int],
) -> tuple[float, float, float, float]:
    """Write the text at or in the box, inside the image, where it covers the fewest other texts, then other boxes.

    Args:
        others: the rectangles of earlier texts, and all boxes, as (x_min, y_min, x_max, y_max).

    Returns:
        The text's rectangle.
    """
    letters = font(max(11, round(max(size) / 45)))
    left, top, right, bottom = canvas.textbbox((0, 0), text, font=letters)
    wide, high = right - left + 6, bottom - top + 5
    x_min, y_min, x_max, y_max = box
    corners = [
        (x_min, y_min - high),
        (x_min, y_max + 1),
        (x_max + 1 - wide, y_min - high),
        (x_max + 1 - wide, y_max + 1),
        (x_max + 1, y_min),
        (x_min - wide, y_min),
        (x_max + 1, y_max + 1 - high),
        (x_min - wide, y_max + 1 - high),
        (x_min, y_min),
        (x_max + 1 - wide, y_max + 1 - high),
    ]
    places = [(x, y, x + wide, y + high) for x, y in corners]
    inside = [p for p in places if p[0] >= 0 and p[1] >= 0 and p[2] <= size[0] and p[3] <= size[1]]
    # Its own box is among the boxes, so the text goes inside only if every position outside is worse.
    hidden = [tuple(sum(_overlap(place, other) for other in some) for some in others) for place in inside]
    if inside:
        x, y = inside[hidden.index(min(hidden))][:2]
    else:  # an image smaller than the text
        x, y = max(0, min(x_min, size[0] - wide)), max(0, y_min - high)
    canvas.rectangle((x, y, x + wide - 1, y + high - 1), fill=style.color, outline=HALO)
    canvas.text((x + 3 - left, y + 2 - top), text, fill=style.ink, font=letters)
    return x, y, x + wide, y + high


def _overlap(one: Sequence[float], other: Sequence[float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _codes(names: Sequence[str]) -> list[str]:
    """Return unique short names: the first two letters of one word, the initials of several; digits are kept.

    The second of two equal codes gets more letters of its last word; if that does not help, a number.
    """
    codes: list[str] = []
    for name in names:
        words = re.findall(r"[^\W\d_]+|\d+", name) or ["?"]
        codes.append(next(code for code in _candidates(words) if code not in codes))
    return codes


def _candidates(words: list[str]) -> Iterator[str]:
    initials = "".join(word if word.isdigit() else word[0].upper() for word in words)
    last = words[-1]
    if last.isdigit():
        yield initials
    else:
        for more in range(0 if len(words) > 1 else 1, min(3, len(last))):
            yield initials + last[1 : 1 + more].lower()
        yield initials
    yield from (f"{initials}.{number}" for number in range(2, 10_000))
