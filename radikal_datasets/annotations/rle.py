"""Run-length encoded masks: `start length` pairs, 1-based, counted down the columns (column-major)."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from ..errors import MalformedAnnotationError
from ..raw.tree import Tree
from ..schema import Box
from .components import label_components

# As many as 64 bits may need. An array of text takes as much memory for each number as for the longest.
_MAX_DIGITS = 19
_NUMBER = re.compile(rf"-?[0-9]{{1,{_MAX_DIGITS}}}")
_REMEDY = "Correct or fetch the file again; its image is left out until then."


def decode(text: str, width: int, height: int, path: str = "run-length code", line: int | None = None) -> np.ndarray:
    """The mask of a run-length code.

    Args:
        text: `start length start length ...`; pixel 1 is the top left one, pixel 2 the one below it. Runs ascend and do
            not overlap; they may touch and may cross from the foot of a column to the head of the next.
        width: of the image, in pixels.
        height: of the image, in pixels.
        path: for messages.
        line: for messages.

    Returns:
        Boolean array of shape (height, width), all false for an empty text.

    Raises:
        MalformedAnnotationError: an odd count of numbers, something that is no whole number, a run of no pixels, one
            outside the image, one that overlaps or precedes the one before it.
    """
    starts, ends = _runs(text, width * height, path, line)
    # Background and runs alternate: the lengths of all of them, and what they are.
    edges = np.concatenate(([0], np.stack((starts, ends), axis=1).ravel(), [width * height]))
    inside = np.arange(len(edges) - 1) % 2 == 1
    return np.repeat(inside, np.diff(edges)).reshape(width, height).T


def encode(mask: np.ndarray) -> str:
    """The run-length code of a boolean mask of shape (height, width); "" for an empty one. The inverse of `decode`."""
    flat = np.concatenate(([False], mask.T.ravel(), [False]))
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    starts, ends = edges[::2], edges[1::2]
    return " ".join(map(str, np.stack((starts + 1, ends - starts), axis=1).ravel()))


def components(
    text: str, width: int, height: int, path: str = "run-length code", line: int | None = None
) -> tuple[np.ndarray, list[Box]]:
    """The 8-connected components of a run-length code's mask.

    Arguments and errors as in `decode`; returns what `label_components` does.
    """
    mask = decode(text, width, height, path, line)
    labels = np.zeros((height, width), dtype=np.int32)
    columns = np.flatnonzero(mask.any(axis=0))
    if not len(columns):
        return labels, []
    # Labelling costs far more than decoding, and most masks cover a small part of the strip.
    first, end = int(columns[0]), int(columns[-1]) + 1
    labels[:, first:end], boxes = label_components(mask[:, first:end])
    return labels, [(x_min + first, y_min, x_max + first, y_max) for x_min, y_min, x_max, y_max in boxes]


@dataclass(frozen=True)
class RleMask:
    """Instances of a run-length code: the 8-connected components of its mask."""

    text: str

    def labels(self, tree: Tree, width: int, height: int) -> np.ndarray:
        """See `radikal_datasets.schema.MaskSource`."""
        return components(self.text, width, height)[0]


def _runs(text: str, size: int, path: str, line: int | None) -> tuple[np.ndarray, np.ndarray]:
    """First and one past last flat index of each run, 0-based, both int64 of shape (runs,)."""

    def fail(found: str) -> MalformedAnnotationError:
        return MalformedAnnotationError(path, f"run-length code: {found}", _REMEDY, line)

    fields = text.split()
    digits = "".join(fields)
    # Most codes are digits alone: looking at each number would take longer than parsing them all.
    if not (digits.isascii() and digits.isdecimal()) or max(map(len, fields)) > _MAX_DIGITS:
        bad = next((field for field in fields if not _NUMBER.fullmatch(field)), None)
        if bad is not None:
            raise fail(f"{bad[:40]!r} is not a pixel number")
    try:
        numbers = np.array(fields, dtype=np.int64)
    except OverflowError:
        raise fail(f"{max(fields, key=len)!r} is not a pixel number") from None
    if len(numbers) % 2:
        raise fail(f"{len(numbers)} numbers, which are no pairs of start and length")
    outside = f"a run of no pixels or outside the {size:,} of the image"
    # Before any arithmetic, which would wrap around in 64 bits.
    if len(numbers) and (numbers.min() < 1 or numbers.max() > size):
        raise fail(outside)
    starts = numbers[::2] - 1
    ends = starts + numbers[1::2]
    if len(ends) and ends.max() > size:
        raise fail(outside)
    if (starts[1:] < ends[:-1]).any():
        raise fail("runs that overlap or are out of order")
    return starts, ends
