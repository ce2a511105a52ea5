"""An image in a page with boxes drawn over it as SVG, in the image's own pixels, and texts that keep their size.

Needs `overlay.css`, and for the looks of classes `looks.css`, in the page's style.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .pages import render

if TYPE_CHECKING:
    from markupsafe import Markup

_SMALL = 400  # pixels: an image of a smaller edge is enlarged without smoothing


@dataclass(frozen=True)
class Mark:
    """A box to draw.

    Attributes:
        box: xyxy, pixels of the image, 0-based, half-open.
        look: a CSS class with `--c` (color), `--i` (color of the text on it) and `--d` (dashes); `c3` is class 3's.
        text: stands at the box.
        title: a tooltip.
    """

    box: Sequence[float]
    look: str
    text: str
    title: str = ""


def overlay(
    size: tuple[int, int],
    image: str,
    marks: Sequence[Mark] = (),
    *,
    masks: str = "",
    alt: str = "",
    layer: str = "",
    title: str = "",
    hidden: bool = False,
) -> Markup:
    """Return an image with its boxes.

    Args:
        size: (width, height) of the image, to which the boxes refer; the one at `image` may be smaller.
        image, masks: `data:` addresses; `masks` has transparent pixels and is laid over the image.
        alt: text in place of the image.
        layer, title: a name for the viewer's switches, and the heading of this image beside others.
        hidden: shown by the viewer alone.
    """
    width, height = size
    corners = [(mark.box[0] / width, mark.box[1] / height) for mark in marks]
    placed = [
        _placed(mark, width, height, below=any(_near(corners[i], other) for other in corners[:i]))
        for i, mark in enumerate(marks)
    ]
    return render(
        "overlay.html",
        width=width,
        height=height,
        ratio=f"{width / height:.4f}",
        small=max(size) < _SMALL,
        image=image,
        masks=masks,
        marks=placed,
        alt=alt,
        layer=layer,
        title=title,
        hidden=hidden,
    )


def _near(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Whether two corners, as fractions of the image, are so near that texts at both would cover each other."""
    return abs(one[0] - other[0]) < 0.06 and abs(one[1] - other[1]) < 0.06


def _placed(mark: Mark, width: int, height: int, *, below: bool) -> dict[str, str]:
    x_min, y_min, x_max, y_max = mark.box
    rectangle = {"x": x_min, "y": y_min, "width": x_max - x_min, "height": y_max - y_min}
    box = (x_min / width, y_min / height, x_max / width, y_max / height)
    side = _tag_side(box, width / height, below=below)
    shown = {"look": mark.look, "text": mark.text, "title": mark.title, "side": side}
    return {name: f"{value:.1f}" for name, value in rectangle.items()} | shown


def _tag_side(box: tuple[float, float, float, float], shape: float, *, below: bool = False) -> str:
    """CSS that puts a text beside a box, whose corners are fractions of an image `shape` times as wide as high.

    Args:
        below: rather below the box than above.
    """
    x_min, y_min, x_max, y_max = (100 * value for value in box)
    room = max(9, 4 * shape)  # percent of the height that a text may need in the grid
    if shape > 2.5 and y_max - y_min < 60:  # above and below is little room
        across = f"left:{x_max:.1f}%" if x_max < 85 else f"right:{100 - x_min:.1f}%"
        return f"{across};top:{min(y_min, 100 - room):.1f}%"
    across = f"right:{100 - x_max:.1f}%" if x_min > 80 else f"left:{x_min:.1f}%"
    has_room_below = y_max < 100 - room
    if y_min > room and not (below and has_room_below):
        return f"{across};bottom:{100 - y_min:.1f}%"
    return f"{across};top:{y_max if has_room_below else 0:.1f}%"
