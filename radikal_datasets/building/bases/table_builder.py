"""`TableBuilder`: a source whose boxes stand in one CSV file."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from ...errors import MalformedAnnotationError, MissingImageError, UnknownClassError
from ...raw.tree import Tree
from ...report import Report
from ...schema import Example, Instance
from .paired_builder import Found, PairedBuilder

_REMEDY = "Correct the row, or get the table again; its image is left out until then."


@dataclass(frozen=True)
class _Row:
    """One row: the line, the class, and the four numbers, as written."""

    line: int
    label: str
    numbers: tuple[str, ...]


class TableBuilder(PairedBuilder):
    """Reader of images with a table of boxes: `IMAGE`, `ID`, `TABLE` and the columns are all it needs.

    A row without class and numbers says that its image is defect-free. An image without a row is unannotated.
    """

    #: Posix path of the table below the root. It has to match `Config.files`.
    TABLE: ClassVar[str]
    #: Columns of the image, the class, and the box's edges: x_min, y_min, x_max, y_max in pixels, 0-based, half-open.
    COLUMNS: ClassVar[tuple[str, str, str, str, str, str]] = ("image", "class", "x_min", "y_min", "x_max", "y_max")
    #: The text in the column of the image: named groups of `IMAGE`, `{part}` and `{path}`; letter case is ignored.
    KEY: ClassVar[str] = "{stem}"

    def read(self, tree: Tree, part: str, report: Report) -> Iterator[Example]:
        """Read all boxes from the table; see `InspectionBuilder.read`."""
        self._rows: dict[str, list[_Row]] | None = None
        self._used: set[str] = set()
        if self.TABLE in tree:
            with report.costs_image():
                self._rows = self._read_table(tree.read_text(self.TABLE), report)
        yield from super().read(tree, part, report)
        # An image that cannot be read exists, too.
        for path, match in tree.matching(self.pattern(self.IMAGE, part)):
            self._used.add(self._name(path, part, match))
        for name, rows in (self._rows or {}).items():
            if name not in self._used:
                with report.costs_image():
                    remedy = "Copy the image here, or remove its rows."
                    raise MissingImageError(self.TABLE, f"there is no image {name}", remedy, rows[0].line)

    def annotate(self, example: Example, found: Found, report: Report) -> None:
        """Set the boxes from the rows of an image."""
        name = self._name(example.image, found.part, found.match)
        rows = (self._rows or {}).get(name)
        if rows is None:
            why = f"no row in {self.TABLE}" if self._rows is not None else f"{self.TABLE} is missing or unusable"
            return self.unlabel(example, report, why)
        clean = [row for row in rows if not row.label and not any(row.numbers)]
        if clean and len(rows) > len(clean):
            what = "this row says that the image is defect-free, and another one has a box"
            raise MalformedAnnotationError(self.TABLE, what, _REMEDY, clean[0].line)
        classes = self.SOURCE.config(found.part).classes
        for row in rows[: 0 if clean else None]:
            if row.label not in classes:
                remedy = f"The classes are {', '.join(classes)}. {_REMEDY}"
                raise UnknownClassError(self.TABLE, f"class {row.label!r}", remedy, row.line)
            example.instances.append(Instance(row.label, self._box(row)))

    def _name(self, path: str, part: str, match) -> str:
        return self.KEY.format(path=path, part=part, **match.groupdict()).casefold()

    def _box(self, row: _Row) -> tuple[float, float, float, float]:
        try:
            x_min, y_min, x_max, y_max = (float(text) for text in row.numbers)
            if all(map(math.isfinite, (x_min, y_min, x_max, y_max))):
                return x_min, y_min, x_max, y_max
        except ValueError:
            pass
        raise MalformedAnnotationError(self.TABLE, f"the box is {', '.join(row.numbers)}", _REMEDY, row.line)

    def _read_table(self, text: str, report: Report) -> dict[str, list[_Row]]:
        reader = csv.DictReader(io.StringIO(text, newline=""), restval="", strict=True)
        image, label, *edges = self.COLUMNS
        rows: dict[str, list[_Row]] = {}
        try:
            if missing := [name for name in self.COLUMNS if name not in (reader.fieldnames or ())]:
                found = f"the columns {', '.join(missing)} are missing"
                raise MalformedAnnotationError(self.TABLE, found, "Get the table again.", 1)
            for row in reader:
                with report.costs_image():
                    if not (name := row[image].strip().casefold()):
                        raise MalformedAnnotationError(self.TABLE, "the row names no image", _REMEDY, reader.line_num)
                    numbers = tuple(row[edge].strip() for edge in edges)
                    rows.setdefault(name, []).append(_Row(reader.line_num, row[label].strip(), numbers))
        except csv.Error as error:
            raise MalformedAnnotationError(self.TABLE, str(error), _REMEDY, reader.line_num) from None
        return rows
