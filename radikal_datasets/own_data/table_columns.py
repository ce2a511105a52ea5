"""The names that columns of a table of boxes have in the wild."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

_IMAGE = ("image", "image_path", "filename", "file_name", "file", "path", "img", "image_name", "filepath", "image_id")
_CLASS = ("class", "label", "class_name", "category", "name", "defect", "klasse", "class_id", "category_id")
_CORNERS = (
    ("x_min", "y_min", "x_max", "y_max"),
    ("xmin", "ymin", "xmax", "ymax"),
    ("x1", "y1", "x2", "y2"),
    ("left", "top", "right", "bottom"),
)
_SIZES = (
    ("x", "y", "width", "height"),
    ("x", "y", "w", "h"),
    ("bbox_x", "bbox_y", "bbox_width", "bbox_height"),
    ("left", "top", "width", "height"),
)


@dataclass(frozen=True)
class TableColumns:
    """Which columns hold what.

    Attributes:
        image, label: path of the image, class.
        numbers: the four numbers of a box.
        sized: the last two are width and height of the box.
        size: columns with width and height of the image, if there are any.
        split: column with the split, if there is one.
    """

    image: str
    label: str | None
    numbers: tuple[str, str, str, str]
    sized: bool
    size: tuple[str, str] | None
    split: str | None


def find_columns(columns: Iterable[str]) -> TableColumns | None:
    """Return which columns hold what; None if this is no table of boxes."""
    known = {name.strip().lower(): name for name in columns}

    def first(names: Iterable[str]) -> str | None:
        return next((known[name] for name in names if name in known), None)

    image, label, split = first(_IMAGE), first(_CLASS), first(("split", "subset", "set"))
    if image is None:
        return None
    for names in _CORNERS:
        if {*names} <= {*known}:
            sizes = next(
                (pair for pair in (("width", "height"), ("image_width", "image_height")) if {*pair} <= {*known}), None
            )
            size = (known[sizes[0]], known[sizes[1]]) if sizes else None
            return TableColumns(image, label, _four(known, names), False, size, split)
    for names in _SIZES:
        if {*names} <= {*known}:
            sizes = ("image_width", "image_height")
            size = (known[sizes[0]], known[sizes[1]]) if {*sizes} <= {*known} else None
            return TableColumns(image, label, _four(known, names), True, size, split)
    return None


def _four(known: dict[str, str], names: tuple[str, str, str, str]) -> tuple[str, str, str, str]:
    return known[names[0]], known[names[1]], known[names[2]], known[names[3]]


def is_box_table(columns: Iterable[str]) -> bool:
    """Return whether a file with these columns is a table of boxes."""
    return find_columns(columns) is not None
