"""D-RISE (Petsiuk et al. 2021): mask random parts of the image and measure how the detection's score drops."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch.nn.functional import interpolate

from training.explaining.baselines import scaled

#: Cells along each edge of a mask, and the fraction of them that stays visible; both as in the paper.
CELLS, VISIBLE = 16, 0.5


def d_rise_maps(
    scores: Callable[[torch.Tensor], torch.Tensor],
    pixels: torch.Tensor,
    hidden: torch.Tensor,
    masks: int,
    batch: int,
    seed: int,
) -> list[np.ndarray]:
    """Compute one map (H, W) per scored item, float32, 0 to 1: the mean of the masks, weighted by the scores.

    Args:
        scores: maps images (B, 3, H, W) to (B, D), such as `Similarity` of D detections; all share the masks.
        pixels, hidden: one image, (1, 3, H, W), and the content of its masked parts.
        masks: number of masks; the noise of the maps falls with its square root.
        batch: number of masks per forward pass.
        seed: the same seed gives the same masks.
    """
    total: torch.Tensor | None = None
    plain = pixels.new_zeros(pixels.shape[-2:])
    sums: torch.Tensor | float = 0.0
    with torch.no_grad():
        for mask in random_masks(masks, batch, pixels.shape[-2:], seed):
            mask = mask.to(pixels.device)
            weights = scores(hidden + mask * (pixels - hidden))
            part = torch.einsum("bd,bhw->dhw", weights, mask[:, 0])
            total = part if total is None else total + part
            plain, sums = plain + mask[:, 0].sum(0), sums + weights.sum(0)
    assert total is not None and isinstance(sums, torch.Tensor)
    # Without this, pixels that happen to be visible more often would look important, whatever the scores.
    excess = total - sums[:, None, None] * plain / masks
    return [scaled(one.clamp_min(0).cpu().numpy()) for one in excess]


def random_masks(count: int, batch: int, shape: Sequence[int], seed: int) -> Iterator[torch.Tensor]:
    """Yield masks (b, 1, H, W), float32, 0 (masked) to 1, `batch` at a time: random grids, smoothed and shifted."""
    height, width = shape
    generator = torch.Generator().manual_seed(seed)
    cell_height, cell_width = -(-height // CELLS), -(-width // CELLS)
    for start in range(0, count, batch):
        number = min(batch, count - start)
        cells = (torch.rand((number, 1, CELLS, CELLS), generator=generator) < VISIBLE).float()
        large = interpolate(
            cells, size=((CELLS + 1) * cell_height, (CELLS + 1) * cell_width), mode="bilinear", align_corners=False
        )
        tops = torch.randint(0, cell_height, (number,), generator=generator).tolist()
        lefts = torch.randint(0, cell_width, (number,), generator=generator).tolist()
        yield torch.stack([one[:, y : y + height, x : x + width] for one, y, x in zip(large, tops, lefts, strict=True)])
