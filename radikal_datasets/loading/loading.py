"""`load_dataset`: find the data of a source, and the order in which locations are tried."""

from __future__ import annotations

import difflib
import inspect
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import datasets.config
from datasets.load import DatasetModule

from ..errors import (
    ConfigNameError,
    ProtocolError,
    UnknownSourceError,
)
from ..hub_client.endpoint import DEFAULT_NAMESPACE, Hub
from ..own_data.scanning import is_own_data
from ..prepared.reading import CARD_KEY, folder_metadata
from ..sources import OWN, builder_class, source_names
from .from_hub import (
    Commit,
    card_metadata,
    check_name,
    clear_errors,
    find_commit,
    is_offline,
    is_on_private_hub,
    module_at,
    module_offline,
)
from .locations import LocationKind, find, naming_the_download_page, source_of

logger = logging.getLogger(__name__)


def load_dataset(
    path: str,
    name: str | None = None,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    split: str | None = None,
    protocol: str | None = None,
    strict: bool = False,
    streaming: bool = False,
    num_proc: int | None = None,
    revision: str | None = None,
    token: bool | str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    **kwargs: Any,
) -> Any:
    """`datasets.load_dataset` that knows the sources; arguments of the same name have the same meaning.

    For ``radikal_datasets/<source>`` these locations are tried, in order: `data_dir`; ``$RADIKAL_DATA/<source>``
    (unless `revision` is given); the Hub, only if ``HF_ENDPOINT`` or ``RADIKAL_NAMESPACE`` is set; a download, if the
    source may be downloaded and the machine is not offline. Any other path goes to `datasets.load_dataset`.

    Args:
        path: ``radikal_datasets/<source>``, or anything `datasets.load_dataset` accepts (a prepared folder, say).
        name: the configuration; required if the source has several.
        data_dir: a raw tree, its parent, its archive, or a folder written by `prepare`.
        protocol: "recommended" (default), "official" if the publisher defines a split, or "70-15-15".
        strict: raise at the first problem that would cost an image or its reference, instead of counting it.

    Returns:
        A `DatasetDict` (of `IterableDataset`s when streaming), or one split of it.

    Raises:
        SourceNotFoundError: no data in any of these locations, or the Hub refuses; names the download page.
        HubUnavailableError, HubContentError, HubAccessError: see docs/private-hub.md.
        ConfigNameError, ProtocolError, LayoutError: see `radikal_datasets.errors`.
        BadFileError: with `strict`, the first file that would cost an image or its reference.
    """
    common: dict[str, Any] = {
        "split": split,
        "streaming": streaming,
        "num_proc": num_proc,
        "revision": revision,
        "token": token,
        "cache_dir": None if cache_dir is None else str(cache_dir),
        **kwargs,
    }
    _check_spelling(str(path), kwargs)
    source = source_of(path)
    if source is None and data_dir is None and is_own_data(path):
        data_dir, path = path, f"{DEFAULT_NAMESPACE}/{OWN}"
        source = source_of(path)
    if source is None:
        common["data_dir"] = None if data_dir is None else os.fspath(data_dir)
        if is_on_private_hub(str(path)):
            return _load_from_hub(path, name, protocol, strict, common)
        if protocol or strict:
            _check_prepared(path, folder_metadata(path), name, protocol, strict)
        return datasets.load_dataset(path, name, **common)
    place = find(source, name, data_dir, revision)
    logger.info("%s: %s (%s)", path, place.address, place.why)
    if place.kind is LocationKind.HUB:
        with naming_the_download_page(source, name, revision):
            return _load_from_hub(place.address, name, protocol, strict, common)
    if place.kind is LocationKind.HUB_FOLDER:
        _check_prepared(place.address, folder_metadata(place.address), name, protocol, strict)
        return datasets.load_dataset(place.address, name, **common)
    config = builder_class(source.name).facts_of(place.address, name).config(name)
    settings: dict[str, Any] = {"strict": True} if strict else {}
    if protocol is not None:
        settings["protocol"] = protocol
    return datasets.load_dataset(path, config.name, data_dir=place.address, **settings, **common)


def _check_spelling(path: str, arguments: dict[str, Any]) -> None:
    """Reject misspellings that `datasets` would take for a repository's name or a setting of another builder.

    Raises:
        UnknownSourceError: "neu_det" or "radikal-datasets/neu_det", and no folder of that name.
        TypeError: with one of our sources, an argument that `datasets.load_dataset` does not have.
    """
    namespace, _, name = path.rpartition("/")
    if namespace == DEFAULT_NAMESPACE:
        known = inspect.signature(datasets.load_dataset).parameters
        for argument in arguments.keys() - known.keys():
            near = difflib.get_close_matches(argument, [*known, "protocol", "strict"], 1)
            meant = f" Did you mean {near[0]!r}?" if near else ""
            raise TypeError(f"load_dataset() has no argument {argument!r}.{meant}")
        return
    source = name.replace("-", "_")
    nearly_ours = namespace.replace("-", "_") in ("", DEFAULT_NAMESPACE) and source in source_names()
    if nearly_ours and not Path(path).exists():
        meant = f"{DEFAULT_NAMESPACE}/{source}"
        raise UnknownSourceError(f"{path!r} is neither a local folder nor a source. Did you mean {meant!r}?")


def _load_from_hub(repo: str, name: str | None, protocol: str | None, strict: bool, common: dict[str, Any]) -> Any:
    hub = Hub.current(common["token"])
    commit = find_commit(hub, repo, common["revision"], name, common["cache_dir"])
    card = card_metadata(commit)
    if not (common.get("data_dir") or common.get("data_files")):  # these select files themselves
        check_name(commit, name, card)
    _check_prepared(f"{repo} on {hub.endpoint}", card, name, protocol, strict)
    with clear_errors(hub, repo):
        return datasets.load_dataset(repo, name, **common | {"revision": commit, "token": hub.token or False})


def _check_prepared(where: str, card: dict[str, Any], name: str | None, protocol: str | None, strict: bool) -> None:
    """Check the protocol with which a prepared dataset was prepared; warn that `strict` no longer has an effect."""
    if strict:
        logger.warning("%s is already prepared: strict has no effect on it.", where)
    if protocol is None:
        return
    there = dict((card.get(CARD_KEY) or {}).get("protocol") or {})
    if name is None and len(there) > 1:
        raise ConfigNameError(f"{where} has several configs. Choose one of {sorted(there)}.")
    found = there.get(name) if name is not None else next(iter(there.values()), None)
    if found != protocol:
        has = f"was prepared with protocol {found!r}" if found else "does not state the protocol of its preparation"
        raise ProtocolError(f"{where} {has}, not {protocol!r}. Prepare the raw tree again with that protocol.")


def module_for(
    original: Callable[..., DatasetModule], path: str, revision: Any = None, *args: Any, **kwargs: Any
) -> DatasetModule:
    """Do what `datasets.load.dataset_module_factory` does, and know the sources (see `_patch_datasets`).

    Args:
        original: the function of `datasets`, for everything that is not ours.
    """
    if isinstance(revision, Commit) and path == revision.repo_id:
        return module_at(revision, original, *args, **kwargs)
    source = None if kwargs.get("data_files") else source_of(path)
    if source is None:
        return original(path, revision, *args, **kwargs)
    place = find(source, None, kwargs.pop("data_dir", None), revision)
    if place.kind is LocationKind.RAW:
        module = builder_class(source.name).__module__
        # The builder computes the hash of the cache itself: it depends on the config, which is not known here.
        return DatasetModule(module, source.name, {"dataset_name": source.name, "data_dir": place.address})
    if place.kind is LocationKind.HUB:
        with naming_the_download_page(source, None, revision):
            hub = Hub.current(kwargs.get("token", getattr(kwargs.get("download_config"), "token", None)))
            if is_offline():
                return module_offline(hub, place.address, revision, kwargs.get("cache_dir"))
            commit = find_commit(hub, place.address, revision)
            return module_at(commit, original, *args, **kwargs)
    prepared = original(place.address, revision, *args, **kwargs)
    prepared.builder_kwargs["data_dir"] = None  # it named the folder and is no setting of the Parquet reader
    return prepared
