"""Plan the images of an epoch, their order and their batches: jobs for the ring."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Protocol

import numpy as np

from loaders.ordering import Share, mix, permutation, shares
from loaders.records import Marked, Record, Records, StreamRecords, TableRecords, Window
from loaders.ring import Job
from loaders.sampling import Sampler
from loaders.streaming import dealt, read_ahead
from loaders.tiling import Tiling
from radikal_datasets.gray_scale import spread

#: Number of images that are examined to decide whether a dataset is gray, and on which scale.
LOOKED_AT = 64
# Rows that are read from the table at once, for several batches: the fixed cost of a read is a third of
# its total for 64 rows. Tiles are read batch by batch, since clipping their boxes takes long.
_ROWS_TOGETHER = 256


@dataclass(frozen=True)
class Order:
    """How an epoch is ordered and distributed; see `DetectionLoader`."""

    batch_size: int
    seed: int
    shuffle: bool
    drop_last: bool
    rank: int
    world_size: int


class Plan(Protocol):
    """The batches of one rank."""

    def jobs(self, epoch: int, position: int) -> Generator[Job, None, None]:
        """Yield the jobs from batch `position` of the epoch on."""
        ...

    def steps(self, epoch: int) -> int:
        """Return the number of batches in an epoch; TypeError if it is unknown."""
        ...

    @property
    def num_images(self) -> int:
        """Number of annotated images over all ranks; TypeError if it is unknown."""
        ...


class TablePlan:
    """Plan for a dataset whose rows have numbers."""

    def __init__(
        self, records: TableRecords, order: Order, tiles: Tiling | None, sampler: Sampler | None, masks: bool
    ) -> None:
        self._records, self._order, self._tiles, self._sampler, self._masks = records, order, tiles, sampler, masks
        self._tile_table: _TileTable | None = None
        self._present: tuple[int, np.ndarray] | None = None

    @property
    def num_images(self) -> int:
        """See `Plan`."""
        return len(self._records.annotated)

    def steps(self, epoch: int) -> int:
        """See `Plan`."""
        return len(self._shares(epoch))

    def some_records(self) -> list[Record]:
        """Return annotated records that are evenly spread over the dataset."""
        rows = self._records.annotated
        return self._records(rows[spread(len(rows), LOOKED_AT)]).rows if len(rows) else []

    def jobs(self, epoch: int, position: int) -> Generator[Job, None, None]:
        """See `Plan`."""
        entries, due = self._entries(epoch), self._shares(epoch)[position:]
        together = max(1, _ROWS_TOGETHER // self._order.batch_size) if self._tiles is None else 1
        for first in range(0, len(due), together):
            some = due[first : first + together]
            records = self._shown(np.concatenate([entries[share.start : share.stop] for share in some]), epoch)
            parts = records.parts([share.stop - share.start for share in some])
            for share, part in zip(some, parts, strict=True):
                yield make_job(share.number, part, share.repeated, self._masks)

    def _shown(self, entries: np.ndarray, epoch: int) -> Records:
        if self._tiles is None:
            return self._records(entries)
        table = self._all_tiles(self._tiles)
        windows, rows = table.windows[entries], table.rows[entries]
        if self._tiles.jitter:
            # A generator for each batch's first tile: the same windows after resuming, whatever was read before.
            draw = np.random.default_rng(mix(self._order.seed, epoch, 3, int(entries[0])))
            windows = self._tiles.moved(windows, self._records.sizes[rows], draw)
        images = self._records(rows)
        return Records.of([_tile(r, tuple(w), self._tiles) for r, w in zip(images, windows.tolist(), strict=True)])

    def _shares(self, epoch: int) -> list[Share]:
        order = self._order
        return shares(
            len(self._entries(epoch)),
            order.batch_size,
            drop_last=order.drop_last,
            world_size=order.world_size,
            rank=order.rank,
        )

    def _entries(self, epoch: int) -> np.ndarray:
        """Return int64: what the epoch shows, in order; row numbers, or with tiles their numbers in the tile table."""
        if self._present is not None and self._present[0] == epoch:
            return self._present[1]
        rows = self._records.annotated if self._sampler is None else self._sampler.rows(self._order.seed, epoch)
        entries = rows if self._tiles is None else self._some_tiles(self._tiles, rows, epoch)
        # A sampler's rows are already in order; its tiles would come image by image.
        if self._order.shuffle and (self._sampler is None or self._tiles is not None):
            entries = entries[permutation(len(entries), self._order.seed, epoch)]
        self._present = (epoch, entries)
        return entries

    def _some_tiles(self, tiles: Tiling, rows: np.ndarray, epoch: int) -> np.ndarray:
        """Return the tiles of `rows`; of those without a defect, the share that the tiling shows."""
        table = self._all_tiles(tiles)
        first = table.first.tolist()
        numbers = [np.arange(first[row], first[row + 1]) for row in rows.tolist()]
        chosen = np.concatenate([*numbers, np.zeros(0, np.int64)])
        drawn = np.random.default_rng(mix(self._order.seed, epoch, 1)).random(len(chosen))
        return chosen[~table.empty[chosen] | (drawn < tiles.empty)]

    def _all_tiles(self, tiles: Tiling) -> _TileTable:
        if self._tile_table is None:
            self._tile_table = _TileTable(self._records, tiles)
        return self._tile_table


class _TileTable:
    """Every tile of every image: its row (n,), window (n, 4), whether it is empty (n,); the first tile of each row."""

    def __init__(self, records: TableRecords, tiles: Tiling) -> None:
        of_rows = [tiles.windows((height, width)) for height, width in records.sizes.tolist()]
        boxes, found = records.boxes()
        ends = np.cumsum(found).tolist()
        counts = [len(windows) for windows in of_rows]
        self.rows = np.repeat(np.arange(records.count), counts)
        self.windows = np.array(list(chain.from_iterable(of_rows)), np.int64).reshape(-1, 4)
        spans = zip([0, *ends], ends, of_rows, strict=False)
        empty = [not len(tiles.visible(boxes[a:b], window)[1]) for a, b, windows in spans for window in windows]
        self.empty = np.array(empty, bool)
        self.first = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


class StreamPlan:
    """Plan for a stream, in the stream's own order."""

    def __init__(self, records: StreamRecords, order: Order, tiles: Tiling | None, prefetch: int, masks: bool) -> None:
        self._records, self._order, self._tiles, self._prefetch, self._masks = records, order, tiles, prefetch, masks
        #: Called with the first records of a stream before any job is created from them.
        self.look_at: Callable[[list[Record]], None] | None = None

    @property
    def num_images(self) -> int:
        """See `Plan`."""
        raise TypeError("A streamed dataset has an unknown number of images. Load it without streaming=True.")

    def steps(self, epoch: int) -> int:
        """See `Plan`."""
        raise TypeError("A streamed dataset has an unknown number of batches. Load it without streaming=True.")

    def jobs(self, epoch: int, position: int) -> Generator[Job, None, None]:
        """See `Plan`. What precedes `position` is read again: a shuffle buffer cannot be restored otherwise."""
        with closing(read_ahead(self._records.epoch(epoch), self._prefetch * self._order.batch_size)) as read:
            records: Iterator[Marked] = read
            if self.look_at is not None:
                head = list(islice(read, LOOKED_AT))
                self.look_at([marked.record for marked in head])
                records = chain(head, read)
            order = self._order
            batches = dealt(
                self._shown(records, epoch),
                order.batch_size,
                drop_last=order.drop_last,
                world_size=order.world_size,
                rank=order.rank,
            )
            for number, chosen, repeated in islice(batches, position, None):
                yield make_job(number, Records.of(chosen), repeated, self._masks)

    def _shown(self, records: Iterator[Marked], epoch: int) -> Iterator[Marked]:
        """Yield each record, or its tiles; of those without a defect, the share that the tiling shows."""
        for count, marked in enumerate(records):
            if self._tiles is None:
                yield marked
                continue
            draw = np.random.default_rng(mix(self._order.seed, epoch, 1, count))
            windows = np.array(self._tiles.windows(marked.record.size), np.int64)
            if self._tiles.jitter:
                windows = self._tiles.moved(windows, np.array([marked.record.size]), draw)
            for window in windows.tolist():
                tile = _tile(marked, tuple(window), self._tiles)
                if draw.random() < self._tiles.empty or len(tile.boxes):
                    yield tile


def _tile(marked: Marked, window: Window, tiles: Tiling) -> Marked:
    """Return one tile of an image, with the boxes that it shows."""
    boxes, kept = tiles.visible(marked.boxes, window)
    record = replace(marked.record, window=window)
    if record.masks:
        record.masks = [record.masks[i] for i in kept]
    return Marked(record, boxes, marked.labels[kept])


def make_job(number: int, records: Records, repeated: bool, masks: bool) -> Job:
    """Create a batch to be decoded.

    Raises:
        ValueError: masks are requested, but an image has boxes without them.
    """
    if masks:
        for record, count in zip(records.rows, records.counts.tolist(), strict=True):
            if len(record.masks) != count:
                raise ValueError(
                    f"Image {record.image_id!r} has {count} boxes, but {len(record.masks)} masks. masks=True needs a "
                    "source with masks."
                )
    return Job(number, records, repeated)
