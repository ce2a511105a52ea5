"""Open the datasets that `SOURCE [CONFIG] --data-dir DIR` and `FOLDER [CONFIG]` name on the command line."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset, DatasetDict, get_dataset_config_names

from ..errors import ConfigNameError, UnknownSourceError
from ..hub_client.endpoint import DEFAULT_NAMESPACE, Hub
from ..sources import OWN, builder_class, is_source, own_or_named, source_names
from .from_hub import clear_errors
from .loading import load_dataset

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def open_sets(
    name: str,
    config: str | None = None,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    protocol: str | None = None,
) -> Iterator[tuple[str, DatasetDict]]:
    """Yield every available configuration as (its title, its splits).

    The titles are `neu_det` or `gdxray/castings`; for a folder, its own name. `rows` reads the splits without decoding.

    Args:
        name: a source, or a folder written by `prepare` (or any other folder with the schema's columns).
        config: one configuration; None: all of them.
        data_dir: a source's raw tree; if None, `load_dataset` looks for it.

    Raises:
        UnknownSourceError: neither a source nor a folder.
        RadikalError: as raised by `load_dataset`.
    """
    name, data_dir = own_or_named(name, data_dir)
    if is_source(name):
        path = f"{DEFAULT_NAMESPACE}/{name}"
        configs = [config] if config else _configs_there(name, data_dir, protocol)
    elif Path(name).is_dir():
        path = name
        there = get_dataset_config_names(name)
        if config is not None and config not in there:
            raise ConfigNameError(f"{name} has no configuration {config!r}. Choose one of {', '.join(there)}.")
        configs = [config] if config else list(there)
    elif _HUB_NAME.fullmatch(name) and os.environ.get("HF_ENDPOINT"):
        path = name
        configs = [config] if config else list(_configs_on_hub(name))
    else:
        near = difflib.get_close_matches(name, source_names(), 1)
        raise UnknownSourceError(
            f"{name!r} is neither a folder nor a source."
            + (f" Did you mean {near[0]}?" if near else "")
            + f" The sources are {', '.join(source_names())}. A set on a private Hub is named NAMESPACE/NAME, with "
            "HF_ENDPOINT set to the Hub's address."
        )
    for one in configs:
        splits = load_dataset(path, one, data_dir=data_dir, protocol=protocol)
        own = path == f"{DEFAULT_NAMESPACE}/{OWN}"
        base = Path(data_dir if own and data_dir is not None else name).resolve().name
        yield (base if own or one == "default" else f"{base}/{one}"), splits


def _configs_on_hub(repo_id: str) -> list[str]:
    hub = Hub.current(None)
    with clear_errors(hub, repo_id):
        return get_dataset_config_names(repo_id)


def rows(dataset: Dataset, columns: Sequence[str] | None = None, at_once: int = 64) -> Iterator[dict[str, Any]]:
    """Yield the rows as plain Python values, in order; images, masks and reference as `{"bytes": ..., "path": ...}`.

    Args:
        columns: the columns to read; None: all. Omit `image`, `masks` and `reference` if no pixels are needed.
        at_once: number of rows held in memory.
    """
    chosen = dataset if columns is None else dataset.select_columns(list(columns))
    for table in chosen.with_format("arrow").iter(at_once):
        yield from table.to_pylist()  # pyright: ignore[reportAttributeAccessIssue]


def _configs_there(source: str, data_dir: str | os.PathLike[str] | None, protocol: str | None) -> list[str | None]:
    """Return a source's configurations with an image in the tree, without those that only combine others."""
    builder_type = builder_class(source)
    if source == OWN:
        return [None] if data_dir is None else list(builder_type.facts_of(data_dir).config_names)
    names = [config.name for config in builder_type.SOURCE.configs if not config.parts]
    if len(names) == 1 or data_dir is None:
        return list(names)
    options: dict[str, Any] = {} if protocol is None else {"protocol": protocol}
    return [n for n in names if builder_type(config_name=n, data_dir=str(data_dir), **options).index().splits]
