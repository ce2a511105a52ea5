"""Validate names that come from outside before they are used."""

from __future__ import annotations

import re

from .client_faults import RequestError, bad_request, revision_not_found

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_-])?")
_REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/+-]{0,249}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MOST_SEGMENTS, _LONGEST_PATH = 32, 1000


def check_name(name: object) -> str:
    """Return the name of a user, an organization or a repository.

    Raises:
        RequestError: 400.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name) or ".." in name or "--" in name:
        raise bad_request(f"Invalid name {name!r}. Use letters, digits, '-', '_' and '.', at most 96 characters.")
    if name.endswith((".git", ".ipynb")):
        raise bad_request(f"Invalid name {name!r}. It must not end with .git or .ipynb.")
    return name


def check_path(path: object) -> str:
    """Return the path of a file or folder in a repository.

    Raises:
        RequestError: 400.
    """
    if not isinstance(path, str) or not path or len(path) > _LONGEST_PATH:
        raise bad_request(f"Invalid path {str(path)[:100]!r}.")
    segments = path.split("/")
    bad = any(segment in ("", ".", "..", ".git") for segment in segments) or len(segments) > _MOST_SEGMENTS
    if bad or "\\" in path or any(not character.isprintable() for character in path):
        raise bad_request(f"{path[:100]!r} is not a path inside a repository.")
    return path


def check_new_ref(name: object) -> str:
    """Return the name of a new branch or tag.

    Raises:
        RequestError: 400.
    """
    if not isinstance(name, str) or not _REVISION.fullmatch(name) or ".." in name or name.endswith("/"):
        raise bad_request(f"Invalid name of a branch or tag: {str(name)[:100]!r}.")
    if re.fullmatch(r"[0-9a-f]{40}", name) or name.startswith("refs/"):
        raise bad_request(f"Invalid name of a branch or tag: {name!r} would be taken for a commit or a ref.")
    return name


def short_ref(revision: str) -> str:
    """Return `main` for `refs/heads/main`; anything else unchanged.

    Raises:
        RequestError: 404 for a pull request, which this Hub does not support.
    """
    for prefix in ("refs/heads/", "refs/tags/"):
        if revision.startswith(prefix):
            return revision[len(prefix) :]
    if revision.startswith("refs/"):
        raise revision_not_found(revision)
    return revision


def check_sha256(value: object) -> str:
    """Return 64 hex digits, lower case.

    Raises:
        RequestError: 400.
    """
    if not isinstance(value, str) or not _SHA256.fullmatch(value):
        raise bad_request(f"{str(value)[:80]!r} is not a sha256.")
    return value


def check_size(value: object) -> int:
    """Return a number of bytes.

    Raises:
        RequestError: 400.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 50:
        raise RequestError(400, f"{str(value)[:80]!r} is not a size.")
    return value
