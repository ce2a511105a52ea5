"""LabelMe: one JSON file per image with rectangles, polygons, circles and masks."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from functools import partial
from io import BytesIO
from typing import Any

import numpy as np
import PIL.Image

from ..annotations.components import box_of
from ..annotations.polygon import Point, hull
from ..errors import MalformedAnnotationError
from ..schema import Box
from .class_names import ClassNames
from .documents import JsonLines
from .mask_sources import mask_from_pixels
from .names import nfc, split_in
from .numbers import REMEDY, ellipse_points, located, numbers, size_of
from .parsed import EMPTY_ANNOTATION, UNREAD_SHAPE, Entry, Parsed, Shape
from .recognize import Files


def read_labelme(files: Files, parsed: Parsed) -> None:
    """Read all LabelMe files of a folder into `parsed`."""
    classes = ClassNames(files.settings, parsed.findings)
    lines = JsonLines(files.tree)
    for path in files.annotations["labelme"]:
        data: dict[str, Any] = files.documents[path]
        image = None
        with parsed.findings.costs():
            image = files.names.get_beside(path, data.get("imagePath"), findings=parsed.findings, entry="the JSON")
        if image is None:
            continue
        with parsed.image(image):
            entry = parsed.entry(
                image,
                path,
                size=size_of(data.get("imageWidth"), data.get("imageHeight")),
                split=split_in(image) or split_in(path),
            )
            for number, shape in enumerate(data["shapes"]):
                line = partial(lines.line, path, "shapes", number)
                with located(line):
                    _add(parsed, entry, classes, shape, path, line)
            if not data["shapes"]:
                parsed.findings.add(EMPTY_ANNOTATION, path)
    parsed.classes = classes.listed(alphabetical=True)


def _add(
    parsed: Parsed, entry: Entry, classes: ClassNames, shape: Any, path: str, line: Callable[[], int | None]
) -> None:
    if not isinstance(shape, dict) or not nfc(str(shape.get("label") or "")):
        raise MalformedAnnotationError(path, "a shape has no label", REMEDY)
    label, kind = nfc(str(shape["label"])), shape.get("shape_type") or "polygon"
    flat = [numbers(point, f"a point of {label}", path, None, 2) for point in shape.get("points") or ()]
    points: tuple[Point, ...] = tuple((point[0], point[1]) for point in flat)
    if kind not in ("rectangle", "polygon", "circle", "mask", "rotation", "oriented_rectangle"):
        found = f"a {kind} {label!r} of {entry.image}"
        parsed.lose_shape(UNREAD_SHAPE, entry, path, found, "Draw it as a rectangle, polygon or circle.", line())
        return
    label = classes.used(label)
    if kind == "mask":
        entry.shapes.append(_mask(label, shape, points, entry, path))
        return
    if (kind in ("rectangle", "circle") and len(points) < 2) or not points:
        raise MalformedAnnotationError(path, f"a {kind} {label!r} of {len(points)} points", REMEDY)
    if kind == "rectangle":
        entry.shapes.append(Shape(label, hull(points), file=path))
        return
    if kind == "circle":
        radius = math.dist(points[0], points[1])
        points = ellipse_points(*points[0], radius, radius)
    parsed.add_outline(entry, label, points, path, line)


def _mask(label: str, shape: dict[str, Any], points: tuple[Point, ...], entry: Entry, path: str) -> Shape:
    """Return a shape with a mask, which LabelMe stores as a PNG of the part inside its two corners."""
    try:
        with PIL.Image.open(BytesIO(base64.b64decode(shape.get("mask") or ""))) as image:
            part = np.asarray(image.convert("L")) > 0
    except Exception as error:  # Pillow's plugins raise OSError, SyntaxError, struct.error, ValueError ...
        raise MalformedAnnotationError(path, f"the mask of {label!r} is damaged: {error}", REMEDY) from None
    width, height = entry.size or (0, 0)
    left, top = (int(value) for value in (points[0] if points else (0, 0)))
    if left < 0 or top < 0 or top + part.shape[0] > height or left + part.shape[1] > width or not part.any():
        raise MalformedAnnotationError(path, f"the mask of {label!r} does not fit the image", REMEDY)
    pixels = np.zeros((height, width), bool)
    pixels[top : top + part.shape[0], left : left + part.shape[1]] = part
    box: Box | None = box_of(pixels)
    return Shape(label, box, mask=mask_from_pixels(pixels), file=path)
