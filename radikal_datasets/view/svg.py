"""SVG from shapes: text in it stays text, and a number has one decimal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from .pages import render

if TYPE_CHECKING:
    from markupsafe import Markup


class Shape(NamedTuple):
    """One element of an SVG; `shape` makes it."""

    tag: str
    attributes: dict[str, object]
    text: str = ""
    children: tuple[Shape, ...] = ()


def shape(tag: str, text: str = "", /, *children: Shape, **attributes: object) -> Shape:
    """Return an element with a text and elements in it.

    Args:
        attributes: `class_` stands for `class`, `text_anchor` for `text-anchor`; None leaves one out.
    """
    return Shape(tag, _attributes(attributes), text, children)


def svg(width: float, height: float, shapes: Iterable[Shape], **attributes: object) -> Markup:
    """Return an inline SVG; `attributes` as for `shape`, `role="img"` and `aria_label` for one that says something."""
    return render("svg.html", width=width, height=height, shapes=list(shapes), attributes=_attributes(attributes))


def _attributes(given: dict[str, object]) -> dict[str, object]:
    return {
        name.rstrip("_").replace("_", "-") if name not in _CAMEL else _CAMEL[name]: _shown(value)
        for name, value in given.items()
        if value is not None
    }


#: Attributes that SVG does not write with a hyphen.
_CAMEL = {"preserve_aspect_ratio": "preserveAspectRatio"}


def _shown(value: object) -> object:
    return f"{value:.1f}" if isinstance(value, float) else value
