"""DeepPCB's text files: one defect per line, `x1 y1 x2 y2 type`, separated by blanks or commas."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import MalformedAnnotationError
from ..schema import Box

# Blanks in the files themselves, commas in the publisher's README. Two commas in a row leave an empty, invalid field.
_SEPARATOR = re.compile(r"\s*,\s*|\s+")
# No board has 10 digits of pixels, and Python refuses to parse integers of some thousand digits.
_NUMBER = re.compile(r"[+-]?\d{1,9}(?:\.\d*)?")
_REMEDY = "Correct the line or get the file again; its image is left out until then."


@dataclass(frozen=True)
class PcbDefect:
    """One line: box in 0-based pixels, corners as given; the type's number; whether the corners were swapped."""

    box: Box
    type: int
    swapped: bool
    line: int


def parse_deeppcb(text: str, path: str) -> list[PcbDefect]:
    """Parse an annotation file.

    The corners are taken as given, 0-based and half-open: the publisher's evaluation treats them as corners of an
    area. Corners in the wrong order are sorted and marked. Any line endings, blank lines and a missing final newline
    are accepted.

    Args:
        text: contents of the file.
        path: for messages.

    Raises:
        MalformedAnnotationError: a line is not four numbers and an integer; carries the line's number.
    """
    defects = []
    for number, line in enumerate(text.splitlines(), start=1):
        fields = _SEPARATOR.split(line.strip())
        if fields == [""]:
            continue
        if len(fields) != 5 or not all(map(_NUMBER.fullmatch, fields)) or not fields[4].isdecimal():
            found = f"{line.strip()[:60]!r} is not `x1 y1 x2 y2 type`"
            raise MalformedAnnotationError(path, found, _REMEDY, number)
        x1, y1, x2, y2 = map(float, fields[:4])
        box = (min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))
        defects.append(PcbDefect(box, int(fields[4]), x1 > x2 or y1 > y2, number))
    return defects
