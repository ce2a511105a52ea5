"""The SQLite file of a Hub: its tables, connections and transactions."""

from __future__ import annotations

import secrets
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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


class SqliteFile:
    """The file in a Hub's folder. Each thread has its own connection."""

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
