"""Bring a template into the frame of its image: cameras and boards move by some pixels from shot to shot."""

from __future__ import annotations

import cv2
import numpy as np

#: A shift is believed if it leaves at most this share of the mean difference: what moved explains it then.
_BELIEVED = 0.7
#: The largest shift, as a fraction of the shorter edge.
_LARGEST = 0.1


def aligned(image: np.ndarray, template: np.ndarray) -> np.ndarray:
    """Return the template, uint8 (H, W), shifted by the whole pixels that explain most of its difference to the image.

    Without such a shift it is the template itself, to the byte: a defect is a difference that no shift explains.
    Pixels that come in at an edge repeat those at the edge.
    """
    before = cv2.absdiff(image, template).mean()
    if before == 0 or min(image.shape) < 32:
        return template
    window = cv2.createHanningWindow(image.shape[::-1], cv2.CV_32F)
    (x, y), _ = cv2.phaseCorrelate(image.astype(np.float32), template.astype(np.float32), window)
    across, down = round(x), round(y)
    if (across, down) == (0, 0) or max(abs(across), abs(down)) > _LARGEST * min(image.shape):
        return template
    shift = np.array([[1, 0, -across], [0, 1, -down]], np.float32)
    moved = cv2.warpAffine(template, shift, image.shape[::-1], flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    return moved if cv2.absdiff(image, moved).mean() <= _BELIEVED * before else template
