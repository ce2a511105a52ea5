"""Flips, turns and affine changes: one matrix per image, within its content.

A matrix is float64 (3, 3) and maps (x, y, 1) of the image before to (x, y, 1) of the image after, in canvas pixels.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
import torch.nn.functional as F  # noqa: N812

from loaders.augmentation import boxes as boxes_
from loaders.augmentation.batch import Batch, groups


def draw_turns(
    content: torch.Tensor, flip_horizontal: float, flip_vertical: float, turn: float, generator: torch.Generator
) -> torch.Tensor:
    """Draw the changes to each image that need no interpolation.

    Args:
        content: int64 (B, 2), (height, width).
        flip_horizontal, flip_vertical, turn: probabilities.
        generator: on the CPU.

    Returns:
        int64 (B, 3): flip horizontally (0 or 1), flip vertically (0 or 1), then quarter turns counterclockwise (0..3).
        An image that isn't square is turned by 180 degrees or not at all.
    """
    chances = torch.rand((len(content), 4), generator=generator)
    turns = torch.where(content[:, 0] == content[:, 1], 1 + (chances[:, 3] * 3).long(), 2)
    drawn = [chances[:, 0] < flip_horizontal, chances[:, 1] < flip_vertical, turns * (chances[:, 2] < turn)]
    return torch.stack([part.long() for part in drawn], 1)


def turn_matrices(turns: torch.Tensor, content: torch.Tensor) -> torch.Tensor:
    """Return the matrices (B, 3, 3) of what `draw_turns` drew."""
    flips = torch.diag_embed(1 - 2 * turns[:, :2]).double()
    # y points down: a quarter turn counterclockwise moves what is on the right to the top, (1, 0) to (0, -1).
    quarter = torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64)
    powers = torch.stack([torch.linalg.matrix_power(quarter, k) for k in range(4)])
    return _about_center(powers[turns[:, 2]] @ flips, content)


def draw_affine(
    content: torch.Tensor, rotation: float, translate: float, scale: float, shear: float, generator: torch.Generator
) -> torch.Tensor:
    """Draw matrices (B, 3, 3) that shear, zoom and rotate about the content's center, then shift.

    Args:
        content: int64 (B, 2), (height, width).
        rotation, shear: largest angles either way, degrees.
        translate: largest shift either way, as a fraction of the content's height and width.
        scale: largest zoom s; the factor is drawn uniformly on a log scale from 1 / (1 + s) to 1 + s. The part that is
            shown of an enlarged image, and the position of a reduced one, is drawn uniformly, too.
        generator: on the CPU.
    """
    draws = torch.rand((len(content), 7), generator=generator, dtype=torch.float64) * 2 - 1
    angle, slant = draws[:, 0] * math.radians(rotation), torch.tan(draws[:, 1] * math.radians(shear))
    factor = torch.exp(draws[:, 2] * math.log1p(scale))
    cos, sin, one, zero = angle.cos(), angle.sin(), torch.ones_like(angle), torch.zeros_like(angle)
    turned = torch.stack([cos, sin, -sin, cos], 1).view(-1, 2, 2)
    slanted = torch.stack([one, slant, zero, one], 1).view(-1, 2, 2)
    matrices = _about_center(factor[:, None, None] * turned @ slanted, content)
    room = (factor - 1).abs() / 2
    shift = draws[:, 3:5] * room[:, None] + draws[:, 5:7] * translate
    matrices[:, :2, 2] += shift * content.flip(1)
    return matrices


def turn_exactly(batch: Batch, turns: torch.Tensor) -> Batch:
    """Flip and turn without interpolation; `turns` as from `draw_turns`. No box is lost."""
    images = batch.images.clone()
    masks = None if batch.masks is None else batch.masks.clone()
    ends = torch.searchsorted(batch.owners, torch.arange(len(images)), right=True).tolist()
    for index, ((height, width), turn) in enumerate(zip(batch.content.tolist(), turns.tolist(), strict=True)):
        if not any(turn):
            continue
        images[index, :, :height, :width] = _turned(batch.images[index, :, :height, :width], turn)
        if masks is not None and batch.masks is not None:
            own = slice(ends[index - 1] if index else 0, ends[index])
            masks[own, :height, :width] = _turned(batch.masks[own, :height, :width], turn)
    matrices = turn_matrices(turns, batch.content)
    return replace(batch, images=images, boxes=boxes_.moved(batch.boxes, matrices[batch.owners]), masks=masks)


def resample(batch: Batch, matrices: torch.Tensor, min_visible: float) -> Batch:
    """Transform images, masks and boxes by matrices (B, 3, 3), each within its content.

    What comes from outside the content is the image's mean. A box is the enclosing box of its transformed corners; with
    masks it is clipped to the transformed mask's tight box. It is removed if less than `min_visible` of the transformed
    box's area lies within the content, or if its mask has no pixel left.
    """
    inside, mean = batch.inside(), batch.mean()
    images = torch.empty_like(batch.images, memory_format=torch.contiguous_format)
    for some in groups(batch.images):
        grid = _sampling_grid(matrices[some], batch.canvas, batch.images.device)
        # grid_sample returns zero outside the canvas: with the mean subtracted, that is the mean.
        centered = batch.images[some] - mean[some]
        if inside is not None:
            centered *= inside[some]
        moved_images = F.grid_sample(centered, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        torch.add(moved_images, mean[some], out=images[some])
    images = batch.on_content(images)

    moved = boxes_.moved(batch.boxes, matrices[batch.owners])
    boxes = boxes_.clip(moved, batch.content[batch.owners])
    keep = boxes_.area(boxes) >= min_visible * boxes_.area(moved)
    masks, masks_before = batch.masks, batch.masks
    if masks_before is not None and len(masks_before):
        masks = _resample_masks(masks_before, batch.owners, matrices, inside)
        boxes = boxes_.tightened(boxes, masks, masks_before)
    return replace(batch, images=images, boxes=boxes, masks=masks).keep(keep & (boxes_.area(boxes) > 0))


def _sampling_grid(matrices: torch.Tensor, canvas: tuple[int, int], device: torch.device) -> torch.Tensor:
    """Return the position from which each output pixel comes: float32 (B, H, W, 2), (x, y) as in grid_sample.

    With align_corners=False, -1 and 1 are the outer edges of the canvas. `F.affine_grid` gives the same, but multiplies
    matrices for each pixel, which on a CPU takes four times as long.
    """
    height, width = canvas
    from_pixels = torch.tensor([[2 / width, 0, -1], [0, 2 / height, -1], [0, 0, 1]], dtype=torch.float64)
    back = (from_pixels @ torch.linalg.inv(matrices))[:, :2].float().to(device, non_blocking=True)
    # Pixel centers.
    x, y = torch.arange(width, device=device) + 0.5, torch.arange(height, device=device) + 0.5
    across, down, shift = back[:, None, None].unbind(4)
    return (across * x[:, None] + shift) + down * y[:, None, None]


def _resample_masks(
    masks: torch.Tensor, owners: torch.Tensor, matrices: torch.Tensor, inside: torch.Tensor | None
) -> torch.Tensor:
    moved = []
    # All masks of an image are planes that share its grid: no copy of the grid for each mask.
    for index, own in enumerate(masks.split(torch.bincount(owners, minlength=len(matrices)).tolist())):
        if len(own):
            grid = _sampling_grid(matrices[index : index + 1], (masks.shape[1], masks.shape[2]), masks.device)
            planes = F.grid_sample(own[None].float(), grid, mode="nearest", align_corners=False)[0]
            moved.append(planes > 0 if inside is None else (planes > 0) & inside[index])
    return torch.cat(moved)


def _turned(pixels: torch.Tensor, turn: list[int]) -> torch.Tensor:
    """Pixels (..., h, w) flipped and turned by one row of `draw_turns`; a quarter turn needs h = w."""
    dims = [dim for dim, flip in ((-1, turn[0]), (-2, turn[1])) if flip]
    return torch.rot90(pixels.flip(dims), turn[2], (-2, -1))


def _about_center(linear: torch.Tensor, content: torch.Tensor) -> torch.Tensor:
    """Make linear maps (B, 2, 2) leave the center of the content in place: (B, 3, 3)."""
    center = content.flip(1).double() / 2
    matrices = torch.eye(3, dtype=torch.float64).repeat(len(linear), 1, 1)
    matrices[:, :2, :2] = linear
    matrices[:, :2, 2] = center - (linear @ center[:, :, None])[:, :, 0]
    return matrices
