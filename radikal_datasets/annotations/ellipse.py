"""Ellipses around defects, as in the labels.txt of DAGM 2007's older development layout.

One row per ellipse, fields separated by tabs and blanks: number of the image, semi-major axis, semi-minor axis,
rotation, x and y of the center. Known from third-party readers and not from a copy of our own: lengths are pixels, the
rotation is in radians from the x axis (columns) towards the y axis (rows, downwards), and the center counts pixels
from 0.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ..errors import MalformedAnnotationError
from ..raw.tree import Tree
from ..schema import Box

_REMEDY = "Correct the line or get the file again; the image is left out until then."


@dataclass(frozen=True)
class Ellipse:
    """A filled ellipse, which is its own mask source.

    Attributes:
        semi_major, semi_minor: half axes in pixels.
        rotation: of the major axis, in radians from x towards y (downwards).
        x_center, y_center: pixel indices, 0-based: (0, 0) is the middle of the first pixel.
    """

    semi_major: float
    semi_minor: float
    rotation: float
    x_center: float
    y_center: float

    def labels(self, tree: Tree | None, width: int, height: int) -> np.ndarray:
        """Return an int32 array of shape (height, width): 1 on pixels whose center is inside; see `MaskSource`."""
        y, x = np.ogrid[:height, :width]
        dx, dy = x - self.x_center, y - self.y_center
        cosine, sine = math.cos(self.rotation), math.sin(self.rotation)
        along, across = dx * cosine + dy * sine, dy * cosine - dx * sine
        return ((along / self.semi_major) ** 2 + (across / self.semi_minor) ** 2 <= 1).astype(np.int32)

    def box(self, width: int, height: int) -> Box | None:
        """Return the bounding box of its pixels inside the image, 0-based, half-open; None if it has none there."""
        found = ndimage.find_objects(self.labels(None, width, height))
        if not found:
            return None
        rows, columns = found[0]
        return float(columns.start), float(rows.start), float(columns.stop), float(rows.stop)


def parse_ellipses(text: str, path: str) -> Iterator[tuple[int | None, Ellipse | MalformedAnnotationError]]:
    """Yield, for each row, the number of its image (7 for "7.png") and the ellipse, or an error for an invalid row.

    Args:
        text: contents of the file.
        path: for messages.

    Yields:
        (7, ellipse). The number is None if an invalid row does not identify its image.
    """
    for line, raw in enumerate(text.splitlines(), start=1):
        fields = raw.split()
        if not fields:
            continue
        try:
            values = [float(field) for field in fields]
        except ValueError:
            values = []
        number = int(fields[0]) if re.fullmatch(r"[0-9]{1,9}", fields[0]) else None
        if len(values) != 6 or not all(map(math.isfinite, values)) or number is None:
            found = f"an image number and five numbers expected, {raw.strip()!r} found"
            yield number, MalformedAnnotationError(path, found, _REMEDY, line)
        elif min(values[1:3]) <= 0:
            found = f"the half axes {values[1]:g} and {values[2]:g} must be positive"
            yield number, MalformedAnnotationError(path, found, _REMEDY, line)
        else:
            yield number, Ellipse(*values[1:])
