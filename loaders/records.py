"""Rows of a dataset as records: undecoded images with their annotations, from Arrow or from a stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import datasets
import numpy as np

from loaders.arrow import Boxes, Columns, Encoded, ImageLists, Images, Lists, Texts, as_boxes
from radikal_datasets.checks.splits import check_annotations, check_row
from radikal_datasets.schema import require_columns

#: (top, left, height, width) in pixels of the file.
Window = tuple[int, int, int, int]
#: The columns that a loader needs. `masks` and `reference` are only read if they are requested.
COLUMNS = ("image_id", "image", "width", "height", "boxes", "labels", "annotated")


@dataclass(slots=True)
class Record:
    """What one row, or one tile of it, shows.

    Attributes:
        size: (height, width) in pixels of the file, according to the columns; masks are in this frame.
        masks: encoded, one per box; empty if they were not requested.
        reference: the encoded template; None if there is none or it was not requested.
        window: (top, left, height, width) of the tile that is shown; None shows the entire image.
    """

    image_id: str
    image: Encoded | None
    size: tuple[int, int]
    masks: Sequence[Encoded | None] = ()
    reference: Encoded | None = None
    window: Window | None = None

    @property
    def shown(self) -> tuple[int, int]:
        """(height, width) of what is shown, in pixels of the file."""
        return self.size if self.window is None else self.window[2:]


class Marked(NamedTuple):
    """A record with its boxes and labels.

    Attributes:
        boxes: float32 (n, 4), x_min y_min x_max y_max in pixels of what is shown.
        labels: int64 (n,).
    """

    record: Record
    boxes: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Records:
    """A batch of records; their boxes and labels are concatenated, which is faster than one by one.

    Attributes:
        rows: the B records.
        shown: int64 (B, 2), (height, width) of what is shown of each, in pixels of the file.
        boxes: float32 (N, 4), of all of them, concatenated, as in `Marked`.
        labels: int64 (N,).
        counts: number of boxes of each, int64 (B,).
    """

    rows: list[Record]
    shown: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, marked: Sequence[Marked]) -> Records:
        """Concatenate single records, of which there is at least one."""
        rows, boxes, labels = zip(*marked, strict=True)
        shown = np.array([row.shown for row in rows], np.int64)
        counts = np.array([len(some) for some in boxes], np.int64)
        return cls(list(rows), shown, np.concatenate(boxes), np.concatenate(labels), counts)

    def parts(self, lengths: Sequence[int]) -> Iterator[Records]:
        """Yield consecutive pieces with the given numbers of records, as views."""
        row, box = 0, 0
        for length in lengths:
            counts = self.counts[row : row + length]
            boxes = int(counts.sum())
            next_row, next_box = row + length, box + boxes
            yield Records(
                self.rows[row:next_row],
                self.shown[row:next_row],
                self.boxes[box:next_box],
                self.labels[box:next_box],
                counts,
            )
            row, box = next_row, next_box

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Marked]:
        ends = np.cumsum(self.counts)
        for row, start, end in zip(self.rows, (ends - self.counts).tolist(), ends.tolist(), strict=True):
            yield Marked(row, self.boxes[start:end], self.labels[start:end])


class TableRecords:
    """Records of a `datasets.Dataset` by row number.

    Raises:
        ValueError: a column is missing, or (`AnnotationsError`) a box or label cannot be one of its image.
    """

    def __init__(self, dataset: datasets.Dataset, *, masks: bool, reference: bool) -> None:
        needed_columns(dataset.column_names, masks=masks, reference=reference)
        check_annotations(dataset, "The dataset given to a loader")
        kinds: dict[str, type] = {"image_id": Texts, "image": Images, "boxes": Boxes, "labels": Lists}
        kinds |= {"masks": ImageLists} if masks else {}
        kinds |= {"reference": Images} if reference else {}
        self._columns, self._masks, self._reference = Columns(dataset, kinds), masks, reference
        #: Rows of the dataset, annotated or not.
        self.count = self._columns.count
        #: int64 (count, 2): (height, width) of every row.
        self.sizes = np.stack([self._columns.numbers(side) for side in ("height", "width")], 1).astype(np.int64)
        #: Row numbers of the annotated images. The others cannot be used for training.
        self.annotated = np.flatnonzero(self._columns.numbers("annotated"))

    def __call__(self, rows: np.ndarray) -> Records:
        """Return the records of `rows`, int64 (n,)."""
        # Column by column and not row by row: this runs while the decoding threads wait for the GIL.
        names, images, (boxes, counts), (labels, _), *more = self._columns(rows)
        shown = self.sizes[rows]
        found = list(map(Record, names, images, zip(*shown.T.tolist(), strict=True)))
        if self._masks:
            for record, masks in zip(found, more[0], strict=True):
                record.masks = masks
        if self._reference:
            for record, reference in zip(found, more[-1], strict=True):
                record.reference = reference
        return Records(found, shown, boxes, labels, counts)

    def boxes(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the boxes of all rows, float32 (N, 4), concatenated; and the number per row, int64 (count,)."""
        return self._columns.of("boxes", np.arange(self.count))


class StreamRecords:
    """Annotated records of a `datasets.IterableDataset`, one by one.

    Raises:
        ValueError: a column is missing.
    """

    def __init__(self, dataset: datasets.IterableDataset, *, masks: bool, reference: bool) -> None:
        self.dataset, self._masks, self._reference = dataset, masks, reference
        names = dataset.column_names
        if names is not None:
            self.dataset = dataset.select_columns(needed_columns(names, masks=masks, reference=reference))
        self.dataset = self.dataset.decode(False)
        inner = getattr((dataset.features or {}).get("labels"), "feature", None)
        self._classes = inner.names if isinstance(inner, datasets.ClassLabel) else None

    def epoch(self, epoch: int) -> Iterator[Marked]:
        """Yield the rows of an epoch, in the stream's own order, shuffled by its `shuffle` for that epoch."""
        self.dataset.set_epoch(epoch)
        for row in self.dataset:
            if row["annotated"]:
                check_row(row, self._classes, "The stream given to a loader")
                boxes, labels = np.asarray(row["boxes"], np.float32), np.asarray(row["labels"], np.int64)
                yield Marked(self._record(row), as_boxes(boxes), labels)

    def _record(self, row: Mapping[str, Any]) -> Record:
        return Record(
            row["image_id"],
            _encoded(row["image"]),
            (row["height"], row["width"]),
            [_encoded(mask) for mask in row["masks"]] if self._masks else (),
            _encoded(row["reference"]) if self._reference else None,
        )


def needed_columns(names: Sequence[str], *, masks: bool, reference: bool) -> list[str]:
    """Return the columns that a loader reads, of those in `names`; raise ColumnsError if one is missing."""
    wanted = [*COLUMNS, *(["masks"] if masks else []), *(["reference"] if reference else [])]
    require_columns(names, wanted, what="The dataset given to a loader")
    return wanted


def _encoded(cell: Mapping[str, Any] | None) -> Encoded | None:
    if cell is None:
        return None
    return memoryview(cell["bytes"]) if cell["bytes"] is not None else cell["path"]
