"""train.csv of the Severstal competition, with either header, as text or as the zip that Kaggle's client leaves."""

from __future__ import annotations

import csv
import io
import zipfile
from dataclasses import dataclass, field

from ..errors import MalformedAnnotationError
from ..raw.tree import Tree
from ..report import Effect, Kind, Report

ROWS_WITHOUT_IMAGE = Kind(
    "rows_without_image", Effect.REPAIRED, "rows in the csv that hold only commas: skipped", "rows"
)
REMEDY = "Get train.csv again."
#: Bytes. The real file has 11 MB; a zip that claims far more is not unpacked.
_LARGEST = 1 << 30


@dataclass
class Annotations:
    """The contents of train.csv.

    Attributes:
        rows: image name -> (line, class number as written, run-length code), in file order; codes may be empty.
        path: of the file that was read.
        covers_all: the header is the one that lists only defective images, so that an image without a row is clean.
        cut_off: for a file that ends within a line: the image this line concerns, and the error that costs it.
            covers_all then holds only for the images before it.
    """

    rows: dict[str, list[tuple[int, str, str]]] = field(default_factory=dict)
    covers_all: bool = False
    path: str = "train.csv"
    cut_off: tuple[str, MalformedAnnotationError] | None = None

    def covers(self, name: str) -> bool:
        """Return whether an image without a row is clean."""
        return self.covers_all and (self.cut_off is None or name < self.cut_off[0])


def read_csv(tree: Tree, path: str, report: Report) -> Annotations:
    """Read a csv, or a zip that holds one, with either header, by column name."""
    annotations = Annotations(path=path)
    text = _unzipped(tree, path) if path.lower().endswith(".zip") else tree.read_text(path)
    one_a_row, rows = _csv_rows(text, path)
    report.chances["rows"] += len(rows)
    last = None
    if rows and not text.endswith(("\n", "\r")):
        line, name, number, _ = rows[-1]
        name = name or ("" if one_a_row else number)  # a truncated name is not followed by a class
        if name:
            last = line, name
            rows.pop()
    blank_lines = []
    for line, name, number, code in rows:
        if name:
            annotations.rows.setdefault(name, []).append((line, number, code))
        elif number or code:
            with report.costs_image():
                raise MalformedAnnotationError(path, "the row has no image name", REMEDY, line)
        else:
            blank_lines.append(line)
    if blank_lines:
        found = f"{len(blank_lines):,} rows of commas"
        report.add(ROWS_WITHOUT_IMAGE, path, found, line=blank_lines[0], count=len(blank_lines))
    # A table without rows proves nothing.
    annotations.covers_all = one_a_row and bool(annotations.rows)
    if last:
        _cut_off(annotations, *last)
    return annotations


def _cut_off(annotations: Annotations, line: int, name: str) -> None:
    """Discard the last row, which has no line ending, and all it may have said: half a code is a valid mask, too."""
    names = list(annotations.rows)
    if names and names[-1].startswith(name):  # a truncated name: the image of the previous row may have another row
        name = names[-1]
    annotations.cut_off = name, MalformedAnnotationError(annotations.path, "the file is truncated here", REMEDY, line)
    # If the names are sorted, the rows of those before it are complete.
    annotations.covers_all &= names == sorted(names)


def _csv_rows(text: str, path: str) -> tuple[bool, list[tuple[int, str, str, str]]]:
    """Return whether the header is the newer one, and each row's line, image name, class number and run-length code.

    Raises:
        MalformedAnnotationError: the columns match neither header, or quotation marks may hide rows.
    """
    limit = csv.field_size_limit(max(len(text), 1))  # a code may have any length: an invalid one costs its image
    # Strict: an unclosed quotation mark swallows the rows after it, and their images would pass for clean.
    reader = csv.DictReader(io.StringIO(text, newline=""), restval="", strict=True)
    try:
        columns = reader.fieldnames or ()
        one_a_row = {"ImageId", "ClassId", "EncodedPixels"} <= set(columns)
        if not one_a_row and not {"ImageId_ClassId", "EncodedPixels"} <= set(columns):
            found = f"unknown columns: {', '.join(columns)[:200] or 'none'}"
            remedy = f"ImageId, ClassId, EncodedPixels, or ImageId_ClassId, EncodedPixels are expected. {REMEDY}"
            raise MalformedAnnotationError(path, found, remedy, 1)
        rows = []
        for row in reader:
            values = {column: row[column].strip() for column in columns}
            # So does a quotation mark that a later one closes.
            if any("\n" in value or "\r" in value for value in values.values()):
                raise MalformedAnnotationError(path, "a quoted field spans lines", REMEDY, reader.line_num)
            if one_a_row:
                name, number = values["ImageId"], values["ClassId"]
            else:
                name, _, number = values["ImageId_ClassId"].rpartition("_")
            rows.append((reader.line_num, _canonical(name), number, values["EncodedPixels"]))
    except csv.Error as error:
        raise MalformedAnnotationError(path, str(error), REMEDY, reader.line_num) from None
    finally:
        csv.field_size_limit(limit)
    return one_a_row, rows


def _canonical(name: str) -> str:
    """Return the name with its extension in lower case, as the publisher writes it."""
    return f"{name[:-4]}.jpg" if name.lower().endswith(".jpg") else name


def _unzipped(tree: Tree, path: str) -> str:
    """Return the only csv in a zip.

    Raises:
        MalformedAnnotationError: it is damaged, too large, or holds another number of csv files.
    """
    remedy = "Unpack it yourself, or get it again."
    try:
        with zipfile.ZipFile(io.BytesIO(tree.read(path))) as archive:
            found = [one for one in archive.infolist() if one.filename.lower().endswith(".csv")]
            found = [one for one in found if not one.filename.startswith("__MACOSX/")]
            if len(found) != 1:
                raise MalformedAnnotationError(path, f"the zip holds {len(found)} csv files", remedy)
            if found[0].file_size > _LARGEST:
                raise MalformedAnnotationError(path, f"the zip claims {found[0].file_size:,} bytes", remedy)
            return archive.read(found[0]).decode("utf-8-sig", errors="replace")
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError, ValueError) as error:
        raise MalformedAnnotationError(path, f"the zip cannot be read: {error}", remedy) from None
