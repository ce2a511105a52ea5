"""Models with re-initialized weights (Adebayo et al. 2018): a map that stays the same ignores what was learned."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch

from training.explaining.cam import backbone
from training.explaining.targets import Detector

PARTS = ("decoder", "backbone")


def redrawn(detector: Detector, part: str, seed: int) -> Detector:
    """Return a copy with the weights of one part re-initialized; the rest stays as trained.

    The values of each tensor are shuffled, so that their distribution and the copy's numerical range stay the same.

    Args:
        part: "decoder", its layers with the heads that predict classes and boxes, or "backbone".
    """
    other = copy.deepcopy(detector)
    chosen = _in_decoder if part == "decoder" else _within(other.model, backbone(other.model))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in other.model.named_parameters():
            if chosen(name):
                order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
                parameter.copy_(parameter.flatten()[order].view_as(parameter))
    return other


def _in_decoder(name: str) -> bool:
    # Heads are outside `model.`, inside its decoder, or select queries from the encoder's outputs.
    return ".decoder." in f".{name}" or not name.startswith("model.") or name.startswith("model.enc_")


def _within(model: torch.nn.Module, inner: torch.nn.Module) -> Callable[[str], bool]:
    mine = {id(parameter) for parameter in inner.parameters()}
    names = {name for name, parameter in model.named_parameters() if id(parameter) in mine}
    return names.__contains__
