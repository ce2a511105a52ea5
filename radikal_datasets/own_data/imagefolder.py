"""Hugging Face's imagefolder: `metadata.jsonl`, `.csv` or `.parquet` beside the images, with their boxes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from ..errors import MalformedAnnotationError, UnknownClassError
from .class_names import ClassNames
from .documents import Row, parse_json_lines
from .names import nfc, split_in
from .numbers import REMEDY, corners_of, numbers, size_of
from .parsed import EMPTY_ANNOTATION, Entry, Parsed, Shape
from .recognize import Files
from .table import read_rows

#: The name of a column of boxes -> whether they are x, y, width, height.
_BOXES = {"bbox": True, "bboxes": True, "boxes": False}
_LABELS = ("categories", "category", "labels", "label", "classes", "class_names", "names")


def read_imagefolder(files: Files, parsed: Parsed) -> None:
    """Read all metadata files of a folder into `parsed`."""
    classes = ClassNames(files.settings, parsed.findings)
    for path in files.annotations["imagefolder"]:
        with parsed.findings.costs():
            for line, values in _rows(files, path):
                image = None
                with parsed.findings.costs():
                    image = _image(files, parsed, path, line, values)
                if image is not None:
                    with parsed.image(image):
                        split = split_in(str(values.get("split") or "")) or split_in(image) or split_in(path)
                        entry = parsed.entry(image, path, line, split=split)
                        _add(files, parsed, entry, classes, values, path, line)
    parsed.classes = classes.listed(alphabetical=True)


def _rows(files: Files, path: str) -> Iterator[Row]:
    if path.lower().endswith(".jsonl"):
        for line, values in parse_json_lines(files.tree, path):
            if not isinstance(values, dict):
                raise MalformedAnnotationError(path, "a line is no object", REMEDY, line)
            yield Row(line, values)
    else:
        yield from read_rows(files.tree, path)[1]


def _image(files: Files, parsed: Parsed, path: str, line: int | None, values: dict[str, Any]) -> str:
    name = values.get("file_name") or values.get("image")
    if not isinstance(name, str) or not name:
        raise MalformedAnnotationError(path, "no file_name", REMEDY, line)
    beside = str(PurePosixPath(path).parent / name)
    if beside in files.names:
        return beside
    return files.names.get(name, by=path, findings=parsed.findings, line=line, entry="its line")


def _add(
    files: Files, parsed: Parsed, entry: Entry, classes: ClassNames, values: dict[str, Any], path: str, line: int | None
) -> None:
    """Add the objects of one row, and what else it says about its image."""
    entry.size = size_of(values.get("width"), values.get("height")) or entry.size
    if files.settings.group and values.get(files.settings.group) not in ("", None):
        entry.group = nfc(str(values[files.settings.group]))
    objects = _parsed_cell(values.get("objects"), path, line)
    holder = objects if isinstance(objects, dict) else values
    column = next((name for name in _BOXES if holder.get(name) is not None), None)
    if column is None:
        if isinstance(objects, dict | list):
            raise MalformedAnnotationError(path, "`objects` has no `bbox`", REMEDY, line)
        entry.annotated = False
        parsed.findings.add("missing_truth", entry.image, f"{path} states no boxes", line=line)
        return
    boxes = _parsed_cell(holder[column], path, line)
    label_column = next((name for name in _LABELS if holder.get(name) is not None), None)
    labels = _parsed_cell(holder[label_column], path, line) if label_column else ["defect"] * len(boxes or ())
    if not isinstance(boxes, list) or not isinstance(labels, list) or len(boxes) != len(labels):
        found = (
            f"{len(boxes or ())} boxes, {len(labels or ())} classes" if isinstance(labels, list | None) else "no lists"
        )
        raise MalformedAnnotationError(path, f"{found} in one line", REMEDY, line)
    sized = {"xyxy": False, "xywh": True}.get(files.settings.boxes or "", _BOXES[column])
    for box, label in zip(boxes, labels, strict=True):
        four = numbers(box, column, path, line, 4)
        corners = corners_of(*four) if sized else (four[0], four[1], four[2], four[3])
        entry.shapes.append(Shape(classes.used(_label(files, label, path, line)), corners, line=line, file=path))
    if not boxes:
        parsed.findings.add(EMPTY_ANNOTATION, path, entry.image, line=line)


def _parsed_cell(value: Any, path: str, line: int | None) -> Any:
    """Return the value of a cell, which a csv file holds as JSON."""
    if not isinstance(value, str):
        return value
    if not value:
        return None
    try:
        return json.loads(value)
    except ValueError:
        try:
            return json.loads(value.replace("'", '"'))
        except ValueError:
            raise MalformedAnnotationError(path, f"{value[:60]!r} is not a list", REMEDY, line) from None


def _label(files: Files, label: Any, path: str, line: int | None) -> str:
    if isinstance(label, int) and not isinstance(label, bool):
        named = files.settings.name_of(label)
        if named is None:
            remedy = "Write its name into the file, or name it under `classes` in radikal.yaml."
            raise UnknownClassError(path, f"class {label} has no name", remedy, line)
        return named
    if not isinstance(label, str) or not nfc(label):
        raise MalformedAnnotationError(path, f"{label!r} is no class", REMEDY, line)
    return label
