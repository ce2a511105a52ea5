"""Prefetch filled batches to the device; on a GPU one is copied while the previous one is used for computation."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

import torch

from loaders.ring import Job


def on_device(
    jobs: Iterator[Job], planes: Callable[[Job], torch.Tensor], device: torch.device
) -> Iterator[tuple[Job, torch.Tensor]]:
    """Yield each job with its planes on `device`.

    On the CPU, the planes are the ring's own memory, to be used before the next job is requested; elsewhere a copy.

    Args:
        planes: returns a job's planes, a view of the ring's memory, pinned if the device is a GPU.
    """
    if device.type != "cuda":
        for job in jobs:
            yield job, planes(job).to(device)
        return
    stream = torch.cuda.Stream(device)
    ahead: deque[tuple[Job, torch.Tensor, torch.cuda.Event]] = deque()

    def arrived() -> tuple[Job, torch.Tensor]:
        job, copy, copied = ahead.popleft()
        present = torch.cuda.current_stream(device)
        present.wait_event(copied)
        copy.record_stream(present)  # or its memory could be reused while the current stream still reads it
        return job, copy

    for job in jobs:
        with torch.cuda.stream(stream):
            copy, copied = planes(job).to(device, non_blocking=True), torch.cuda.Event()
            copied.record(stream)
        ahead.append((job, copy, copied))
        if len(ahead) > 1:
            yield arrived()
        copied.synchronize()  # the ring overwrites the job's memory when this loop continues
    while ahead:
        yield arrived()
