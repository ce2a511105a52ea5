"""Find byte-identical images of different sources, by size and SHA-256, without decoding any."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import CombiningError
from ..splits import TEST, TRAIN, UNLABELED, VALIDATION

#: The most held-out split first: its copy of an image is the one that is kept.
HELD_OUT = (TEST, VALIDATION, TRAIN, UNLABELED)


@dataclass(frozen=True)
class Duplicate:
    """One of several images with the same bytes: its position in what was searched."""

    item: int
    part: int
    row: int


def sizes(images: pa.ChunkedArray) -> np.ndarray:
    """Return the number of bytes of every file, from Arrow's offsets: no image is read."""
    found = []
    for chunk in images.chunks:
        stored = pc.call_function("binary_length", [chunk.field("bytes")])
        if stored.null_count:  # a folder of files, read in place: the column has only paths
            paths = chunk.field("path")
            filled = [
                length if length is not None else _file(path.as_py()).stat().st_size
                for length, path in zip(stored.to_pylist(), paths, strict=True)
            ]
            stored = pa.array(filled, pa.int64())
        found.append(stored.to_numpy(zero_copy_only=False).astype(np.int64))
    return np.concatenate(found) if found else np.zeros(0, np.int64)


def find_duplicates(parts: Sequence[tuple[int, pa.ChunkedArray, np.ndarray]]) -> list[list[Duplicate]]:
    """Return sets of byte-identical images that more than one item holds.

    Only files whose size occurs in two items are read, one at a time.

    Args:
        parts: (item, column `image` as Arrow stores it, the row numbers in it that count).

    Returns:
        The sets, each in the order of `parts`.
    """
    part_sizes = [sizes(images)[rows] for _, images, rows in parts]
    held_by = defaultdict(set)
    for (item, _, _), found in zip(parts, part_sizes, strict=True):
        for size in np.unique(found):
            held_by[size].add(item)
    shared = [size for size, items in held_by.items() if len(items) > 1]
    by_content: dict[bytes, list[Duplicate]] = defaultdict(list)
    for number, ((item, images, rows), found) in enumerate(zip(parts, part_sizes, strict=True)):
        for row in rows[np.isin(found, shared)]:
            by_content[_digest(images, int(row))].append(Duplicate(item, number, int(row)))
    return [copies for copies in by_content.values() if len({copy.item for copy in copies}) > 1]


def _digest(images: pa.ChunkedArray, row: int) -> bytes:
    image = images[row]
    data = image["bytes"].as_buffer()  # a view: the bytes are not copied
    return hashlib.sha256(_file(image["path"].as_py()).read_bytes() if data is None else data).digest()


def _file(path: str | None) -> Path:
    """Return the file that holds an image's bytes if the column does not."""
    if path is None or not Path(path).is_file():
        raise CombiningError(
            f"An image has no bytes in the dataset and its path {path} is not a local file, so it cannot be compared "
            "with those of the other datasets. Store the bytes (image={'bytes': ..., 'path': ...}), or give an "
            "absolute path."
        )
    return Path(path)


def common_groups(pairs: Iterable[Sequence[str]]) -> dict[str, str]:
    """Return old group -> the smallest name among all connected groups; groups that keep their name are omitted."""
    parent: dict[str, str] = {}

    def root(group: str) -> str:
        while parent.setdefault(group, group) != group:
            group = parent[group]
        return group

    for groups in pairs:
        smallest, *others = sorted({root(group) for group in groups})
        parent.update(dict.fromkeys(others, smallest))
    return {group: root(group) for group in parent if root(group) != group}


def losers(splits: Sequence[str]) -> list[bool]:
    """Return which of the copies, given by their splits, would leak: all but those in the most held-out one."""
    best = min(splits, key=HELD_OUT.index)
    return [split != best for split in splits]
