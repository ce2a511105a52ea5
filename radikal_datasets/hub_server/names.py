"""Names that come from outside, checked before anything is done with them."""

from __future__ import annotations

import re

from .client_faults import RequestError, bad_request, revision_not_found

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_-])?")
_REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/+-]{0,249}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MOST_SEGMENTS, _LONGEST_PATH = 32, 1000


def check_name(name: object) -> str:
    """A user's, an organisation's or a repository's name.

    Raises:
        RequestError: 400.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name) or ".." in name or "--" in name:
        raise bad_request(f"Not a name: {name!r}. Letters, digits, '-', '_' and '.', up to 96.")
    if name.endswith((".git", ".ipynb")):
        raise bad_request(f"Not a name: {name!r}. It ends with .git or .ipynb.")
    return name


def check_path(path: object) -> str:
    """A file's or folder's path in a repository.

    Raises:
        RequestError: 400.
    """
    if not isinstance(path, str) or not path or len(path) > _LONGEST_PATH:
        raise bad_request(f"Not a path: {str(path)[:100]!r}.")
    segments = path.split("/")
    bad = any(segment in ("", ".", "..", ".git") for segment in segments) or len(segments) > _MOST_SEGMENTS
    if bad or "\\" in path or any(not character.isprintable() for character in path):
        raise bad_request(f"Not a path inside a repository: {path[:100]!r}.")
    return path


def check_new_ref(name: object) -> str:
    """The name of a branch or tag to make.

    Raises:
        RequestError: 400.
    """
    if not isinstance(name, str) or not _REVISION.fullmatch(name) or ".." in name or name.endswith("/"):
        raise bad_request(f"Not a name of a branch or tag: {str(name)[:100]!r}.")
    if re.fullmatch(r"[0-9a-f]{40}", name) or name.startswith("refs/"):
        raise bad_request(f"Not a name of a branch or tag: {name!r} would be taken for a commit or a ref.")
    return name


def short_ref(revision: str) -> str:
    """`main` of `refs/heads/main`; anything else as it is.

    Raises:
        RequestError: 404 for a pull request, which this Hub does not have.
    """
    for prefix in ("refs/heads/", "refs/tags/"):
        if revision.startswith(prefix):
            return revision[len(prefix) :]
    if revision.startswith("refs/"):
        raise revision_not_found(revision)
    return revision


def check_sha256(value: object) -> str:
    """64 hex digits, lower case.

    Raises:
        RequestError: 400.
    """
    if not isinstance(value, str) or not _SHA256.fullmatch(value):
        raise bad_request(f"Not a sha256: {str(value)[:80]!r}.")
    return value


def check_size(value: object) -> int:
    """A number of bytes.

    Raises:
        RequestError: 400.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 50:
        raise RequestError(400, f"Not a size: {str(value)[:80]!r}.")
    return value
