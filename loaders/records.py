"""Rows of a dataset as records: undecoded images with their truth, from Arrow or from a stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import datasets
import numpy as np

from loaders.arrow import Blocks, Boxes, Encoded, ImageLists, Images, Lists, Texts, as_boxes

#: (top, left, height, width) in pixels of the file.
Window = tuple[int, int, int, int]
#: What a loader needs of every row. `masks` and `reference` only where they are asked for.
COLUMNS = ("image_id", "image", "width", "height", "boxes", "labels", "annotated")


@dataclass(slots=True)
class Record:
    """One row, or one tile of it.

    Attributes:
        size: (height, width) in pixels of the file, as the columns promise; masks are in this frame.
        boxes: float32 (n, 4), x_min y_min x_max y_max in pixels of what is shown.
        labels: int64 (n,).
        masks: encoded, one a box; empty where they were not asked for.
        reference: the encoded template; None where there is none or it was not asked for.
        window: (top, left, height, width) of the tile that is shown; None shows the whole image.
    """

    image_id: str
    image: Encoded | None
    size: tuple[int, int]
    boxes: np.ndarray
    labels: np.ndarray
    masks: Sequence[Encoded | None] = ()
    reference: Encoded | None = None
    window: Window | None = None

    @property
    def shown(self) -> tuple[int, int]:
        """(height, width) of what is shown, in pixels of the file."""
        return self.size if self.window is None else self.window[2:]


class TableRecords:
    """Records of a `datasets.Dataset` by row number.

    Raises:
        ValueError: a column is missing.
    """

    def __init__(self, dataset: datasets.Dataset, *, masks: bool, reference: bool) -> None:
        needed_columns(dataset.column_names, masks=masks, reference=reference)
        columns: dict[str, type] = {"image_id": Texts, "image": Images, "boxes": Boxes, "labels": Lists}
        columns |= {"masks": ImageLists} if masks else {}
        columns |= {"reference": Images} if reference else {}
        self._blocks, self._masks, self._reference = Blocks(dataset, columns), masks, reference
        #: Rows of the dataset, annotated or not.
        self.count = self._blocks.count
        #: int32 (count, 2): (height, width) of every row.
        self.sizes = np.stack([self._blocks.numbers("height"), self._blocks.numbers("width")], 1)
        #: Row numbers of the images whose truth is known. The others teach nothing.
        self.annotated = np.flatnonzero(self._blocks.numbers("annotated"))

    def __call__(self, rows: np.ndarray) -> list[Record]:
        """The records of `rows`, int64 (n,)."""
        found = []
        sizes = map(tuple, self.sizes[rows].tolist())
        for (columns, at), size in zip(self._blocks.locate(rows), sizes, strict=True):
            record = Record(columns[0][at], columns[1][at], size, columns[2][at], columns[3][at])
            if self._masks:
                record.masks = columns[4][at]
            if self._reference:
                record.reference = columns[-1][at]
            found.append(record)
        return found

    def boxes(self, rows: np.ndarray) -> list[np.ndarray]:
        """float32 (n, 4) of each row."""
        return [columns[2][at] for columns, at in self._blocks.locate(rows)]


class StreamRecords:
    """Annotated records of a `datasets.IterableDataset`, one after the other.

    Raises:
        ValueError: a column is missing.
    """

    def __init__(self, dataset: datasets.IterableDataset, *, masks: bool, reference: bool) -> None:
        self.dataset, self._masks, self._reference = dataset, masks, reference
        names = dataset.column_names
        if names is not None:
            self.dataset = dataset.select_columns(needed_columns(names, masks=masks, reference=reference))
        self.dataset = self.dataset.decode(False)

    def epoch(self, epoch: int) -> Iterator[Record]:
        """The rows of an epoch: the stream's own order, shuffled as its `shuffle` says for that epoch."""
        self.dataset.set_epoch(epoch)
        for row in self.dataset:
            if row["annotated"]:
                yield self._record(row)

    def _record(self, row: Mapping[str, Any]) -> Record:
        return Record(
            row["image_id"],
            _encoded(row["image"]),
            (row["height"], row["width"]),
            as_boxes(np.asarray(row["boxes"], np.float32)),
            np.asarray(row["labels"], np.int64),
            [_encoded(mask) for mask in row["masks"]] if self._masks else (),
            _encoded(row["reference"]) if self._reference else None,
        )


def needed_columns(names: Sequence[str], *, masks: bool, reference: bool) -> list[str]:
    """The columns a loader reads, out of those there are; ValueError where one is missing."""
    wanted = [*COLUMNS, *(["masks"] if masks else []), *(["reference"] if reference else [])]
    if missing := [name for name in wanted if name not in names]:
        raise ValueError(
            f"the dataset lacks the columns {missing} (it has {list(names)}); a loader takes one split with "
            "radikal_datasets' schema"
        )
    return wanted


def _encoded(cell: Mapping[str, Any] | None) -> Encoded | None:
    if cell is None:
        return None
    return memoryview(cell["bytes"]) if cell["bytes"] is not None else cell["path"]
