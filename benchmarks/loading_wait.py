"""How long a training step waits for its batch; run by benchmarks/loading.py --gpu."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import loading_routes as routes
import torch


def waits(source: str, rows: Any, threads: int) -> list[dict[str, Any]]:
    """Return for each augmentation the milliseconds of a real training step, and how long it waits for data."""
    from loaders import Augmentation, DetectionLoader
    from training.models import build_model
    from training.run.averaging import MovingAverage
    from training.run.optimization import float32_loss, parameter_groups

    fast = torch.cuda.is_available()
    # On a CPU this shows only that it runs.
    size, batch_size, warm_up, steps = (640, routes.BATCH, 5, 20) if fast else (64, 2, 2, 6)
    device = torch.device("cuda" if fast else "cpu")
    torch.manual_seed(0)
    names = rows.features["labels"].feature.names
    model: Any = build_model("rt_detr_v2", names, size="small" if fast else "nano").to(device).train()
    float32_loss(model)
    average = MovingAverage(model, 0.9998)
    optimizer = torch.optim.AdamW(parameter_groups(model, 1e-4, 1e-5, 1e-4))
    scaler = torch.amp.GradScaler(device.type, enabled=fast)
    repeated = rows.select([index % len(rows) for index in range((warm_up + steps) * batch_size)])

    def now() -> float:
        if fast:
            torch.cuda.synchronize()
        return time.perf_counter()

    def step(batch: dict[str, Any]) -> None:  # like training/train.py's, which checks every loss before continuing
        with torch.autocast(device.type, torch.float16, enabled=fast):
            loss = model(pixel_values=batch["pixel_values"], labels=batch["labels"]).loss
        if bool(torch.isfinite(loss.detach())):
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
            scaler.step(optimizer)
            scaler.update()
        optimizer.zero_grad()
        average.update(model)

    def milliseconds(batches: Iterable[dict[str, Any]], act: Callable[[Any], Any]) -> float:
        """Return the milliseconds per step, with no synchronization but its own, as in training."""
        began = 0.0
        for number, batch in enumerate(batches):
            if number == warm_up:
                began = now()
            act(batch)
        return (now() - began) / steps * 1e3

    found = []
    kinds = {"none": None, "default": Augmentation(), f"all realistic for {source}": Augmentation.for_source(source)}
    for kind, augment in kinds.items():
        loader = partial(
            DetectionLoader,
            repeated,
            batch_size,
            size,
            device=device,
            augment=augment,
            threads=threads,
            mean=routes.GRAY_MEAN,
            std=routes.GRAY_STD,
        )
        batches, parts = iter(loader()), []
        for _ in range(warm_up + steps):
            began, batch, arrived, done = now(), next(batches), time.perf_counter(), now()
            step(batch)
            parts.append((arrived - began, done - arrived, now() - done))
        blocked, copied, train = (sum(column) / steps * 1e3 for column in zip(*parts[warm_up:], strict=True))
        kept = itertools.islice(itertools.cycle([*itertools.islice(loader(), 4)]), warm_up + steps)
        free, loaded, alone = milliseconds(kept, step), milliseconds(loader(), step), milliseconds(loader(), id)
        found.append(
            {
                "augmentation": kind,
                "blocked in next(), ms": blocked,
                "its work on the device, ms": copied,
                "step, ms": train,
                "wait, %": 100 * blocked / (blocked + copied + train),
                "with its work, %": 100 * (blocked + copied) / (blocked + copied + train),
                "free running, kept batches, ms": free,
                "free running, loader, ms": loaded,
                "data cost, %": 100 * (loaded / free - 1),
                "loader alone, images/s": batch_size / alone * 1e3,
            }
        )
        print(found[-1], file=sys.stderr, flush=True)
    return found
