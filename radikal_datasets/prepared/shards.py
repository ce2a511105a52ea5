"""Write Parquet shards: bounded by bytes, identical for identical input, in row groups that stream."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import pyarrow.parquet as pq

from ..building.builder import InspectionBuilder
from ..schema import Example
from .checksum_cache import sha256_of
from .manifest import FileEntry

#: Maximum size of a shard in bytes; a single row may be larger.
MAX_SHARD_BYTES = 256 * 10**6

# What a shard holds in addition to its images, estimated from above because shards are planned before masks are
# drawn: footer and schema; columns of numbers and names; PNGs of masks, each of a single component (the worst of the
# samples has 0.008 bytes per pixel).
_FILE_BYTES = 16 * 1024
_ROW_BYTES = 400
_BOX_BYTES = 32
_MASK_BYTES, _MASK_BYTES_PER_PIXEL = 500, 1 / 32


@dataclass(frozen=True)
class Shard:
    """Consecutive rows of a split, and the name of the file that holds them."""

    split: str
    name: str
    examples: list[Example]


def plan(builder: InspectionBuilder, max_shard_bytes: int) -> list[Shard]:
    """Divide every split into shards of consecutive rows."""
    shards = []
    for split, examples in builder.index().splits.items():
        cuts: list[list[Example]] = [[]]
        size = _FILE_BYTES
        for example in examples:
            row = _bytes_of(example, builder)
            if cuts[-1] and size + row > max_shard_bytes:
                cuts.append([])
                size = _FILE_BYTES
            cuts[-1].append(example)
            size += row
        names = (f"{split}-{number:05d}-of-{len(cuts):05d}.parquet" for number in range(len(cuts)))
        shards += [Shard(split, name, rows) for name, rows in zip(names, cuts, strict=True)]
    return shards


def _bytes_of(example: Example, builder: InspectionBuilder) -> int:
    files = builder.tree.files
    size = files[example.image].size + (files[example.reference].size if example.reference else 0)
    masks = sum(instance.mask is not None for instance in example.instances)
    mask = _MASK_BYTES + int(_MASK_BYTES_PER_PIXEL * example.width * example.height)
    # A thousandth for the pages and row groups of large images.
    return size + size // 1000 + _ROW_BYTES + _BOX_BYTES * len(example.instances) + masks * mask


def write(
    builder: InspectionBuilder, folder: Path, shards: list[Shard], num_proc: int | None
) -> Iterator[tuple[Shard, FileEntry]]:
    """Write the shards into a folder, in up to `num_proc` processes; yield them in order, as they are completed."""
    if (num_proc or 1) <= 1 or len(shards) == 1:
        for shard in shards:
            yield shard, write_shard(builder, folder, shard)
        return
    # spawn, as on Windows and macOS: forking a process that holds Arrow's threads can hang.
    with ProcessPoolExecutor(min(num_proc or 1, len(shards)), mp_context=get_context("spawn")) as pool:
        count = len(shards)
        yield from zip(shards, pool.map(write_shard, [builder] * count, [folder] * count, shards), strict=True)


def write_shard(builder: InspectionBuilder, folder: Path, shard: Shard) -> FileEntry:
    """Write one Parquet file; its rows are counted and its bytes hashed from the file itself."""
    path = folder / shard.name
    schema = builder.features.arrow_schema
    # Image bytes are already compressed, and statistics over them would put entire images into the file's footer.
    with pq.ParquetWriter(path, schema, compression="none", use_dictionary=False, write_statistics=False) as writer:
        for _, table in builder.tables(shard.examples):
            writer.write_table(table, row_group_size=len(table))
    return FileEntry(sha256_of(path), path.stat().st_size, pq.read_metadata(path).num_rows)
