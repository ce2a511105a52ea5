"""Users, the organizations they are members of, and their tokens."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Sequence

from .client_faults import RequestError
from .rows import User
from .sqlite_file import SqliteFile


class Accounts(SqliteFile):
    """Users and tokens; of a token, only its hash is stored."""

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


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
