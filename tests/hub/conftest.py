"""Shared by the tests of pushing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.hub.embedded import RunningHub, running_hub


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    """An embedded Hub in a process, empty for each module: ann is a member of radikal_datasets, bob is not."""
    with running_hub(tmp_path_factory.mktemp("embedded") / "hub") as running:
        running.add_user("ann", ["radikal_datasets"])
        running.add_user("bob")
        yield running
