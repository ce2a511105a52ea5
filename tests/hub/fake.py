"""A Hub that misbehaves as configured, and what stands between a Hub and its clients: TLS, a proxy."""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import datasets.config
import huggingface_hub
import huggingface_hub.constants
import huggingface_hub.hf_api
import pytest

#: method, path, headers, body -> status, headers, body; None: close the connection without an answer.
Answer = tuple[int, dict[str, str], object]
Behavior = Callable[[str, str, dict[str, str], bytes], Answer | None]

_CHANGED_IN_PLACE = (
    (huggingface_hub.constants, ("ENDPOINT", "HUGGINGFACE_CO_URL_TEMPLATE", "HF_HUB_DISABLE_TELEMETRY")),
    (huggingface_hub.constants, ("HF_HUB_DISABLE_UPDATE_CHECK", "HF_HUB_DISABLE_XET")),
    (huggingface_hub.hf_api.api, ("endpoint",)),
    (huggingface_hub.RepoCard, ("validate",)),
    (datasets.config, ("HF_ENDPOINT", "HUB_DATASETS_URL", "HF_UPDATE_DOWNLOAD_COUNTS", "USE_PARQUET_EXPORT")),
)
_CHANGED_IN_ENVIRONMENT = ("HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_UPDATE_CHECK", "HF_UPDATE_DOWNLOAD_COUNTS")


def use_hub(monkeypatch: pytest.MonkeyPatch, url: str, cache: Path | None = None) -> None:
    """Point this process at a Hub, online, until the test ends; then restore what `stay_at_endpoint` changes."""
    for module, names in _CHANGED_IN_PLACE:
        for name in names:
            monkeypatch.setattr(module, name, getattr(module, name))
    for name in _CHANGED_IN_ENVIRONMENT:
        monkeypatch.setenv(name, os.environ.get(name, ""))
    for name in ("HF_TOKEN", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("HF_ENDPOINT", url)
    offline(monkeypatch, False)
    if cache is not None:
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache / "hub"))
        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", cache / "datasets")


def offline(monkeypatch: pytest.MonkeyPatch, on: bool = True) -> None:
    """HF_HUB_OFFLINE, which the libraries read at import."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", on)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", on)


class FakeHub:
    """Answer as `behave` says, and record each request in `asked` as (method, path, authorization)."""

    def __init__(self, behave: Behavior):
        self.behave = behave
        self.asked: list[tuple[str, str, str | None]] = []
        self.date: str | None = None  # the time that it reports
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def date_time_string(self, timestamp: float | None = None) -> str:
                return hub.date or super().date_time_string(timestamp)

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                hub.asked.append((self.command, self.path, self.headers.get("Authorization")))
                answer = hub.behave(self.command, self.path, dict(self.headers), body)
                if answer is None:
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                status, headers, content = answer
                data = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)

            do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = _answer  # noqa: N815

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True

    @property
    def url(self) -> str:
        """The value for HF_ENDPOINT."""
        return f"http://127.0.0.1:{self.server.server_address[1]}"


@contextmanager
def fake_hub(behave: Behavior) -> Iterator[FakeHub]:
    """Serve until the block ends."""
    hub = FakeHub(behave)
    with _served(hub.server):
        yield hub


@contextmanager
def _served(server: ThreadingHTTPServer) -> Iterator[None]:
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that hung up is no news
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


class SmallHub:
    """The behavior of a correct Hub, as far as `doctor` checks it: change an attribute to break it."""

    def __init__(self) -> None:
        self.token = "hf_good"
        self.role = "write"
        self.repositories: dict[str, bool] = {}  # name -> private
        self.knows_visibility = True
        self.error_codes = True
        self.parquet = "lfs"
        self.xet = False
        self.fault: int | None = None
        self.silent_about: str | None = None  # part of a path: close the connection there
        self.slow = 0.0  # seconds before each answer

    def __call__(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer | None:
        time.sleep(self.slow)
        if self.fault is not None:
            return self.fault, {}, {}
        if self.silent_about and self.silent_about in path:
            return None
        sent = headers.get("Authorization") or headers.get("authorization")
        if sent not in (None, f"Bearer {self.token}"):
            return 401, {"X-Error-Message": "Invalid credentials in Authorization header"}, {}
        if path == "/api/whoami-v2":
            return self._who(sent)
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path == "/api/repos/delete":
            wanted = json.loads(body)
            self.repositories.pop(f"{wanted.get('organization') or 'anna'}/{wanted['name']}", None)
            return 200, {}, {}
        if path == "/api/validate-yaml":
            return 200, {}, {"warnings": [], "errors": []}
        return self._of_repository(path, sent)

    def _who(self, sent: str | None) -> Answer:
        if sent is None:
            return 401, {"X-Error-Message": "Invalid username or password."}, {}
        token = {"displayName": "test", "role": self.role}
        return 200, {}, {"name": "anna", "type": "user", "orgs": [{"name": "plant"}], "auth": {"accessToken": token}}

    def _create(self, wanted: dict) -> Answer:
        if self.role == "read":
            return 403, {"X-Error-Message": "this token may only read"}, {}
        name = f"{wanted.get('organization') or 'anna'}/{wanted['name']}"
        self.repositories[name] = self.knows_visibility and wanted.get("visibility") == "private"
        return 200, {}, {"url": f"http://127.0.0.1/datasets/{name}"}

    def _of_repository(self, path: str, sent: str | None) -> Answer:
        name = "/".join(path.removeprefix("/api/datasets/").split("/")[:2])
        private = self.repositories.get(name)
        if private is None or (private and sent is None):
            code = {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"}
            return (401 if sent is None else 404), code if self.error_codes else {}, {}
        if "/preupload/" in path:
            return 200, {}, {"files": [{"path": "x", "uploadMode": self.parquet, "shouldIgnore": False, "oid": None}]}
        if "/xet-write-token/" in path:
            return (200, {"X-Xet-Cas-Url": "http://127.0.0.1:1/cas"}, {}) if self.xet else (404, {}, {})
        return 200, {}, {"id": name, "sha": "0" * 40, "private": private, "siblings": []}


# ---- between a Hub and its clients ----


def make_authority(folder: Path) -> tuple[Path, Path]:
    """Files of a certificate authority, and of a certificate and key for 127.0.0.1, made by `openssl`."""
    authority, chain = folder / "authority.pem", folder / "server.pem"

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=folder, timeout=30)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *key, "-keyout", "a.key", "-out", "authority.pem", "-subj", "/CN=Plant CA", "-days", "2")
    openssl("req", *key, "-keyout", "s.key", "-out", "s.csr", "-subj", "/CN=hub")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    signed = ("-CA", "authority.pem", "-CAkey", "a.key", "-CAcreateserial", "-days", "2", "-extfile", "names")
    openssl("x509", "-req", "-in", "s.csr", "-out", "s.crt", *signed)
    chain.write_bytes((folder / "s.key").read_bytes() + (folder / "s.crt").read_bytes())
    return authority, chain


class _Forwarding(BaseHTTPRequestHandler):
    """Forward a request to `server.target` (host, port), whatever host the client asked for."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        wanted = urlsplit(self.path)
        self.server.asked.append(wanted.netloc)  # type: ignore[attr-defined]
        connection = http.client.HTTPConnection(*self.server.target, timeout=20)  # type: ignore[attr-defined]
        path = wanted.path + (f"?{wanted.query}" if wanted.query else "")
        connection.request(self.command, path, body or None, dict(self.headers))
        answer = connection.getresponse()
        data = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "date", "server"):
                self.send_header(name, value)
        if answer.getheader("Content-Length") is None:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        connection.close()

    do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = _forward  # noqa: N815


@contextmanager
def front(port: int, chain: Path | None = None) -> Iterator[tuple[str, list[str]]]:
    """An HTTP proxy, or with `chain` a TLS frontend, in front of a Hub: its address, and the hosts requested."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Forwarding)
    server.daemon_threads = True
    server.target, server.asked = ("127.0.0.1", port), []  # type: ignore[attr-defined]
    if chain is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    with _served(server):
        scheme = "https" if chain is not None else "http"
        yield f"{scheme}://127.0.0.1:{server.server_address[1]}", server.asked  # type: ignore[attr-defined]
