"""The embedded Hub's routes, called without a process (starlette's TestClient), as short helpers."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub.utils import httpx
from starlette.testclient import TestClient

from radikal_datasets.hub_server.app import create_app
from radikal_datasets.hub_server.database import Database

ADDRESS = "http://hub.test"


@dataclass
class Service:
    """The routes, called in this process. `ann` and `bob` are users; `plant` is an organization of `ann`."""

    root: Path
    client: TestClient
    tokens: dict[str, str]

    def call(self, method: str, path: str, who: str | None = "ann", **options: Any) -> httpx.Response:
        """Send a request as a user, as "reader" (ann's read-only token), or anonymously (None)."""
        headers = options.pop("headers", {})
        if who is not None:
            headers = {"Authorization": f"Bearer {self.tokens.get(who, who)}", **headers}
        return self.client.request(method, f"{ADDRESS}{path}", headers=headers, follow_redirects=False, **options)

    def create(self, name: str, who: str = "ann", **wish: Any) -> str:
        """Create the dataset `who/name` and return its first commit."""
        response = self.call("POST", "/api/repos/create", who, json={"name": name, "type": "dataset", **wish})
        assert response.status_code == 200, response.text
        return self.tip(f"{wish.get('organization') or who}/{name}", who)

    def tip(self, repository: str, who: str = "ann") -> str:
        """Return the newest commit of main."""
        return self.call("GET", f"/api/datasets/{repository}", who).json()["sha"]

    def commit(
        self, repository: str, *changes: dict[str, Any], who: str | None = "ann", parent: str | None = None
    ) -> httpx.Response:
        """Commit to main."""
        header = {"summary": "test", "description": ""} | ({"parentCommit": parent} if parent else {})
        lines = [{"key": "header", "value": header}, *changes]
        return self.call(
            "POST",
            f"/api/datasets/{repository}/commit/main",
            who,
            content="\n".join(json.dumps(line) for line in lines).encode(),
            headers={"Content-Type": "application/x-ndjson"},
        )

    def upload_address(self, repository: str, content: bytes, who: str = "ann") -> str | None:
        """Return where to send the contents; None if the Hub has them."""
        objects = [{"oid": sha256(content), "size": len(content)}]
        wish = {"operation": "upload", "transfers": ["basic"], "objects": objects, "hash_algo": "sha256"}
        response = self.call("POST", f"/datasets/{repository}.git/info/lfs/objects/batch", who, json=wish)
        assert response.status_code == 200, response.text
        actions = response.json()["objects"][0].get("actions")
        return actions["upload"]["href"].removeprefix(ADDRESS) if actions else None

    def upload(self, repository: str, content: bytes) -> None:
        """Send a large object."""
        address = self.upload_address(repository, content)
        assert address is not None
        assert self.call("PUT", address, None, content=content).status_code == 200

    def tree(self, repository: str, revision: str = "main") -> list[str]:
        """The files' paths."""
        rows = self.call("GET", f"/api/datasets/{repository}/tree/{revision}?recursive=true").json()
        return [row["path"] for row in rows if row["type"] == "file"]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def regular(path: str, content: bytes) -> dict[str, Any]:
    """Return the commit operation for a small file."""
    encoded = base64.b64encode(content).decode()
    return {"key": "file", "value": {"path": path, "content": encoded, "encoding": "base64"}}


def large(path: str, content: bytes) -> dict[str, Any]:
    """Return the commit operation for a large file, by its hash."""
    return {"key": "lfsFile", "value": {"path": path, "algo": "sha256", "oid": sha256(content), "size": len(content)}}


@contextmanager
def open_service(root: Path) -> Iterator[Service]:
    """A Service over a folder."""
    database = Database(root)
    database.add_user("ann", ["plant"])
    database.add_user("bob")
    tokens = {user: database.add_token(user, "write") for user in ("ann", "bob")}
    tokens["reader"] = database.add_token("ann", "read")
    with TestClient(create_app(root)) as client:
        yield Service(root, client, tokens)
