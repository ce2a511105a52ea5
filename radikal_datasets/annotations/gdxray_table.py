"""GDXray's annotation tables: rows of image number and edges or corners, as MATLAB text or as a MATLAB 5 file.

Five columns are image, x1, x2, y1, y2 (both x first); nine are image, x1, y1, ..., x4, y4, an oriented rectangle.
Coordinates are in MATLAB's frame, where pixel k spans k - 0.5 to k + 0.5: 0.5 is subtracted here; nothing is clipped.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from io import BytesIO

import numpy as np

from ..errors import MalformedAnnotationError
from ..raw.tree import Tree
from ..report import Effect, Kind, Report
from ..schema import Box
from .polygon import Point, hull

#: The variable of a BoundingBox.mat.
MAT_VARIABLE = "bb"
#: Castings whose annotation is known to stop after this many rows, all for image 1: in BoundingBox.mat, and in the text
#: of some copies of C0041. Complete, they have 37 and 185 rows.
PARTIAL_ROWS = {"C0034": 1, "C0041": 5}

_TEXT, _MAT = "ground_truth.txt", "BoundingBox.mat"
# Two copies of C0037 use these names. Names are never globbed: C0041 has a `ground_truth.txt;` with 5 of its 185 rows.
# Copies made on Windows may have the extension in upper case.
_MISNAMED = re.compile(r"(?!ground_truth\.txt)(?i:ground_truth(?:\.txt)?)|(?i:Xgdxannotate\('[A-Z]',\d+\))")
_STRAY = "ground_truth.txt;"

MISNAMED_ANNOTATION = Kind(
    "misnamed_truth", Effect.REPAIRED, "the annotation file is not named ground_truth.txt: read anyway", "series"
)
ANNOTATION_FROM_MAT = Kind(
    "mat_truth", Effect.REPAIRED, "ground_truth.txt is missing or empty: BoundingBox.mat read instead", "series"
)
STRAY_ANNOTATION = Kind(
    "stray_truth", Effect.NOTED, "`ground_truth.txt;` holds only part of the annotation: never read"
)
EMPTY_ANNOTATION = Kind(
    "empty_truth", Effect.UNLABELED, "an annotation without rows proves nothing: series kept as annotated=False"
)
PARTIAL_ANNOTATION = Kind(
    "partial_truth", Effect.UNLABELED, "the annotation is known to stop early: series kept as annotated=False"
)

_REMEDY = "Correct the line or get the file again; the images it may concern are left out until then."
_COLUMNS = {5, 9}
# MATLAB writes every number of a table as 1.7100000e+02.
_MATLAB_NUMBER = re.compile(r"-?\d\.\d+e[+-]\d\d")
# MATLAB files hold 171.00000000000006 where the text holds 171: both must give the same box.
_DECIMALS = 6
# Pixels. No image is that large: such a number is corrupt, and arithmetic with far larger ones ends in NaN.
_FARTHEST = 1e6
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class AnnotationRow:
    """One object: the number of its image, its box (0-based continuous pixels, may extend beyond the image), its line.

    Attributes:
        number: of the image, from 1.
        box: x_min, y_min, x_max, y_max.
        line: 1-based line of a text file, row of a MATLAB table.
        corners: the four corners of an oriented rectangle; None for five columns.
        swapped: a pair of edges was in the wrong order and was sorted.
    """

    number: int
    box: Box
    line: int
    corners: tuple[Point, ...] | None = None
    swapped: bool = False


@dataclass
class SeriesAnnotation:
    """The annotation table of one series.

    Attributes:
        rows: image number -> its objects, in the order of the file.
        errors: image number -> why its annotation cannot be trusted: a line that names this image is malformed.
    """

    rows: dict[int, list[AnnotationRow]] = field(default_factory=dict)
    errors: dict[int, MalformedAnnotationError] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        """True for a table without rows. It proves nothing (castings C0044)."""
        return not self.rows and not self.errors

    def first_line(self, number: int) -> int | None:
        """Return the line on which the table first names an image; None if it never does."""
        lines = [row.line for row in self.rows.get(number, [])]
        if number in self.errors:
            lines.append(self.errors[number].line or 0)
        return min(lines, default=None)

    def row_count(self) -> int:
        """Return the number of objects."""
        return sum(len(rows) for rows in self.rows.values())


def parse_text(data: bytes, path: str) -> SeriesAnnotation:
    """Parse a table as MATLAB's `save -ascii` writes it: blanks, scientific notation, any line endings, optional BOM.

    A malformed line whose image number can be read costs that image. One whose number cannot be read may concern any
    image, and a truncated file may lack rows of any image: both cost the entire series.

    Raises:
        MalformedAnnotationError: nothing in the file can be trusted.
    """
    text = data.removeprefix(_BOM).decode("latin-1")
    lines = [(number, line.split()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if lines and not text.endswith(("\n", "\r")) and _is_cut_off(lines[-1][1], lines[0][1]):
        raise MalformedAnnotationError(path, "the file is truncated here", _REMEDY, lines[-1][0])
    return _parse_rows(((number, [_number(word) for word in words], words) for number, words in lines), path)


def parse_mat(data: bytes, path: str) -> SeriesAnnotation:
    """Parse a MATLAB 5 file that holds the same table in its variable `bb`; a 0x0 table gives an empty result.

    Raises:
        MalformedAnnotationError: it cannot be read, has no `bb`, or nothing in it can be trusted.
    """
    import scipy.io  # Slow to import, and needed only for a table or two.

    remedy = "Get the file again, or put a ground_truth.txt beside it."
    try:
        table = scipy.io.loadmat(BytesIO(data), variable_names=[MAT_VARIABLE])[MAT_VARIABLE]
    except KeyError:
        raise MalformedAnnotationError(path, f"the file has no variable {MAT_VARIABLE!r}", remedy) from None
    except Exception as error:  # scipy raises ValueError, TypeError, struct.error, zlib.error ... for a damaged file
        raise MalformedAnnotationError(path, f"the file is not a MATLAB 5 file: {error}", remedy) from None
    if not isinstance(table, np.ndarray):  # scipy returns a sparse table as a type of its own
        raise MalformedAnnotationError(path, f"{MAT_VARIABLE} is a {type(table).__name__}", remedy)
    if table.size == 0:
        return SeriesAnnotation()
    if table.ndim != 2 or table.dtype.kind not in "uif":
        raise MalformedAnnotationError(path, f"{MAT_VARIABLE} is {table.dtype} of shape {table.shape}", remedy)
    rows = ((number, [round(float(v), _DECIMALS) for v in row]) for number, row in enumerate(table, 1))
    return _parse_rows(((number, row, [f"{v:g}" for v in row]) for number, row in rows), path)


def _parse_rows(rows: Iterable[tuple[int, list[float], list[str]]], path: str) -> SeriesAnnotation:
    """Sort (line, numbers with NaN for invalid ones, words) into objects and errors by image."""
    annotation = SeriesAnnotation()
    columns: int | None = None
    for line, values, words in rows:
        if not (math.isfinite(values[0]) and values[0] == int(values[0])):
            found = f"an image number expected, {words[0][:40]!r} found"
            raise MalformedAnnotationError(path, found, _REMEDY, line)
        number = int(values[0])
        if len(values) in _COLUMNS:
            columns = columns or len(values)
        if len(values) != columns:
            found = (
                f"{columns} columns expected as in the lines before, {len(values)} found"
                if columns
                else f"5 or 9 columns expected, {len(values)} found"
            )
        elif not all(math.isfinite(value) for value in values):
            found = f"five or nine numbers expected, {' '.join(words)[:200]!r} found"
        elif max(map(abs, values[1:])) > _FARTHEST:
            found = f"a coordinate exceeds {_FARTHEST:,.0f} pixels: {' '.join(words)[:200]}"
        else:
            annotation.rows.setdefault(number, []).append(_row(number, values[1:], line))
            continue
        annotation.errors.setdefault(number, MalformedAnnotationError(path, f"image {number}: {found}", _REMEDY, line))
    return annotation


def _row(number: int, values: list[float], line: int) -> AnnotationRow:
    edges = [value - 0.5 for value in values]
    if len(edges) == 8:
        corners = tuple(zip(edges[0::2], edges[1::2], strict=True))
        return AnnotationRow(number, hull(corners), line, corners)
    x1, x2, y1, y2 = edges
    box = (min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))
    return AnnotationRow(number, box, line, swapped=x1 > x2 or y1 > y2)


def _is_cut_off(last: list[str], first: list[str]) -> bool:
    """Return whether the last line of a file without a final line ending lacks columns or digits."""
    if len(last) not in _COLUMNS:
        return True
    return bool(_MATLAB_NUMBER.fullmatch(first[0])) and not _MATLAB_NUMBER.fullmatch(last[-1])


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return math.nan


def read_annotation(
    tree: Tree, folder: str, names: Iterable[str], report: Report
) -> tuple[SeriesAnnotation, str] | None:
    """Find and parse the annotation of a series: the text first, then the MATLAB file.

    Args:
        tree: the tree that holds it.
        folder: of the series, below the root.
        names: of all files in this folder.
        report: counts what is unusual about the files.

    Returns:
        The table and the path from which it was read; None if the series is unannotated, or if its table is empty or
        known to stop early.

    Raises:
        MalformedAnnotationError: the existing file cannot be trusted at all. The MATLAB file is no fallback then: in
            two series of castings it holds less than the text.
    """
    names = set(names)
    misnamed = sorted(name for name in names if _MISNAMED.fullmatch(name))
    tables = sorted(name for name in names if name.lower() == _MAT.lower())
    texts = [_TEXT] * (_TEXT in names) + misnamed
    if _STRAY in names:
        report.add(STRAY_ANNOTATION, f"{folder}/{_STRAY}", "not read")
    empty: str | None = None
    for name in texts[:1] + tables[:1]:
        path = f"{folder}/{name}"
        annotation = (parse_mat if name in tables else parse_text)(tree.read(path), path)
        if annotation.empty:
            empty = empty or path
            continue
        if annotation.row_count() == PARTIAL_ROWS.get(folder.rpartition("/")[2].upper()):
            report.add(PARTIAL_ANNOTATION, path, f"rows: {annotation.row_count()}, as in a truncated copy")
            return None
        report.chances["series"] += 1
        if name in misnamed:
            report.add(MISNAMED_ANNOTATION, path, f"no {_TEXT} in the folder", proven=name.lower() == _TEXT)
        if name in tables:
            report.add(ANNOTATION_FROM_MAT, path, f"no rows in {empty}" if empty else f"no {_TEXT}")
        return annotation, path
    if empty:
        report.add(EMPTY_ANNOTATION, empty, "the table has no rows")
    return None
