"""Masks stored as image files: 0 is background, 255 the defect; one file holds all defects of one image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import PIL.Image

from ..errors import MalformedAnnotationError, MaskSizeError
from ..raw.tree import Tree
from ..report import Effect, Kind, Report
from ..schema import Instance, InstanceMask
from .components import label_components

MASK_VALUES = Kind(
    "mask_values",
    Effect.REPAIRED,
    "the mask has values other than 0 and 255: the only one above 0, numbers of classes, or all above 127 are defect",
    "masks",
)

_REMEDY = "Get the mask again; its image is left out until then."
#: A mask whose values are all at most this high holds numbers of classes, and not gray levels.
_MOST_CLASSES = 31
#: A mask with more values than these was smoothed or compressed.
_FEW_VALUES = 8
# Modes that convert to 8-bit gray unambiguously: 16-bit and float masks have no agreed white.
_EIGHT_BIT_MODES = {"1", "L", "LA", "P", "RGB", "RGBA"}


@dataclass(frozen=True)
class MaskFile:
    """A mask file that gives the pixels of instances: component k is the k-th 8-connected one.

    Attributes:
        path: posix path of the mask below the root.
    """

    path: str

    def labels(self, tree: Tree, width: int, height: int) -> np.ndarray:
        """Return an int32 array of shape (height, width); see `schema.MaskSource`."""
        return label_components(to_defect(read_mask(tree, self.path, width, height)))[0]


def read_mask(tree: Tree, path: str, width: int, height: int) -> np.ndarray:
    """Return the pixels of a mask, uint8 of shape (height, width); see `decoded`.

    Raises:
        MaskSizeError, MalformedAnnotationError: as for `decoded`; also if it has more than 8 bits.
    """
    return decoded(tree, path, width, height, _values_of)


def decoded(
    tree: Tree, path: str, width: int, height: int, values: Callable[[PIL.Image.Image, str], np.ndarray]
) -> np.ndarray:
    """Return the values of a mask file, of shape (height, width), decoding it only if its size is right.

    Args:
        tree: the tree that holds it.
        path: posix path below the root.
        width: of its image, in pixels.
        height: of its image, in pixels.
        values: returns the values of the opened image at a path.

    Raises:
        MaskSizeError: its size differs from its image's.
        MalformedAnnotationError: it is not an image or is damaged, or what `values` raises.
    """
    with tree.open_file(path) as file:
        try:
            mask = PIL.Image.open(file)
        except Exception as error:  # Pillow's plugins raise OSError, SyntaxError, struct.error, ValueError ...
            unknown = isinstance(error, PIL.UnidentifiedImageError)
            found = "the mask has no image header" if unknown else f"the mask has a bad header: {error}"
            raise MalformedAnnotationError(path, found, _REMEDY) from None
        if mask.size != (width, height):
            found = f"the mask is {mask.width}x{mask.height}, its image {width}x{height}"
            raise MaskSizeError(path, found, "Scaling would move its edges. Get the mask and image from the same copy.")
        try:
            return values(mask, path)
        except MalformedAnnotationError:
            raise
        except Exception as error:  # as above, from the decoder
            raise MalformedAnnotationError(path, f"the mask cannot be decoded: {error}", _REMEDY) from None


def _values_of(mask: PIL.Image.Image, path: str) -> np.ndarray:
    """Return gray levels as they are, and colors, also those of a palette, as numbers from 1; black is 0."""
    if mask.mode not in _EIGHT_BIT_MODES:
        raise MalformedAnnotationError(path, f"the mask has mode {mask.mode}, not 8 bits", _REMEDY)
    if mask.mode in ("1", "L", "LA"):
        return np.asarray(mask.convert("L"))
    colors = np.asarray(mask.convert("RGB"))
    if (colors == colors[..., :1]).all():
        return colors[..., 0]
    packed = colors.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1])
    found, numbers = np.unique(packed, return_inverse=True)
    if len(found) > _MOST_CLASSES:  # colors of a photograph, or of compression
        return np.asarray(mask.convert("L"))
    numbers = numbers.reshape(packed.shape) + (found[0] != 0)
    return numbers.astype(np.uint8)


def to_defect(pixels: np.ndarray) -> np.ndarray:
    """Return a boolean array, true on the defect; for values other than 0 and 255 see `MASK_VALUES`."""
    # {0, 1} is common among copies, and so are numbers of classes; more and higher values come from smoothing or JPEG
    # and are thresholded in the middle.
    values = _values(pixels) - {0}
    return pixels > (127 if len(values) > 1 and max(values) > _MOST_CLASSES else 0)


def _lost_areas(pixels: np.ndarray, defect: np.ndarray) -> list[int]:
    """Return the highest values of areas that are neither background nor defect.

    Compression leaves faint spots around a defect. A mask of few values has no such spots.
    """
    faint = 0 if len(_values(pixels)) <= _FEW_VALUES else _MOST_CLASSES
    labels, boxes = label_components(pixels > faint)
    held = set(np.unique(labels[defect]).tolist())
    return [int(pixels[labels == number].max()) for number in range(1, len(boxes) + 1) if number not in held]


def _values(pixels: np.ndarray) -> set[int]:
    """Return the values that occur; counting is three times as fast as np.unique, which sorts."""
    return set(np.flatnonzero(np.bincount(pixels.ravel(), minlength=256)).tolist())


def mask_instances(tree: Tree, path: str, label: str, width: int, height: int, report: Report) -> list[Instance]:
    """Return one instance per component of a mask file; none if the mask is empty.

    Args:
        tree: the tree that holds the mask.
        path: posix path of the mask below the root.
        label: class name of every instance.
        width: of its image, in pixels.
        height: of its image, in pixels.
        report: counts a mask with unusual values (`MASK_VALUES`).

    Raises:
        MaskSizeError, MalformedAnnotationError: see `read_mask`.
        MalformedAnnotationError: an area of the mask may be a defect or not.
    """
    pixels = read_mask(tree, path, width, height)
    values = _values(pixels) - {0}
    defect = to_defect(pixels)
    odd = sorted(values - {255})
    report.chances["masks"] += 1
    if odd:
        some = ", ".join(map(str, odd[:4])) + " ..." * (len(odd) > 4)
        above = pixels[defect]
        # Only the edges of white areas are gray, or the values can't be gray levels.
        proven = len(values) == 1 or max(values) <= _MOST_CLASSES or (above >= 224).sum() * 2 > above.size
        report.add(MASK_VALUES, path, f"values {some}", proven=proven)
        if len(values) > 1 and (lost := _lost_areas(pixels, defect)):
            found = f"values {some}: areas of {', '.join(map(str, sorted(set(lost))[:4]))} may be defects or not"
            raise MalformedAnnotationError(path, found, "State the defects as 255, or as numbers of classes from 1.")
    if values:
        report.mask_shares.append(float(defect.mean()))
    _, boxes = label_components(defect)
    source = MaskFile(path)
    return [Instance(label, box, InstanceMask(source, number)) for number, box in enumerate(boxes, start=1)]
