"""In which order images come and which rank gets them: pure functions of seed, epoch, counts and ranks."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import torch


def mix(*numbers: int) -> int:
    """A 63-bit seed out of several numbers, the same on every machine and Python."""
    text = "|".join(str(n) for n in numbers)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def permutation(count: int, seed: int, epoch: int) -> np.ndarray:
    """int64 (count,): 0..count-1 in the order of an epoch."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(mix(seed, epoch))).numpy()


@dataclass(frozen=True)
class Share:
    """One batch of one rank.

    Attributes:
        number: of the batch in its epoch, over all ranks, from 0.
        start, stop: its images, as places in the epoch's order.
        repeated: another rank has this batch too; it is there only to fill up the last step.
    """

    number: int
    start: int
    stop: int
    repeated: bool


def shares(count: int, batch_size: int, *, drop_last: bool, world_size: int, rank: int) -> list[Share]:
    """The batches of one rank, dealt out in turn: equally many on every rank.

    Args:
        count: images of the epoch.
        drop_last: leave out an incomplete last batch, where there is another.

    Returns:
        Over all ranks at most `world_size - 1` repeated ones; the others hold each image once.
    """
    starts = list(range(0, count, batch_size))
    if drop_last and len(starts) > 1 and count % batch_size:
        starts.pop()
    batches = [Share(n, start, min(start + batch_size, count), False) for n, start in enumerate(starts)]
    missing = -len(batches) % world_size
    repeats = [batches[n % len(batches)] for n in range(missing)]
    batches += [Share(batch.number, batch.start, batch.stop, True) for batch in repeats]
    return batches[rank::world_size]
