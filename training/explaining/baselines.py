"""Baselines for saliency maps: blurred images, and maps that are independent of the model."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

#: Maps that do not use the model. `box` uses the position of the detection, and nothing else.
BASELINES = ("random", "smooth", "center", "box")


def blurred(pixels: torch.Tensor) -> torch.Tensor:
    """Blur images (B, 3, H, W) so that details smaller than about a fifth of their shorter edge disappear.

    The result replaces removed parts of an image: unlike black or gray patches, it has no new edges, which a defect
    detector would react to.
    """
    sigma = min(pixels.shape[-2:]) / 10
    smooth = gaussian_filter(pixels.cpu().numpy(), (0, 0, sigma, sigma))
    return torch.from_numpy(smooth).to(pixels.device)


def baseline_map(
    name: str, shape: tuple[int, int], box: tuple[float, float, float, float], generator: np.random.Generator
) -> np.ndarray:
    """Return a map (H, W), float32, 0 to 1, that is independent of the model.

    Args:
        name: one of BASELINES: noise per pixel, smoothed noise, a blob at the image's center, or a blob in the box.
        box: box of the detection, xyxy in pixels.
    """
    height, width = shape
    if name == "random":
        return generator.random(shape, dtype=np.float32)
    if name == "smooth":
        return scaled(gaussian_filter(generator.standard_normal(shape), min(shape) / 12))
    x0, y0, x1, y1 = box if name == "box" else (0, 0, width, height)
    y, x = np.mgrid[:height, :width] + 0.5
    # Two standard deviations on either side of the center: the blob fills its box.
    across = (x - (x0 + x1) / 2) / max(1.0, (x1 - x0) / 4)
    down = (y - (y0 + y1) / 2) / max(1.0, (y1 - y0) / 4)
    return scaled(np.exp(-(across**2 + down**2) / 2))


def scaled(values: np.ndarray) -> np.ndarray:
    """Shift and scale values to 0..1, float32; all zero if every value is the same or one is NaN."""
    low, high = float(values.min()), float(values.max())
    if not high > low:
        return np.zeros(values.shape, np.float32)
    return ((values - low) / (high - low)).astype(np.float32)
