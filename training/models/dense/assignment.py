"""Task-aligned assignment (TOOD, arXiv 2108.07755): which places of the feature maps learn which box.

A place is the better for a box, the higher it scores the box's class and the more its own box overlaps. The best few
places within a box learn it, with a target that is the overlap of the best one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

#: Exponents of score and overlap, as in the paper.
_SCORE_POWER, _OVERLAP_POWER = 1.0, 6.0
#: Elements of the largest intermediate tensor. 2,000 boxes at 34,000 places would need gigabytes at once.
_ELEMENTS = 1 << 22


@dataclass(frozen=True)
class Assignment:
    """Assigned places, A in all; every place of an image at most once.

    Attributes:
        image, place, box: (A,), the number of the image, of the place and of the box.
        target: (A,), the score to learn, 0 to 1.
    """

    image: torch.Tensor
    place: torch.Tensor
    box: torch.Tensor
    target: torch.Tensor


@torch.no_grad()
def assign(
    scores: torch.Tensor,
    boxes: torch.Tensor,
    points: torch.Tensor,
    gt_boxes: torch.Tensor,
    gt_classes: torch.Tensor,
    gt_images: torch.Tensor,
    candidates: int,
) -> Assignment:
    """Assign places to the boxes of a batch.

    Args:
        scores: (N, P, classes), 0 to 1.
        boxes: (N, P, 4), predicted x_min, y_min, x_max, y_max; as all coordinates, fractions of the image.
        points: (P, 2), centers of the places.
        gt_boxes, gt_classes, gt_images: (T, 4), (T,), (T,): all boxes of the batch, their classes, and their images.
        candidates: places per box at most. A box that holds no center gets the nearest one.
    """
    count, places = len(gt_boxes), len(points)
    candidates = min(candidates, places)
    metric, overlap, place = (
        [torch.empty(0, candidates, device=points.device, dtype=dtype)]
        for dtype in (torch.float32, torch.float32, torch.int64)
    )
    step = max(1, _ELEMENTS // places)
    for start in range(0, count, step):
        part = slice(start, start + step)
        wanted, of, classes = gt_boxes[part], gt_images[part], gt_classes[part]
        shared = overlaps(wanted[:, None], boxes[of])
        inside = ((points > wanted[:, None, :2]) & (points < wanted[:, None, 2:])).all(-1)
        centers = (wanted[:, :2] + wanted[:, 2:]) / 2
        nearest = (points - centers[:, None]).abs().sum(-1).argmin(1)
        inside[torch.arange(len(wanted), device=points.device), nearest] = True
        fit = scores[of, :, classes].float().pow(_SCORE_POWER) * shared.pow(_OVERLAP_POWER)
        # So that places inside come before all others, even where nothing overlaps yet.
        best, at = ((fit + 1e-12) * inside).topk(candidates, 1)
        metric.append(torch.where(best > 0, best, -1.0))
        overlap.append(shared.gather(1, at))
        place.append(at)
    fits, shares, at = torch.cat(metric), torch.cat(overlap), torch.cat(place)
    box, column = (fits > 0).nonzero(as_tuple=True)
    fit, shared, at = fits[box, column], shares[box, column], at[box, column]
    image = gt_images[box]
    keep = _one_box_per_place(image * places + at, shared, len(scores) * places)
    image, at, box, fit, shared = image[keep], at[keep], box[keep], fit[keep], shared[keep]
    best_fit, best_overlap = (
        torch.zeros(count, device=points.device).scatter_reduce(0, box, values, "amax") for values in (fit, shared)
    )
    return Assignment(image, at, box, fit / best_fit[box].clamp_min(1e-12) * best_overlap[box])


def _one_box_per_place(key: torch.Tensor, overlap: torch.Tensor, size: int) -> torch.Tensor:
    """Return which entries to keep, bool: of those with the same key the one with the highest overlap."""
    best = torch.full((size,), -1.0, device=key.device).scatter_reduce(0, key, overlap, "amax")
    tied = overlap >= best[key]
    number = torch.arange(len(key), device=key.device)
    first = torch.full((size,), len(key), device=key.device)
    first = first.scatter_reduce(0, key[tied], number[tied], "amin")
    return number == first[key]


def overlaps(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Return intersection over union of boxes that broadcast against each other, (..., 4) -> (...)."""
    low, high = torch.maximum(one[..., :2], other[..., :2]), torch.minimum(one[..., 2:], other[..., 2:])
    shared = (high - low).clamp_min(0).prod(-1)
    areas = ((box[..., 2:] - box[..., :2]).prod(-1) for box in (one, other))
    return shared / (sum(areas) - shared).clamp_min(1e-12)
