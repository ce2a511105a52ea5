"""Train on gray images with one channel: the stem's three input channels are summed, and expanded again when saved."""

from __future__ import annotations

from typing import Any

import torch
from timm.layers.conv2d_same import Conv2dSame

from loaders import GRAY_MEAN, GRAY_STD, IMAGENET_MEAN, IMAGENET_STD
from training.models.backbones import timm_module

_MARK = "_takes_gray"


@torch.no_grad()
def fold_gray(model: torch.nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> bool:
    """Make a detector or classifier take one channel, normalized by `GRAY_MEAN` and `GRAY_STD`.

    Its first convolution gets `sum_c w_c * gray_std / std_c`. The shift by the difference of the means is added to its
    bias; if it has none, the batch norm after it removes a constant shift.

    Args:
        mean, std: normalization of the stem's three channels so far (ImageNet's, for ImageNet weights).

    Returns:
        Whether the model was changed. It is not if its backbone is not from timm, or its stem is not one convolution.
    """
    stem = _stem(model)
    if stem is None or stem.in_channels != 3 or stem.groups != 1:
        return False
    scale = torch.tensor([GRAY_STD[0] / s for s in std], dtype=stem.weight.dtype, device=stem.weight.device)
    shift = torch.tensor([(GRAY_MEAN[0] - m) / s for m, s in zip(mean, std, strict=True)], device=stem.weight.device)
    if stem.bias is not None:
        stem.bias += (stem.weight * shift.view(1, 3, 1, 1)).sum((1, 2, 3))
    stem.weight = torch.nn.Parameter((stem.weight * scale.view(1, 3, 1, 1)).sum(1, keepdim=True))
    stem.in_channels = 1
    setattr(model, _MARK, True)
    return True


def fold_if_gray(
    model: torch.nn.Module, channels: str, normalization: dict[str, tuple[float, ...]], *, trained: bool
) -> bool:
    """Apply `fold_gray` if all images are gray and normalized by `GRAY_MEAN` and `GRAY_STD`; return whether it was.

    Args:
        channels: the loader's choice, "gray", "rgb" or "pair".
        normalization: `mean` and `std` of the images that the model will be trained on.
        trained: the entire model comes from a checkpoint of such images; otherwise only its backbone may have
            (ImageNet) weights.
    """
    if channels != "gray" or normalization != {"mean": GRAY_MEAN, "std": GRAY_STD}:
        return False
    return fold_gray(model, *((GRAY_MEAN, GRAY_STD) if trained else (IMAGENET_MEAN, IMAGENET_STD)))


def is_folded(model: torch.nn.Module) -> bool:
    """Return whether the model takes one channel."""
    return getattr(model, _MARK, False)


def unfolded_weights(model: torch.nn.Module) -> dict[str, Any]:
    """Return a folded model's state dict for a stock model with three equal channels: each gets a third of the stem."""
    state = dict(model.state_dict())
    stem = _stem(model)
    assert stem is not None
    for name, module in model.named_modules(remove_duplicate=False):
        if module is stem:
            key = f"{name}.weight"
            state[key] = (state[key] / 3).expand(-1, 3, -1, -1).contiguous()
    return state


def _stem(model: torch.nn.Module) -> torch.nn.Conv2d | None:
    """Return the backbone's first convolution."""
    backbone: Any = timm_module(model)
    if backbone is None:
        return None
    first = next((module for module in backbone.modules() if isinstance(module, torch.nn.Conv2d)), None)
    # Convolutions that standardize their weights are not linear in them.
    plain = type(first) in (torch.nn.Conv2d, Conv2dSame)
    return first if first is not None and plain and first.in_channels in (1, 3) else None
