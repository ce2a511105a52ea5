"""The embedded Hub as a separate process, for tests that talk to it by its address."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from radikal_datasets.hub_server.database import Database

_READY_SECONDS = 30.0


class RunningHub:
    """A server over a folder: `url`, `port`, `process`; it can be killed and started again at the same address."""

    def __init__(self, root: Path, port: int):
        self.root, self.port = root, port
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The value for HF_ENDPOINT."""
        return f"http://127.0.0.1:{self.port}"

    def add_user(self, name: str, orgs: Sequence[str] = ()) -> None:
        """Add a user as a member of these organizations, which are created if they do not exist."""
        Database(self.root).add_user(name, orgs)

    def token(self, user: str, role: str = "write") -> str:
        """Create a token."""
        return Database(self.root).add_token(user, role)

    def start(self) -> None:
        """Start the server, and return when it answers."""
        command = [sys.executable, "-m", "radikal_datasets.hub_server", "serve"]
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root.parent / f"{self.root.name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--root", str(self.root), "--port", str(self.port)], stdout=log, stderr=log
            )
        self._wait()

    def kill(self) -> None:
        """SIGKILL: no handler runs, nothing is flushed."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """Stop as Ctrl-C does; SIGKILL if that takes too long."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.kill()

    @property
    def log(self) -> str:
        """What the server has logged, over all its starts."""
        return (self.root.parent / f"{self.root.name}.log").read_text(encoding="utf-8", errors="replace")

    def _wait(self) -> None:
        assert self.process is not None
        end = time.monotonic() + _READY_SECONDS
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise RuntimeError(f"the Hub ended with {self.process.returncode}:\n{self.log}")
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=1)
            try:
                connection.request("GET", "/api/agent-harnesses")
                connection.getresponse().read()
                return
            except OSError:
                time.sleep(0.05)
            finally:
                connection.close()
        self.kill()
        raise RuntimeError(f"the Hub did not answer within {_READY_SECONDS} s:\n{self.log}")


@contextmanager
def running_hub(root: Path, port: int | None = None) -> Iterator[RunningHub]:
    """Serve `root` until the block ends, on a free port if none is given."""
    hub = RunningHub(root, port or free_port())
    hub.start()
    try:
        yield hub
    finally:
        hub.stop()


def free_port() -> int:
    """A port of the loopback interface on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run_at(
    hub: RunningHub, user: str, home: Path, code: str, *arguments: str | Path
) -> subprocess.CompletedProcess[str]:
    """Run Python code in a process of its own, as a user of this Hub; `home` is its HF_HOME."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "RADIKAL"))}
    environment |= {"HF_ENDPOINT": hub.url, "HF_TOKEN": hub.token(user), "HF_HOME": str(home)}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
