"""Parse XML without entities, with line numbers in every error."""

from __future__ import annotations

import re
from xml.etree import ElementTree
from xml.parsers import expat

from ..errors import MalformedAnnotationError

#: The attribute in which every element has its line number.
LINE = "line"
_BOM = b"\xef\xbb\xbf"
_DECLARED = re.compile(rb"""<\?xml[^>]{0,200}?\sencoding\s*=\s*["']([\w.:-]+)["']""")
# Chinese editors declare these, and expat does not know multi-byte encodings. The last is a superset of the other two.
_CHINESE = {b"gb2312", b"gbk", b"gb18030"}
_REMEDY = "Correct the file or get it again; its image is left out until then."


def parse_xml(data: bytes, path: str) -> ElementTree.Element:
    """Parse a document; every element gets an attribute `LINE`, its line number.

    Args:
        data: contents of the file.
        path: for messages.

    Raises:
        MalformedAnnotationError: not well-formed, an unknown encoding, or a document type declaration (the vehicle of
            entity bombs).
    """
    # expat itself, and not ElementTree.fromstring, for the line numbers and to reject declarations.
    builder = ElementTree.TreeBuilder()
    data, encoding = _for_expat(data, path)
    parser = expat.ParserCreate(encoding)
    parser.buffer_text = True

    def start(tag: str, attributes: dict[str, str]) -> None:
        builder.start(tag, {**attributes, LINE: str(parser.CurrentLineNumber)})

    def refuse(*_: object) -> None:
        found = "a document type declaration is not allowed in annotation files (entity bombs use it)"
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


def line_of(element: ElementTree.Element) -> int:
    """Return the line number of an element that `parse_xml` returned."""
    return int(element.get(LINE, 0))


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
