"""Masks stored as image files: 0 is background, 255 the defect; one file holds all defects of one image."""

from __future__ import annotations

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
    "the mask has values other than 0 and 255: its only one above 0, or all above 127, count as defect",
)

_REMEDY = "Get the mask again; its image is left out until then."
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
    """Return the pixels of a mask, uint8 of shape (height, width), decoding it only if its size is right.

    Args:
        tree: the tree that holds it.
        path: posix path below the root.
        width: of its image, in pixels.
        height: of its image, in pixels.

    Raises:
        MaskSizeError: its size differs from its image's.
        MalformedAnnotationError: it is not an image, is damaged, or has more than 8 bits.
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
        if mask.mode not in _EIGHT_BIT_MODES:
            raise MalformedAnnotationError(path, f"the mask has mode {mask.mode}, not 8 bits", _REMEDY)
        try:
            return np.asarray(mask.convert("L"))
        except Exception as error:  # as above, from the decoder
            raise MalformedAnnotationError(path, f"the mask cannot be decoded: {error}", _REMEDY) from None


def to_defect(pixels: np.ndarray) -> np.ndarray:
    """Return a boolean array, true on the defect; for values other than 0 and 255 see `MASK_VALUES`."""
    # {0, 1} is common among copies; more values come from smoothing or JPEG and are thresholded in the middle.
    return pixels > (127 if len(_values(pixels) - {0}) > 1 else 0)


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
    """
    pixels = read_mask(tree, path, width, height)
    odd = sorted(_values(pixels) - {0, 255})
    if odd:
        some = ", ".join(map(str, odd[:4])) + " ..." * (len(odd) > 4)
        report.add(MASK_VALUES, path, f"values {some}")
    _, boxes = label_components(to_defect(pixels))
    source = MaskFile(path)
    return [Instance(label, box, InstanceMask(source, number)) for number, box in enumerate(boxes, start=1)]
