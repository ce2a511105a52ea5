"""Bring annotations into the frame of the displayed image: sizes, EXIF orientation, shares and corners."""

from __future__ import annotations

from collections.abc import Iterable

from ..annotations.polygon import Point, PolygonMask, hull
from ..errors import MaskSizeError
from ..raw.images import ImageHeader
from ..raw.orientation import TURNED, TurnedMask, turned_points
from ..raw.tree import Tree
from ..report import Effect, Kind, Report
from ..schema import Box, Instance, InstanceMask, MaskSource
from .mask_sources import CountsMask, PolygonsMask
from .masks import mask_objects
from .parsed import ROUNDED_BOX, SOME_MASKS, Entry, Parsed, Shape, loss

SIZE_MISMATCH = Kind(
    "size_mismatch", Effect.IMAGE_LOST, "the annotation is for another image size, and not only resized: left out"
)
_ROUNDING = 1.0  # pixels that a box may be outside by rounding
_NOISE = 1e-6  # pixels that floating-point arithmetic is off
_ONE_FACTOR = 0.02  # relative difference of the factors of width and height in an image that was resized


class Framed:
    """The objects of one image in the frame of the displayed image.

    Attributes:
        instances: its objects.
        mask_shares: of every mask file, the share of its pixels that is defect.
    """

    def __init__(self, tree: Tree, entry: Entry, header: ImageHeader, parsed: Parsed, report: Report) -> None:
        self._entry, self._header, self._report = entry, header, report
        self._turn = False
        self._scale = (1.0, 1.0)
        if header.orientation != 1:
            report.add("exif_orientation", entry.image, f"orientation {header.orientation}")
        self._choose_frame()
        plain = [shape for shape in entry.shapes if shape.mask_file is None]
        self.instances = [self._instance(shape) for shape in plain]
        sizes = {header.size, header.stored}
        objects, self.mask_shares = mask_objects(tree, entry, sizes, parsed.mask_values, report)
        self.instances += [self._of_mask(instance, size) for instance, size in objects]
        with_mask = sum(instance.mask is not None for instance in self.instances)
        if 0 < with_mask < len(self.instances):
            report.add(SOME_MASKS, entry.image, f"{with_mask} of {len(self.instances)} boxes have a mask")
            self.instances = [Instance(one.label, one.box) for one in self.instances]

    def _choose_frame(self) -> None:
        """Decide whether the annotation was made on the displayed, the stored, or a resized image."""
        entry, header = self._entry, self._header
        shown, stored, size = header.size, header.stored, entry.size
        if size is None:
            boxes = list(self._pixel_boxes())
            in_stored_only = not all(_inside(box, shown) for box in boxes) and all(
                _inside(box, stored) for box in boxes
            )
            self._turn = header.orientation in TURNED and in_stored_only
        elif size == shown:
            return
        elif size == stored:
            self._turn = True
        else:
            factors = shown[0] / size[0], shown[1] / size[1]
            found = f"the annotation states {size[0]}x{size[1]}, the file is {shown[0]}x{shown[1]}"
            same_shape = abs(factors[0] / factors[1] - 1) <= _ONE_FACTOR
            if not same_shape or not all(_inside(box, size) for box in self._pixel_boxes()):
                remedy = "Get image and annotation from the same copy."
                raise loss(SIZE_MISMATCH, entry.image, found, remedy)
            if entry.shapes:
                self._report.add("resized_image", entry.image, found)
            self._scale = factors
        if self._turn and entry.shapes:
            self._report.add("exif_turned_annotation", entry.image, f"in {entry.file}")

    def _pixel_boxes(self) -> Iterable[Box]:
        for shape in self._entry.shapes:
            if shape.box is not None and not shape.shares:
                x1, y1, x2, y2 = shape.box
                yield min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)

    def _instance(self, shape: Shape) -> Instance:
        width, height = self._header.size
        if shape.entire:
            return Instance(shape.label, (0.0, 0.0, float(width), float(height)))
        parts = tuple(self._moved(part, shape.shares) for part in shape.polygons)
        box = self._box(shape) if shape.box is not None else hull([point for part in parts for point in part])
        mask: MaskSource | None = None
        if shape.mask is not None:
            mask = self._mask(shape.mask, shape)
        elif parts:
            mask = PolygonMask(parts[0]) if len(parts) == 1 else PolygonsMask(parts)
        return Instance(shape.label, self._rounded(box, shape), None if mask is None else InstanceMask(mask))

    def _box(self, shape: Shape) -> Box:
        x1, y1, x2, y2 = shape.box or (0.0, 0.0, 0.0, 0.0)
        if x1 > x2 or y1 > y2:
            self._report.add("swapped_corners", shape.file or self._entry.file, shape.label, line=shape.line)
        return hull(self._moved(((x1, y1), (x2, y2)), shape.shares))

    def _moved(self, points: tuple[Point, ...], shares: bool) -> tuple[Point, ...]:
        """Return points of the annotation in the displayed frame."""
        width, height = self._header.stored if self._turn else self._header.size
        across, down = (width, height) if shares else self._scale
        scaled = tuple((x * across, y * down) for x, y in points)
        return turned_points(scaled, self._header.orientation, self._header.stored) if self._turn else scaled

    def _rounded(self, box: Box, shape: Shape) -> Box:
        """Clip a box that is up to a pixel outside."""
        width, height = self._header.size
        inside = (max(box[0], 0.0), max(box[1], 0.0), min(box[2], float(width)), min(box[3], float(height)))
        outside = max(abs(a - b) for a, b in zip(box, inside, strict=True))
        if outside > _ROUNDING or inside[0] >= inside[2] or inside[1] >= inside[3]:
            return box
        if outside > _NOISE:
            found = f"{shape.label} {tuple(round(value, 3) for value in box)}"
            self._report.add(ROUNDED_BOX, self._entry.image, found)
        return inside

    def _mask(self, mask: MaskSource, shape: Shape) -> MaskSource:
        """Return a mask in the displayed frame; run lengths know the size they were made for."""
        if not isinstance(mask, CountsMask):
            return mask
        if (mask.width, mask.height) == self._header.size and not self._turn:
            return mask
        if (mask.width, mask.height) == self._header.stored:
            return TurnedMask(mask, self._header.orientation, self._header.stored)
        width, height = self._header.size
        found = f"the mask of {shape.label} is {mask.width}x{mask.height}, its image {width}x{height}"
        raise MaskSizeError(shape.file, found, "Get the mask and image from the same copy.", shape.line)

    def _of_mask(self, instance: Instance, size: tuple[int, int]) -> Instance:
        """Return an object of a mask file in the displayed frame."""
        header = self._header
        if header.orientation == 1 or size == header.size != header.stored or instance.mask is None:
            return instance
        if size == header.size == header.stored:
            return instance  # a square, or half a turn: tools show what is displayed
        x1, y1, x2, y2 = instance.box
        box = hull(turned_points(((x1, y1), (x2, y2)), header.orientation, header.stored))
        source = TurnedMask(instance.mask.source, header.orientation, header.stored)
        return Instance(instance.label, box, InstanceMask(source, instance.mask.component))


def _inside(box: Box, size: tuple[int, int]) -> bool:
    return (
        box[0] >= -_ROUNDING
        and box[1] >= -_ROUNDING
        and box[2] <= size[0] + _ROUNDING
        and box[3] <= size[1] + _ROUNDING
    )
