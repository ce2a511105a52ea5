"""What the readers return: the images that annotations mention, their objects, and every problem on the way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from ..annotations.polygon import Point, hull
from ..errors import BadFileError, OwnDataError
from ..report import Effect, Kind, Report
from ..schema import Box, MaskSource
from .numbers import REMEDY, Lines, has_area

AMBIGUOUS_IMAGE = Kind(
    "ambiguous_image", Effect.IMAGE_LOST, "a file name in an annotation fits several images: none of them gets it"
)
LISTED_TWICE = Kind(
    "listed_twice", Effect.REPAIRED, "an image is listed more than once: its annotations are put together"
)
ROUNDED_BOX = Kind("rounded_box", Effect.REPAIRED, "the box is up to a pixel beyond the image, by rounding: clipped")
NO_AREA = Kind(
    "polygon_without_area", Effect.BOX_LOST, "a polygon of fewer than three different points and no box: left out"
)
NO_AREA_BOX = Kind(
    "polygon_replaced_by_box",
    Effect.REPAIRED,
    "a polygon of fewer than three different points: the box beside it is used",
)
CROWD = Kind("crowd_box", Effect.NOTED, "a region marked as a crowd (iscrowd), which is no single defect: left out")
ORIENTED = Kind("oriented_box", Effect.REPAIRED, "a rotated box: its upright hull is the box, its outline the mask")
UNREAD_SHAPE = Kind("unread_shape", Effect.BOX_LOST, "a point, line or other shape without area: left out")
SOME_MASKS = Kind(
    "some_masks", Effect.REPAIRED, "only some boxes of the image have a mask: the image keeps its boxes, without masks"
)
SKIPPED_TASK = Kind(
    "skipped_task", Effect.UNLABELED, "a task that was skipped or not finished: kept as annotated=False"
)
SEVERAL_ANNOTATORS = Kind(
    "several_annotations", Effect.NOTED, "an image was annotated more than once: the accepted or the first one is used"
)
CLASS_NUMBERS = Kind(
    "class_numbers_differ", Effect.REPAIRED, "two files give a class different numbers: classes are matched by name"
)
SIMILAR_CLASSES = Kind(
    "similar_classes", Effect.NOTED, "class names that differ only in case, spaces or hyphens: perhaps the same class"
)
SUPERCATEGORY = Kind("supercategory", Effect.NOTED, "a category that only heads others and has no box: no class")
EMPTY_ANNOTATION = Kind(
    "empty_annotation", Effect.NOTED, "the annotation lists the image without an object: defect-free"
)
OTHER_EXTENSION = Kind(
    "other_extension", Effect.REPAIRED, "the annotation names the image with another extension: matched without it"
)


@dataclass(frozen=True)
class Shape:
    """One object of an annotation.

    Attributes:
        label: class name.
        box: x_min, y_min, x_max, y_max, 0-based and half-open; None: the hull of its polygons or mask.
        polygons: the parts of its outline; empty if there is none.
        mask: its pixels, in the stored or the displayed frame, whichever has the size that it was made for.
        mask_file: path of an image file with the masks of one or more objects; they are found when it is decoded.
        shares: whether numbers are shares of width and height instead of pixels.
        entire: the object is the complete image; only the class is known.
        line: in the annotation file.
        file: the annotation file, if it is another one than that of its image.
    """

    label: str
    box: Box | None = None
    polygons: tuple[tuple[Point, ...], ...] = ()
    mask: MaskSource | None = None
    mask_file: str | None = None
    shares: bool = False
    entire: bool = False
    line: int | None = None
    file: str = ""


@dataclass
class Entry:
    """What the annotations say about one image.

    Attributes:
        image: path of the image below the root.
        file, line: where it is annotated.
        shapes: its objects.
        size: (width, height) for which the annotation was made; None if it does not say.
        split: as the folder or list says; None if neither does.
        annotated: whether somebody looked at it.
        incomplete: an object was left out, so that without others the image is not known to be defect-free.
        group: what must not be split, as stated by a column; None if none states it.
        image_id: as stated by a list that this program exported; None otherwise.
        must_show: whether the folder says that there is a defect; None if it does not say.
    """

    image: str
    file: str
    line: int | None = None
    shapes: list[Shape] = field(default_factory=list)
    size: tuple[int, int] | None = None
    split: str | None = None
    annotated: bool = True
    incomplete: bool = False
    group: str | None = None
    image_id: str | None = None
    must_show: bool | None = None


def loss(kind: Kind, path: str, found: str, remedy: str, line: int | None = None) -> OwnDataError:
    """Return an error that is counted under `kind`; arguments as for `BadFileError`."""
    error = OwnDataError(path, found, remedy, line)
    error.kind = kind
    return error


@dataclass(frozen=True)
class _Finding:
    kind: str | Kind
    path: str
    found: str
    line: int | None
    count: int
    error: BadFileError | None


@dataclass
class Findings:
    """Problems found before a builder's report exists; `replay` counts them there."""

    _all: list[_Finding] = field(default_factory=list)

    def add(self, kind: str | Kind, path: str, found: str = "", *, line: int | None = None, count: int = 1) -> None:
        """Count a problem that costs no image by itself; arguments as for `Report.add`."""
        self._all.append(_Finding(kind, path, found, line, count, None))

    def lose(self, kind: Kind, path: str, found: str, remedy: str, line: int | None = None) -> None:
        """Count a problem of own data that costs an image or box."""
        self.add_error(loss(kind, path, found, remedy, line))

    def add_error(self, error: BadFileError) -> None:
        """Count an error that costs an image."""
        self._all.append(_Finding(error.kind, error.path, error.found, error.line, 1, error))

    @contextmanager
    def costs(self) -> Iterator[None]:
        """Wrap the parsing of one file or image: a `BadFileError` inside is counted and does not stop the others."""
        try:
            yield
        except BadFileError as error:
            self.add_error(error)

    def replay(self, report: Report) -> None:
        """Count everything in a report; one that is strict raises at the first loss."""
        for one in self._all:
            if one.error is not None and report.strict:
                raise one.error
            report.add(one.kind, one.path, one.found, line=one.line, count=one.count)


@dataclass
class Parsed:
    """All that the annotations of one format say.

    Attributes:
        classes: the class names, in the order in which the annotations state them.
        entries: image path -> what is said about it.
        excluded: images whose annotation cannot be trusted: they are left out.
        image_level: a defect is known per image only.
        mask_values: value of masks -> class; None: masks of one class.
        listed: images of an export by this program, with their names.
        findings: what was found on the way.
    """

    classes: list[str] = field(default_factory=list)
    entries: dict[str, Entry] = field(default_factory=dict)
    excluded: set[str] = field(default_factory=set)
    image_level: bool = False
    mask_values: Mapping[int | tuple[int, int, int], str] | None = None
    listed: dict[str, Entry] = field(default_factory=dict)
    findings: Findings = field(default_factory=Findings)

    def entry(
        self,
        image: str,
        file: str,
        line: int | None = None,
        *,
        size: tuple[int, int] | None = None,
        split: str | None = None,
    ) -> Entry:
        """Return a new entry of an image, or the existing one if it is listed again (which is counted)."""
        there = self.entries.get(image)
        if there is None:
            self.entries[image] = Entry(image, file, line, size=size, split=split)
            return self.entries[image]
        self.findings.add(LISTED_TWICE, image, f"in {there.file} and {file}" if there.file != file else f"in {file}")
        there.size, there.split = there.size or size, there.split or split
        return there

    def lose_shape(self, kind: Kind, entry: Entry, file: str, found: str, remedy: str, line: int | None) -> None:
        """Count an object that is left out, so that its image is not known to be defect-free without others."""
        self.findings.lose(kind, file, found, remedy, line)
        entry.incomplete = True

    def add_outline(
        self, entry: Entry, label: str, points: tuple[Point, ...], file: str, line: Lines, *, shares: bool = False
    ) -> None:
        """Add an object with a polygon; one without area is left out and counted."""
        if has_area(points):
            at = line if isinstance(line, int) else None
            entry.shapes.append(Shape(label, hull(points), (points,), shares=shares, line=at, file=file))
            return
        found = f"{label} of {entry.image} has {len({*points})} different points"
        self.lose_shape(NO_AREA, entry, file, found, REMEDY, line() if callable(line) else line)

    @contextmanager
    def image(self, path: str | None) -> Iterator[None]:
        """Wrap what is said about one image: a `BadFileError` inside costs it."""
        try:
            yield
        except BadFileError as error:
            self.findings.add_error(error)
            if path is not None:
                self.excluded.add(path)
