"""Gradient accumulation: the batches of one optimizer step and the weights of their losses."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator


@dataclass
class AccumulationStep:
    """The batches of one optimizer step on this rank.

    Attributes:
        batches: as the loader returns them; at the end of an epoch there may be fewer.
        weights: factor for the loss of each batch.
        wait_seconds: time spent waiting for the batches.
    """

    batches: list[dict[str, Any]]
    weights: list[float]
    wait_seconds: float

    @property
    def image_ids(self) -> list[str]:
        """The image ids of all batches."""
        return [image_id for batch in self.batches for image_id in batch["image_id"]]


def accumulation_steps(
    loader: Any, size: int, accelerator: Accelerator, weight: Callable[[Any], int], *, world_boxes: bool
) -> Iterator[AccumulationStep]:
    """Yield accumulation steps endlessly, epoch after epoch, from the loader's current position.

    A loss is a sum over boxes divided by the number of boxes in its batch. The gradient of a step should be that of
    all its batches on all ranks as one batch: the sum over all of them, divided by the boxes of all of them.

    Args:
        size: batches per step.
        weight: number of boxes in a batch (of images, for a classifier).
        world_boxes: whether the model's loss already divides by the mean number of boxes over the ranks.
    """
    while True:
        batches, started = list[dict[str, Any]](), time.perf_counter()
        for batch in loader:
            batches.append(batch)
            del batch  # the loader reuses buffers without references
            if len(batches) == size:
                yield _weighted(batches, started, size, accelerator, weight, world_boxes)
                batches, started = [], time.perf_counter()
        if batches:
            yield _weighted(batches, started, size, accelerator, weight, world_boxes)


def _weighted(
    batches: list[dict[str, Any]],
    started: float,
    size: int,
    accelerator: Accelerator,
    weight: Callable[[Any], int],
    world_boxes: bool,
) -> AccumulationStep:
    waited = time.perf_counter() - started
    ranks = accelerator.num_processes
    own = torch.tensor([weight(batch) for batch in batches] + [0] * (size - len(batches)), dtype=torch.float64)
    every = own[None]
    if ranks > 1:
        every = accelerator.gather(every.to(accelerator.device, torch.float32)).cpu()  # pyright: ignore
    divisors = (every.mean(0) if world_boxes else own).clamp_min(1)
    # DDP averages gradients over the ranks: hence the factor.
    weights = divisors.double() * ranks / max(1.0, float(every.sum()))
    return AccumulationStep(batches, weights[: len(batches)].tolist(), waited)


def scale_of_step(canvas: tuple[int, int], multi_scale: float, seed: int, step: int) -> tuple[int, int]:
    """Return (height, width) in pixels of the images of this step: multiples of 32, the same on every rank and after
    a resume.

    Args:
        canvas: (height, width) of the loader's images.
        multi_scale: maximum change, as a fraction of the canvas.
    """
    if multi_scale == 0:
        return canvas
    factor = 1 + random.Random(f"{seed} {step}").uniform(-multi_scale, multi_scale)
    height, width = (max(32, round(edge * factor / 32) * 32) for edge in canvas)
    return height, width
