"""One request as the handlers see it: who asks, for which repository, with which body; and the answers they give."""

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
from .database import CommitRow, Database, RepositoryRow, User

#: Path segment -> type of repository.
TYPES = {"datasets": "dataset", "models": "model"}
#: Bytes of a body, but for commits and uploads.
MAX_JSON = 8 << 20
MAX_COMMIT = 128 << 20


@dataclass(frozen=True)
class State:
    """What a server has: rows and contents."""

    database: Database
    objects: ObjectStore

    @classmethod
    def open(cls, root: Path) -> State:
        """The state below a root; makes it where there is none."""
        return cls(Database(root), ObjectStore(root))

    def sent_size(self, repository: RepositoryRow, sha256: str) -> int | None:
        """Size of an object that was sent to this repository and is on the disk still; else None.

        What a broken disk lost is asked for again, so that a second push mends it.
        """
        size = self.database.uploaded_size(repository, sha256)
        return size if self.objects.path(sha256).is_file() else None


@dataclass(frozen=True)
class Exchange:
    """A request whose body has been read.

    Attributes:
        params: what the route's placeholders stand for, unquoted.
        body: as it was sent; empty for GET and HEAD.
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
        """Who asks; None for the anonymous.

        Raises:
            RequestError: 401, a token that is none.
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
        """Who asks, where something is to be changed.

        Raises:
            RequestError: 401 for the anonymous, 403 for a token that may only read.
        """
        user = self.user()
        if user is None:
            raise RequestError(401, "Log in first: this needs a token")
        if user.role != "write":
            raise RequestError(403, f"This token of {user.name} may only read: make one with --role write")
        return user

    def repository(self) -> RepositoryRow:
        """The repository of the address, if who asks may read it.

        Raises:
            RequestError: 401 or 404, the same whether it is private or not there.
        """
        user = self.user()
        found = self.state.database.repository(self.type, self.params["namespace"], self.params["name"])
        if found is None or (found.private and not (user and user.owns(found.namespace))):
            raise repository_not_found(user is None)
        return found

    def own_repository(self) -> tuple[RepositoryRow, User]:
        """The repository of the address, if who asks may change it.

        Raises:
            RequestError: 401, 403 or 404.
        """
        found, user = self.repository(), self.writer()
        if not user.owns(found.namespace):
            raise RequestError(403, f"{user.name} is no member of {found.namespace}")
        return found, user

    @property
    def type(self) -> str:
        """ "dataset" or "model"; addresses without a type are models'."""
        return TYPES[self.params.get("type", "models")]

    def commit(self, repository: RepositoryRow) -> CommitRow:
        """The commit that the address names."""
        return self.state.database.resolve(repository, self.params["revision"])

    def json(self) -> dict[str, Any]:
        """The body.

        Raises:
            RequestError: 400, no JSON object.
        """
        try:
            data = parse_json(self.body or b"{}")
        except (ValueError, RecursionError):
            raise bad_request("The body is not JSON.") from None
        if not isinstance(data, dict):
            raise bad_request("The body is no JSON object.")
        return data

    def number(self, name: str, default: int, most: int) -> int:
        """A number of the query, between 1 and `most`."""
        value = self.request.query_params.get(name, "")
        return min(max(int(value), 1), most) if value.isdecimal() and len(value) < 10 else default

    def flag(self, name: str) -> bool:
        """A truth value of the query."""
        return self.request.query_params.get(name, "").lower() in ("true", "1", "yes")

    def page(self, rows: list[Any], limit: int) -> Response:
        """The rows from the query's cursor on, and in `Link` where the next ones are."""
        cursor = self.request.query_params.get("cursor", "")
        start = int(cursor) if cursor.isdecimal() and len(cursor) < 10 else 0
        headers = {}
        if start + limit < len(rows):
            query = [(k, v) for k, v in self.request.query_params.multi_items() if k != "cursor"]
            path = quote(self.request.scope["raw_path"].decode("latin-1"), safe="/%:@!$&'()*+,;=~-._")
            address = f"{self.base_url}{path}?{urlencode([*query, ('cursor', start + limit)])}"
            headers["Link"] = f'<{address}>; rel="next"'
        return JSONResponse(rows[start : start + limit], headers=headers)


Handler = Callable[[Exchange], Response]


def parse_json(text: bytes) -> Any:
    """What a client sent as JSON.

    Raises:
        ValueError: no JSON in UTF-8, or half of a surrogate pair, which neither SQLite nor an answer can hold.
        RecursionError: nested too deep.
    """
    data = json.loads(text.decode())
    if b"\\u" in text:
        json.dumps(data, ensure_ascii=False).encode()
    return data
