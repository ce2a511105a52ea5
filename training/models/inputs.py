"""Inputs of a model's forward pass, from a loader's batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.nn.functional import interpolate


def model_inputs(
    batch: Mapping[str, Any], *, folded: bool, size: tuple[int, int] | None = None, labels: bool = False
) -> dict[str, Any]:
    """Select and resize the inputs of a model's forward pass from a batch.

    Args:
        folded: the model takes one channel (`models.fold_gray`): the first of three equal ones.
        size: (height, width) in pixels to resize to; None: the batch's own size.
        labels: include the targets, to compute a loss. Boxes are fractions and need no resize.
    """
    names = ("pixel_values", "pixel_mask", "labels") if labels else ("pixel_values", "pixel_mask")
    inputs = {name: batch[name] for name in names if name in batch}
    if folded:
        inputs["pixel_values"] = inputs["pixel_values"][:, :1]
    if size is not None and size != tuple(inputs["pixel_values"].shape[-2:]):
        inputs["pixel_values"] = interpolate(inputs["pixel_values"], size, mode="bilinear", antialias=True)
        if "pixel_mask" in inputs:
            mask = interpolate(inputs["pixel_mask"][:, None].float(), size, mode="nearest")
            inputs["pixel_mask"] = mask[:, 0].to(torch.int64)
    return inputs
