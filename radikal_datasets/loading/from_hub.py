"""Sets on the Hub: the Hub is asked first and pinned to a commit; what is in the cache counts in offline mode alone.

`datasets` 5.2 serves the newest set of that name in its cache whenever the Hub says no, is down, or offline mode is on:
after the repository was deleted, after access was withdrawn, and whatever `revision` says (facts/private-hub.md).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
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
from datasets.naming import camelcase_to_snakecase
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from huggingface_hub.file_download import repo_folder_name

from ..errors import ConfigNameError, HubContentError, HubUnavailableError, RadikalError
from ..files import write_atomically
from ..hub_client.answers import check_commit, check_segment
from ..hub_client.client_errors import status_of, unanswered
from ..hub_client.endpoint import PUBLIC_HUB, Hub, hub_name

logger = logging.getLogger(__name__)

# The module by which `datasets` reads its cache of Arrow files.
_CACHE_MODULE = "datasets.packaged_modules.cache.cache"
_ASK_TIMEOUT = 30.0  # seconds; the Hub may have to list thousands of files


class Commit(str):
    """A commit of a repository (40 hex digits), good as `revision`; remembers whose it is.

    Attributes:
        hub, repo_id: where it is.
    """

    hub: Hub
    repo_id: str

    def __new__(cls, value: str, hub: Hub, repo_id: str) -> Commit:
        """A commit that the Hub named, or in offline mode the cache."""
        commit = super().__new__(cls, value)
        commit.hub, commit.repo_id = hub, repo_id
        return commit


def is_offline() -> bool:
    """True where ``HF_HUB_OFFLINE`` or ``HF_DATASETS_OFFLINE`` was set: only then the cache is enough."""
    return datasets.config.HF_HUB_OFFLINE or huggingface_hub.constants.HF_HUB_OFFLINE


def is_on_private_hub(path: str) -> bool:
    """True for the name of a repository where ``HF_ENDPOINT`` names a Hub of one's own, and no folder is called so."""
    private = hub_name() != PUBLIC_HUB
    return private and re.fullmatch(r"[\w.-]+/[\w.-]+", path) is not None and not Path(path).exists()


def find_commit(
    hub: Hub, repo_id: str, revision: str | None, name: str | None = None, cache_dir: str | None = None
) -> Commit:
    """The commit to load: as the Hub says now, or in offline mode the newest in the cache that has what is asked for.

    Args:
        hub, repo_id: where.
        revision: branch, tag or commit; None: the main branch.
        name: the configuration, which counts in offline mode.
        cache_dir: of `datasets`.

    Raises:
        HubError: not there, not for this user, no answer; offline and not in the cache.
    """
    if is_offline():
        return Commit(_cached_commit(hub, repo_id, revision, name, cache_dir), hub, repo_id)
    with clear_errors(hub, repo_id):
        found = hub.api.dataset_info(repo_id, revision=revision, timeout=_ASK_TIMEOUT).sha
    if found is None:
        raise HubContentError(f"{hub.endpoint}, repository {repo_id}: it is empty. Push a set to it first.")
    check_commit(found, f"{hub.endpoint}, repository {repo_id},", revision)
    logger.info("%s: commit %s on %s", repo_id, found, hub.endpoint)
    _remember(repo_id, revision or "main", found)
    return Commit(found, hub, repo_id)


def card_metadata(commit: Commit) -> dict[str, Any]:
    """The metadata of the card at a commit; empty where there is no card, or offline and none in the cache."""
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
            f"{commit.hub.endpoint}, repository {commit.repo_id}: the YAML of README.md at commit {commit} can't be "
            f"read: {error}. Mend it there, or load an older revision."
        ) from error


def check_name(commit: Commit, name: str | None, card: dict[str, Any]) -> None:
    """Refuses a configuration that the card does not list, and no name where it lists several.

    Raises:
        ConfigNameError: with the names there are.
    """
    configs = {str(config["config_name"]): config for config in card.get("configs") or () if "config_name" in config}
    chosen = name is not None or len(configs) <= 1 or any(config.get("default") for config in configs.values())
    if not configs or (chosen and (name is None or name in configs)):
        return
    where = f"{commit.repo_id} on {commit.hub.endpoint} (commit {commit[:12]})"
    if name is None:
        raise ConfigNameError(f"{where} has several configs, pick one of {sorted(configs)}.")
    raise ConfigNameError(f"{where} has no config {name!r}. It has {sorted(configs)}.")


def module_at(commit: Commit, original: Callable[..., DatasetModule], *args: Any, **kwargs: Any) -> DatasetModule:
    """What `datasets` needs to load a commit; `original` is its own `dataset_module_factory`.

    Raises:
        HubError: as `find_commit`; never something else from the cache instead.
    """
    if is_offline():
        return _cached_module(commit, kwargs.get("cache_dir"))
    with clear_errors(commit.hub, commit.repo_id):
        module = original(commit.repo_id, str(commit), *args, **kwargs)
    if module.module_path == _CACHE_MODULE:
        raise HubUnavailableError(
            f"{commit.hub.endpoint}, repository {commit.repo_id}: commit {commit} could not be read whole. Another "
            "version is in the cache and was not taken. Try again, or load the cached one with HF_HUB_OFFLINE=1."
        )
    # Of the card; `datasets` names folders of its cache after them.
    for config in getattr(module.builder_configs_parameters, "builder_configs", None) or ():
        for value, what in ((config.name, "configuration name"), (str(config.version), "version")):
            check_segment(value, f"{commit.hub.endpoint}, repository {commit.repo_id}, commit {commit},", what)
    return module


def module_offline(hub: Hub, repo_id: str, revision: str | None, cache_dir: str | None) -> DatasetModule:
    """As `module_at` in offline mode, for a configuration that is not known yet.

    Without a revision `datasets` takes, and logs, the newest in its cache that has the configuration.

    Raises:
        HubError: not in the cache.
    """
    commit = find_commit(hub, repo_id, revision, None, cache_dir)
    if revision is not None:
        return _cached_module(commit, cache_dir)
    return DatasetModule(_CACHE_MODULE, "auto", {**_names(repo_id), "version": "auto"})


@contextmanager
def clear_errors(hub: Hub, repo_id: str) -> Iterator[None]:
    """Tells what a client raised in terms of endpoint, repository, user and token; others pass as they are."""
    try:
        yield
    except RadikalError:
        raise
    except Exception as error:
        where = f"{hub.endpoint}, repository {repo_id}"
        if status_of(error) is not None or unanswered(error) or isinstance(error, DatasetNotFoundError):
            raise hub.error(error, repo_id) from hub.cause(error)
        if isinstance(error, (EmptyDatasetError, DataFilesNotFoundError)):
            raise HubContentError(f"{where}: no data files are there. Push a set to it first.") from error
        if isinstance(error, InvalidConfigName):  # the name of a configuration becomes the name of a folder
            raise HubContentError(f"{where}: its card is not valid: {error} Rename the configuration there.") from error
        if isinstance(error, DatasetsError):
            reason = hub.scrubbed(str(error.__cause__ or error))
            raise HubContentError(
                f"{where}: its files came, and can't be read: {reason}. If the copy on this machine is damaged "
                '(`hf cache verify` tells), load once with download_mode="force_redownload".'
            ) from hub.cause(error)
        raise


# ---- the cache of Arrow files: <cache>/<namespace>___<name>/<config>/<version>/<commit>/dataset_info.json ----


def _cached(repo_id: str, cache_dir: str | None) -> list[Path]:
    """Folders of this repository in the cache, the newest first."""
    namespace, _, name = repo_id.rpartition("/")
    root = Path(cache_dir or datasets.config.HF_DATASETS_CACHE).expanduser()
    folder = root / "___".join([*filter(None, [namespace]), camelcase_to_snakecase(name)])
    found = [path.parent for path in folder.glob("*/*/*/dataset_info.json")]
    return sorted(found, key=lambda path: path.stat().st_mtime_ns, reverse=True)


def _cached_commit(hub: Hub, repo_id: str, revision: str | None, name: str | None, cache_dir: str | None) -> str:
    there = _cached(repo_id, cache_dir)
    wanted = None if revision is None else _resolved_offline(repo_id, revision)
    for folder in there:
        if (wanted is None or folder.name == wanted) and (name is None or folder.parts[-3] == name):
            return folder.name
    asked = repo_id + (f", config {name}" if name else "") + (f", revision {revision}" if revision else "")
    has = ", ".join(f"{folder.parts[-3]} at {folder.name[:12]}" for folder in there) or "nothing of it"
    raise HubUnavailableError(
        f"{hub.endpoint} was not asked for {asked}: offline mode is on (HF_HUB_OFFLINE or HF_DATASETS_OFFLINE), and "
        f"the cache has {has}. Load it once without offline mode."
    )


def _ref(repo_id: str, revision: str) -> Path:
    """Where huggingface_hub's cache keeps which commit a branch or tag named when the Hub was last asked."""
    folder = Path(huggingface_hub.constants.HF_HUB_CACHE, repo_folder_name(repo_id=repo_id, repo_type="dataset"))
    return folder / "refs" / revision


def _remember(repo_id: str, revision: str, commit: str) -> None:
    """Notes what a branch or tag names, for offline mode; the clients don't when they are asked for the commit."""
    if revision == commit or ".." in revision or revision.startswith("/"):
        return
    ref = _ref(repo_id, revision)
    with suppress(OSError):  # a cache that can't be written to serves online all the same
        write_atomically(ref, commit)


def _resolved_offline(repo_id: str, revision: str) -> str:
    ref = _ref(repo_id, revision)
    return ref.read_text(encoding="ascii").strip() if ref.is_file() else revision


def _cached_module(commit: Commit, cache_dir: str | None) -> DatasetModule:
    logger.warning("%s: offline, commit %s from the cache", commit.repo_id, commit)
    folders = [folder for folder in _cached(commit.repo_id, cache_dir) if folder.name == commit]
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
