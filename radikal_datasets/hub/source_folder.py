"""The prepared folder of a source that is pushed by name: built in the cache, and reused the next time."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import datasets.config

from .. import splits
from ..errors import SourceNotFoundError, UnknownSourceError
from ..prepared.folder import build_hub_folder
from ..prepared.reading import is_hub_folder
from ..sources import OWN, is_source, own_or_named, source_info, source_names


def folder_of(
    source_or_folder: str | os.PathLike[str],
    configs: Sequence[str] | None = None,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    protocol: str = splits.RECOMMENDED,
    strict: bool = False,
    num_proc: int | None = None,
) -> Path:
    """Return a folder that can be pushed: the one that is named, or the one prepared from a source's raw tree.

    Args:
        source_or_folder: a prepared folder, or the name of a source.
        configs: for a source, which to prepare; None: all that have an image in the tree.
        data_dir: for a source: a raw tree, its parent, its archive or a prepared folder; None:
            ``$RADIKAL_DATA/<source>``.
        protocol, strict, num_proc: as in `build_hub_folder`.

    Returns:
        The folder; for a source, below ``$HF_HOME/radikal_datasets``, one for each tree and protocol.

    Raises:
        UnknownSourceError: neither a folder nor a source.
        SourceNotFoundError: a source without data.
    """
    if is_hub_folder(source_or_folder):
        return Path(source_or_folder)
    name, data_dir = own_or_named(os.fspath(source_or_folder), data_dir)
    if not is_source(name):
        raise UnknownSourceError(
            f"{name} is neither a source nor a folder written by `radikal-datasets prepare`. The sources are "
            f"{', '.join(source_names())}."
        )
    if data_dir is None and "RADIKAL_DATA" in os.environ:
        data_dir = Path(os.environ["RADIKAL_DATA"], name)
    if data_dir is None or not ("://" in os.fspath(data_dir) or Path(data_dir).expanduser().exists()):
        raise SourceNotFoundError(
            f"No data for {name}: {'--data-dir was not given' if data_dir is None else f'{data_dir} does not exist'}. "
            + (
                f"Download page: {source_info(name).download_page}"
                if name != OWN
                else "Give the folder of your images."
            )
        )
    if is_hub_folder(data_dir):
        return Path(data_dir)
    tree = os.fspath(data_dir) if "://" in os.fspath(data_dir) else str(Path(data_dir).expanduser().resolve())
    key = hashlib.sha256(f"{tree}|{protocol}".encode()).hexdigest()[:16]
    folder = Path(datasets.config.HF_CACHE_HOME) / "radikal_datasets" / "hub" / f"{name}-{key}"
    return build_hub_folder(
        name, configs, data_dir=data_dir, output_dir=folder, protocol=protocol, strict=strict, num_proc=num_proc
    )
