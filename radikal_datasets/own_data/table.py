"""A table with one row per box: csv, tsv or Parquet; a row with nothing but an image's name is a defect-free image."""

from __future__ import annotations

from typing import Any

from ..errors import MalformedAnnotationError, UnknownClassError
from ..raw.tree import Tree
from .class_names import ClassNames
from .documents import Row, read_csv
from .names import nfc, split_in
from .numbers import REMEDY, corners_of, number
from .parsed import EMPTY_ANNOTATION, Entry, Parsed, Shape
from .recognize import Files
from .table_columns import TableColumns, find_columns


def read_table(files: Files, parsed: Parsed) -> None:
    """Read all tables of a folder into `parsed`."""
    classes = ClassNames(files.settings, parsed.findings)
    for path in files.annotations["table"]:
        with parsed.findings.costs():
            names, rows = read_rows(files.tree, path)
            columns = find_columns(names)
            if columns is None:
                raise MalformedAnnotationError(path, "no table of boxes", REMEDY, 1)
            _read(files, parsed, classes, path, columns, rows)
    parsed.classes = classes.listed(alphabetical=True)


def read_rows(tree: Tree, path: str) -> tuple[list[str], list[Row]]:
    """Return columns and rows of a csv, tsv or Parquet file.

    Raises:
        MalformedAnnotationError: it cannot be read.
    """
    if not path.lower().endswith(".parquet"):
        return read_csv(tree, path)
    import pyarrow.parquet as pq

    try:
        with tree.open_file(path) as file:
            table = pq.read_table(file)
    except Exception as error:  # pyarrow raises OSError, ArrowInvalid ...
        raise MalformedAnnotationError(path, f"cannot be read: {error}", REMEDY) from None
    return table.column_names, [Row(None, row) for row in table.to_pylist()]


def _read(files: Files, parsed: Parsed, classes: ClassNames, path: str, columns: TableColumns, rows: list[Row]) -> None:
    entries: dict[str, Entry | None] = {}
    for line, values in rows:
        name = str(values.get(columns.image) or "")
        if name not in entries:
            entries[name] = None
            with parsed.findings.costs():
                entries[name] = _entry(files, parsed, path, name, line)
        entry = entries[name]
        if entry is None:
            continue
        with parsed.image(entry.image):
            _facts(files, entry, values, columns)
            four = [values.get(column) for column in columns.numbers]
            if all(value in ("", None) for value in four):
                if values.get(columns.label or "") not in ("", None):
                    raise MalformedAnnotationError(path, "a class without a box", REMEDY, line)
                continue
            box = [number(value, column, path, line) for value, column in zip(four, columns.numbers, strict=True)]
            label = classes.used(_label(files, values, columns, path, line))
            sized = files.settings.boxes == "xywh" or (columns.sized and files.settings.boxes != "xyxy")
            corners = corners_of(*box) if sized else (box[0], box[1], box[2], box[3])
            entry.shapes.append(Shape(label, corners, line=line, file=path))
    for entry in entries.values():
        if entry is not None and not entry.shapes and entry.image not in parsed.excluded:
            parsed.findings.add(EMPTY_ANNOTATION, path, entry.image, line=entry.line)


def _entry(files: Files, parsed: Parsed, path: str, name: str, line: int | None) -> Entry:
    if not name:
        raise MalformedAnnotationError(path, "the row names no image", REMEDY, line)
    image = files.names.get(name, by=path, findings=parsed.findings, line=line, entry="its rows")
    return parsed.entry(image, path, line, split=split_in(image) or split_in(path))


def _facts(files: Files, entry: Entry, values: dict[str, Any], columns: TableColumns) -> None:
    """Take split, group and size of an image from a row."""
    if columns.split and values.get(columns.split):
        entry.split = split_in(str(values[columns.split])) or entry.split
    if files.settings.group and values.get(files.settings.group) not in ("", None):
        entry.group = nfc(str(values[files.settings.group]))
    if columns.size:
        width, height = (str(values.get(column) or "") for column in columns.size)
        if width.isdecimal() and height.isdecimal() and int(width) and int(height):
            entry.size = int(width), int(height)


def _label(files: Files, values: dict[str, Any], columns: TableColumns, path: str, line: int | None) -> str:
    if columns.label is None:
        return "defect"
    value = values.get(columns.label)
    name = nfc(str(value)) if value is not None else ""
    if not name:
        raise MalformedAnnotationError(path, "a box without a class", REMEDY, line)
    if name.lstrip("-").isdecimal():
        named = files.settings.name_of(int(name))
        if named is None:
            remedy = "Write its name into the table, or name it under `classes` in radikal.yaml."
            raise UnknownClassError(path, f"class {name} has no name", remedy, line)
        return named
    return name
