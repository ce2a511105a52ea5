"""The loss of the dense detector: Quality Focal Loss for classes, GIoU for boxes, optionally Distribution Focal Loss.

Every term is a sum over the batch divided by the number of its boxes, so that batches add up exactly over gradient
accumulation steps and processes, as for the DETR families.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from torchvision.ops import box_convert, generalized_box_iou_loss

from training.models.dense.assignment import Assignment, assign


def dense_loss(
    logits: torch.Tensor,
    boxes: torch.Tensor,
    labels: list[dict[str, torch.Tensor]],
    *,
    points: torch.Tensor,
    strides: torch.Tensor,
    raw: torch.Tensor,
    config: Any,
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Return the loss of a batch and its terms.

    Args:
        logits: (N, P, classes).
        boxes: (N, P, 4), predicted x_min, y_min, x_max, y_max; as all coordinates, fractions of the image.
        labels: see `DenseDetector.forward`.
        points: (P, 2), centers of the places.
        strides: (P, 2), width and height of a place.
        raw: (N, P, 4 * max(1, bins)), output of the box head.
        config: the detector's.
    """
    corners = box_convert(torch.cat([label["boxes"] for label in labels]).float(), "cxcywh", "xyxy")
    classes = torch.cat([label["class_labels"] for label in labels]).long()
    counts = torch.tensor([len(label["class_labels"]) for label in labels], device=logits.device)
    images = torch.repeat_interleave(torch.arange(len(labels), device=logits.device), counts)
    logits = logits.float()
    scores = logits.sigmoid()
    assigned = assign(scores.detach(), boxes.detach(), points, corners, classes, images, config.candidates)
    at, number = (assigned.image, assigned.place), max(1, len(corners))
    quality = torch.zeros_like(scores)
    quality[(*at, classes[assigned.box])] = assigned.target
    miss = (scores.detach() - quality).square()
    terms = {
        "loss_class": (binary_cross_entropy_with_logits(logits, quality, reduction="none") * miss).sum() / number,
        "loss_box": (generalized_box_iou_loss(boxes[at], corners[assigned.box]) * assigned.target).sum() / number,
    }
    loss = config.class_weight * terms["loss_class"] + config.box_weight * terms["loss_box"]
    if config.distance_bins:
        distances = _distances(points, strides, corners, assigned)
        terms["loss_distribution"] = (
            _distribution_loss(raw[at], distances, assigned.target, config.distance_bins) / number
        )
        loss = loss + config.distribution_weight * terms["loss_distribution"]
    return loss, {name: value.detach() for name, value in terms.items()}


def _distances(
    points: torch.Tensor, strides: torch.Tensor, corners: torch.Tensor, assigned: Assignment
) -> torch.Tensor:
    """Return the true distances from the assigned places to the sides of their boxes, (A, 4), in strides."""
    at, box, stride = points[assigned.place], corners[assigned.box], strides[assigned.place]
    return torch.cat([(at - box[:, :2]) / stride, (box[:, 2:] - at) / stride], 1)


def _distribution_loss(raw: torch.Tensor, distances: torch.Tensor, weights: torch.Tensor, bins: int) -> torch.Tensor:
    """Sum the cross entropies with the two bins that a distance lies between (Generalized Focal Loss)."""
    wanted = distances.clamp(0, bins - 1 - 1e-3)
    low = wanted.floor().long()
    share = wanted - low
    logits = raw.unflatten(-1, (4, bins)).flatten(0, 1)
    losses = cross_entropy(logits, low.flatten(), reduction="none") * (1 - share.flatten())
    losses = losses + cross_entropy(logits, low.flatten() + 1, reduction="none") * share.flatten()
    return (losses.view(-1, 4).mean(1) * weights).sum()
