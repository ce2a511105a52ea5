"""What the caches of this machine hold of a repository, for offline mode."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import datasets.config
import huggingface_hub
import huggingface_hub.constants
from datasets.naming import camelcase_to_snakecase
from huggingface_hub.file_download import repo_folder_name

from ..errors import HubUnavailableError
from ..files import write_atomically
from ..hub_client.endpoint import Hub


def cached_folders(repo_id: str, cache_dir: str | None) -> list[Path]:
    """Return the folders of this repository in the cache of Arrow files, newest first.

    They are ``<cache>/<namespace>___<name>/<config>/<version>/<commit>``.
    """
    namespace, _, name = repo_id.rpartition("/")
    root = Path(cache_dir or datasets.config.HF_DATASETS_CACHE).expanduser()
    folder = root / "___".join([*filter(None, [namespace]), camelcase_to_snakecase(name)])
    found = [path.parent for path in folder.glob("*/*/*/dataset_info.json")]
    return sorted(found, key=lambda path: path.stat().st_mtime_ns, reverse=True)


def cached_commit(hub: Hub, repo_id: str, revision: str | None, name: str | None, cache_dir: str | None) -> str:
    """Return the newest commit in the cache that has what is requested.

    Raises:
        HubUnavailableError: there is none; names what the cache holds.
    """
    there = cached_folders(repo_id, cache_dir)
    wanted = None if revision is None else _resolved_offline(repo_id, revision)
    for folder in there:
        if (wanted is None or folder.name == wanted) and (name is None or folder.parts[-3] == name):
            return folder.name
    requested = repo_id + (f", config {name}" if name else "") + (f", revision {revision}" if revision else "")
    cached = ", ".join(f"{folder.parts[-3]} at {folder.name[:12]}" for folder in there) or "nothing from it"
    raise HubUnavailableError(
        f"{hub.endpoint} was not contacted for {requested}: offline mode is on (HF_HUB_OFFLINE or HF_DATASETS_OFFLINE) "
        f"and the cache holds {cached}. Load it once without offline mode."
    )


def _ref(repo_id: str, revision: str) -> Path:
    """Return the file in which huggingface_hub's cache stores the commit that a branch or tag named last."""
    folder = Path(huggingface_hub.constants.HF_HUB_CACHE, repo_folder_name(repo_id=repo_id, repo_type="dataset"))
    return folder / "refs" / revision


def remember(repo_id: str, revision: str, commit: str) -> None:
    """Store what a branch or tag names, for offline mode; the clients do not when they are asked for the commit."""
    if revision == commit or ".." in revision or revision.startswith("/"):
        return
    ref = _ref(repo_id, revision)
    with suppress(OSError):  # with a cache that is not writable, loading online works anyway
        write_atomically(ref, commit)


def _resolved_offline(repo_id: str, revision: str) -> str:
    ref = _ref(repo_id, revision)
    return ref.read_text(encoding="ascii").strip() if ref.is_file() else revision
