"""Exponential moving average of a model's weights, which a run scores and saves."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from transformers import PreTrainedModel


class MovingAverage:
    """Exponential moving average of a model's weights, more stable than those of the last step.

    The decay grows with the steps, `min(decay, (1 + n) / (10 + n))`, so that the random start is soon forgotten.
    Buffers (batch norm's statistics) are averaged too; counters are copied. A decay of 0 keeps the model's own weights.
    """

    def __init__(self, model: PreTrainedModel, decay: float) -> None:
        self.decay, self.updates = decay, 0
        self.model = copy.deepcopy(model).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, model: torch.nn.Module) -> None:
        """Update the average with the weights after one more step."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        mine, theirs = _tensors(self.model), _tensors(model)
        moving = [(a, b.to(a.dtype)) for a, b in zip(mine, theirs, strict=True) if a.is_floating_point()]
        if moving:
            ours, new = ([pair[i] for pair in moving] for i in (0, 1))
            torch._foreach_lerp_(ours, new, 1 - decay)  # pyright: ignore[reportPrivateImportUsage]
        for a, b in zip(mine, theirs, strict=True):
            if not a.is_floating_point():
                a.copy_(b)

    def restart(self, model: torch.nn.Module) -> None:
        """Start again from a model's present weights."""
        self.updates = 0
        self.model.load_state_dict(model.state_dict())

    def state_dict(self) -> dict[str, Any]:
        """Return the state, for accelerate's `register_for_checkpointing`."""
        return {"updates": self.updates, "weights": self.model.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.updates = state["updates"]
        self.model.load_state_dict(state["weights"])


def _tensors(model: torch.nn.Module) -> list[torch.Tensor]:
    # parameters(), unlike state_dict(), lists a tied weight once; averaging it twice would change its decay.
    return [*(p.detach() for p in model.parameters()), *model.buffers()]
