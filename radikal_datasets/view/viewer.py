"""A page of images with filters, a large view and keys: the gallery, and pages of predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from .drawing import Look
from .pages import write_page

if TYPE_CHECKING:
    from markupsafe import Markup


@dataclass(frozen=True)
class Figure:
    """One image of the page, or several that belong together.

    Attributes:
        label: what screen readers say of it.
        ratio: width over height of its images.
        stacks: of `overlay.overlay`, shown side by side.
        hidden: likewise, but shown in the large view alone.
        keys: name of a filter -> this image's values of it.
        about: what the page's template writes below the image.
    """

    label: str
    ratio: float
    stacks: Sequence[Markup]
    keys: Mapping[str, Sequence[str]]
    hidden: Sequence[Markup] = ()
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Filter:
    """Tick boxes for one property: its name in `Figure.keys`, and a text per value; `swatches`: the values are classes.

    Values that no image has are left out, and so is a filter of which all images have the same value, unless `always`.
    """

    title: str
    name: str
    values: Mapping[str, str]
    swatches: bool = False
    always: bool = False


def write_viewer(
    file: Path,
    template: str,
    package: str,
    *,
    title: str,
    figures: Sequence[Figure],
    looks: Sequence[Look],
    filters: Sequence[Filter] = (),
    layers: Sequence[str] = ("boxes",),
    **context: Any,
) -> None:
    """Write the page; an older one stays until this one is complete.

    Args:
        template, package: of the page; the template extends `viewer.html` and fills in its blocks.
        looks: of the classes.
        layers: what can be switched off: boxes, masks, template.
        context: for the template.
    """
    wide = max((len(figure.stacks) for figure in figures), default=1)
    thumb = wide * min(420, max(160, round(190 * median([figure.ratio for figure in figures] or [1]) ** 0.5)))
    shown = [(one, rows) for one in filters if (rows := _rows(one, figures))]
    write_page(
        file,
        template,
        package,
        title=title,
        figures=figures,
        looks=looks,
        filters=shown,
        layers=layers,
        thumb=thumb,
        **context,
    )


def _rows(one: Filter, figures: Sequence[Figure]) -> list[tuple[str, str, int]]:
    """Value, text and number of images of each choice."""
    held = [value for figure in figures for value in figure.keys.get(one.name, ())]
    rows = [(value, text, held.count(value)) for value, text in one.values.items() if value in held]
    return rows if one.always or len(rows) > 1 else []
