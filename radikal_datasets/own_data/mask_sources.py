"""Masks of own data: run lengths of several tools, unions of polygons, values of mask files, and turned ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import PIL.Image

from ..annotations.components import box_of, label_components
from ..annotations.polygon import Point, PolygonMask
from ..annotations.rle import run_lengths
from ..errors import MalformedAnnotationError, MaskSizeError
from ..raw.tree import Tree
from ..schema import Box

_REMEDY = "Export the annotation again; its image is left out until then."


@dataclass(frozen=True)
class CountsMask:
    """A mask as run lengths: background and defect alternate, background first; all of it is component 1.

    Attributes:
        counts: the lengths.
        width, height: of the complete mask, in pixels.
        by_column: down the columns (COCO) or along the rows (CVAT).
        place: (left, top, width, height) of the part that the counts describe; None: everything.
    """

    counts: tuple[int, ...]
    width: int
    height: int
    by_column: bool = True
    place: tuple[int, int, int, int] | None = None

    def pixels(self) -> np.ndarray:
        """Return the mask, boolean, of shape (height, width)."""
        left, top, width, height = self.place or (0, 0, self.width, self.height)
        inside = np.arange(len(self.counts)) % 2 == 1
        flat = np.repeat(inside, self.counts)
        part = flat.reshape(width, height).T if self.by_column else flat.reshape(height, width)
        if self.place is None:
            return part
        mask = np.zeros((self.height, self.width), bool)
        mask[top : top + height, left : left + width] = part
        return mask

    def labels(self, tree: Tree, width: int, height: int) -> np.ndarray:
        """See `schema.MaskSource`."""
        return self.pixels().astype(np.int32)

    def box(self) -> Box | None:
        """Return the smallest box around the mask; None if it is empty."""
        return box_of(self.pixels())


def counts_mask(
    counts: list[int],
    size: tuple[int, int],
    path: str,
    line: int | None,
    *,
    by_column: bool = True,
    place: tuple[int, int, int, int] | None = None,
) -> CountsMask:
    """Check run lengths and return their mask.

    Args:
        size: (width, height) of the image.

    Raises:
        MalformedAnnotationError: a negative length, or lengths that do not add up to the number of pixels.
    """
    width, height = place[2:] if place else size
    if place and not (place[0] >= 0 and place[1] >= 0 and place[0] + width <= size[0] and place[1] + height <= size[1]):
        raise MalformedAnnotationError(path, f"the mask at {place} leaves the {size[0]}x{size[1]} image", _REMEDY, line)
    total = sum(counts)
    if any(count < 0 for count in counts) or total > width * height:
        found = f"run lengths: {total:,} pixels in a mask of {width}x{height}"
        raise MalformedAnnotationError(path, found, _REMEDY, line)
    rest = width * height - total  # some tools leave out the last run of background
    if rest and place is None:
        raise MalformedAnnotationError(
            path, f"run lengths: {total:,} pixels in a mask of {width}x{height}", _REMEDY, line
        )
    counts = [*counts, *([] if len(counts) % 2 == 0 else [0]), rest] if rest else counts
    return CountsMask(tuple(counts), size[0], size[1], by_column, place)


def mask_from_pixels(mask: np.ndarray) -> CountsMask:
    """Return a mask source for boolean pixels of shape (height, width)."""
    return CountsMask(tuple(run_lengths(mask)), mask.shape[1], mask.shape[0])


def compressed_counts(text: str, path: str, line: int | None) -> list[int]:
    """Decode COCO's compressed run lengths: 5 bits a character, from the third on as differences.

    Raises:
        MalformedAnnotationError: a character outside the code, or a number that is cut off.
    """
    counts: list[int] = []
    position = 0
    while position < len(text):
        value = shift = 0
        more = True
        while more:
            if position >= len(text) or not 0 <= (code := ord(text[position]) - 48) < 64:
                raise MalformedAnnotationError(path, "run lengths: the code is damaged", _REMEDY, line)
            value |= (code & 31) << shift
            more = bool(code & 32)
            position += 1
            shift += 5
            if not more and code & 16:
                value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
    return counts


@dataclass(frozen=True)
class PolygonsMask:
    """The pixels inside any of several polygons, as component 1."""

    parts: tuple[tuple[Point, ...], ...]

    def labels(self, tree: Tree, width: int, height: int) -> np.ndarray:
        """See `schema.MaskSource`."""
        drawn = [PolygonMask(part).labels(tree, width, height) for part in self.parts]
        return np.maximum.reduce(drawn)


@dataclass(frozen=True)
class ValueMask:
    """The 8-connected components of one value (or color) in a mask file.

    Attributes:
        path: posix path of the mask.
        value: number, palette index, or (red, green, blue).
    """

    path: str
    value: int | tuple[int, int, int]

    def labels(self, tree: Tree, width: int, height: int) -> np.ndarray:
        """See `schema.MaskSource`."""
        return label_components(equal_to(mask_values(tree, self.path), self.value))[0]


def equal_to(values: np.ndarray, value: int | tuple[int, int, int]) -> np.ndarray:
    """Return where a mask has a value, boolean (height, width)."""
    return (values == np.asarray(value)).all(axis=-1) if values.ndim == 3 else values == value


def mask_values(tree: Tree, path: str) -> np.ndarray:
    """Return the values of a mask file as stored: palette indices or gray levels (H, W), or colors (H, W, 3).

    Raises:
        MalformedAnnotationError: it cannot be decoded.
    """
    try:
        with tree.open_file(path) as file, PIL.Image.open(file) as image:
            if image.mode in ("1", "L", "P", "I;16", "I"):
                values = np.asarray(image)
                return values.astype(np.uint8) if values.dtype == bool else values
            if image.mode == "LA":
                return np.asarray(image.convert("L"))
            colors = np.asarray(image.convert("RGB"))
    except Exception as error:  # Pillow's plugins raise OSError, SyntaxError, struct.error, ValueError ...
        raise MalformedAnnotationError(path, f"the mask cannot be decoded: {error}", _REMEDY) from None
    gray = (colors[..., 0] == colors[..., 1]) & (colors[..., 1] == colors[..., 2])
    return colors[..., 0] if gray.all() else colors


def check_size(values: np.ndarray, sizes: set[tuple[int, int]], path: str) -> None:
    """Check that a mask has one of the sizes (width, height) of its image: as stored or as displayed.

    Raises:
        MaskSizeError: it has another.
    """
    height, width = values.shape[:2]
    if (width, height) not in sizes:
        wanted = " or ".join(f"{w}x{h}" for w, h in sorted(sizes))
        found = f"the mask is {width}x{height}, its image {wanted}"
        raise MaskSizeError(path, found, "Scaling would move its edges. Get the mask and image from the same copy.")
