"""Users, repositories, refs and commits: rows of one SQLite file; each change is one transaction."""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .client_faults import RequestError, revision_not_found
from .names import short_ref

MAIN = "main"
_BUSY_SECONDS = 30.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS settings (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS namespaces (name TEXT PRIMARY KEY COLLATE NOCASE, organisation INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS members (
    organisation TEXT NOT NULL COLLATE NOCASE REFERENCES namespaces(name),
    user TEXT NOT NULL COLLATE NOCASE REFERENCES namespaces(name),
    PRIMARY KEY (organisation, user));
CREATE TABLE IF NOT EXISTS tokens (
    hash TEXT PRIMARY KEY, user TEXT NOT NULL REFERENCES namespaces(name), role TEXT NOT NULL, created REAL NOT NULL);
CREATE TABLE IF NOT EXISTS repositories (
    id INTEGER PRIMARY KEY AUTOINCREMENT, type TEXT NOT NULL,
    namespace TEXT NOT NULL COLLATE NOCASE REFERENCES namespaces(name), name TEXT NOT NULL COLLATE NOCASE,
    private INTEGER NOT NULL, created REAL NOT NULL,
    UNIQUE (type, namespace, name));
CREATE TABLE IF NOT EXISTS commits (
    repository INTEGER NOT NULL REFERENCES repositories(id) ON DELETE CASCADE, id TEXT NOT NULL, parent TEXT,
    title TEXT NOT NULL, message TEXT NOT NULL, author TEXT NOT NULL, created REAL NOT NULL,
    PRIMARY KEY (repository, id));
CREATE TABLE IF NOT EXISTS files (
    repository INTEGER NOT NULL REFERENCES repositories(id) ON DELETE CASCADE, revision TEXT NOT NULL,
    path TEXT NOT NULL, sha256 TEXT NOT NULL, size INTEGER NOT NULL, lfs INTEGER NOT NULL, oid TEXT NOT NULL,
    PRIMARY KEY (repository, revision, path)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS refs (
    repository INTEGER NOT NULL REFERENCES repositories(id) ON DELETE CASCADE, kind TEXT NOT NULL, name TEXT NOT NULL,
    revision TEXT NOT NULL, message TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (repository, kind, name));
CREATE TABLE IF NOT EXISTS uploads (
    repository INTEGER NOT NULL REFERENCES repositories(id) ON DELETE CASCADE, sha256 TEXT NOT NULL,
    size INTEGER NOT NULL,
    PRIMARY KEY (repository, sha256));
"""


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


class Database:
    """Everything except contents. Each thread has its own connection."""

    def __init__(self, root: Path):
        root.mkdir(parents=True, exist_ok=True)
        self._path, self._local = root / "hub.sqlite", threading.local()
        with self.writing() as connection:
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
            connection.execute("INSERT OR IGNORE INTO settings VALUES ('secret', ?)", [secrets.token_hex(32)])
        row = self._one("SELECT value FROM settings WHERE key = 'secret'")
        assert row is not None
        self.secret = row[0].encode()

    @property
    def _connection(self) -> sqlite3.Connection:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None)
            # WAL: readers see the last complete commit while the next is written. FULL: it survives a power cut.
            for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
                connection.execute(f"PRAGMA {pragma}")
            self._local.connection = connection
        return connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Run one transaction; no one else writes in the meantime, and nothing of it is visible before its end."""
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:  # SQLite itself rolls back if the disk is full
                connection.execute("ROLLBACK")
            raise

    def _one(self, query: str, values: Sequence[object] = ()) -> tuple[Any, ...] | None:
        return self._connection.execute(query, values).fetchone()

    def _all(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        return self._connection.execute(query, values).fetchall()

    # ---- users and tokens ----

    def add_user(self, name: str, organizations: Sequence[str] = ()) -> None:
        """Add a user, or organizations to one; an organization that does not exist is created."""
        with self.writing() as connection:
            for namespace, is_organization in (
                (name, False),
                *((organization, True) for organization in organizations),
            ):
                row = connection.execute("SELECT organisation FROM namespaces WHERE name = ?", [namespace]).fetchone()
                if row is not None and bool(row[0]) != is_organization:
                    raise RequestError(409, f"{namespace} is already {'an organization' if row[0] else 'a user'}.")
                connection.execute("INSERT OR IGNORE INTO namespaces VALUES (?, ?)", [namespace, is_organization])
            for organization in organizations:
                connection.execute("INSERT OR IGNORE INTO members VALUES (?, ?)", [organization, name])

    def users(self) -> dict[str, list[str]]:
        """Return user -> organizations."""
        names = [row[0] for row in self._all("SELECT name FROM namespaces WHERE NOT organisation ORDER BY name")]
        return {name: self._organizations(name) for name in names}

    def namespace_exists(self, name: str) -> bool:
        """Return True for the name of a user or an organization."""
        return self._one("SELECT 1 FROM namespaces WHERE name = ?", [name]) is not None

    def _organizations(self, user: str) -> list[str]:
        rows = self._all("SELECT organisation FROM members WHERE user = ? ORDER BY organisation", [user])
        return [row[0] for row in rows]

    def add_token(self, user: str, role: str) -> str:
        """Create a token; only its hash is stored, so it is returned just this once."""
        if self._one("SELECT 1 FROM namespaces WHERE name = ? AND NOT organisation", [user]) is None:
            raise RequestError(404, f"There is no user {user}.")
        token = f"hf_{secrets.token_urlsafe(32)}"
        with self.writing() as connection:
            connection.execute("INSERT INTO tokens VALUES (?, ?, ?, ?)", [_hash(token), user, role, time.time()])
        return token

    def tokens(self, user: str) -> list[tuple[str, str, float]]:
        """Return (first digits of the hash, role, created) for a user's tokens."""
        rows = self._all("SELECT hash, role, created FROM tokens WHERE user = ? ORDER BY created", [user])
        return [(digits[:12], role, created) for digits, role, created in rows]

    def revoke(self, token: str) -> int:
        """Remove a token, given in full or as the first digits of its hash; return how many were removed."""
        with self.writing() as connection:
            found = connection.execute("DELETE FROM tokens WHERE hash = ?", [_hash(token)]).rowcount
            if not found and len(token) >= 8:
                found = connection.execute(
                    "DELETE FROM tokens WHERE substr(hash, 1, ?) = ?", [len(token), token]
                ).rowcount
        return found

    def user_of(self, token: str) -> User | None:
        """Return the user to whom a token belongs."""
        row = self._one("SELECT user, role FROM tokens WHERE hash = ?", [_hash(token)])
        return None if row is None else User(row[0], row[1], tuple(self._organizations(row[0])))

    # ---- repositories ----

    def repository(self, type_: str, namespace: str, name: str) -> RepositoryRow | None:
        """Return a repository by name, whoever asks."""
        row = self._one(
            "SELECT id, type, namespace, name, private, created FROM repositories "
            "WHERE type = ? AND namespace = ? AND name = ?",
            [type_, namespace, name],
        )
        return None if row is None else _repository(row)

    def repository_by_id(self, number: int) -> RepositoryRow | None:
        """Return a repository by number, whoever asks."""
        row = self._one("SELECT id, type, namespace, name, private, created FROM repositories WHERE id = ?", [number])
        return None if row is None else _repository(row)

    def repositories(self, type_: str) -> list[RepositoryRow]:
        """Return all of a type, including private ones."""
        rows = self._all(
            "SELECT id, type, namespace, name, private, created FROM repositories "
            "WHERE type = ? ORDER BY namespace, name",
            [type_],
        )
        return [_repository(row) for row in rows]

    def create(self, type_: str, namespace: str, name: str, *, private: bool, author: str) -> RepositoryRow | None:
        """Create a repository with an empty first commit on `main`; return None if it already exists."""
        with self.writing() as connection:
            added = connection.execute(
                "INSERT OR IGNORE INTO repositories (type, namespace, name, private, created) VALUES (?, ?, ?, ?, ?)",
                [type_, namespace, name, private, time.time()],
            )
            if not added.rowcount:
                return None
            number = added.lastrowid
            first = _insert_commit(connection, number, None, "initial commit", "", author, {})
            connection.execute("INSERT INTO refs VALUES (?, 'branch', ?, ?, '')", [number, MAIN, first.id])
        return self.repository(type_, namespace, name)

    def set_private(self, repository: RepositoryRow, private: bool) -> None:
        """Set who may read it."""
        with self.writing() as connection:
            connection.execute("UPDATE repositories SET private = ? WHERE id = ?", [private, repository.id])

    def delete(self, repository: RepositoryRow) -> None:
        """Delete the repository and its history; contents stay on disk (`hub verify` lists unreferenced ones)."""
        with self.writing() as connection:
            connection.execute("DELETE FROM repositories WHERE id = ?", [repository.id])

    # ---- refs, commits, files ----

    def resolve(self, repository: RepositoryRow, revision: str) -> CommitRow:
        """Return the commit of a branch, a tag or an id.

        Raises:
            RequestError: 404 RevisionNotFound.
        """
        name = short_ref(revision)
        row = self._one(
            "SELECT revision FROM refs WHERE repository = ? AND name = ? ORDER BY kind LIMIT 1", [repository.id, name]
        )
        row = self._one(
            "SELECT id, parent, title, message, author, created FROM commits WHERE repository = ? AND id = ?",
            [repository.id, row[0] if row else name],
        )
        if row is None:
            raise revision_not_found(revision)
        return CommitRow(*row)

    def refs(self, repository: RepositoryRow, kind: str) -> list[tuple[str, str]]:
        """Return (name, commit) of the branches or tags."""
        return self._all(
            "SELECT name, revision FROM refs WHERE repository = ? AND kind = ? ORDER BY name", [repository.id, kind]
        )

    def set_ref(self, repository: RepositoryRow, kind: str, name: str, commit: str, message: str = "") -> bool:
        """Create a branch or tag; return False if the name is taken."""
        with self.writing() as connection:
            taken = connection.execute("SELECT 1 FROM refs WHERE repository = ? AND name = ?", [repository.id, name])
            if taken.fetchone() is not None:
                return False
            connection.execute("INSERT INTO refs VALUES (?, ?, ?, ?, ?)", [repository.id, kind, name, commit, message])
        return True

    def delete_ref(self, repository: RepositoryRow, kind: str, name: str) -> bool:
        """Delete a branch or tag; return False if there is none."""
        with self.writing() as connection:
            query = "DELETE FROM refs WHERE repository = ? AND kind = ? AND name = ?"
            return connection.execute(query, [repository.id, kind, name]).rowcount > 0

    def history(self, repository: RepositoryRow, commit: CommitRow) -> list[CommitRow]:
        """Return a commit and its ancestors, newest first."""
        rows = self._all(
            "SELECT id, parent, title, message, author, created FROM commits WHERE repository = ?", [repository.id]
        )
        by_id = {row[0]: CommitRow(*row) for row in rows}
        found = [commit]
        while found[-1].parent is not None:
            found.append(by_id[found[-1].parent])
        return found

    def files(self, repository: RepositoryRow, commit: str) -> dict[str, FileRow]:
        """Return all files of a commit, by path, sorted."""
        rows = self._all(
            "SELECT path, sha256, size, lfs, oid FROM files WHERE repository = ? AND revision = ? ORDER BY path",
            [repository.id, commit],
        )
        return {row[0]: FileRow(row[0], row[1], row[2], bool(row[3]), row[4]) for row in rows}

    def file(self, repository: RepositoryRow, commit: str, path: str) -> FileRow | None:
        """Return one file of a commit."""
        row = self._one(
            "SELECT path, sha256, size, lfs, oid FROM files WHERE repository = ? AND revision = ? AND path = ?",
            [repository.id, commit, path],
        )
        return None if row is None else FileRow(row[0], row[1], row[2], bool(row[3]), row[4])

    def uploaded_size(self, repository: RepositoryRow, sha256: str) -> int | None:
        """Return the size of an object that this repository may name; None if it was never sent to it.

        An object of another repository does not count: its hash alone would expose it to anyone.
        """
        row = self._one("SELECT size FROM uploads WHERE repository = ? AND sha256 = ?", [repository.id, sha256])
        return None if row is None else row[0]

    def note_upload(self, repository: RepositoryRow, sha256: str, size: int) -> None:
        """Record that an object was sent to this repository."""
        with self.writing() as connection:
            connection.execute("INSERT OR IGNORE INTO uploads VALUES (?, ?, ?)", [repository.id, sha256, size])

    def objects(self) -> set[str]:
        """Return the sha256 of everything that a file or an upload refers to."""
        return {row[0] for row in self._all("SELECT sha256 FROM files UNION SELECT sha256 FROM uploads")}


def insert_commit(
    connection: sqlite3.Connection,
    repository: RepositoryRow,
    parent: CommitRow,
    branch: str,
    title: str,
    message: str,
    author: str,
    files: Mapping[str, FileRow],
) -> CommitRow:
    """Within `writing`: add a commit and its tree, and move the branch to it."""
    commit = _insert_commit(connection, repository.id, parent.id, title, message, author, files)
    connection.execute(
        "UPDATE refs SET revision = ? WHERE repository = ? AND kind = 'branch' AND name = ?",
        [commit.id, repository.id, branch],
    )
    return commit


def _insert_commit(
    connection: sqlite3.Connection,
    repository: int | None,
    parent: str | None,
    title: str,
    message: str,
    author: str,
    files: Mapping[str, FileRow],
) -> CommitRow:
    created = time.time()
    tree = "\n".join(f"{file.path}\t{file.sha256}" for file in files.values())
    text = f"{repository}\n{parent}\n{title}\n{message}\n{author}\n{created}\n{tree}"
    commit = CommitRow(hashlib.sha1(text.encode()).hexdigest(), parent, title, message, author, created)
    connection.execute(
        "INSERT INTO commits VALUES (?, ?, ?, ?, ?, ?, ?)",
        [repository, commit.id, parent, title, message, author, created],
    )
    connection.executemany(
        "INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?)",
        [(repository, commit.id, f.path, f.sha256, f.size, f.lfs, f.oid) for f in files.values()],
    )
    return commit


def _repository(row: tuple[Any, ...]) -> RepositoryRow:
    return RepositoryRow(row[0], row[1], row[2], row[3], bool(row[4]), row[5])


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
