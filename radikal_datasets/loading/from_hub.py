"""Load datasets from the Hub: ask it first and pin the commit; the cache alone counts only in offline mode.

`datasets` 5.2 serves the newest dataset of that name in its cache whenever the Hub refuses, is down, or offline mode is
on: after the repository was deleted, after access was withdrawn, and whatever `revision` says (docs/hub-protocol.md).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import datasets.config
import huggingface_hub
import huggingface_hub.constants
import yaml
from datasets.builder import InvalidConfigName
from datasets.data_files import EmptyDatasetError
from datasets.exceptions import DataFilesNotFoundError, DatasetNotFoundError, DatasetsError
from datasets.load import BuilderConfigsParameters, DatasetModule
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

from ..errors import ConfigNameError, HubContentError, HubUnavailableError, RadikalError
from ..hub_client.client_errors import connection_failed, status_of
from ..hub_client.endpoint import PUBLIC_HUB, Hub, hub_name
from ..hub_client.response_checks import check_commit, check_segment
from .offline_cache import cached_commit, cached_folders, remember

logger = logging.getLogger(__name__)

# The module with which `datasets` reads its cache of Arrow files.
_CACHE_MODULE = "datasets.packaged_modules.cache.cache"
_ASK_TIMEOUT = 30.0  # seconds; the Hub may have to list thousands of files


class Commit(str):
    """A commit of a repository (40 hex digits), usable as `revision`; remembers the repository it belongs to.

    Attributes:
        hub, repo_id: the Hub and the repository.
    """

    hub: Hub
    repo_id: str

    def __new__(cls, value: str, hub: Hub, repo_id: str) -> Commit:
        """Create a commit that the Hub named, or in offline mode the cache."""
        commit = super().__new__(cls, value)
        commit.hub, commit.repo_id = hub, repo_id
        return commit


def is_offline() -> bool:
    """Return whether ``HF_HUB_OFFLINE`` or ``HF_DATASETS_OFFLINE`` was set: only then the cache is sufficient."""
    return datasets.config.HF_HUB_OFFLINE or huggingface_hub.constants.HF_HUB_OFFLINE


def is_on_private_hub(path: str) -> bool:
    """Return whether ``HF_ENDPOINT`` names a private Hub and `path` a repository on it, not a local folder."""
    private = hub_name() != PUBLIC_HUB
    return private and re.fullmatch(r"[\w.-]+/[\w.-]+", path) is not None and not Path(path).exists()


def find_commit(
    hub: Hub, repo_id: str, revision: str | None, name: str | None = None, cache_dir: str | None = None
) -> Commit:
    """Return the commit to load: from the Hub, or in offline mode the newest in the cache that has what is requested.

    Args:
        hub, repo_id: the Hub and the repository.
        revision: branch, tag or commit; None: the main branch.
        name: the configuration; only used in offline mode.
        cache_dir: of `datasets`.

    Raises:
        HubError: no such repository, no access, no answer; offline and not in the cache.
    """
    if is_offline():
        return Commit(cached_commit(hub, repo_id, revision, name, cache_dir), hub, repo_id)
    with clear_errors(hub, repo_id):
        found = hub.api.dataset_info(repo_id, revision=revision, timeout=_ASK_TIMEOUT).sha
    if found is None:
        raise HubContentError(f"{hub.endpoint}, repository {repo_id}: it is empty. Push a dataset to it first.")
    check_commit(found, f"{hub.endpoint}, repository {repo_id},", revision)
    logger.info("%s: commit %s on %s", repo_id, found, hub.endpoint)
    remember(repo_id, revision or "main", found)
    return Commit(found, hub, repo_id)


def card_metadata(commit: Commit) -> dict[str, Any]:
    """Return the metadata of the card at a commit; empty if there is no card, or offline and none in the cache."""
    with clear_errors(commit.hub, commit.repo_id):
        try:
            card = commit.hub.api.hf_hub_download(
                commit.repo_id, "README.md", repo_type="dataset", revision=str(commit)
            )
        except LocalEntryNotFoundError:
            if not is_offline():
                raise
            return {}
        except EntryNotFoundError:
            return {}
    try:
        return huggingface_hub.DatasetCard.load(card, ignore_metadata_errors=True).data.to_dict()
    except (ValueError, yaml.YAMLError) as error:
        raise HubContentError(
            f"{commit.hub.endpoint}, repository {commit.repo_id}: cannot read the YAML of README.md at commit "
            f"{commit}: {error}. Correct it there, or load an older revision."
        ) from error


def check_name(commit: Commit, name: str | None, card: dict[str, Any]) -> None:
    """Reject a configuration that the card does not list, and a missing name if it lists several.

    Raises:
        ConfigNameError: with the available names.
    """
    configs = {str(config["config_name"]): config for config in card.get("configs") or () if "config_name" in config}
    chosen = name is not None or len(configs) <= 1 or any(config.get("default") for config in configs.values())
    if not configs or (chosen and (name is None or name in configs)):
        return
    where = f"{commit.repo_id} on {commit.hub.endpoint} (commit {commit[:12]})"
    if name is None:
        raise ConfigNameError(f"{where} has several configs. Choose one of {sorted(configs)}.")
    raise ConfigNameError(f"{where} has no config {name!r}. Choose one of {sorted(configs)}.")


def module_at(commit: Commit, original: Callable[..., DatasetModule], *args: Any, **kwargs: Any) -> DatasetModule:
    """Return what `datasets` needs to load a commit; `original` is its own `dataset_module_factory`.

    Raises:
        HubError: as in `find_commit`; a different version from the cache is never used instead.
    """
    if is_offline():
        return _cached_module(commit, kwargs.get("cache_dir"))
    with clear_errors(commit.hub, commit.repo_id):
        module = original(commit.repo_id, str(commit), *args, **kwargs)
    if module.module_path == _CACHE_MODULE:
        raise HubUnavailableError(
            f"{commit.hub.endpoint}, repository {commit.repo_id}: commit {commit} could not be read completely. A "
            "different version in the cache was not used. Try again, or load the cached one with HF_HUB_OFFLINE=1."
        )
    # These come from the card, and `datasets` names folders of its cache after them.
    for config in getattr(module.builder_configs_parameters, "builder_configs", None) or ():
        for value, what in ((config.name, "configuration name"), (str(config.version), "version")):
            check_segment(value, f"{commit.hub.endpoint}, repository {commit.repo_id}, commit {commit},", what)
    return module


def module_offline(hub: Hub, repo_id: str, revision: str | None, cache_dir: str | None) -> DatasetModule:
    """Do what `module_at` does, in offline mode, for a configuration that is not known yet.

    Without a revision, `datasets` uses (and logs) the newest in its cache that has the configuration.

    Raises:
        HubError: not in the cache.
    """
    commit = find_commit(hub, repo_id, revision, None, cache_dir)
    if revision is not None:
        return _cached_module(commit, cache_dir)
    return DatasetModule(_CACHE_MODULE, "auto", {**_names(repo_id), "version": "auto"})


@contextmanager
def clear_errors(hub: Hub, repo_id: str) -> Iterator[None]:
    """Rephrase client errors in terms of endpoint, repository, user and token; other errors pass unchanged."""
    try:
        yield
    except RadikalError:
        raise
    except Exception as error:
        where = f"{hub.endpoint}, repository {repo_id}"
        if status_of(error) is not None or connection_failed(error) or isinstance(error, DatasetNotFoundError):
            raise hub.error(error, repo_id) from hub.cause(error)
        if isinstance(error, (EmptyDatasetError, DataFilesNotFoundError)):
            raise HubContentError(f"{where}: it holds no data files. Push a dataset to it first.") from error
        if isinstance(error, InvalidConfigName):  # the name of a configuration becomes the name of a folder
            raise HubContentError(f"{where}: its card is invalid: {error} Rename the configuration there.") from error
        if isinstance(error, DatasetsError):
            reason = hub.scrubbed(str(error.__cause__ or error))
            raise HubContentError(
                f"{where}: its files arrived but cannot be read: {reason}. If the copy on this machine is damaged "
                '(check with `hf cache verify`), load once with download_mode="force_redownload".'
            ) from hub.cause(error)
        raise


def _cached_module(commit: Commit, cache_dir: str | None) -> DatasetModule:
    logger.warning("%s: offline, using commit %s from the cache", commit.repo_id, commit)
    folders = [folder for folder in cached_folders(commit.repo_id, cache_dir) if folder.name == commit]
    configs = sorted({folder.parts[-3] for folder in folders})
    return DatasetModule(
        _CACHE_MODULE,
        str(commit),
        {**_names(commit.repo_id), "version": folders[0].parts[-2]},
        builder_configs_parameters=BuilderConfigsParameters(
            default_config_name=configs[0] if len(configs) == 1 else None
        ),
    )


def _names(repo_id: str) -> dict[str, str]:
    return {"repo_id": repo_id, "dataset_name": repo_id.rpartition("/")[2]}
