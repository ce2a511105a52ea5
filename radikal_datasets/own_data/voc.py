"""Pascal VOC: one XML file per image, as labelImg, Roboflow and CVAT write them."""

from __future__ import annotations

from pathlib import PurePosixPath
from xml.etree import ElementTree

from ..annotations.safe_xml import line_of
from ..errors import MalformedAnnotationError
from ..schema import Box
from .class_names import ClassNames
from .documents import text_lines
from .names import nfc, split_in
from .numbers import REMEDY, number
from .parsed import EMPTY_ANNOTATION, Parsed, Shape
from .recognize import Files


def read_voc(files: Files, parsed: Parsed) -> None:
    """Read all VOC files of a folder into `parsed`; boxes are 1-based and inclusive unless the settings differ."""
    classes = ClassNames(files.settings, parsed.findings)
    listed = _label_map(files)
    for path, names in listed.items():
        classes.stated(dict(enumerate(names)), path)
    lists = _image_lists(files)
    for path in files.annotations["voc"]:
        root: ElementTree.Element = files.documents[path]
        image = None
        with parsed.findings.costs():
            stated = (root.findtext("filename") or "").strip()
            image = files.names.get_beside(path, stated, findings=parsed.findings, entry="the XML")
        if image is None:
            continue
        with parsed.image(image):
            split = lists.get(PurePosixPath(image).stem) or split_in(image) or split_in(path)
            entry = parsed.entry(image, path, size=_size(root, path), split=split)
            objects = list(root.iter("object"))
            entry.shapes += [
                _shape(element, path, classes, files.settings.boxes == "zero_based") for element in objects
            ]
            if not objects:
                parsed.findings.add(EMPTY_ANNOTATION, path)
    parsed.classes = classes.listed(alphabetical=not listed)


def _size(root: ElementTree.Element, path: str) -> tuple[int, int] | None:
    """Return the image size that a file states; None if it states none, or 0."""
    size = root.find("size")
    if size is None:
        return None
    found = []
    for tag in ("width", "height"):
        text = (size.findtext(tag) or "0").strip()
        found.append(int(number(text, f"<{tag}>", path, line_of(size))))
    return (found[0], found[1]) if min(found) > 0 else None


def _shape(element: ElementTree.Element, path: str, classes: ClassNames, zero_based: bool) -> Shape:
    line = line_of(element)
    name = nfc(element.findtext("name") or "")
    if not name:
        raise MalformedAnnotationError(path, "<object> has no <name>", REMEDY, line)
    box = element.find("bndbox")
    if box is None:
        raise MalformedAnnotationError(path, f"the object {name!r} has no <bndbox>", REMEDY, line)
    x_min, y_min, x_max, y_max = (
        number((box.findtext(tag) or "").strip(), f"<{tag}>", path, line_of(box))
        for tag in ("xmin", "ymin", "xmax", "ymax")
    )
    return Shape(classes.used(name), _from_voc(x_min, y_min, x_max, y_max, zero_based), line=line, file=path)


def _from_voc(x1: float, y1: float, x2: float, y2: float, zero_based: bool) -> Box:
    """Return the box; corners in the wrong order stay so, one pixel apart as they would be in the right one."""
    if zero_based:
        return x1, y1, x2, y2
    left, right = (x1 - 1, x2) if x1 <= x2 else (x1, x2 - 1)
    top, bottom = (y1 - 1, y2) if y1 <= y2 else (y1, y2 - 1)
    return left, top, right, bottom


def _label_map(files: Files) -> dict[str, list[str]]:
    """Return the classes of `labelmap.txt`, as CVAT writes it, without the background; by file."""
    found = {}
    for path in files.tree.files:
        if PurePosixPath(path).name.lower() == "labelmap.txt" and not files.settings.ignores(path):
            names = [line.partition(":")[0] for line in text_lines(files.tree, path) if not line.startswith("#")]
            found[path] = [name for name in names if nfc(name).casefold() != "background"]
    for path in files.class_lists:
        if path.lower().endswith(".txt"):
            found[path] = text_lines(files.tree, path)
    return found


def _image_lists(files: Files) -> dict[str, str]:
    """Return image stem -> split, from `ImageSets/Main/<split>.txt`."""
    found = {}
    for path in files.image_lists:
        split = split_in(PurePosixPath(path).name)
        for line in text_lines(files.tree, path) if split else ():
            found[PurePosixPath(line.split()[0]).name.removesuffix(".jpg")] = split
    return found
