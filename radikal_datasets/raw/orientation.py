"""EXIF orientation: how the stored pixels of an image become the displayed image, for pixels, points and masks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import PIL.Image
from PIL import ImageOps

from .tree import Tree

_TAG = 0x0112
#: EXIF orientations by which width and height change places.
TURNED = frozenset({5, 6, 7, 8})

# EXIF orientation -> how an array of the stored pixels becomes that of the displayed image.
_TURNS = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}


def orientation_of(image: PIL.Image.Image) -> int:
    """Return the EXIF orientation of an opened image, 1 to 8; 1 if it states none, or an impossible one."""
    # Pillow decodes an entire PNG to look for EXIF data after its pixels, where no camera or program puts it.
    if image.format == "PNG" and not {"exif", "XML:com.adobe.xmp", "xmp"} & {*image.info}:
        return 1
    try:
        orientation = int(image.getexif().get(_TAG, 1))
    except Exception:  # a damaged EXIF block, which no decoder minds
        return 1
    return orientation if 1 <= orientation <= 8 else 1


def displayed_size(image: PIL.Image.Image) -> tuple[int, int]:
    """Return (width, height) of an opened image as it is displayed; TIFF files state that size themselves."""
    width, height = image.size
    flipped = orientation_of(image) in TURNED and image.format != "TIFF"
    return (height, width) if flipped else (width, height)


def upright(image: PIL.Image.Image) -> PIL.Image.Image:
    """Return an opened image as it is displayed; the same object if it is stored so."""
    return image if orientation_of(image) == 1 else ImageOps.exif_transpose(image)


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Return an array (height, width, ...) of the stored frame as it is displayed under an EXIF orientation."""
    return _TURNS[orientation](pixels)


def turned_points(
    points: Iterable[tuple[float, float]], orientation: int, stored: tuple[int, int]
) -> tuple[tuple[float, float], ...]:
    """Return points of the stored frame of size (width, height) in the displayed frame."""
    width, height = stored
    move = {
        1: lambda x, y: (x, y),
        2: lambda x, y: (width - x, y),
        3: lambda x, y: (width - x, height - y),
        4: lambda x, y: (x, height - y),
        5: lambda x, y: (y, x),
        6: lambda x, y: (height - y, x),
        7: lambda x, y: (height - y, width - x),
        8: lambda x, y: (y, width - x),
    }[orientation]
    return tuple(move(x, y) for x, y in points)


@dataclass(frozen=True)
class TurnedMask:
    """A mask source (see `schema.MaskSource`) that refers to the stored pixels of an image with an EXIF orientation."""

    source: Any
    orientation: int
    stored: tuple[int, int]

    def labels(self, tree: Tree, width: int, height: int) -> np.ndarray:
        """Return the labels in the displayed frame, whose size is (width, height)."""
        return np.ascontiguousarray(turned(self.source.labels(tree, *self.stored), self.orientation))
