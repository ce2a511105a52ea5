"""Check what a Hub answers before any of it becomes part of a local path.

The clients trust a Hub. huggingface_hub 1.33 to 2.4 write the header ``X-Repo-Commit`` into ``refs/<revision>`` and
name files after the ``ETag``; `datasets` 5.2 names folders after the commit id and after fields of the card. So a
malicious Hub, or anyone on a plain-http connection, could overwrite any file of the user. Every such value is checked
here.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import huggingface_hub.file_download
import huggingface_hub.hf_api
from huggingface_hub.constants import HUGGINGFACE_HEADER_X_REPO_COMMIT
from huggingface_hub.errors import HfHubHTTPError

from ..errors import HubContentError
from .endpoint import hub_name

_COMMIT = re.compile(r"[0-9a-f]{40}")
_DRIVE = re.compile(r"[A-Za-z]:")
_REVISION_OF_URL = re.compile(r"/resolve/([^/]+)/")
_REMEDY = (
    "The answer was refused. Either the Hub is broken or malicious, or the answer was altered in transit. Ask the "
    "Hub's operator, and use an https:// address."
)


def check_commit(value: object, where: str, asked: str | None = None) -> str:
    """Return a commit id that a Hub named.

    Args:
        value: what the Hub answered.
        where: Hub and repository, for the message.
        asked: the revision that was requested: if it is a commit id, the answer must be the same.

    Raises:
        HubContentError: it is not 40 lowercase hexadecimal digits, or not the commit that was requested.
    """
    if not isinstance(value, str) or _COMMIT.fullmatch(value) is None:
        raise HubContentError(
            f"{where} answered with the commit id {_shown(value)}, which is not 40 lowercase hexadecimal digits. "
            f"{_REMEDY}"
        )
    if asked is not None and _COMMIT.fullmatch(asked) and value != asked:
        raise HubContentError(f"{where} was asked for commit {asked} and answered with commit {value}. {_REMEDY}")
    return value


def check_path(value: object, where: str, what: str = "file name") -> None:
    """Reject a path that would leave the folder into which it is put, on any operating system.

    Args:
        value: a posix path relative to a repository, as the Hub named it.
        where: Hub and repository, for the message.
        what: what it is, for the message.

    Raises:
        HubContentError: it is absolute, empty, or has a ``..``, a ``.``, a backslash, a drive letter or a NUL.
    """
    if not isinstance(value, str) or "\\" in value or "\0" in value or not all(map(_is_name, value.split("/"))):
        raise HubContentError(
            f"{where} answered with the {what} {_shown(value)}, which is not a path inside a repository. {_REMEDY}"
        )


def check_segment(value: object, where: str, what: str) -> None:
    """Do what `check_path` does, for the name of one file or folder: without a slash.

    Raises:
        HubContentError: it is not a valid name.
    """
    check_path(value, where, what)
    if "/" in str(value):
        raise HubContentError(f"{where} answered with the {what} {_shown(value)}, which contains a slash. {_REMEDY}")


def install() -> None:
    """Make every client in this process reject such answers, whoever calls it: us, `datasets` or `transformers`."""
    api = huggingface_hub.hf_api
    for kind in (api.DatasetInfo, api.ModelInfo, api.SpaceInfo):
        _check_made(kind, _check_info)
    _check_made(api.CommitInfo, lambda info: _check_known_commit(info.oid, hub_name()))
    _check_made(api.RepoSibling, lambda file: check_path(file.rfilename, hub_name()))
    _check_made(api.RepoFolder, lambda folder: check_path(folder.path, hub_name()))
    _check_made(api.RepoFile, _check_file)

    original = huggingface_hub.file_download.get_hf_file_metadata
    if hasattr(original, "_radikal_datasets"):
        return

    @functools.wraps(original)
    def get_hf_file_metadata(url: str, *args: Any, **kwargs: Any) -> Any:
        where, revision = _asked(url)
        try:
            found = original(url, *args, **kwargs)
        except HfHubHTTPError as error:  # the clients record under this commit that the file does not exist
            _check_known_commit(error.response.headers.get(HUGGINGFACE_HEADER_X_REPO_COMMIT), where, revision)
            raise
        if found.commit_hash is None and revision is not None:
            raise HubContentError(
                f"{where} answered without the header {HUGGINGFACE_HEADER_X_REPO_COMMIT}, which names the commit "
                f"of a file. {_REMEDY}"
            )
        _check_known_commit(found.commit_hash, where, revision)
        if found.etag is not None:
            check_segment(found.etag, where, "ETag")
        return found

    get_hf_file_metadata._radikal_datasets = True  # type: ignore[attr-defined]
    huggingface_hub.file_download.get_hf_file_metadata = get_hf_file_metadata


def _check_made(kind: type, check: Callable[[Any], None]) -> None:
    """Check every object of a class upon creation: the clients create one for each part of an answer."""
    original = kind.__init__
    if hasattr(original, "_radikal_datasets"):
        return

    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        original(self, *args, **kwargs)
        check(self)

    __init__._radikal_datasets = True  # type: ignore[attr-defined]
    kind.__init__ = __init__


def _check_info(info: Any) -> None:
    _check_known_commit(info.sha, f"{hub_name()}, repository {_shown(info.id)},")


def _check_file(file: Any) -> None:
    check_path(file.path, hub_name())
    # The clients name files of their cache after the checksum.
    if file.lfs is not None:
        check_segment(file.lfs.sha256, hub_name(), "checksum")


def _check_known_commit(value: object, where: str, asked: str | None = None) -> None:
    """Do what `check_commit` does; None, if the Hub names no commit, is valid."""
    if value is not None:
        check_commit(value, where, asked)


def _asked(url: str) -> tuple[str, str | None]:
    """Return the Hub and repository, and the revision, of a file's address; for other addresses the Hub and None."""
    parts = urlsplit(url)
    revision = _REVISION_OF_URL.search(parts.path)
    repository = "" if revision is None else parts.path[: revision.start()]
    return f"{parts.scheme}://{parts.netloc}{repository}", None if revision is None else revision[1]


def _is_name(segment: str) -> bool:
    return segment not in ("", ".", "..") and _DRIVE.match(segment) is None


def _shown(value: object) -> str:
    """Return the value for a message: escaped, since it may hold anything, and short."""
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."
