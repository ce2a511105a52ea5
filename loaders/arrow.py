"""Read rows of an Arrow-backed dataset without copies: encoded images are views of its memory-mapped buffers."""

from __future__ import annotations

from itertools import islice
from typing import Any

import datasets
import numpy as np
import pyarrow as pa

# `dataset[i]` builds Python objects for every cell and copies every image; at 200x200 pixels that takes half as long as
# the decoding. Here a row costs a few slices. This uses the table of a dataset (`Dataset.data`) and the indices that
# select() and shuffle() set instead of moving rows (`Dataset._indices`).

#: An encoded image: a view of its bytes, or the path of the file that holds them.
Encoded = memoryview | str


class Columns:
    """Some columns of a dataset.

    Args:
        dataset: its select, shuffle and concatenation are honored.
        kinds: name -> kind of column, one of the classes below.
    """

    def __init__(self, dataset: datasets.Dataset, kinds: dict[str, type[Any]]) -> None:
        self.count = len(dataset)
        self._table: pa.Table = dataset.data.table
        indices = dataset._indices
        self._indices = None if indices is None else indices.column(0).to_numpy().astype(np.int64)
        self._columns = {name: kind(_chunks(self._table.column(name))) for name, kind in kinds.items()}

    def __call__(self, rows: np.ndarray) -> list[Any]:
        """Return each column's values for `rows`, int64 (n,), in the order of `kinds`."""
        physical = self._physical(rows)
        return [column(physical) for column in self._columns.values()]

    def of(self, name: str, rows: np.ndarray) -> Any:
        """Return one column's values for `rows`."""
        return self._columns[name](self._physical(rows))

    def numbers(self, name: str) -> np.ndarray:
        """Return all values of a column of numbers or booleans, in the order of the dataset."""
        values = self._table.column(name).to_numpy()
        return values if self._indices is None else values[self._indices]

    def _physical(self, rows: np.ndarray) -> np.ndarray:
        return rows if self._indices is None else self._indices[rows]


class _Cells:
    """Cells of any length, in chunks: where each one begins and ends in its chunk's data."""

    def __init__(self, offsets: list[np.ndarray]) -> None:
        # n cells have n + 1 offsets, so the first one of a row is at its number plus that of its chunk.
        self._offsets = np.concatenate(offsets).astype(np.int64, copy=False)
        self._ends = np.cumsum([len(numbers) - 1 for numbers in offsets], dtype=np.int64)

    def spans(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return chunk, start and end of each row, int64 (n,)."""
        chunks = self._ends.searchsorted(rows, side="right")
        places = rows + chunks
        return chunks, self._offsets[places], self._offsets[places + 1]


class Texts:
    """A column of strings; returns a list of them."""

    def __init__(self, chunks: list[pa.Array]) -> None:
        self._cells, self._data = _encoded(chunks)

    def __call__(self, rows: np.ndarray) -> list[str]:
        """Return the strings of `rows`, int64 (n,)."""
        spans = (numbers.tolist() for numbers in self._cells.spans(rows))
        return [self._data[chunk][start:end].tobytes().decode() for chunk, start, end in zip(*spans, strict=True)]


class Images:
    """A column of encoded images, structs of bytes and path as in the `Image` feature; returns views or paths."""

    def __init__(self, chunks: list[pa.StructArray]) -> None:
        self._cells, self._data = _encoded([chunk.field("bytes") for chunk in chunks])
        self._chunks = chunks
        self._firsts = np.cumsum([0, *(len(chunk) for chunk in chunks)])
        self._null = None
        if any(chunk.null_count or chunk.field("bytes").null_count for chunk in chunks):
            # A null cell has no bytes either, whatever its child arrays say.
            self._null = np.concatenate([_is_null(chunk) | _is_null(chunk.field("bytes")) for chunk in chunks])

    def __call__(self, rows: np.ndarray) -> list[Encoded | None]:
        """Return the images of `rows`; None: neither bytes nor a path."""
        chunks, starts, ends = (numbers.tolist() for numbers in self._cells.spans(rows))
        data = self._data
        found: list[Encoded | None] = [data[c][start:end] for c, start, end in zip(chunks, starts, ends, strict=True)]
        if self._null is not None:
            for place in np.flatnonzero(self._null[rows]).tolist():
                cell = self._chunks[chunks[place]][int(rows[place] - self._firsts[chunks[place]])]
                found[place] = (cell.as_py() or {}).get("path")
        return found


class Lists:
    """A column of lists of numbers, or of lists of equal length; returns all values, (N,) or (N, k), and the counts."""

    def __init__(self, chunks: list[pa.ListArray]) -> None:
        self._cells, values = _joined(chunks)
        flat = [self._flat(part) for part in values]
        self._values = flat[0] if len(flat) == 1 else np.concatenate(flat)

    def __call__(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the values of the lists of `rows`, and the number in each, int64 (n,)."""
        places, counts = _places(self._cells, rows)
        return self._values[places], counts

    def _flat(self, values: pa.Array) -> np.ndarray:
        return _flat(values)


class Boxes(Lists):
    """A column of lists of boxes; returns float32 (N, 4), and the counts."""

    def _flat(self, values: pa.Array) -> np.ndarray:
        return as_boxes(_flat(values))  # also for a chunk without boxes


class ImageLists:
    """A column of lists of encoded images; returns a list of lists."""

    def __init__(self, chunks: list[pa.ListArray]) -> None:
        self._cells, values = _joined(chunks)
        # Null if no row has any. (A list's values are typed as any array; the schema has structs here.)
        self._images = None if pa.types.is_null(values[0].type) else Images(values)  # type: ignore[arg-type]

    def __call__(self, rows: np.ndarray) -> list[list[Encoded | None]]:
        """Return the lists of `rows`."""
        places, counts = _places(self._cells, rows)
        images = iter([] if self._images is None else self._images(places))
        return [list(islice(images, count)) for count in counts.tolist()]


def as_boxes(found: np.ndarray) -> np.ndarray:
    """Return float32 (n, 4), also for no boxes."""
    return found.reshape(-1, 4).astype(np.float32, copy=False)


def _encoded(chunks: list[pa.Array]) -> tuple[_Cells, list[memoryview]]:
    """Return the offset of every string or binary value within its chunk, and the chunks' data buffers."""
    parts = [_bytes_of(chunk) for chunk in chunks]
    return _Cells([offsets for offsets, _ in parts]), [data for _, data in parts]


def _bytes_of(array: pa.Array) -> tuple[np.ndarray, memoryview]:
    """Return the offsets, (n + 1,), into the data of n strings or binaries; and the data."""
    if pa.types.is_null(array.type):  # a column of only paths
        return np.zeros(len(array) + 1, np.int64), memoryview(b"")
    large = pa.types.is_large_binary(array.type) or pa.types.is_large_string(array.type)
    _, offsets, data = array.buffers()
    numbers = np.frombuffer(offsets, np.int64 if large else np.int32) if offsets else np.zeros(1, np.int32)
    numbers = numbers[array.offset : array.offset + len(array) + 1]
    return numbers, memoryview(data).cast("B") if data is not None else memoryview(b"")


def _chunks(column: pa.ChunkedArray) -> list[pa.Array]:
    """Return the non-empty chunks, or a single empty one if there are none."""
    return [chunk for chunk in column.chunks if len(chunk)] or [pa.array([], column.type)]


def _is_null(array: pa.Array) -> np.ndarray:
    return array.is_null().to_numpy(zero_copy_only=False)


def _joined(chunks: list[pa.ListArray]) -> tuple[_Cells, list[pa.Array]]:
    """Return where each list is in the values of all chunks, concatenated; and these values."""
    offsets, values, before = [], [], 0
    for chunk in chunks:
        numbers = chunk.offsets.to_numpy().astype(np.int64)
        # A chunk may be a slice of a longer one, and has all of its values.
        values.append(chunk.values.slice(numbers[0], numbers[-1] - numbers[0]))
        offsets.append(numbers - numbers[0] + before)
        before += int(numbers[-1] - numbers[0])
    return _Cells(offsets), values


def _places(cells: _Cells, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where the values of the lists of `rows` are, int64 (N,), and the number in each, int64 (n,)."""
    _, starts, ends = cells.spans(rows)
    counts = ends - starts
    until = counts.cumsum()
    return (starts - until + counts).repeat(counts) + np.arange(until[-1] if len(until) else 0), counts


def _flat(values: pa.Array) -> np.ndarray:
    """Return all values of a list column: (n,), or (n, k) if they are lists themselves."""
    if isinstance(values, pa.FixedSizeListArray):
        inner, size = values.values.to_numpy(zero_copy_only=False), values.type.list_size
        return inner.reshape(-1, size)[values.offset : values.offset + len(values)]
    if isinstance(values, pa.ListArray | pa.LargeListArray):  # the user's own folders: boxes as lists of any length
        return np.asarray(values.to_pylist(), np.float32)
    return values.to_numpy(zero_copy_only=False)
