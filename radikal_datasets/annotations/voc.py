"""Pascal VOC XML: 1-based, inclusive pixel boxes, read without entities and with line numbers in every error."""

from __future__ import annotations

import math
from dataclasses import dataclass
from xml.etree import ElementTree

from ..errors import MalformedAnnotationError
from ..schema import Box
from .safe_xml import line_of, parse_xml

_REMEDY = "Correct the file or get it again; its image is left out until then."


@dataclass(frozen=True)
class VocObject:
    """One `<object>`: class name, and box as 0-based half-open pixels of the annotation's own image size."""

    name: str
    box: Box
    swapped: bool
    line: int


@dataclass(frozen=True)
class VocAnnotation:
    """One VOC file. `width` and `height` are what the file states, which need not be the image's."""

    filename: str
    width: int
    height: int
    objects: list[VocObject]


def parse_voc(data: bytes, path: str) -> VocAnnotation:
    """Parse a VOC annotation.

    Boxes become `xmin-1, ymin-1, xmax, ymax`; corners in the wrong order are sorted and marked.

    Args:
        data: contents of the file.
        path: for messages.

    Raises:
        MalformedAnnotationError: not well-formed, an unknown encoding, a document type declaration (the vehicle of
            entity bombs), a missing element, or an invalid number.
    """
    root = parse_xml(data, path)
    size = _child(root, "size", path)
    objects = []
    for element in root.iter("object"):
        box = _child(element, "bndbox", path)
        x1, y1, x2, y2 = (_number(box, tag, path) for tag in ("xmin", "ymin", "xmax", "ymax"))
        swapped = x1 > x2 or y1 > y2
        x1, x2, y1, y2 = min(x1, x2), max(x1, x2), min(y1, y2), max(y1, y2)
        name = _text(element, "name", path)
        objects.append(VocObject(name, (x1 - 1, y1 - 1, x2, y2), swapped, line_of(element)))
    width, height = int(_number(size, "width", path)), int(_number(size, "height", path))
    if width <= 0 or height <= 0:
        raise MalformedAnnotationError(path, f"the image size {width}x{height} is invalid", _REMEDY, line_of(size))
    return VocAnnotation((root.findtext("filename") or "").strip(), width, height, objects)


def _child(element: ElementTree.Element, tag: str, path: str) -> ElementTree.Element:
    child = element.find(tag)
    if child is None:
        found = f"<{element.tag}> has no <{tag}>"
        raise MalformedAnnotationError(path, found, _REMEDY, line_of(element))
    return child


def _text(element: ElementTree.Element, tag: str, path: str) -> str:
    child = _child(element, tag, path)
    text = (child.text or "").strip()
    if not text:
        raise MalformedAnnotationError(path, f"<{tag}> is empty", _REMEDY, line_of(child))
    return text


def _number(element: ElementTree.Element, tag: str, path: str) -> float:
    text = _text(element, tag, path)
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        line = line_of(_child(element, tag, path))
        raise MalformedAnnotationError(path, f"<{tag}> is {text!r}, not a number", _REMEDY, line)
    return value
