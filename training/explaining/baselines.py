"""What maps are held against: images without the detail, and maps that know nothing of the model."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

#: Maps that come from no model. `box` knows where the detection is, and nothing else.
BASELINES = ("random", "smooth", "centre", "box")


def blurred(pixels: torch.Tensor) -> torch.Tensor:
    """The images (B, 3, H, W) with what is smaller than about a fifth of their shorter edge gone.

    It stands for "nothing there" wherever a part of an image is taken away: unlike black or gray patches it makes no
    edges of its own, which a detector of defects would answer to.
    """
    sigma = min(pixels.shape[-2:]) / 10
    smooth = gaussian_filter(pixels.cpu().numpy(), (0, 0, sigma, sigma))
    return torch.from_numpy(smooth).to(pixels.device)


def baseline_map(
    name: str, shape: tuple[int, int], box: tuple[float, float, float, float], generator: np.random.Generator
) -> np.ndarray:
    """A map (H, W), float32, 0 to 1, that owes nothing to the model.

    Args:
        name: one of BASELINES: noise in each pixel, the same smoothed, a blob in the image's centre, or one in the box.
        box: of the detection, xyxy in pixels.
    """
    height, width = shape
    if name == "random":
        return generator.random(shape, dtype=np.float32)
    if name == "smooth":
        return scaled(gaussian_filter(generator.standard_normal(shape), min(shape) / 12))
    x0, y0, x1, y1 = box if name == "box" else (0, 0, width, height)
    y, x = np.mgrid[:height, :width] + 0.5
    # Two deviations either side of its centre: the blob fills its box.
    across = (x - (x0 + x1) / 2) / max(1.0, (x1 - x0) / 4)
    down = (y - (y0 + y1) / 2) / max(1.0, (y1 - y0) / 4)
    return scaled(np.exp(-(across**2 + down**2) / 2))


def scaled(values: np.ndarray) -> np.ndarray:
    """Shifted and scaled to 0..1, float32; all zero where every value is the same or one is not a number."""
    low, high = float(values.min()), float(values.max())
    if not high > low:
        return np.zeros(values.shape, np.float32)
    return ((values - low) / (high - low)).astype(np.float32)
