"""The order of images, and their distribution to ranks: pure functions of seed, epoch, counts and ranks."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import torch


def mix(*numbers: int) -> int:
    """Return a 63-bit seed computed from several numbers, the same on every machine and Python version."""
    text = "|".join(str(n) for n in numbers)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def permutation(count: int, seed: int, epoch: int) -> np.ndarray:
    """Return int64 (count,): 0..count-1 in the order of an epoch."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(mix(seed, epoch))).numpy()


@dataclass(frozen=True)
class Share:
    """One batch of one rank.

    Attributes:
        number: of the batch in its epoch, over all ranks, from 0.
        start, stop: its images, as positions in the epoch's order.
        repeated: another rank has this batch too; it only fills up the last step.
    """

    number: int
    start: int
    stop: int
    repeated: bool


def shares(count: int, batch_size: int, *, drop_last: bool, world_size: int, rank: int) -> list[Share]:
    """Return the batches of one rank, distributed in turn: the same number on every rank.

    Args:
        count: number of images in the epoch.
        drop_last: leave out an incomplete last batch, unless it is the only one.

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
