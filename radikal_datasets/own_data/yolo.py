"""YOLO: one text file per image with a class number and shares of the image's size per line."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any

import yaml

from ..errors import MalformedAnnotationError, UnknownClassError
from .class_names import ClassNames
from .documents import text_lines
from .names import nfc, split_in
from .numbers import REMEDY, has_area, number, points_of
from .parsed import EMPTY_ANNOTATION, NO_AREA, ORIENTED, Parsed, Shape
from .recognize import Files

#: Shares beyond this are no shares but pixels.
_MOST = 2.0


def read_yolo(files: Files, parsed: Parsed) -> None:
    """Read all label files of a folder into `parsed`: boxes, polygons, and boxes by their four corners."""
    classes = ClassNames(files.settings, parsed.findings)
    lists = {}
    for path in files.class_lists:
        with parsed.findings.costs():
            lists[path] = classes.stated(_names(files, path), path)
    labels = files.annotations["yolo"]
    oriented = _all_have_corners(files, labels)
    splits = _splits(files, parsed)
    for path in labels:
        image = None
        with parsed.findings.costs():
            image = files.names.get_beside(path, findings=parsed.findings, entry="the label file")
        if image is None:
            continue
        names = lists.get(_nearest_list(path, list(lists)) or "", {})
        with parsed.image(image):
            entry = parsed.entry(image, path, split=splits.get(image) or split_in(image) or split_in(path))
            for line, text in enumerate(files.documents[path].splitlines(), 1):
                if not text.strip():
                    continue
                shape = _shape(files, path, line, text.split(), names, oriented)
                if shape is None:
                    found = f"a polygon of {len(text.split()) // 2} points without area"
                    parsed.lose_shape(NO_AREA, entry, path, found, REMEDY, line)
                    continue
                classes.used(shape.label)
                if oriented:
                    parsed.findings.add(ORIENTED, path, shape.label, line=line)
                entry.shapes.append(shape)
            if not files.documents[path].strip():
                parsed.findings.add(EMPTY_ANNOTATION, path)
    for image, split in splits.items():
        if image in parsed.entries:
            parsed.entries[image].split = split
    parsed.classes = classes.listed(alphabetical=False)


def _shape(
    files: Files, path: str, line: int, fields: list[str], names: dict[int, str], oriented: bool
) -> Shape | None:
    """Return the object of one line; None for a polygon without area."""
    values = [number(value, "the line", path, line) for value in fields[1:]]
    key = number(fields[0], "the class", path, line)
    label = (names.get(int(key)) or files.settings.name_of(int(key))) if key == int(key) else None
    if label is None:
        known = f"{len(names)} classes are named" if names else "no file names the classes"
        remedy = "Add data.yaml or classes.txt, or name it under `classes` in radikal.yaml."
        raise UnknownClassError(path, f"class {fields[0]} has no name: {known}", remedy, line)
    if len(values) != 4 and (len(values) < 6 or len(values) % 2):
        found = (
            f"{len(values)} numbers follow the class, but 4 (a box), 8 (its corners) or pairs (a polygon) are expected"
        )
        raise MalformedAnnotationError(path, found, REMEDY, line)
    if max(map(abs, values)) > _MOST:
        found = f"{max(values, key=abs):g} is no share of the image's size"
        remedy = "YOLO's numbers are shares from 0 to 1. For pixels, use a table with x_min, y_min, x_max, y_max."
        raise MalformedAnnotationError(path, found, remedy, line)
    if len(values) == 4:
        x, y, width, height = values
        box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        return Shape(label, box, shares=True, line=line, file=path)
    points = points_of(values)
    return Shape(label, None, (points,), shares=True, line=line, file=path) if has_area(points) else None


def _all_have_corners(files: Files, labels: list[str]) -> bool:
    """Return whether every line of the set has 8 numbers: corners of rotated boxes, and no polygons."""
    lines = (text.split() for path in labels for text in files.documents[path].splitlines() if text.strip())
    counts = {len(fields) for fields in lines}
    return counts == {9}


def _names(files: Files, path: str) -> dict[int, str]:
    """Return number -> name of a list of classes: `data.yaml`, `classes.txt` or `obj.names`."""
    if not path.lower().endswith((".yaml", ".yml")):
        return dict(enumerate(text_lines(files.tree, path)))
    names = _yaml(files, path).get("names")
    if isinstance(names, list):
        return {number: str(name) for number, name in enumerate(names)}
    if isinstance(names, dict) and all(str(key).isdecimal() for key in names):
        return {int(key): str(name) for key, name in names.items()}
    raise MalformedAnnotationError(path, "`names` is neither a list nor `number: name`", "Correct the file.")


def _yaml(files: Files, path: str) -> dict[str, Any]:
    try:
        data = yaml.safe_load(files.tree.read_text(path))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        found = f"cannot be parsed: {getattr(error, 'problem', None) or error}"
        raise MalformedAnnotationError(path, found, "Correct the file.", mark.line + 1 if mark else None) from None
    return data if isinstance(data, dict) else {}


def _nearest_list(label: str, lists: list[str]) -> str | None:
    """Return the list of classes for a label file: in its folder, in the nearest one above, or the only one."""
    parents = [str(parent) for parent in PurePosixPath(label).parents]
    beside = {str(PurePosixPath(path).parent): path for path in reversed(lists)}
    return next((beside[parent] for parent in parents if parent in beside), lists[0] if lists else None)


def _splits(files: Files, parsed: Parsed) -> dict[str, str]:
    """Return image -> split, from the folders and lists of `data.yaml`, and from `train.txt` and its like."""
    found: dict[str, str] = {}
    for path in files.class_lists:
        if path.lower().endswith((".yaml", ".yml")):
            with parsed.findings.costs():
                data = _yaml(files, path)
                for key in ("train", "val", "valid", "validation", "test"):
                    value = data.get(key)
                    for place in value if isinstance(value, list) else [value]:
                        if isinstance(place, str):
                            found |= dict.fromkeys(_images_in(files, place), split_in(key) or key)
    for path in files.image_lists:
        split = split_in(PurePosixPath(path).name)
        for number_, line in enumerate(text_lines(files.tree, path), 1):
            with parsed.findings.costs():
                image = files.names.get(line, by=path, findings=parsed.findings, line=number_, entry="the line")
                if split:
                    found[image] = split
    return {image: split for image, split in found.items() if split}


def _images_in(files: Files, place: str) -> list[str]:
    """Return the images below a folder that `data.yaml` names, absolute or relative to wherever it lay."""
    parts = [part for part in re.split(r"[\\/]+", nfc(place)) if part not in ("", ".", "..")]
    for length in range(len(parts), 0, -1):
        wanted = "/".join(parts[-length:]).casefold()
        below = [
            image
            for image in files.images
            if f"/{nfc(image).casefold()}".find(f"/{wanted}/") >= 0 and not wanted.endswith(".txt")
        ]
        if below:
            return below
    return []
