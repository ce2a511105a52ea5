"""Where the data of a source are: the locations that `load_dataset` tries, and what is said if none has them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Any

from ..errors import (
    DownloadError,
    HubAccessError,
    HubError,
    LayoutError,
    SourceNotFoundError,
    UnknownSourceError,
)
from ..hub_client.endpoint import DEFAULT_NAMESPACE, hub_name, hub_repo
from ..prepared.reading import is_hub_folder, prepared_source
from ..raw.tree import is_url
from ..source import Source
from ..sources import OWN, is_source, source_info
from . import download
from .from_hub import is_offline


class LocationKind(Enum):
    """What is at a location."""

    RAW = auto()  # a tree or archive that a builder reads
    HUB_FOLDER = auto()  # a folder written by `prepare`
    HUB = auto()  # a repository


@dataclass(frozen=True)
class Location:
    """Where data were found; `why` says how, for the log."""

    kind: LocationKind
    address: str
    why: str


@contextmanager
def naming_the_download_page(source: Source, name: str | None, revision: str | None) -> Iterator[None]:
    """Add the download page to the error if the Hub refuses, or may not be asked; no answer at all is no such error."""
    try:
        yield
    except HubError as error:
        if not (isinstance(error, HubAccessError) or is_offline()):
            raise
        raise SourceNotFoundError(_not_found(source, name, str(error), revision)) from error


def source_of(path: str) -> Source | None:
    """Return the source that a path stands for, or None if it is not one of ours.

    Raises:
        UnknownSourceError: a name in our namespace that is not a source, and no Hub is configured that could know it.
    """
    namespace, _, name = str(path).partition("/")
    if namespace != DEFAULT_NAMESPACE or not name or "/" in name:
        return None
    if not is_source(name) and hub_repo(name) is not None:
        return None
    try:
        return source_info(name)
    except UnknownSourceError:
        if Path(path).exists():
            return None
        raise


def is_findable(path: str) -> bool:
    """Return whether `load_dataset(path)` would find data without a `data_dir`; asks no Hub and downloads nothing."""
    source = source_of(path)
    if source is None:
        return True
    if _in_data_root(source) is not None:
        return True
    return hub_repo(source.name) is not None or (source.download is not None and not is_offline())


def _in_data_root(source: Source) -> Path | None:
    """Return ``$RADIKAL_DATA/<source>`` if it exists."""
    root = os.environ.get("RADIKAL_DATA")
    tree = Path(root, source.name) if root else None
    return tree if tree is not None and tree.exists() else None


def find(source: Source, name: str | None, data_dir: Any, revision: str | None) -> Location:
    """Return the first location that has the data of a source.

    Raises:
        SourceNotFoundError: none has; names the download page.
        LayoutError: `data_dir` was prepared from another source.
    """
    if data_dir is not None:
        # If it is given but missing, nothing else is tried, so that no one trains on other data than they named.
        return _local(source, os.fspath(data_dir), "data_dir")
    if revision is None and (tree := _in_data_root(source)) is not None:
        return _local(source, str(tree), "RADIKAL_DATA")
    if source.name == OWN:
        raise SourceNotFoundError(
            f'No folder was given for {DEFAULT_NAMESPACE}/{OWN}. Pass it: load_dataset("{DEFAULT_NAMESPACE}/{OWN}", '
            'data_dir="my_folder"). A set that was pushed is loaded by its own name, NAMESPACE/NAME.'
        )
    if repo := hub_repo(source.name):
        return Location(LocationKind.HUB, repo, f"the Hub at {hub_name()}")
    if source.download is not None and revision is None and not is_offline():
        try:
            return Location(LocationKind.RAW, str(download.download(source)), "downloaded")
        except DownloadError as error:
            problem = f"The download failed: {error}"
            raise SourceNotFoundError(_not_found(source, name, problem, revision)) from error
    raise SourceNotFoundError(_not_found(source, name, "", revision))


def _local(source: Source, path: str, why: str) -> Location:
    if not is_url(path):
        path = str(Path(path).expanduser())
        if not Path(path).exists():
            raise SourceNotFoundError(
                f"{why}={path}: no such folder or archive (tried {Path(path).absolute()}). "
                + (f"{source.name} is available from {source.download_page} and " * bool(source.download_page))
                + ("has" if source.download_page else "It should hold")
                + f" this layout:\n{source.layout}"
            )
        if is_hub_folder(path):
            if (holds := prepared_source(path)) not in (None, source.name):
                raise LayoutError(f"{why}={path} was prepared from {holds}, not {source.name}. Give another folder.")
            return Location(LocationKind.HUB_FOLDER, path, f"{why}, a prepared folder")
    return Location(LocationKind.RAW, path, why)


def _not_found(source: Source, name: str | None, problem: str, revision: str | None) -> str:
    config = name or source.config_names[0]
    arguments = f'"radikal_datasets/{source.name}"' + (f', "{config}"' if len(source.configs) > 1 else "")
    if revision is not None:
        root = f"was not searched, because revision {revision!r} was requested, which only a Hub has"
    elif "RADIKAL_DATA" in os.environ:
        root = f"is {os.environ['RADIKAL_DATA']!r}, which does not contain {source.name!r}"
    else:
        root = "is not set"
    hub = "HF_ENDPOINT and RADIKAL_NAMESPACE are not set, so no Hub was contacted"
    if repository := hub_repo(source.name):
        hub = f"{repository} on the Hub at {hub_name()}"
    return (
        f"No data found for {source.name}. {problem}\n"
        f"Searched: data_dir was not given; RADIKAL_DATA {root}; {hub}.\n"
        f"Download page: {source.download_page}\n"
        f"License: {source.license.name}. {source.license.summary}\n"
        f"The folder should have this layout:\n{source.layout}\n"
        f'Then call: load_dataset({arguments}, data_dir="path/to/that/folder")\n'
        f"To try it without data, generate a sample: radikal-datasets sample {source.name} sample/{source.name}"
    )
