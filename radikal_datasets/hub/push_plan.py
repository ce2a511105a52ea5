"""What a push sends, and how that differs from what the repository has."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from huggingface_hub import RepoFile

from ..prepared.checksum_cache import sha256_of
from .repository import Snapshot


class LocalFile:
    """A file to push.

    Args:
        path: where it is.
        sha256: hex digits, where they are known; otherwise computed once, on first use.
    """

    def __init__(self, path: Path, sha256: str | None = None):
        self.path, self._known = path, sha256

    @cached_property
    def sha256(self) -> str:
        """Hex digits."""
        return self._known or sha256_of(self.path)

    def is_same_as(self, there: RepoFile | None) -> bool:
        """Whether the Hub has exactly this content."""
        if there is None or there.size != self.path.stat().st_size:
            return False
        if there.lfs is not None:
            return there.lfs.sha256 == self.sha256
        content = self.path.read_bytes()  # a small one: the Hub keeps it in git itself
        return there.blob_id == hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Content(Protocol):
    """What is pushed."""

    @property
    def files(self) -> Mapping[str, LocalFile]:
        """Path in the repository -> file; what is the same there is not sent."""
        ...

    @property
    def message(self) -> str:
        """Of the commit."""
        ...

    def texts(self, remote: Snapshot) -> dict[str, str]:
        """Card (and manifest and Croissant file), merged with what the repository has: path -> text."""
        ...

    def owns(self, path: str) -> bool:
        """Whether a file of the repository is removed when `files` does not have it."""
        ...


@dataclass(frozen=True)
class Plan:
    """What has to be done to a repository; all paths are those in the repository.

    Attributes:
        add, remove: files to send and to delete.
        kept: files that are there already.
        texts: path -> new text of card, manifest and Croissant file, where it differs from the Hub's.
    """

    add: list[str]
    kept: list[str]
    remove: list[str]
    texts: dict[str, str]

    @property
    def nothing_to_do(self) -> bool:
        """Whether the repository has everything already."""
        return not (self.add or self.remove or self.texts)
