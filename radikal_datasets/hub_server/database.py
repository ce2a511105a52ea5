"""Repositories, refs and commits, beside users and tokens: rows of one SQLite file; each change is one transaction."""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Mapping
from typing import Any

from .accounts import Accounts
from .client_faults import revision_not_found
from .names import short_ref
from .rows import CommitRow, FileRow, RepositoryRow

MAIN = "main"


class Database(Accounts):
    """Everything except contents."""

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
