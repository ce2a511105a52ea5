"""Labels.txt of DAGM 2007's competition layout: which images of a folder are defective, and their label images.

The first line is ``1``; then one row per image, fields separated by tabs: number, 1 if defective, image, 0, label image
or 0. Rows of clean images end in a tab.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import MalformedAnnotationError

_REMEDY = "Correct the line or get the file again; the image is left out until then."


@dataclass(frozen=True)
class LabelRow:
    """One row: whether the image is defective, and the file and 1-based line that say so."""

    defective: bool
    path: str
    line: int


def parse_labels(text: str, path: str) -> Iterator[tuple[str | None, LabelRow | MalformedAnnotationError]]:
    """Yield, for each row, the stem of its image's file name and the row, or an error for an invalid row.

    Args:
        text: contents of the file.
        path: its posix path below the root.

    Yields:
        ("0007", row). The stem is None if an invalid row does not identify its image.
    """
    for line, raw in enumerate(text.splitlines(), start=1):
        fields = raw.split()
        if not fields or (line == 1 and fields == ["1"]):
            continue
        image = re.fullmatch(r"(?i)(.+)\.png", fields[2]) if len(fields) > 2 else None
        stem = image[1] if image else fields[0] if fields[0].isdecimal() else None
        wrong = _wrong(fields, image[1] if image else "")
        if wrong:
            yield stem, MalformedAnnotationError(path, wrong, _REMEDY, line)
        else:
            yield stem, LabelRow(fields[1] == "1", path, line)


def _wrong(fields: list[str], stem: str) -> str:
    """Return what contradicts the format, or an empty string."""
    if len(fields) != 5:
        return f"5 fields expected, {len(fields)} found"
    number, defective, image, _, label = fields
    if not stem or not number.isdecimal() or (stem.isdecimal() and stem.lstrip("0") != number.lstrip("0")):
        return f"row {number!r} names the image {image!r}"
    if defective not in ("0", "1"):
        return f"0 (clean) or 1 (defective) expected, {defective!r} found"
    wanted = f"{stem}_label.png" if defective == "1" else "0"
    if label.lower() != wanted.lower():
        return f"{image} is marked {defective}, but its label image is {label!r}"
    return ""
