"""Run-length encoded masks: `start length` pairs, 1-based, counted down the columns (column-major)."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from ..errors import MalformedAnnotationError
from ..raw.tree import Tree
from ..schema import Box
from .components import label_components

# As many as a 64-bit integer may need. An array of text needs as much memory for each number as for the longest.
_MAX_DIGITS = 19
_NUMBER = re.compile(rf"-?[0-9]{{1,{_MAX_DIGITS}}}")
_REMEDY = "Correct the code or get the file again; its image is left out until then."


def decode(text: str, width: int, height: int, path: str = "run-length code", line: int | None = None) -> np.ndarray:
    """Decode a run-length code into a mask.

    Args:
        text: `start length start length ...`; pixel 1 is the top left one, pixel 2 the one below it. Runs ascend and do
            not overlap; they may touch and may continue from the bottom of one column to the top of the next.
        width: of the image, in pixels.
        height: of the image, in pixels.
        path: for messages.
        line: for messages.

    Returns:
        Boolean array of shape (height, width), all false for an empty text.

    Raises:
        MalformedAnnotationError: an odd number of values, a value that is not an integer, an empty run, a run outside
            the image, or one that overlaps or precedes the previous run.
    """
    starts, ends = _runs(text, width * height, path, line)
    # Background and runs alternate: take the lengths of all of them, then which of them are runs.
    edges = np.concatenate(([0], np.stack((starts, ends), axis=1).ravel(), [width * height]))
    inside = np.arange(len(edges) - 1) % 2 == 1
    return np.repeat(inside, np.diff(edges)).reshape(width, height).T


def encode(mask: np.ndarray) -> str:
    """Encode a boolean mask of shape (height, width); "" for an empty one. The inverse of `decode`."""
    flat = np.concatenate(([False], mask.T.ravel(), [False]))
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    starts, ends = edges[::2], edges[1::2]
    return " ".join(map(str, np.stack((starts + 1, ends - starts), axis=1).ravel()))


def run_lengths(mask: np.ndarray) -> list[int]:
    """Return COCO's uncompressed run lengths of a boolean mask of shape (height, width).

    Lengths of background and defect alternate, background first, down the columns.
    """
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    counts = np.diff(np.concatenate(([0], edges, [flat.size]))).tolist()
    return [0, *counts] if flat[0] else counts


def components(
    text: str, width: int, height: int, path: str = "run-length code", line: int | None = None
) -> tuple[np.ndarray, list[Box]]:
    """Return the 8-connected components of a run-length code's mask.

    Arguments and errors as in `decode`; return values as in `label_components`.
    """
    mask = decode(text, width, height, path, line)
    labels = np.zeros((height, width), dtype=np.int32)
    columns = np.flatnonzero(mask.any(axis=0))
    if not len(columns):
        return labels, []
    # Labeling costs far more than decoding, and most masks cover a small part of the strip.
    first, end = int(columns[0]), int(columns[-1]) + 1
    labels[:, first:end], boxes = label_components(mask[:, first:end])
    return labels, [(x_min + first, y_min, x_max + first, y_max) for x_min, y_min, x_max, y_max in boxes]


@dataclass(frozen=True)
class RleMask:
    """Instances in a run-length code: the 8-connected components of its mask."""

    text: str

    def labels(self, tree: Tree, width: int, height: int) -> np.ndarray:
        """See `radikal_datasets.schema.MaskSource`."""
        return components(self.text, width, height)[0]


def _runs(text: str, size: int, path: str, line: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the first and one past the last flat index of each run, 0-based, both int64 of shape (runs,)."""

    def fail(found: str) -> MalformedAnnotationError:
        return MalformedAnnotationError(path, f"run-length code: {found}", _REMEDY, line)

    fields = text.split()
    digits = "".join(fields)
    # Most codes consist of digits: checking each number would take longer than parsing them all.
    if not (digits.isascii() and digits.isdecimal()) or max(map(len, fields)) > _MAX_DIGITS:
        bad = next((field for field in fields if not _NUMBER.fullmatch(field)), None)
        if bad is not None:
            raise fail(f"{bad[:40]!r} is not a pixel number")
    try:
        numbers = np.array(fields, dtype=np.int64)
    except OverflowError:
        raise fail(f"{max(fields, key=len)!r} is not a pixel number") from None
    if len(numbers) % 2:
        raise fail(f"{len(numbers)} numbers do not form pairs of start and length")
    outside = f"a run is empty or outside the image's {size:,} pixels"
    # Check before any arithmetic, which would overflow 64 bits.
    if len(numbers) and (numbers.min() < 1 or numbers.max() > size):
        raise fail(outside)
    starts = numbers[::2] - 1
    ends = starts + numbers[1::2]
    if len(ends) and ends.max() > size:
        raise fail(outside)
    if (starts[1:] < ends[:-1]).any():
        raise fail("runs overlap or are out of order")
    return starts, ends
