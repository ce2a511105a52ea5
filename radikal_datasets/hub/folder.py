"""`prepare`: a raw tree becomes a Hub folder, Parquet shards and a card, whole or not at all."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import datasets
import pyarrow.parquet as pq
from filelock import FileLock

from .. import splits
from ..builder import InspectionBuilder
from ..errors import LayoutError, OutputError
from ..loading import prepared_source
from ..schema import Example, features
from ..sources import builder_class
from .card import ConfigCard, write_card

logger = logging.getLogger(__name__)

#: Bytes of image files in a shard; masks, drawn while writing, come on top.
MAX_SHARD_BYTES = 256 * 10**6
# Where everything is written first, inside the output folder: a rename never crosses file systems.
_STAGE = ".prepare-"


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

    All configurations appear when all are whole, and replace older ones of their names; others in `output_dir` stay.
    Image bytes are the files' own. Row groups are small (about 16 MB): streaming starts fast.

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
        LayoutError: no image of a configuration that was named, or of any.
        OutputError: `output_dir` overlaps the raw tree, or holds another source or other files.
    """
    output = Path(output_dir)
    facts = builder_class(source).SOURCE
    wanted = [configs] if isinstance(configs, str) else configs
    builders: list[InspectionBuilder] = []
    for name in wanted or facts.config_names:
        builder = builder_class(source)(config_name=name, data_dir=data_dir, protocol=protocol, strict=strict)
        if builder.index().splits:
            builders.append(builder)
        elif wanted:
            raise LayoutError(f"{data_dir}: no image of {source}/{name}. It should look like this:\n{facts.layout}")
        else:
            logger.info("%s/%s: no image in %s, left out", source, name, data_dir)
    if not builders:
        raise LayoutError(f"{data_dir}: no image of {source}. It should look like this:\n{facts.layout}")
    _check_output(output, builders)
    output.mkdir(parents=True, exist_ok=True)
    # In the system's temporary folder: a lock file must not lie among files that are pushed.
    lock = f"radikal-prepare-{hashlib.sha256(str(output.resolve()).encode()).hexdigest()[:16]}.lock"
    with FileLock(Path(tempfile.gettempdir(), lock)):
        for left_over in output.glob(f"{_STAGE}*"):  # by a prepare that was killed
            shutil.rmtree(left_over, ignore_errors=True)
        stage = output / f"{_STAGE}{uuid.uuid4().hex[:8]}"
        stage.mkdir()
        try:
            cards = [_write_config(builder, stage, num_proc, max_shard_bytes) for builder in builders]
            for card in cards:
                if (output / card.name).exists():
                    (output / card.name).rename(stage / f"{card.name}.old")
                (stage / card.name).rename(output / card.name)
            write_card(output, facts, cards)
        finally:
            shutil.rmtree(stage, ignore_errors=True)
    return output


def _check_output(output: Path, builders: list[InspectionBuilder]) -> None:
    """Refuses an output that would touch the raw tree, another source's set, or files that are not ours."""
    facts = builders[0].SOURCE
    there = prepared_source(output)
    if there not in (None, facts.name):
        raise OutputError(f"{output} holds {there}. Give {facts.name} a folder of its own.")
    for builder in builders:
        raw, final = builder.tree.local, (output / builder.config.name).resolve()
        if raw and (output.resolve().is_relative_to(raw) or raw.is_relative_to(final)):
            raise OutputError(f"{output} lies in the raw tree {raw}, or around it. Give a folder beside it.")
        foreign = [path.name for path in final.glob("*") if path.suffix != ".parquet"] if final.is_dir() else []
        if foreign or final.is_file():
            raise OutputError(
                f"{final} holds other files ({', '.join(foreign[:3])}), not replaced. Give another folder."
            )


def _write_config(builder: InspectionBuilder, stage: Path, num_proc: int | None, max_shard_bytes: int) -> ConfigCard:
    name, index = builder.config.name, builder.index()
    folder = stage / name
    folder.mkdir()
    shards = list(_plan(builder, max_shard_bytes))
    total = sum(len(shard.examples) for shard in shards)
    with datasets.utils.tqdm(total=total, unit=" images", desc=f"{builder.SOURCE.name}/{name}") as bar:
        for shard in _run(builder, folder, shards, num_proc):
            bar.update(len(shard.examples))
    return ConfigCard.of(builder, {split: _sizes(folder, shards, split) for split in index.splits})


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
