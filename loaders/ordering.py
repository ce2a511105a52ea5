"""In which order images come: a pure function of seed, epoch, number of images, batch size and ranks."""

from __future__ import annotations

import hashlib

import torch


def mix(*numbers: int) -> int:
    """A 63-bit seed out of several numbers, the same on every machine and Python."""
    text = "|".join(str(n) for n in numbers)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def epoch_batches(
    count: int, batch_size: int, *, seed: int, epoch: int, shuffle: bool, drop_last: bool, world_size: int, rank: int
) -> list[tuple[list[int], bool]]:
    """The batches of one rank in one epoch.

    Args:
        count: images there are; they are numbered from 0.
        drop_last: leave out an incomplete last batch, where there is another.

    Returns:
        One (indices, repeated) a step, equally many on every rank. `repeated` marks a batch that another rank has too,
        there only to fill up the last step: at most `world_size - 1` of them over all ranks.
    """
    if count == 0:
        return []
    if shuffle:
        generator = torch.Generator().manual_seed(mix(seed, epoch))
        order = torch.randperm(count, generator=generator).tolist()
    else:
        order = list(range(count))
    batches = [order[start : start + batch_size] for start in range(0, count, batch_size)]
    if drop_last and len(batches) > 1 and len(batches[-1]) < batch_size:
        batches.pop()
    missing = -len(batches) % world_size
    marked = [(batch, False) for batch in batches]
    marked += [(batches[i % len(batches)], True) for i in range(missing)]
    return marked[rank::world_size]
