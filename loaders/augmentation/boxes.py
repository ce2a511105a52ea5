"""The effect of changes on boxes: float32 (N, 4) on the CPU, x_min, y_min, x_max, y_max, half-open pixels."""

from __future__ import annotations

import torch


def area(boxes: torch.Tensor) -> torch.Tensor:
    """Return the areas (N,) in square pixels; 0 for a box whose edges are in the wrong order."""
    return (boxes[:, 2:] - boxes[:, :2]).clamp_min(0).prod(1)


def clip(boxes: torch.Tensor, limits: torch.Tensor) -> torch.Tensor:
    """Clip boxes to their images; `limits` is (N, 2), (height, width) for each box."""
    return torch.minimum(boxes.clamp_min(0), limits[:, [1, 0, 1, 0]].to(boxes.dtype))


def intersection(boxes: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Return the intersection of two boxes, row by row; edges are in the wrong order if it is empty."""
    return torch.cat([torch.maximum(boxes[:, :2], others[:, :2]), torch.minimum(boxes[:, 2:], others[:, 2:])], 1)


def moved(boxes: torch.Tensor, matrices: torch.Tensor) -> torch.Tensor:
    """Return the boxes around the boxes' corners, each moved by its own matrix, float64 (N, 3, 3) on (x, y, 1)."""
    corners = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].view(-1, 4, 2).to(matrices.dtype)
    corners = corners @ matrices[:, :2, :2].transpose(1, 2) + matrices[:, None, :2, 2]
    return torch.cat([corners.amin(1), corners.amax(1)], 1).to(boxes.dtype)


def without(boxes: torch.Tensor, holes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return boxes with holes removed, both (N, 4), row by row.

    Returns:
        The bounding box of what is left of each box, and its share (N,) of the box's area. A box of which nothing is
        left has no area.
    """
    shared = area(intersection(boxes, holes))
    share = 1 - shared / area(boxes).clamp_min(torch.finfo(boxes.dtype).tiny)
    left = boxes.clone()
    # A rectangle with a hole keeps its bounding box, unless the hole takes one of its sides from end to end.
    for low, across in ((0, 1), (1, 0)):
        high = low + 2
        spans = (holes[:, across] <= boxes[:, across]) & (holes[:, across + 2] >= boxes[:, across + 2])
        cuts_low = spans & (holes[:, low] <= boxes[:, low]) & (holes[:, high] > boxes[:, low])
        cuts_high = spans & (holes[:, high] >= boxes[:, high]) & (holes[:, low] < boxes[:, high])
        left[:, low] = torch.where(cuts_low, torch.minimum(holes[:, high], boxes[:, high]), left[:, low])
        left[:, high] = torch.where(cuts_high, torch.maximum(holes[:, low], boxes[:, low]), left[:, high])
    return left, share


def around_masks(masks: torch.Tensor) -> torch.Tensor:
    """Return tight boxes of masks, bool (N, H, W); without area if a mask has no pixel. Waits for the device."""
    count, height, width = masks.shape
    profiles = torch.cat([masks.any(1), masks.any(2)], 1).cpu().to(torch.uint8)
    edges = []
    for profile, size in ((profiles[:, :width], width), (profiles[:, width:], height)):
        # argmax returns the first of equal values.
        edges += [profile.argmax(1), size - profile.flip(1).argmax(1)]
    boxes = torch.stack([edges[0], edges[2], edges[1], edges[3]], 1) if count else torch.zeros((0, 4))
    return (boxes * profiles.any(1, keepdim=True)).to(torch.float32)


def tightened(boxes: torch.Tensor, masks: torch.Tensor, masks_before: torch.Tensor) -> torch.Tensor:
    """Clip boxes to the tight boxes of their masks, both (N, ...), after a change.

    An instance that had no mask before keeps its box; one whose mask was removed by the change has no area.
    """
    had_mask = masks_before.flatten(1).any(1).cpu()
    return torch.where(had_mask[:, None], intersection(boxes, around_masks(masks)), boxes)
