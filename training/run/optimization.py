"""Parts of an optimizer step: a loss in float32, parameter groups, training mode, agreement between ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from accelerate import Accelerator
from transformers import PreTrainedModel

from radikal_datasets.errors import NonFiniteError


def float32_loss(model: PreTrainedModel) -> None:
    """Make the model compute its loss in float32, even under autocast.

    Hungarian matching and focal losses square small numbers and take their logarithms, which exceeds float16's range.
    """
    original: Callable[..., Any] = model.loss_function

    def loss_function(logits: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        with torch.autocast(logits.device.type, enabled=False):
            return original(_float32(logits), *map(_float32, args), **{k: _float32(v) for k, v in kwargs.items()})

    model.loss_function = loss_function


def _float32(value: Any) -> Any:
    """Convert every half-precision tensor in nested lists and dicts to float32; leave everything else unchanged."""
    if isinstance(value, torch.Tensor):
        return value.float() if value.dtype in (torch.float16, torch.bfloat16) else value
    if type(value) in (list, tuple):
        return type(value)(_float32(item) for item in value)
    if type(value) is dict:
        return {key: _float32(item) for key, item in value.items()}
    return value


def parameter_groups(
    model: torch.nn.Module, learning_rate: float, backbone_learning_rate: float, weight_decay: float
) -> list[dict[str, Any]]:
    """Return AdamW's groups: the backbone separate, and no decay on norms and biases (one-dimensional parameters)."""
    groups: dict[tuple[bool, bool], list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((".backbone." in f".{name}", parameter.ndim > 1), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": backbone_learning_rate if backbone else learning_rate,
            "weight_decay": weight_decay if decayed else 0.0,
        }
        for (backbone, decayed), parameters in sorted(groups.items())
    ]


def training_mode(model: torch.nn.Module, *, freeze_batch_norms: bool) -> None:
    """Put a model into training mode, except for its batch norms if they are frozen."""
    model.train()
    if freeze_batch_norms:
        for module in model.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.eval().requires_grad_(False)


def any_rank(accelerator: Accelerator, flag: bool) -> bool:
    """Return whether the flag is set on any rank. All ranks must skip a step together, or the others wait forever."""
    if accelerator.num_processes == 1:
        return flag
    value = torch.tensor(float(flag), device=accelerator.device)
    return bool(accelerator.reduce(value, reduction="sum") > 0)  # pyright: ignore[reportOperatorIssue]


def peak_gpu_memory_mib() -> int | None:
    """Most memory that PyTorch has reserved on this process's GPU so far, in MiB; None without a GPU."""
    return torch.cuda.max_memory_reserved() // 2**20 if torch.cuda.is_available() else None


def too_many_nonfinite(count: int, step: int, image_ids: Iterable[str]) -> NonFiniteError:
    """Return the error of a run whose last `count` steps, up to `step` with these images, could not be used."""
    return NonFiniteError(
        f"{count} steps in a row had a non-finite loss or gradients, up to step {step} with the images "
        f"{', '.join(image_ids)}. Lower --learning_rate, use --mixed_precision no, or look at these images. The last "
        "checkpoint has what was learned so far."
    )
