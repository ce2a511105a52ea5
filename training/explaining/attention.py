"""The decoder's cross-attention of one query, as a map over the image."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.nn.functional import interpolate

from training.explaining.baselines import scaled
from training.explaining.cam import tapped
from training.explaining.targets import Detector


def attention_map(detector: Detector, pixels: torch.Tensor, query: int) -> np.ndarray:
    """Return where a query attends, averaged over heads and decoder layers, float32 (H, W), 0 to 1.

    Args:
        pixels: one image, (1, 3, H, W).
    """
    layers = _deformable(detector.model)
    found = _sampled(detector, layers, pixels, query) if layers else _dense(detector, pixels, query)
    return scaled(found.cpu().numpy())


def _deformable(model: torch.nn.Module) -> list[torch.nn.Module]:
    """Return the decoder's deformable cross-attentions; none in DETR and its relatives with dense attention."""
    return [
        module
        for name, module in model.named_modules()
        if ".decoder." in f".{name}" and name.endswith("encoder_attn") and hasattr(module, "sampling_offsets")
    ]


def _dense(detector: Detector, pixels: torch.Tensor, query: int) -> torch.Tensor:
    """Average the attention weights (1, heads, Q, h x w) of each layer over the backbone's last feature map."""
    detector.model.set_attn_implementation("eager")  # the faster implementations do not return weights
    shapes: list[torch.Size] = []
    with torch.no_grad(), tapped(detector.model) as taps:
        detector(pixels)
        handle = taps[-1].register_forward_hook(lambda _m, _i, output: shapes.append(output.shape[-2:]))
        output = detector.model(pixel_values=pixels, output_attentions=True)
        handle.remove()
    weights = torch.stack([layer[0, :, query].mean(0) for layer in output.cross_attentions]).mean(0)
    return _spread(weights.view(*shapes[0]), pixels.shape[-2:])


def _sampled(detector: Detector, layers: list[torch.nn.Module], pixels: torch.Tensor, query: int) -> torch.Tensor:
    """Sum the weights of the points that a query samples in each feature level."""
    calls: list[tuple[Any, dict[str, Any]]] = []

    def keep(module: torch.nn.Module, _arguments: Any, options: dict[str, Any]) -> None:
        calls.append((module, options))

    handles = [layer.register_forward_pre_hook(keep, with_kwargs=True) for layer in layers]
    try:
        with torch.no_grad():
            detector(pixels)
    finally:
        for handle in handles:
            handle.remove()
    maps = []
    for module, options in calls:
        weights = _weights_of_positions(module, options, query)
        shapes = [(int(height), int(width)) for height, width in options["spatial_shapes_list"]]
        levels = weights.split([height * width for height, width in shapes])
        maps += [_spread(level.view(shape), pixels.shape[-2:]) for level, shape in zip(levels, shapes, strict=True)]
    return torch.stack(maps).sum(0)


def _weights_of_positions(module: Any, options: dict[str, Any], query: int) -> torch.Tensor:
    """Return the weight of each position (positions of all levels,) in a query's attention output, mean over heads.

    The output is linear in the values at the positions, so its derivative with respect to a value is the weight of
    that position. This covers sampling points, weights and bilinear interpolation at once, however the family computes
    them.
    """
    values = torch.zeros_like(options["encoder_hidden_states"]).requires_grad_()
    with torch.enable_grad(), _without_projections(module):
        read = module(**{**options, "encoder_hidden_states": values})[0]
        (weights,) = torch.autograd.grad(read[0, query].sum(), values)
    return weights[0].mean(-1)


@contextmanager
def _without_projections(module: Any) -> Iterator[None]:
    """Replace the input and output projections by the identity, so that no matrix mixes heads."""
    kept = {name: getattr(module, name) for name in ("value_proj", "output_proj") if hasattr(module, name)}
    try:
        for name in kept:
            setattr(module, name, torch.nn.Identity())
        yield
    finally:
        for name, projection in kept.items():
            setattr(module, name, projection)


def _spread(weights: torch.Tensor, shape: Any) -> torch.Tensor:
    """Resize weights (h, w) to the image (H, W), keeping each level's sum, so that coarse levels do not count more."""
    large = interpolate(weights[None, None], size=tuple(shape), mode="bilinear", align_corners=False)[0, 0]
    return large * (weights.numel() / large.numel())
