"""COCO detection files: boxes, polygons and run lengths, as CVAT, Roboflow and Label Studio write them."""

from __future__ import annotations

from typing import Any

from ..annotations.polygon import Point, hull
from ..errors import MalformedAnnotationError, MissingImageError, UnknownClassError
from ..schema import Box, MaskSource
from .documents import JsonLines
from .mask_sources import compressed_counts, counts_mask
from .names import ClassNames, split_in
from .numbers import REMEDY, corners_of, has_area, numbers, points_of
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
                    with self.parsed.findings.costs():
                        found = f"annotation {annotation.get('id')} is for image {key!r}, which 'images' does not list"
                        raise MissingImageError(self.path, found, "Export the file again.", self._line(number))
                continue
            entry = entries[key]
            with self.parsed.image(entry.image):
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
            with self.parsed.findings.costs():
                if not isinstance(name, str) or not name:
                    line = self.lines.line(self.path, "images", number)
                    raise MalformedAnnotationError(self.path, f"image {key!r} has no file_name", REMEDY, line)
                found = self.files.names.find(name, by=self.path, findings=self.parsed.findings)
                if found is None:
                    line = self.lines.line(self.path, "images", number)
                    remedy = "Copy the image here, or remove its entry."
                    raise MissingImageError(self.path, f"there is no image {name!r}", remedy, line)
                size = (image.get("width"), image.get("height"))
                known = all(isinstance(one, int) and one > 0 for one in size)
                split = split_in(found) or split_in(self.path)
                entry = self.parsed.entry(found, self.path, size=size if known else None, split=split)
                if entries.setdefault(key, entry) is not entry:
                    line = self.lines.line(self.path, "images", number)
                    found = f"image id {key!r} stands for {entries[key].image} and {found}"
                    self.parsed.excluded |= {entries[key].image, entry.image}
                    raise MalformedAnnotationError(self.path, found, REMEDY, line)
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
        box = self._box(annotation.get("bbox"), what, number)
        parts, mask = self._outline(annotation.get("segmentation"), entry, what, number)
        areas = tuple(part for part in parts if has_area(part))
        if parts and not areas and mask is None:
            kind = NO_AREA if box is None else NO_AREA_BOX
            found = f"{what} of {entry.image} has {len(parts[0])} points"
            if box is None:
                self.parsed.findings.lose(kind, self.path, found, REMEDY, self._line(number))
                entry.incomplete = True
                return
            self.parsed.findings.add(kind, self.path, found, line=self._line(number))
        if box is None and areas:
            box = hull([point for part in areas for point in part])
        if box is None and mask is None:
            found = f"{what} has neither bbox nor segmentation"
            raise MalformedAnnotationError(self.path, found, REMEDY, self._line(number))
        entry.shapes.append(Shape(label, box, areas, mask, file=self.path))

    def _box(self, bbox: Any, what: str, number: int) -> Box | None:
        if bbox is None or bbox == []:
            return None
        try:
            x, y, width, height = numbers(bbox, f"bbox of {what}", self.path, None, 4)
        except MalformedAnnotationError as error:
            raise MalformedAnnotationError(self.path, error.found, error.remedy, self._line(number)) from None
        if self.files.settings.boxes == "xyxy":
            return x, y, width, height
        return corners_of(x, y, width, height)

    def _outline(
        self, segmentation: Any, entry: Entry, what: str, number: int
    ) -> tuple[list[tuple[Point, ...]], MaskSource | None]:
        """Return the polygons, or the mask, of a `segmentation`."""
        if not segmentation:
            return [], None
        line = None
        if isinstance(segmentation, dict):
            counts, size = segmentation.get("counts"), segmentation.get("size")
            line = self._line(number) if not isinstance(counts, list | str) else None
            if isinstance(counts, str):
                counts = compressed_counts(counts, self.path, line)
            height, width = (int(one) for one in numbers(size, f"size of {what}", self.path, line, 2))
            runs = [int(one) for one in counts or []]
            mask = counts_mask(runs, (width, height), self.path, line)
            return [], mask
        parts = segmentation if isinstance(segmentation[0], list) else [segmentation]
        return [points_of(numbers(part, f"segmentation of {what}", self.path, line)) for part in parts], None
