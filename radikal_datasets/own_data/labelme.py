"""LabelMe: one JSON file per image with rectangles, polygons, circles and masks."""

from __future__ import annotations

import base64
import math
from io import BytesIO
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import PIL.Image

from ..annotations.polygon import Point, hull
from ..errors import MalformedAnnotationError, MissingImageError
from ..schema import Box
from .documents import JsonLines
from .mask_sources import box_of, mask_from_pixels
from .names import ClassNames, nfc, split_in
from .numbers import REMEDY, ellipse_points, has_area, numbers
from .parsed import EMPTY_ANNOTATION, NO_AREA, UNREAD_SHAPE, Entry, Parsed, Shape
from .recognize import Files


def read_labelme(files: Files, parsed: Parsed) -> None:
    """Read all LabelMe files of a folder into `parsed`."""
    classes = ClassNames(files.settings, parsed.findings)
    lines = JsonLines(files.tree)
    for path in files.annotations["labelme"]:
        data: dict[str, Any] = files.documents[path]
        image = None
        with parsed.findings.costs():
            image = files.names.find_beside(path, findings=parsed.findings)
            stated = data.get("imagePath")
            if image is None and isinstance(stated, str) and stated:
                image = files.names.find(stated, by=path, findings=parsed.findings)
            if image is None:
                missing = f"there is no image {stated or PurePosixPath(path).stem!r}"
                raise MissingImageError(path, missing, "Copy the image here, or remove the JSON.")
        if image is None:
            continue
        with parsed.image(image):
            entry = parsed.entry(image, path, size=_size(data), split=split_in(image) or split_in(path))
            for number, shape in enumerate(data["shapes"]):
                _add(parsed, entry, classes, shape, path, lambda path=path, n=number: lines.line(path, "shapes", n))
            if not data["shapes"]:
                parsed.findings.add(EMPTY_ANNOTATION, path)
    parsed.classes = classes.listed(alphabetical=True)


def _add(parsed: Parsed, entry: Entry, classes: ClassNames, shape: Any, path: str, line: Any) -> None:
    if not isinstance(shape, dict) or not nfc(str(shape.get("label") or "")):
        raise MalformedAnnotationError(path, "a shape has no label", REMEDY, line())
    label, kind = nfc(str(shape["label"])), shape.get("shape_type") or "polygon"
    try:
        flat = [numbers(point, f"a point of {label}", path, None, 2) for point in shape.get("points") or ()]
    except MalformedAnnotationError as error:
        raise MalformedAnnotationError(path, error.found, error.remedy, line()) from None
    points: tuple[Point, ...] = tuple((point[0], point[1]) for point in flat)
    if kind not in ("rectangle", "polygon", "circle", "mask", "rotation", "oriented_rectangle"):
        found = f"a {kind} {label!r} of {entry.image}"
        parsed.findings.lose(UNREAD_SHAPE, path, found, "Draw it as a rectangle, polygon or circle.", line())
        entry.incomplete = True
        return
    label = classes.used(label)
    if kind == "mask":
        entry.shapes.append(_mask(label, shape, points, entry, path, line))
        return
    if (kind in ("rectangle", "circle") and len(points) < 2) or not points:
        raise MalformedAnnotationError(path, f"a {kind} {label!r} of {len(points)} points", REMEDY, line())
    if kind == "rectangle":
        entry.shapes.append(Shape(label, hull(points), file=path))
        return
    if kind == "circle":
        radius = math.dist(points[0], points[1])
        points = ellipse_points(*points[0], radius, radius)
    if not has_area(points):
        found = f"{label} of {entry.image} has {len({*points})} different points"
        parsed.findings.lose(NO_AREA, path, found, REMEDY, line())
        entry.incomplete = True
        return
    entry.shapes.append(Shape(label, hull(points), (points,), file=path))


def _mask(label: str, shape: dict[str, Any], points: tuple[Point, ...], entry: Entry, path: str, line: Any) -> Shape:
    """Return a shape with a mask, which LabelMe stores as a PNG of the part inside its two corners."""
    try:
        with PIL.Image.open(BytesIO(base64.b64decode(shape.get("mask") or ""))) as image:
            part = np.asarray(image.convert("L")) > 0
    except Exception as error:  # Pillow's plugins raise OSError, SyntaxError, struct.error, ValueError ...
        raise MalformedAnnotationError(path, f"the mask of {label!r} is damaged: {error}", REMEDY, line()) from None
    width, height = entry.size or (0, 0)
    left, top = (int(value) for value in (points[0] if points else (0, 0)))
    if left < 0 or top < 0 or top + part.shape[0] > height or left + part.shape[1] > width or not part.any():
        raise MalformedAnnotationError(path, f"the mask of {label!r} does not fit the image", REMEDY, line())
    pixels = np.zeros((height, width), bool)
    pixels[top : top + part.shape[0], left : left + part.shape[1]] = part
    box: Box | None = box_of(pixels)
    return Shape(label, box, mask=mask_from_pixels(pixels), file=path)


def _size(data: dict[str, Any]) -> tuple[int, int] | None:
    width, height = data.get("imageWidth"), data.get("imageHeight")
    known = isinstance(width, int) and isinstance(height, int) and min(width, height) > 0
    return (width, height) if known else None  # type: ignore[return-value]
