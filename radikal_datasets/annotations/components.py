"""Instances in a mask: its 8-connected components and their boxes."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ..schema import Box

# Pixels that touch at a corner belong to one instance.
_EIGHT_CONNECTED = np.ones((3, 3), dtype=bool)


def box_of(mask: np.ndarray) -> Box | None:
    """Return the smallest box around the true pixels of a mask; None if there are none."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return None
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def label_components(mask: np.ndarray) -> tuple[np.ndarray, list[Box]]:
    """Label the 8-connected components of a mask.

    Args:
        mask: boolean array of shape (height, width), true on the defect.

    Returns:
        An int32 array of the same shape, 0 on the background and k on component k, numbered from 1 in the order in
        which their first pixels occur row by row; and their boxes, component k's at index k - 1, as x_min, y_min,
        x_max, y_max in pixels, 0-based and half-open (first column or row; last column or row + 1).
    """
    labels = np.zeros(mask.shape, dtype=np.int32)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return labels, []
    # Most defects are small: only the crop that holds them is examined.
    top, left = int(rows[0]), int(columns[0])
    crop = labels[top : int(rows[-1]) + 1, left : int(columns[-1]) + 1]
    ndimage.label(mask[top : top + crop.shape[0], left : left + crop.shape[1]], _EIGHT_CONNECTED, output=crop)
    boxes = [
        (float(left + x.start), float(top + y.start), float(left + x.stop), float(top + y.stop))
        for y, x in ndimage.find_objects(crop)
    ]
    return labels, boxes
