"""What one optimizer step takes from a loader: the batches it accumulates, and how its losses are weighed."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator


@dataclass
class Window:
    """The batches of one step on this rank.

    Attributes:
        batches: as the loader gives them; at the end of an epoch there may be fewer.
        weights: what the loss of each is multiplied by.
        wait_seconds: until they were there.
    """

    batches: list[dict[str, Any]]
    weights: list[float]
    wait_seconds: float

    @property
    def image_ids(self) -> list[str]:
        """Of all batches."""
        return [image_id for batch in self.batches for image_id in batch["image_id"]]


def windows(
    loader: Any, size: int, accelerator: Accelerator, weight: Callable[[Any], int], *, world_boxes: bool
) -> Iterator[Window]:
    """Windows without end, epoch after epoch, from where the loader stands.

    A loss is a sum over boxes divided by how many its batch has. The gradient of a step should be that of all its
    batches on all ranks as one batch: the sum over all of them, divided by the boxes of all of them.

    Args:
        size: batches a window.
        weight: of a batch: its boxes (images, for a classifier).
        world_boxes: the model's loss divides by the mean of the ranks' boxes already.
    """
    while True:
        batches, started = list[dict[str, Any]](), time.perf_counter()
        for batch in loader:
            batches.append(batch)
            del batch  # the loader reuses what nobody holds
            if len(batches) == size:
                yield _weighed(batches, started, size, accelerator, weight, world_boxes)
                batches, started = [], time.perf_counter()
        if batches:
            yield _weighed(batches, started, size, accelerator, weight, world_boxes)


def _weighed(
    batches: list[dict[str, Any]],
    started: float,
    size: int,
    accelerator: Accelerator,
    weight: Callable[[Any], int],
    world_boxes: bool,
) -> Window:
    waited = time.perf_counter() - started
    ranks = accelerator.num_processes
    own = torch.tensor([weight(batch) for batch in batches] + [0] * (size - len(batches)), dtype=torch.float64)
    every = own[None]
    if ranks > 1:
        every = accelerator.gather(every.to(accelerator.device, torch.float32)).cpu()  # pyright: ignore
    divisors = (every.mean(0) if world_boxes else own).clamp_min(1)
    # Gradients are averaged over the ranks: hence the factor.
    weights = divisors.double() * ranks / max(1.0, float(every.sum()))
    return Window(batches, weights[: len(batches)].tolist(), waited)


def scale_of_step(canvas: tuple[int, int], multi_scale: float, seed: int, step: int) -> tuple[int, int]:
    """(height, width) in pixels that images have in this step: multiples of 32, the same on every rank and after a
    resume.

    Args:
        canvas: (height, width) as the loader gives them.
        multi_scale: largest change, as a fraction of the canvas.
    """
    if multi_scale == 0:
        return canvas
    factor = 1 + random.Random(f"{seed} {step}").uniform(-multi_scale, multi_scale)
    height, width = (max(32, round(edge * factor / 32) * 32) for edge in canvas)
    return height, width
