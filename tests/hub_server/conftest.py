"""The embedded Hub without a process (tests.hub_server.service) and with one (tests.hub.embedded)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.hub.embedded import RunningHub, running_hub
from tests.hub_server.service import Service, open_service


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with open_service(tmp_path / "hub") as opened:
        yield opened


@dataclass
class Server:
    """A Hub in a process, and the tokens of its users."""

    hub: RunningHub
    tokens: dict[str, str]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One process for all tests that don't kill it: give each test's repositories unique names."""
    with running_hub(tmp_path_factory.mktemp("embedded") / "hub") as hub:
        hub.add_user("ann", ["plant"])
        hub.add_user("bob")
        tokens = {user: hub.token(user) for user in ("ann", "bob")}
        yield Server(hub, tokens)
