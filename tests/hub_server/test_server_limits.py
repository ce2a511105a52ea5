"""Full disks, bodies far too large, killed processes: a clear answer, and nothing half-visible."""

from __future__ import annotations

import errno
import http.client
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from radikal_datasets.hub_server import app, request_context
from radikal_datasets.hub_server import content_store as objects
from radikal_datasets.hub_server.commits import sign
from radikal_datasets.hub_server.content_store import ObjectStore
from radikal_datasets.hub_server.database import Database
from tests.hub.embedded import running_hub
from tests.hub_server.service import Service, large, open_service, regular, sha256

ROOT = Path(__file__).parents[2]


class FullFile:
    """A file on a disk without room."""

    def __init__(self, file: Any):
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


@contextmanager
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    opened = Path.open

    def full_open(self: Path, mode: str = "r", *rest: Any, **options: Any) -> Any:
        file = opened(self, mode, *rest, **options)
        return FullFile(file) if "w" in mode else file

    with monkeypatch.context() as patch:
        patch.setattr(objects.Path, "open", full_open)
        yield


def assert_full(response: Any) -> None:
    assert response.status_code == 507
    assert "disk is full" in response.headers["X-Error-Message"]


def test_an_upload_to_a_full_disk(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    first = service.create("x")
    address = service.upload_address("ann/x", b"1" * 100)
    assert address is not None
    with full_disk(monkeypatch):
        assert_full(service.call("PUT", address, None, content=b"1" * 100))
        assert_full(service.commit("ann/x", regular("a.txt", b"1")))
    assert list((service.root / "incoming").iterdir()) == []
    assert service.tip("ann/x") == first
    assert service.upload_address("ann/x", b"1" * 100) is not None


def test_a_flush_that_finds_the_disk_full(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    service.create("x")
    address = service.upload_address("ann/x", b"1" * 100)
    assert address is not None

    def full(_: int) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    with monkeypatch.context() as patch:
        patch.setattr(objects.os, "fsync", full)
        assert_full(service.call("PUT", address, None, content=b"1" * 100))
    assert list(ObjectStore(service.root).all()) == []
    assert service.call("PUT", address, None, content=b"1" * 100).status_code == 200


def test_a_database_on_a_full_disk_keeps_the_last_commit(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite's page limit gives its own "database or disk is full" error, rollback included."""
    first = service.create("x")
    connect = sqlite3.connect

    def small(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*arguments, **options)
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 2}")
        return connection

    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", small)
        with open_service(service.root) as cramped:
            files = [regular(f"{'folder' * 30}/{n}", b"1") for n in range(200)]
            assert_full(cramped.commit("ann/x", *files))
            assert cramped.tip("ann/x") == first  # the same connection still works
            assert cramped.tree("ann/x") == []
    assert service.commit("ann/x", *files).status_code == 200
    assert len(service.tree("ann/x")) == 200


def test_a_busy_database_asks_to_try_again(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    service.create("x")
    monkeypatch.setattr("radikal_datasets.hub_server.sqlite_file._BUSY_SECONDS", 0.05)
    with open_service(service.root) as impatient, Database(service.root).writing():
        response = impatient.commit("ann/x", regular("a.txt", b"1"))
    assert response.status_code == 503
    assert "Try again" in response.headers["X-Error-Message"]
    assert service.commit("ann/x", regular("a.txt", b"1")).status_code == 200


def test_an_upload_to_a_repository_that_is_deleted_meanwhile(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    service.create("x")
    address = service.upload_address("ann/x", b"1" * 100)
    assert address is not None
    finish = objects.Receiver.finish

    def finish_late(self: objects.Receiver) -> None:
        finish(self)
        service.call("DELETE", "/api/repos/delete", json={"name": "x", "type": "dataset"})

    with monkeypatch.context() as patch:
        patch.setattr(objects.Receiver, "finish", finish_late)
        response = service.call("PUT", address, None, content=b"1" * 100)
    assert (response.status_code, response.headers["X-Error-Code"]) == (404, "RepoNotFound")


def test_what_a_broken_disk_lost_is_requested_again(service: Service) -> None:
    service.create("x")
    content = b"1" * 100
    service.upload("ann/x", content)
    assert service.commit("ann/x", large("a.bin", content)).status_code == 200
    ObjectStore(service.root).path(sha256(content)).unlink()
    response = service.call("GET", "/datasets/ann/x/resolve/main/a.bin")
    assert response.status_code == 500
    assert "hub verify" in response.headers["X-Error-Message"]
    assert service.commit("ann/x", large("b.bin", content)).status_code == 400
    files = [{"path": "a.bin", "size": 100, "sample": ""}]
    rows = service.call("POST", "/api/datasets/ann/x/preupload/main", json={"files": files}).json()["files"]
    assert rows[0]["oid"] is None
    service.upload("ann/x", content)
    assert service.call("GET", "/datasets/ann/x/resolve/main/a.bin").content == content


@pytest.mark.parametrize("path", ["repos/create", "datasets/ann/x/preupload/main", "validate-yaml"])
def test_an_oversized_body(service: Service, path: str) -> None:
    service.create("x")
    response = service.call("POST", f"/api/{path}", content=b" " * (request_context.MAX_JSON + 1))
    assert response.status_code == 413
    assert str(request_context.MAX_JSON) in response.headers["X-Error-Message"]


def test_an_oversized_commit(service: Service) -> None:
    service.create("x")

    def pieces() -> Any:
        for _ in range(request_context.MAX_COMMIT // (1 << 20) + 1):
            yield b" " * (1 << 20)

    assert service.call("POST", "/api/datasets/ann/x/commit/main", content=pieces()).status_code == 413


@pytest.mark.parametrize(("who", "status"), [(None, 401), ("reader", 403), ("bob", 404), ("nonsense", 401)])
def test_a_large_body_is_only_taken_from_those_who_may_commit(service: Service, who: str | None, status: int) -> None:
    service.create("x")

    async def no_body(*_: Any) -> bytes:
        raise AssertionError("the body was read")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app, "_body", no_body)
        assert service.call("POST", "/api/datasets/ann/x/commit/main", who, content=b" ").status_code == status


def test_metadata_that_would_grow_without_bound(service: Service) -> None:
    lines = [f"a{n}: &a{n}\n  <<: [*a{n - 1}, *a{n - 1}]" for n in range(1, 60)]
    card = "---\na0: &a0 {x: 1}\n" + "\n".join(lines) + "\n---\n"
    start = time.monotonic()
    service.call("POST", "/api/validate-yaml", None, json={"content": card})
    assert time.monotonic() - start < 5
    long = service.call("POST", "/api/validate-yaml", None, json={"content": f"---\na: {'x' * (1 << 20)}\n---\n"})
    assert long.status_code == 413


def test_an_upload_larger_than_announced(service: Service) -> None:
    service.create("x")
    address = service.upload_address("ann/x", b"1" * 100)
    assert address is not None
    assert service.call("PUT", address, None, content=b"1" * 101).status_code == 413
    assert list((service.root / "incoming").iterdir()) == []


def test_partial_uploads_of_a_killed_server_are_removed_at_the_next_start(tmp_path: Path) -> None:
    content = os.urandom(1 << 20)
    with running_hub(tmp_path / "hub") as hub:
        hub.add_user("ann")
        repository = Database(hub.root).create("dataset", "ann", "x", private=True, author="ann")
        assert repository is not None
        path = signed_path(hub.root, content)
        connection = http.client.HTTPConnection("127.0.0.1", hub.port)
        connection.putrequest("PUT", path)
        connection.putheader("Content-Length", str(len(content)))
        connection.endheaders()
        connection.send(content[: len(content) // 2])
        wait_for(lambda: list((hub.root / "incoming").iterdir()) != [])
        hub.kill()
        connection.close()
        assert len(list((hub.root / "incoming").iterdir())) == 1
        hub.start()
        assert list((hub.root / "incoming").iterdir()) == []
        assert list(ObjectStore(hub.root).all()) == []
        connection = http.client.HTTPConnection("127.0.0.1", hub.port)
        connection.request("PUT", path, body=content)  # the address is still valid: the push continues
        assert connection.getresponse().status == 200
        connection.close()
        assert ObjectStore(hub.root).is_intact(sha256(content))
        assert Database(hub.root).uploaded_size(repository, sha256(content)) == len(content)


def signed_path(root: Path, content: bytes) -> str:
    state, expires = request_context.State.open(root), 1 << 40
    signature = sign(state, 1, sha256(content), len(content), expires)
    return f"/lfs/1/{sha256(content)}/{len(content)}/{expires}/{signature}"


def wait_for(condition: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


KILLED_WITHIN_A_COMMIT = """
import os, signal, sys
from pathlib import Path
from radikal_datasets.hub_server import commits
from tests.hub_server.service import open_service, regular

insert_commit = commits.insert_commit

def insert_and_die(*details):
    insert_commit(*details)
    os.kill(os.getpid(), signal.SIGKILL)

commits.insert_commit = insert_and_die
with open_service(Path(sys.argv[1])) as service:
    service.commit("ann/x", *(regular(f"{n}.txt", b"1" * 1000) for n in range(100)))
"""


def test_a_server_killed_at_the_end_of_a_commit_keeps_the_last_one(tmp_path: Path) -> None:
    with open_service(tmp_path / "hub") as service:
        first = service.create("x")
    child = subprocess.run(
        [sys.executable, "-c", KILLED_WITHIN_A_COMMIT, str(tmp_path / "hub")], cwd=ROOT, timeout=60, check=False
    )
    assert child.returncode == -signal.SIGKILL
    with open_service(tmp_path / "hub") as service:
        assert service.tip("ann/x") == first
        assert service.tree("ann/x") == []
        assert service.commit("ann/x", regular("a.txt", b"1"), parent=first).status_code == 200
