"""CVAT's "XML for images": boxes, polygons, masks, ellipses and rotated boxes."""

from __future__ import annotations

from pathlib import PurePosixPath
from xml.etree import ElementTree

from ..annotations.safe_xml import line_of
from ..errors import MalformedAnnotationError
from .class_names import ClassNames
from .mask_sources import counts_mask
from .names import nfc, split_in
from .numbers import REMEDY, ellipse_points, number, numbers, points_of, rotated_corners
from .parsed import EMPTY_ANNOTATION, ORIENTED, UNREAD_SHAPE, Entry, Parsed, Shape
from .recognize import Files

_UNREAD = ("polyline", "points", "cuboid", "skeleton")
_SHAPES = ("box", "polygon", "mask", "ellipse")


def read_cvat(files: Files, parsed: Parsed) -> None:
    """Read all CVAT files of a folder into `parsed`."""
    classes = ClassNames(files.settings, parsed.findings)
    for path in files.annotations["cvat"]:
        root: ElementTree.Element = files.documents[path]
        labels = [name for label in root.iter("label") if (name := nfc(label.findtext("name") or ""))]
        classes.stated(dict(enumerate(labels)), path)
        for track in root.iter("track"):
            found = f"a track {track.get('label')!r}, which belongs to a video"
            remedy = 'Export the task as "CVAT for images 1.1".'
            parsed.findings.add_error(MalformedAnnotationError(path, found, remedy, line_of(track)))
        for element in root.iter("image"):
            _read_image(files, parsed, classes, path, element)
    parsed.classes = classes.listed(alphabetical=False)


def _read_image(files: Files, parsed: Parsed, classes: ClassNames, path: str, element: ElementTree.Element) -> None:
    name, image = element.get("name", ""), None
    with parsed.findings.costs():
        image = files.names.get(name, by=path, findings=parsed.findings, line=line_of(element))
    if image is None:
        return
    with parsed.image(image):
        split = split_in(element.get("subset", "")) or split_in(image) or split_in(PurePosixPath(path).name)
        entry = parsed.entry(image, path, line_of(element), size=_size(element, path), split=split)
        for child in element:
            if child.tag in _UNREAD:
                found = f"a {child.tag} {child.get('label')!r} of {image}"
                remedy = "Draw it as a box, polygon or mask."
                parsed.lose_shape(UNREAD_SHAPE, entry, path, found, remedy, line_of(child))
            elif child.tag in _SHAPES:
                _add_shape(parsed, entry, child, path, classes)
        if not entry.shapes and not entry.incomplete:
            parsed.findings.add(EMPTY_ANNOTATION, path, image, line=line_of(element))


def _add_shape(parsed: Parsed, entry: Entry, element: ElementTree.Element, path: str, classes: ClassNames) -> None:
    line = line_of(element)
    label = nfc(element.get("label", ""))
    if not label:
        raise MalformedAnnotationError(path, f"a {element.tag} has no label", REMEDY, line)
    label = classes.used(label)

    def value(key: str, default: str = "") -> float:
        return number(element.get(key, default), f"{key} of a {element.tag}", path, line)

    if element.tag == "mask":
        width, height = entry.size or (0, 0)
        code = (element.get("rle") or "").replace(",", " ").split()
        runs = numbers(code, "rle", path, line, len(code))
        place = (int(value("left")), int(value("top")), int(value("width")), int(value("height")))
        mask = counts_mask([int(run) for run in runs], (width, height), path, line, by_column=False, place=place)
        entry.shapes.append(Shape(label, mask.box(), mask=mask, line=line, file=path))
        return
    box, points = None, ()
    rotation = value("rotation", "0")
    if element.tag == "box":
        box = value("xtl"), value("ytl"), value("xbr"), value("ybr")
        if rotation % 360:
            x, y, width, height = box[0], box[1], box[2] - box[0], box[3] - box[1]
            points = rotated_corners(x, y, width, height, rotation, (x + width / 2, y + height / 2))
            parsed.findings.add(ORIENTED, path, f"{label} of {entry.image}", line=line)
    elif element.tag == "ellipse":
        points = ellipse_points(value("cx"), value("cy"), value("rx"), value("ry"), rotation)
    else:
        pairs = (element.get("points") or "").replace(";", ",").split(",")
        points = points_of(numbers(pairs, "points", path, line))
    if points:
        parsed.add_outline(entry, label, points, path, line)
    else:
        entry.shapes.append(Shape(label, box, line=line, file=path))


def _size(element: ElementTree.Element, path: str) -> tuple[int, int] | None:
    if element.get("width") is None or element.get("height") is None:
        return None
    width, height = (int(number(element.get(key), key, path, line_of(element))) for key in ("width", "height"))
    return (width, height) if min(width, height) > 0 else None
