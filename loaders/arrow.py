"""Rows of an Arrow-backed dataset without copies: encoded images are views of its own, memory-mapped buffers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import datasets
import numpy as np
import pyarrow as pa

# `dataset[i]` builds Python objects for every cell and copies every image; at 200x200 pixels that takes half as long as
# the decoding. Here a row costs a few slices. What is read of `datasets` is the table below a dataset (`Dataset.data`)
# and the indices that select() and shuffle() leave instead of moving rows (`Dataset._indices`).

#: An encoded image: a view of its bytes, or the path of the file that holds them.
Encoded = memoryview | str


class Blocks:
    """The columns of a dataset, cut where all of them are contiguous.

    Args:
        dataset: its select, shuffle and concatenation are honoured.
        columns: name -> kind of column, one of the classes below.
    """

    def __init__(self, dataset: datasets.Dataset, columns: dict[str, type[Any]]) -> None:
        self.count = len(dataset)
        self._table: pa.Table = dataset.data.table
        indices = dataset._indices
        self._indices = None if indices is None else indices.column(0).to_numpy().astype(np.int64)
        # Batches of a table share the memory of its columns and are cut where any of these is.
        batches = self._table.select(list(columns)).to_batches()
        self._blocks = [tuple(kind(batch.column(name)) for name, kind in columns.items()) for batch in batches]
        self._ends = np.cumsum([batch.num_rows for batch in batches], dtype=np.int64)
        self._starts = np.concatenate([[0], self._ends])

    def locate(self, rows: np.ndarray) -> Iterator[tuple[tuple[Any, ...], int]]:
        """Of each row, int64 (n,), its block's columns, in the order of `columns`, and its place in them."""
        physical = rows if self._indices is None else self._indices[rows]
        blocks = np.searchsorted(self._ends, physical, side="right")
        for block, place in zip(blocks.tolist(), (physical - self._starts[blocks]).tolist(), strict=True):
            yield self._blocks[block], place

    def numbers(self, column: str) -> np.ndarray:
        """Values of a whole column of numbers or booleans, in the order of the dataset."""
        values = self._table.column(column).to_numpy()
        return values if self._indices is None else values[self._indices]


class Texts:
    """Strings."""

    def __init__(self, array: pa.Array) -> None:
        self._offsets, self._data, _ = _bytes_of(array)

    def __getitem__(self, row: int) -> str:
        return str(self._data[self._offsets[row] : self._offsets[row + 1]], "utf-8")


class Images:
    """Encoded images, as the `Image` feature stores them: structs of bytes and path."""

    def __init__(self, array: pa.StructArray) -> None:
        self._offsets, self._data, self._valid = _bytes_of(array.field("bytes"))
        self._cells = array
        if array.null_count:  # a null cell has no bytes either, whatever its child arrays say
            valid = array.is_valid().to_numpy(zero_copy_only=False)
            self._valid = valid if self._valid is None else valid & self._valid

    def __getitem__(self, row: int) -> Encoded | None:
        if self._valid is None or self._valid[row]:
            return self._data[self._offsets[row] : self._offsets[row + 1]]
        return (self._cells[row].as_py() or {}).get("path")


class Lists:
    """Lists of numbers, or of lists of equally many numbers: a row is an array (n,) or (n, k)."""

    def __init__(self, array: pa.ListArray) -> None:
        self._offsets, self._values = memoryview(array.offsets.to_numpy()), _flat(array.values)

    def __getitem__(self, row: int) -> np.ndarray:
        return self._values[self._offsets[row] : self._offsets[row + 1]]


class Boxes(Lists):
    """Lists of boxes: a row is float32 (n, 4)."""

    def __init__(self, array: pa.ListArray) -> None:
        super().__init__(array)
        self._values = as_boxes(self._values)


class ImageLists:
    """Lists of encoded images."""

    def __init__(self, array: pa.ListArray) -> None:
        self._offsets = memoryview(array.offsets.to_numpy())
        self._images = None if pa.types.is_null(array.type.value_type) else Images(array.values)  # type: ignore[arg-type]

    def __getitem__(self, row: int) -> list[Encoded | None]:
        if self._images is None:
            return []
        return [self._images[place] for place in range(self._offsets[row], self._offsets[row + 1])]


def as_boxes(found: np.ndarray) -> np.ndarray:
    """float32 (n, 4), also of no boxes."""
    return found.reshape(-1, 4).astype(np.float32, copy=False)


def _bytes_of(array: pa.Array) -> tuple[Sequence[int], memoryview, np.ndarray | None]:
    """Offsets (n + 1) into the data, the data, and which cells are not null (None: all)."""
    if pa.types.is_null(array.type):  # a column of paths alone
        return [0] * (len(array) + 1), memoryview(b""), np.zeros(len(array), bool)
    large = pa.types.is_large_binary(array.type) or pa.types.is_large_string(array.type)
    _, offsets, data = array.buffers()
    numbers = np.frombuffer(offsets, np.int64 if large else np.int32) if offsets else np.zeros(1, np.int32)
    numbers = numbers[array.offset : array.offset + len(array) + 1]
    valid = array.is_valid().to_numpy(zero_copy_only=False) if array.null_count else None
    places = memoryview(np.ascontiguousarray(numbers))  # type: ignore[arg-type]
    return places, memoryview(data).cast("B") if data is not None else memoryview(b""), valid


def _flat(values: pa.Array) -> np.ndarray:
    """All values of a list column in a row: (n,), or (n, k) where they are lists themselves."""
    if isinstance(values, pa.FixedSizeListArray):
        inner, size = values.values.to_numpy(zero_copy_only=False), values.type.list_size
        return inner.reshape(-1, size)[values.offset : values.offset + len(values)]
    if isinstance(values, pa.ListArray | pa.LargeListArray):  # own folders: boxes as lists of any length
        return np.asarray(values.to_pylist(), np.float32)
    return values.to_numpy(zero_copy_only=False)
