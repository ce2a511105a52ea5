"""Streams: distribute batches among ranks without knowing their number, and read in the background."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable, Iterator
from itertools import islice
from queue import Full, Queue
from typing import Any, TypeVar

T = TypeVar("T")


def dealt(
    items: Iterable[T], batch_size: int, *, drop_last: bool, world_size: int, rank: int
) -> Iterator[tuple[int, list[T], bool]]:
    """Yield the batches of one rank: (number in the epoch, items, repeated), the same as `ordering.shares` returns.

    Every rank reads the entire stream and keeps its own batches, so that the order does not depend on the number of
    ranks.
    """
    first: list[list[T]] = []
    iterator, number = iter(items), 0
    while batch := list(islice(iterator, batch_size)):
        if drop_last and number and len(batch) < batch_size:
            break
        if len(first) < world_size - 1:
            first.append(batch)
        if number % world_size == rank:
            yield number, batch, False
        number += 1
    for extra in range(-number % world_size):
        if (number + extra) % world_size == rank:
            again = extra % len(first)
            yield again, first[again], True


_END = object()


def read_ahead(items: Iterator[T], depth: int) -> Generator[T, None, None]:
    """Yield the items, reading up to `depth` of them in a thread while earlier ones are used.

    An exception from `items` is raised in its place. Leaving early ends the thread after the item it is reading.
    """
    queue: Queue[tuple[Any, BaseException | None]] = Queue(depth)
    stop = threading.Event()

    def put(item: Any, error: BaseException | None = None) -> None:
        while not stop.is_set():
            try:
                queue.put((item, error), timeout=0.1)
                return
            except Full:
                continue

    def read() -> None:
        try:
            for item in items:
                put(item)
                if stop.is_set():
                    return
            put(_END)
        except BaseException as error:  # raised where the items are used
            put(_END, error)

    thread = threading.Thread(target=read, name="loader-reader", daemon=True)
    thread.start()
    try:
        while True:
            item, error = queue.get()
            if error is not None:
                raise error
            if item is _END:
                return
            yield item
    finally:
        stop.set()
        thread.join()
