"""Pascal VOC XML: 1-based, inclusive pixel boxes, read without entities and with line numbers in every error."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from xml.etree import ElementTree
from xml.parsers import expat

from ..errors import MalformedAnnotationError
from ..schema import Box

_LINE = "line"
_BOM = b"\xef\xbb\xbf"
_DECLARED = re.compile(rb"""<\?xml[^>]{0,200}?\sencoding\s*=\s*["']([\w.:-]+)["']""")
# Chinese editors declare these, and expat does not know multi-byte encodings. The last is a superset of the other two.
_CHINESE = {b"gb2312", b"gbk", b"gb18030"}
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
    root = _parse_xml(data, path)
    size = _child(root, "size", path)
    objects = []
    for element in root.iter("object"):
        box = _child(element, "bndbox", path)
        x1, y1, x2, y2 = (_number(box, tag, path) for tag in ("xmin", "ymin", "xmax", "ymax"))
        swapped = x1 > x2 or y1 > y2
        x1, x2, y1, y2 = min(x1, x2), max(x1, x2), min(y1, y2), max(y1, y2)
        name = _text(element, "name", path)
        objects.append(VocObject(name, (x1 - 1, y1 - 1, x2, y2), swapped, int(element.get(_LINE, 0))))
    width, height = int(_number(size, "width", path)), int(_number(size, "height", path))
    if width <= 0 or height <= 0:
        raise MalformedAnnotationError(
            path, f"the image size {width}x{height} is invalid", _REMEDY, int(size.get(_LINE, 0))
        )
    return VocAnnotation((root.findtext("filename") or "").strip(), width, height, objects)


def _parse_xml(data: bytes, path: str) -> ElementTree.Element:
    # expat itself, and not ElementTree.fromstring, for the line numbers and to reject declarations.
    builder = ElementTree.TreeBuilder()
    data, encoding = _for_expat(data, path)
    parser = expat.ParserCreate(encoding)
    parser.buffer_text = True

    def start(tag: str, attributes: dict[str, str]) -> None:
        builder.start(tag, {**attributes, _LINE: str(parser.CurrentLineNumber)})

    def refuse(*_: object) -> None:
        found = "a document type declaration is not allowed in VOC files (entity bombs use it)"
        raise MalformedAnnotationError(path, found, _REMEDY, parser.CurrentLineNumber)

    parser.StartElementHandler = start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise MalformedAnnotationError(path, expat.ErrorString(error.code), _REMEDY, error.lineno) from None
    except (ValueError, LookupError) as error:  # Python's codecs, which expat asks about an encoding it does not know
        raise MalformedAnnotationError(path, f"its encoding cannot be read: {error}", _REMEDY, 1) from None
    return builder.close()


def _for_expat(data: bytes, path: str) -> tuple[bytes, str | None]:
    """Return the document, and its encoding if it should override the declaration."""
    declared = _DECLARED.match(data.removeprefix(_BOM))
    if declared is None or declared[1].lower() not in _CHINESE:
        return data, None
    if data.startswith(_BOM):  # stored as UTF-8 by an editor that left the declaration as it was
        return data, "utf-8"
    try:
        return data.decode("gb18030").encode(), "utf-8"
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        name = declared[1].decode("ascii", "replace")
        found = f"the bytes are not valid {name}, the declared encoding"
        raise MalformedAnnotationError(path, found, _REMEDY, line) from None


def _child(element: ElementTree.Element, tag: str, path: str) -> ElementTree.Element:
    child = element.find(tag)
    if child is None:
        found = f"<{element.tag}> has no <{tag}>"
        raise MalformedAnnotationError(path, found, _REMEDY, int(element.get(_LINE, 0)))
    return child


def _text(element: ElementTree.Element, tag: str, path: str) -> str:
    child = _child(element, tag, path)
    text = (child.text or "").strip()
    if not text:
        raise MalformedAnnotationError(path, f"<{tag}> is empty", _REMEDY, int(child.get(_LINE, 0)))
    return text


def _number(element: ElementTree.Element, tag: str, path: str) -> float:
    text = _text(element, tag, path)
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        line = int(_child(element, tag, path).get(_LINE, 0))
        raise MalformedAnnotationError(path, f"<{tag}> is {text!r}, not a number", _REMEDY, line)
    return value
