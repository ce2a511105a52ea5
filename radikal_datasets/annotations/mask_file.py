"""Masks kept as image files: 0 is background, 255 the defect; one file holds all defects of one image."""

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
    "mask has other values than 0 and 255: its only one above 0, or all above 127, is the defect",
)

_REMEDY = "Fetch the mask again; its image is left out until then."
# What converts to 8 bit gray without a choice of our own: 16 bit and float masks have no agreed white.
_EIGHT_BIT_MODES = {"1", "L", "LA", "P", "RGB", "RGBA"}


@dataclass(frozen=True)
class MaskFile:
    """A mask file as the pixels of instances: component k is the k-th 8-connected one.

    Attributes:
        path: posix path of the mask below the root.
    """

    path: str

    def labels(self, tree: Tree, width: int, height: int) -> np.ndarray:
        """int32 array of shape (height, width); see `schema.MaskSource`."""
        return label_components(to_defect(read_mask(tree, self.path, width, height)))[0]


def read_mask(tree: Tree, path: str, width: int, height: int) -> np.ndarray:
    """The pixels of a mask, uint8 of shape (height, width), decoded only if its size is right.

    Args:
        tree: where it lies.
        path: posix path below the root.
        width: of its image, in pixels.
        height: of its image, in pixels.

    Raises:
        MaskSizeError: another size than its image.
        MalformedAnnotationError: not an image, a broken one, or one of more than 8 bits.
    """
    with tree.open_file(path) as file:
        try:
            mask = PIL.Image.open(file)
        except Exception as error:  # Pillow's plugins raise OSError, SyntaxError, struct.error, ValueError ...
            unknown = isinstance(error, PIL.UnidentifiedImageError)
            found = "a mask without an image header" if unknown else f"a mask with a bad header: {error}"
            raise MalformedAnnotationError(path, found, _REMEDY) from None
        if mask.size != (width, height):
            found = f"mask is {mask.width}x{mask.height}, its image {width}x{height}"
            raise MaskSizeError(path, found, "Scaling would move its edges: get the mask and image of one copy.")
        if mask.mode not in _EIGHT_BIT_MODES:
            raise MalformedAnnotationError(path, f"a mask of mode {mask.mode}, not 8 bit", _REMEDY)
        try:
            return np.asarray(mask.convert("L"))
        except Exception as error:  # as above, from the decoder
            raise MalformedAnnotationError(path, f"a mask that can't be decoded: {error}", _REMEDY) from None


def to_defect(pixels: np.ndarray) -> np.ndarray:
    """Boolean array, true on the defect; for values other than 0 and 255 see `MASK_VALUES`."""
    # {0, 1} is common among copies; more values come from smoothing or JPEG, and are cut in the middle.
    return pixels > (127 if len(_values(pixels) - {0}) > 1 else 0)


def _values(pixels: np.ndarray) -> set[int]:
    """The values that occur; counting is three times as fast as np.unique, which sorts."""
    return set(np.flatnonzero(np.bincount(pixels.ravel(), minlength=256)).tolist())


def mask_instances(tree: Tree, path: str, label: str, width: int, height: int, report: Report) -> list[Instance]:
    """One instance a component of a mask file; empty if the mask is.

    Args:
        tree: where the mask lies.
        path: posix path of the mask below the root.
        label: class name of every instance.
        width: of its image, in pixels.
        height: of its image, in pixels.
        report: counts a mask of odd values (`MASK_VALUES`).

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
