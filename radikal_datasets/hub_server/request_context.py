"""The context of one request: the user, the repository and the body; and the responses that handlers return."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .client_faults import INVALID_TOKEN, RequestError, bad_request, repository_not_found
from .content_store import ObjectStore
from .database import Database
from .rows import CommitRow, RepositoryRow, User

#: Path segment -> type of repository.
TYPES = {"datasets": "dataset", "models": "model"}
#: Maximum bytes of a body, except for commits and uploads.
MAX_JSON = 8 << 20
MAX_COMMIT = 128 << 20


@dataclass(frozen=True)
class State:
    """The state of a server: rows and contents."""

    database: Database
    objects: ObjectStore

    @classmethod
    def open(cls, root: Path) -> State:
        """Open the state below a root; create it if there is none."""
        return cls(Database(root), ObjectStore(root))

    def sent_size(self, repository: RepositoryRow, sha256: str) -> int | None:
        """Return the size of an object that was sent to this repository and is still on disk; else None.

        Objects lost by a broken disk are requested again, so that a second push restores them.
        """
        size = self.database.uploaded_size(repository, sha256)
        return size if self.objects.path(sha256).is_file() else None


@dataclass(frozen=True)
class RequestContext:
    """A request whose body has been read.

    Attributes:
        params: the values of the route's placeholders, unquoted.
        body: as sent; empty for GET and HEAD.
    """

    state: State
    request: Request
    params: Mapping[str, str]
    body: bytes

    @property
    def base_url(self) -> str:
        """This Hub's address as the client wrote it."""
        return str(self.request.base_url).rstrip("/")

    def user(self) -> User | None:
        """Return the requesting user; None for anonymous requests.

        Raises:
            RequestError: 401, an invalid token.
        """
        header = self.request.headers.get("Authorization")
        if header is None:
            return None
        kind, _, token = header.partition(" ")
        user = self.state.database.user_of(token.strip()) if kind.lower() == "bearer" else None
        if user is None:
            raise RequestError(401, INVALID_TOKEN)
        return user

    def writer(self) -> User:
        """Return the requesting user, if they may change something.

        Raises:
            RequestError: 401 for anonymous requests, 403 for a read-only token.
        """
        user = self.user()
        if user is None:
            raise RequestError(401, "This request needs a token. Log in first")
        if user.role != "write":
            raise RequestError(403, f"This token of {user.name} is read-only. Create one with --role write")
        return user

    def repository(self) -> RepositoryRow:
        """Return the repository of the address, if the user may read it.

        Raises:
            RequestError: 401 or 404, the same whether it is private or does not exist.
        """
        user = self.user()
        found = self.state.database.repository(self.type, self.params["namespace"], self.params["name"])
        if found is None or (found.private and not (user and user.owns(found.namespace))):
            raise repository_not_found(user is None)
        return found

    def own_repository(self) -> tuple[RepositoryRow, User]:
        """Return the repository of the address, if the user may change it.

        Raises:
            RequestError: 401, 403 or 404.
        """
        found, user = self.repository(), self.writer()
        if not user.owns(found.namespace):
            raise RequestError(403, f"{user.name} is not a member of {found.namespace}")
        return found, user

    @property
    def type(self) -> str:
        """The type, "dataset" or "model"; addresses without a type are models'."""
        return TYPES[self.params.get("type", "models")]

    def commit(self, repository: RepositoryRow) -> CommitRow:
        """Return the commit that the address names."""
        return self.state.database.resolve(repository, self.params["revision"])

    def json(self) -> dict[str, Any]:
        """Return the body.

        Raises:
            RequestError: 400, it is not a JSON object.
        """
        try:
            data = parse_json(self.body or b"{}")
        except (ValueError, RecursionError):
            raise bad_request("The body is not JSON.") from None
        if not isinstance(data, dict):
            raise bad_request("The body is not a JSON object.")
        return data

    def number(self, name: str, default: int, most: int) -> int:
        """Return a number from the query, between 1 and `most`."""
        value = self.request.query_params.get(name, "")
        return min(max(int(value), 1), most) if value.isdecimal() and len(value) < 10 else default

    def flag(self, name: str) -> bool:
        """Return a boolean from the query."""
        return self.request.query_params.get(name, "").lower() in ("true", "1", "yes")

    def page(self, rows: list[Any], limit: int) -> Response:
        """Return the rows from the query's cursor on, with the address of the next ones in `Link`."""
        cursor = self.request.query_params.get("cursor", "")
        start = int(cursor) if cursor.isdecimal() and len(cursor) < 10 else 0
        headers = {}
        if start + limit < len(rows):
            query = [(k, v) for k, v in self.request.query_params.multi_items() if k != "cursor"]
            path = quote(self.request.scope["raw_path"].decode("latin-1"), safe="/%:@!$&'()*+,;=~-._")
            address = f"{self.base_url}{path}?{urlencode([*query, ('cursor', start + limit)])}"
            headers["Link"] = f'<{address}>; rel="next"'
        return JSONResponse(rows[start : start + limit], headers=headers)


Handler = Callable[[RequestContext], Response]


def parse_json(text: bytes) -> Any:
    """Parse a client's JSON.

    Raises:
        ValueError: not JSON in UTF-8, or half of a surrogate pair, which neither SQLite nor a response can hold.
        RecursionError: nested too deeply.
    """
    data = json.loads(text.decode())
    if b"\\u" in text:
        json.dumps(data, ensure_ascii=False).encode()
    return data
