"""Masks whose pixel values are class numbers: 0 is background, each other value a class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import PIL.Image

from ..errors import MalformedAnnotationError, UnknownClassError
from ..raw.tree import Tree
from ..schema import Instance, InstanceMask
from .components import label_components
from .mask_file import decoded

_REMEDY = "Get the mask again; its image is left out until then."
# Modes whose stored values can be class numbers; of a palette image these are the indices, whatever their colors.
_NUMBERS = {"1", "L", "P", "I", "I;16"}


@dataclass(frozen=True)
class ClassMask:
    """The 8-connected components of one value of a mask file.

    Attributes:
        path: posix path of the mask below the root.
        value: the class number.
    """

    path: str
    value: int

    def labels(self, tree: Tree, width: int, height: int) -> np.ndarray:
        """Return an int32 array of shape (height, width); see `schema.MaskSource`."""
        return label_components(read_class_numbers(tree, self.path, width, height) == self.value)[0]


def read_class_numbers(tree: Tree, path: str, width: int, height: int) -> np.ndarray:
    """Return the stored values of a mask, of shape (height, width): gray levels, or indices of a palette.

    Converting a palette image to gray would replace its indices by the brightness of their colors.

    Raises:
        MaskSizeError, MalformedAnnotationError: as for `mask_file.decoded`; also if it holds colors.
    """
    return decoded(tree, path, width, height, _numbers_of)


def _numbers_of(mask: PIL.Image.Image, path: str) -> np.ndarray:
    if mask.mode in _NUMBERS:
        values = np.asarray(mask)
        return values.astype(np.uint8) if values.dtype == bool else values
    colors = np.asarray(mask.convert("RGB"))
    if (colors != colors[..., :1]).any():
        raise MalformedAnnotationError(path, "the mask holds colors, not class numbers", _REMEDY)
    return colors[..., 0]


def class_instances(tree: Tree, path: str, classes: Mapping[int, str], width: int, height: int) -> list[Instance]:
    """Return one instance per 8-connected component of each class, by class number.

    Args:
        tree: the tree that holds the mask.
        path: posix path of the mask below the root.
        classes: value -> class name.
        width: of its image, in pixels.
        height: of its image, in pixels.

    Raises:
        UnknownClassError: a value above 0 that is not in `classes`.
        MaskSizeError, MalformedAnnotationError: see `read_class_numbers`.
    """
    numbers = read_class_numbers(tree, path, width, height)
    found: list[Instance] = []
    for value in np.unique(numbers).tolist():
        if value == 0:
            continue
        if value not in classes:
            known = ", ".join(f"{number} {name}" for number, name in classes.items())
            raise UnknownClassError(path, f"the mask has the value {value}", f"The values are {known}. {_REMEDY}")
        source = ClassMask(path, value)
        _, boxes = label_components(numbers == value)
        found += [Instance(classes[value], box, InstanceMask(source, k)) for k, box in enumerate(boxes, start=1)]
    return found
