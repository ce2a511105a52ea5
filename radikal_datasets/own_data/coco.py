"""COCO detection files: boxes, polygons and run lengths, as CVAT, Roboflow and Label Studio write them."""

from __future__ import annotations

from functools import partial
from typing import Any

from ..annotations.polygon import Point, hull
from ..errors import MalformedAnnotationError, MissingImageError, UnknownClassError
from ..schema import Box, MaskSource
from .class_names import ClassNames
from .documents import JsonLines
from .mask_sources import compressed_counts, counts_mask
from .names import split_in
from .numbers import REMEDY, corners_of, has_area, located, numbers, points_of, size_of
from .parsed import CROWD, EMPTY_ANNOTATION, NO_AREA, NO_AREA_BOX, SUPERCATEGORY, Entry, Parsed, Shape
from .recognize import Files


def read_coco(files: Files, parsed: Parsed) -> None:
    """Read all COCO files of a folder into `parsed`; several are merged."""
    classes = ClassNames(files.settings, parsed.findings)
    for path in files.annotations["coco"]:
        with parsed.findings.costs():
            _File(files, parsed, classes, path).read()
    parsed.classes = classes.listed(alphabetical=False)


class _File:
    """One COCO file."""

    def __init__(self, files: Files, parsed: Parsed, classes: ClassNames, path: str) -> None:
        self.files, self.parsed, self.path = files, parsed, path
        self.data: dict[str, Any] = files.documents[path]
        self.lines = JsonLines(files.tree)
        self._unread: set[Any] = set()  # ids of images that were reported
        for key in ("images", "annotations", "categories"):
            value = self.data.setdefault(key, [])
            if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
                raise MalformedAnnotationError(path, f"{key!r} is not a list of objects", REMEDY)
        self.names = classes.stated(self._categories(), path)

    def _categories(self) -> dict[int, str]:
        """Return category id -> name, without Roboflow's category 0, which only heads the others."""
        used = {one.get("category_id") for one in self.data["annotations"]}
        above = {str(one.get("supercategory")) for one in self.data["categories"]}
        names = {}
        for number, category in enumerate(self.data["categories"]):
            name, key = str(category.get("name", "")), category.get("id")
            if not isinstance(key, int) or isinstance(key, bool):
                line = self.lines.line(self.path, "categories", number)
                raise MalformedAnnotationError(self.path, f"the id of category {name!r} is {key!r}", REMEDY, line)
            others = len(self.data["categories"]) > 1
            if key not in used and name in above and str(category.get("supercategory")) != name and others:
                self.parsed.findings.add(SUPERCATEGORY, self.path, name)
                continue
            names[key] = name
        return names

    def read(self) -> None:
        """Read images, then their annotations."""
        entries = self._images()
        empty = {*entries}
        for number, annotation in enumerate(self.data["annotations"]):
            key = annotation.get("image_id")
            empty.discard(key)
            if key not in entries:
                if key not in self._unread:
                    found = f"annotation {annotation.get('id')} is for image {key!r}, which 'images' does not list"
                    error = MissingImageError(self.path, found, "Export the file again.", self._line(number))
                    self.parsed.findings.add_error(error)
                continue
            entry = entries[key]
            with self.parsed.image(entry.image), located(lambda number=number: self._line(number)):
                self._annotation(entry, annotation, number)
        if empty:
            first = ", ".join(entries[key].image for key in list(entries) if key in empty)
            self.parsed.findings.add(EMPTY_ANNOTATION, self.path, first[:120], count=len(empty))

    def _images(self) -> dict[Any, Entry]:
        """Return image id -> entry of the images that are there."""
        entries: dict[Any, Entry] = {}
        for number, image in enumerate(self.data["images"]):
            name, key = image.get("file_name"), image.get("id")
            self._unread.add(key)
            line = partial(self.lines.line, self.path, "images", number)
            with self.parsed.findings.costs(), located(line):
                if not isinstance(name, str) or not name:
                    raise MalformedAnnotationError(self.path, f"image {key!r} has no file_name", REMEDY)
                found = self.files.names.get(name, by=self.path, findings=self.parsed.findings, line=line)
                size = size_of(image.get("width"), image.get("height"))
                split = split_in(found) or split_in(self.path)
                entry = self.parsed.entry(found, self.path, size=size, split=split)
                if entries.setdefault(key, entry) is not entry:
                    found = f"image id {key!r} stands for {entries[key].image} and {found}"
                    self.parsed.excluded |= {entries[key].image, entry.image}
                    raise MalformedAnnotationError(self.path, found, REMEDY)
                self._unread.discard(key)
        return entries

    def _line(self, number: int) -> int | None:
        return self.lines.line(self.path, "annotations", number)

    def _annotation(self, entry: Entry, annotation: dict[str, Any], number: int) -> None:
        category = annotation.get("category_id")
        what = f"annotation {annotation.get('id', number)}"
        label = self.names.get(category) if isinstance(category, int) else None
        label = label or (self.files.settings.name_of(category) if isinstance(category, int) else None)
        if label is None:
            remedy = "Add it to 'categories', or name it under `classes` in radikal.yaml."
            raise UnknownClassError(
                self.path, f"{what} has category_id {category!r}, which has no name", remedy, self._line(number)
            )
        if annotation.get("iscrowd"):
            self.parsed.findings.add(CROWD, self.path, f"{what} of {entry.image}")
            entry.incomplete = True
            return
        box = self._box(annotation.get("bbox"), what)
        parts, mask = self._outline(annotation.get("segmentation"), what)
        areas = tuple(part for part in parts if has_area(part))
        if parts and not areas and mask is None:
            kind = NO_AREA if box is None else NO_AREA_BOX
            found = f"{what} of {entry.image} has {len(parts[0])} points"
            if box is None:
                self.parsed.lose_shape(kind, entry, self.path, found, REMEDY, self._line(number))
                return
            self.parsed.findings.add(kind, self.path, found, line=self._line(number))
        if box is None and areas:
            box = hull([point for part in areas for point in part])
        if box is None and mask is None:
            found = f"{what} has neither bbox nor segmentation"
            raise MalformedAnnotationError(self.path, found, REMEDY)
        entry.shapes.append(Shape(label, box, areas, mask, file=self.path))

    def _box(self, bbox: Any, what: str) -> Box | None:
        if bbox is None or bbox == []:
            return None
        x, y, width, height = numbers(bbox, f"bbox of {what}", self.path, None, 4)
        if self.files.settings.boxes == "xyxy":
            return x, y, width, height
        return corners_of(x, y, width, height)

    def _outline(self, segmentation: Any, what: str) -> tuple[list[tuple[Point, ...]], MaskSource | None]:
        """Return the polygons, or the mask, of a `segmentation`."""
        if not segmentation:
            return [], None
        if isinstance(segmentation, dict):
            counts, size = segmentation.get("counts"), segmentation.get("size")
            if isinstance(counts, str):
                counts = compressed_counts(counts, self.path, None)
            height, width = (int(one) for one in numbers(size, f"size of {what}", self.path, None, 2))
            runs = [int(one) for one in counts or []]
            return [], counts_mask(runs, (width, height), self.path, None)
        parts = segmentation if isinstance(segmentation[0], list) else [segmentation]
        return [points_of(numbers(part, f"segmentation of {what}", self.path, None)) for part in parts], None
