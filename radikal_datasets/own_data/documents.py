"""Parse the files of a tree once: JSON, XML and tables, with line numbers for errors."""

from __future__ import annotations

import bisect
import csv
import io
import json
import json.decoder
import json.scanner
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from ..errors import MalformedAnnotationError
from ..raw.tree import Tree

_REMEDY = "Correct the file or export it again; what it annotates is left out until then."
#: Larger files are not parsed a second time for the sake of a line number.
_MOST_FOR_LINES = 32 * 2**20
_LINE = "\0line"
_TOO_MANY = "\0fields beyond the header"


def parse_json(tree: Tree, path: str) -> Any:
    """Return the contents of a JSON file; NaN and infinity are allowed and refused where they stand for numbers.

    Raises:
        MalformedAnnotationError: it cannot be parsed; the line is named.
    """
    text = tree.read_text(path)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise MalformedAnnotationError(path, f"not JSON: {error.msg}", _REMEDY, error.lineno) from None
    except (RecursionError, ValueError) as error:
        raise MalformedAnnotationError(path, f"not JSON: {error}", _REMEDY) from None


def parse_json_lines(tree: Tree, path: str) -> Iterator[tuple[int, Any]]:
    """Yield line number and contents of every line of a JSON Lines file.

    Raises:
        MalformedAnnotationError: a line cannot be parsed.
    """
    for number, line in enumerate(tree.read_text(path).split("\n"), 1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (json.JSONDecodeError, RecursionError) as error:
                raise MalformedAnnotationError(path, f"not JSON: {error}", _REMEDY, number) from None


class Row(NamedTuple):
    """One row of a table: its line, and column -> value."""

    line: int | None
    values: dict[str, Any]


def read_csv(tree: Tree, path: str) -> tuple[list[str], list[Row]]:
    """Return the columns and rows of a csv file with a header; the separator may be comma, semicolon or tab.

    Raises:
        MalformedAnnotationError: quotation marks do not match, or a row has more fields than the header.
    """
    text = tree.read_text(path)
    separator = _separator(text.partition("\n")[0])
    reader = csv.DictReader(
        io.StringIO(text, newline=""), delimiter=separator, restkey=_TOO_MANY, restval="", strict=True
    )
    rows = []
    try:
        columns = [(name or "").strip() for name in reader.fieldnames or ()]
        reader.fieldnames = columns
        for row in reader:
            if _TOO_MANY in row:
                found = f"{len(columns)} fields expected, {len(columns) + len(row[_TOO_MANY])} found"
                raise MalformedAnnotationError(path, found, _REMEDY, reader.line_num)
            rows.append(Row(reader.line_num, {name: (value or "").strip() for name, value in row.items()}))
    except csv.Error as error:
        raise MalformedAnnotationError(path, str(error), _REMEDY, reader.line_num) from None
    return columns, rows


def csv_columns(tree: Tree, path: str) -> list[str]:
    """Return the columns of a csv file from its first line."""
    header = tree.read_text(path).partition("\n")[0].strip("\r")
    return [name.strip() for name in next(csv.reader([header], delimiter=_separator(header)), [])]


def _separator(header: str) -> str:
    """Return the one of comma, semicolon and tab that a header has most of."""
    return max(",;\t", key=header.count)


class JsonLines:
    """Where the objects of JSON files begin, found by a second, slow parse when the first error needs it."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._documents: dict[str, Any] = {}

    def line(self, path: str, *keys: str | int) -> int | None:
        """Return the line of the object at `keys` of a file, such as ("annotations", 17); None if unknown."""
        if path not in self._documents:
            small = self._tree.files[path].size <= _MOST_FOR_LINES
            self._documents[path] = _with_lines(self._tree.read_text(path)) if small else None
        found = self._documents[path]
        try:
            for key in keys:
                found = found[key]
            return found[_LINE]
        except (KeyError, IndexError, TypeError):
            return None


def _with_lines(text: str) -> Any:
    """Parse JSON with Python's own scanner, which can be asked where it is."""
    decoder = json.JSONDecoder()
    parse_object = json.decoder.JSONObject  # type: ignore[attr-defined]  # public, and not in the type stubs
    ends = [match.start() for match in re.finditer("\n", text)]

    def located(state: Any, *arguments: Any, **options: Any) -> Any:
        value, end = parse_object(state, *arguments, **options)
        if isinstance(value, dict):
            value[_LINE] = bisect.bisect_left(ends, state[1]) + 1
        return value, end

    decoder.parse_object = located  # type: ignore[attr-defined]  # as above
    decoder.scan_once = json.scanner.py_make_scanner(decoder)  # type: ignore[attr-defined]  # as above
    try:
        return decoder.decode(text)
    except (ValueError, RecursionError):
        return None


def text_lines(tree: Tree, path: str) -> list[str]:
    """Return the lines of a text file that are not empty, without spaces at their ends."""
    return [line.strip() for line in tree.read_text(path).splitlines() if line.strip()]
