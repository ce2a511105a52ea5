"""The gray scale of a model: how it was shown gray levels of more than 8 bits, kept in its config."""

from __future__ import annotations

from typing import Any

from radikal_datasets.gray_scale import GrayScale
from training.models.processors import normalization


def keep_gray_scale(model: Any, gray_scale: GrayScale | None) -> None:
    """Store the scale of the training images in `config.radikal_gray_scale`; None: they have 8 bits."""
    if gray_scale is not None:
        model.config.radikal_gray_scale = gray_scale.to_list()
    elif hasattr(model.config, "radikal_gray_scale"):  # of the checkpoint that training started from
        del model.config.radikal_gray_scale


def stored_gray_scale(model: Any) -> GrayScale | None:
    """Return the scale that `keep_gray_scale` stored; None if there is none."""
    return GrayScale.parse(getattr(model.config, "radikal_gray_scale", None))


def loader_options(model: Any, processor: Any) -> dict[str, Any]:
    """Return `mean`, `std` and `gray_scale` for a loader that shows images to a detector as in its training."""
    return {"gray_scale": gray_scale_of(model), **normalization(processor)}


def gray_scale_of(model: Any) -> GrayScale:
    """Return the scale with which images of more than 8 bits are shown to a model.

    One without a stored scale was trained on 8 bits, or by version 0.2 on the upper byte of 16: it gets the upper byte.
    """
    return stored_gray_scale(model) or GrayScale.of_bits(16)
