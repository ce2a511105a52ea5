"""`prepare`: a raw tree becomes a Hub folder, Parquet shards and a card, whole or not at all."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import datasets
import pyarrow.parquet as pq

from .. import splits
from ..archives import new_folder
from ..builder import InspectionBuilder
from ..errors import LayoutError
from ..schema import Example, features
from ..sources import builder_class
from .card import ConfigCard, write_card

logger = logging.getLogger(__name__)

#: Bytes of image files in a shard; masks, drawn while writing, come on top.
MAX_SHARD_BYTES = 256 * 10**6


@dataclass(frozen=True)
class _Shard:
    split: str
    path: str  # below the config's folder
    examples: list[Example]


def build_hub_folder(
    source: str,
    configs: Sequence[str] | str | None = None,
    *,
    data_dir: str | os.PathLike[str],
    output_dir: str | os.PathLike[str],
    protocol: str = splits.RECOMMENDED,
    strict: bool = False,
    num_proc: int | None = None,
    max_shard_bytes: int = MAX_SHARD_BYTES,
) -> Path:
    """Converts a raw tree into ``<output_dir>/<config>/<split>-00000-of-00003.parquet`` and a card.

    Each configuration appears when it is whole and replaces an older one of its name; other configurations in
    `output_dir` stay. Image bytes are the files' own. Row groups are small (about 16 MB): streaming starts fast.

    Args:
        source: name of a source.
        configs: names of configurations; None: all that have an image in the tree.
        data_dir: a raw tree, its parent, or its archive.
        output_dir: the folder to write to.
        protocol, strict: as in `load_dataset`.
        num_proc: processes that write shards at the same time.
        max_shard_bytes: bytes of image files in a shard.

    Returns:
        `output_dir`.

    Raises:
        LayoutError: no image of any configuration.
    """
    output = Path(output_dir)
    wanted = [configs] if isinstance(configs, str) else configs
    cards: list[ConfigCard] = []
    for name in wanted or builder_class(source).SOURCE.config_names:
        builder = builder_class(source)(config_name=name, data_dir=data_dir, protocol=protocol, strict=strict)
        if not builder.index().splits:
            if wanted:
                raise LayoutError(f"{data_dir}: no image of {source}/{name}.\n{builder.SOURCE.layout}")
            logger.info("%s/%s: no image in %s, left out", source, name, data_dir)
            continue
        cards.append(_write_config(builder, output, num_proc, max_shard_bytes))
    if not cards:
        raise LayoutError(f"{data_dir}: no image of {source}. It should look like this:\n{builder.SOURCE.layout}")
    write_card(output, builder_class(source).SOURCE, cards)
    return output


def _write_config(builder: InspectionBuilder, output: Path, num_proc: int | None, max_shard_bytes: int) -> ConfigCard:
    name, index = builder.config.name, builder.index()
    output.mkdir(parents=True, exist_ok=True)
    final = output / name
    with new_folder(output / f".{name}.new") as unfinished:
        shards = list(_plan(builder, max_shard_bytes))
        total = sum(len(shard.examples) for shard in shards)
        with datasets.utils.tqdm(total=total, unit=" images", desc=f"{builder.SOURCE.name}/{name}") as bar:
            for shard in _run(builder, unfinished, shards, num_proc):
                bar.update(len(shard.examples))
        card = ConfigCard.of(builder, {s: _sizes(unfinished, shards, s) for s in index.splits})
    _swap(output / f".{name}.new", final)
    return card


def _plan(builder: InspectionBuilder, max_shard_bytes: int) -> Iterator[_Shard]:
    """Cuts every split into shards of consecutive rows; the same input gives the same shards."""
    stats = builder.tree.files
    for split, examples in builder.index().splits.items():
        cuts: list[list[Example]] = [[]]
        size = 0
        for example in examples:
            example_bytes = stats[example.image].size + (stats[example.reference].size if example.reference else 0)
            if cuts[-1] and size + example_bytes > max_shard_bytes:
                cuts.append([])
                size = 0
            cuts[-1].append(example)
            size += example_bytes
        for number, rows in enumerate(cuts):
            yield _Shard(split, f"{split}-{number:05d}-of-{len(cuts):05d}.parquet", rows)


def _run(builder: InspectionBuilder, folder: Path, shards: list[_Shard], num_proc: int | None) -> Iterator[_Shard]:
    if (num_proc or 1) <= 1 or len(shards) == 1:
        for shard in shards:
            yield _write_shard(builder, folder, shard)
        return
    # spawn, as on Windows and macOS: forking a process that holds Arrow's threads can hang.
    with ProcessPoolExecutor(min(num_proc or 1, len(shards)), mp_context=get_context("spawn")) as pool:
        yield from pool.map(_write_shard, [builder] * len(shards), [folder] * len(shards), shards)


def _write_shard(builder: InspectionBuilder, folder: Path, shard: _Shard) -> _Shard:
    schema = features(builder.class_names).arrow_schema
    # Image bytes are compressed already, and statistics over them would put whole images into the file's footer.
    with pq.ParquetWriter(
        folder / shard.path, schema, compression="none", use_dictionary=False, write_statistics=False
    ) as writer:
        for _, table in builder.tables(shard.examples):
            writer.write_table(table, row_group_size=len(table))
    return shard


def _sizes(folder: Path, shards: list[_Shard], split: str) -> int:
    return sum((folder / shard.path).stat().st_size for shard in shards if shard.split == split)


def _swap(new: Path, final: Path) -> None:
    """Puts a new folder in the place of an old one; at no moment is there a half one under the final name."""
    old = final.with_name(f".{final.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if final.exists():
        final.rename(old)
    new.rename(final)
    shutil.rmtree(old, ignore_errors=True)
