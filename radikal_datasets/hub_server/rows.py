"""What a row of the database holds: a user, a repository, a file, a commit."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class User:
    """The requesting user: a name, the role of the token ("read" or "write"), and the user's namespaces."""

    name: str
    role: str
    organizations: tuple[str, ...]

    def owns(self, namespace: str) -> bool:
        """Return True for the user's own namespace and for those of their organizations."""
        return namespace.lower() in {name.lower() for name in (self.name, *self.organizations)}


@dataclass(frozen=True)
class RepositoryRow:
    """A repository; `type` is "dataset" or "model"."""

    id: int
    type: str
    namespace: str
    name: str
    private: bool
    created: float

    @property
    def full_name(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True)
class FileRow:
    """A file of a commit; `oid` is git's blob id, of the pointer if `lfs`."""

    path: str
    sha256: str
    size: int
    lfs: bool
    oid: str


@dataclass(frozen=True)
class CommitRow:
    """A commit; `created` in seconds since 1970."""

    id: str
    parent: str | None
    title: str
    message: str
    author: str
    created: float
