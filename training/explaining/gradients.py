"""Integrated gradients (captum)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from captum.attr import IntegratedGradients
from scipy.ndimage import gaussian_filter

from training.explaining.baselines import scaled


def integrated_gradients_map(
    score: Callable[[torch.Tensor], torch.Tensor], pixels: torch.Tensor, hidden: torch.Tensor, steps: int, batch: int
) -> np.ndarray:
    """Attribute the score to pixels along the path from the blurred image to this one.

    The map is float32 (H, W), 0 to 1: magnitudes, summed over channels and smoothed by a hundredth of the shorter
    edge, because single pixels are not meaningful.

    Args:
        score: maps images (B, 3, H, W) to (B,), differentiable.
        pixels, hidden: one image, (1, 3, H, W), and the blurred one to start from.
        steps, batch: number of points along the path, and points per forward pass.
    """
    found = IntegratedGradients(score).attribute(pixels, hidden, n_steps=steps, internal_batch_size=batch)
    amounts = found.detach()[0].abs().sum(0).cpu().numpy()
    return scaled(gaussian_filter(amounts, min(amounts.shape) / 100))
