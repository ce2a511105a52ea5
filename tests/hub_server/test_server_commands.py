"""`radikal-datasets hub`: users, tokens, verify, serve."""

from __future__ import annotations

import builtins
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from radikal_datasets.hub_server import commands
from radikal_datasets.hub_server.content_store import ObjectStore
from radikal_datasets.hub_server.database import Database
from tests.hub.embedded import free_port, running_hub
from tests.hub_server.service import Service, large, regular


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "hub"


def run(root: Path, *arguments: str) -> Result:
    return CliRunner().invoke(commands.app, [*arguments, "--root", str(root)])


def test_users_organizations_and_tokens(root: Path) -> None:
    assert run(root, "user", "add", "ann", "--org", "plant", "--org", "radikal_datasets").exit_code == 0
    assert run(root, "user", "add", "bob").exit_code == 0
    assert run(root, "user", "add", "bob", "--org", "plant").exit_code == 0
    assert run(root, "user", "list").output.splitlines() == ["ann\tplant, radikal_datasets", "bob\tplant"]
    made = run(root, "token", "create", "ann", "--role", "write")
    token = made.stdout.splitlines()[-1]
    assert re.fullmatch(r"hf_[\w-]{40,}", token)
    user = Database(root).user_of(token)
    assert user is not None
    assert (user.name, user.role, user.organizations) == ("ann", "write", ("plant", "radikal_datasets"))
    reader = run(root, "token", "create", "ann").stdout.splitlines()[-1]
    assert getattr(Database(root).user_of(reader), "role", "") == "read"
    listed = run(root, "token", "list", "ann").output
    assert [line.split("\t")[1] for line in listed.splitlines()] == ["write", "read"]
    assert token not in listed
    assert run(root, "token", "revoke", token).exit_code == 0
    assert run(root, "token", "revoke", listed.splitlines()[1].split("\t")[0]).exit_code == 0
    assert Database(root).user_of(token) is None
    assert Database(root).user_of(reader) is None
    assert run(root, "token", "revoke", token).exit_code == 2


def test_tokens_are_not_kept(root: Path) -> None:
    run(root, "user", "add", "ann")
    token = run(root, "token", "create", "ann").stdout.splitlines()[-1]
    assert all(token.encode() not in path.read_bytes() for path in root.rglob("*") if path.is_file())


def test_the_folder_is_the_owners_alone(root: Path) -> None:
    run(root, "user", "add", "ann")
    assert root.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("arguments", "reported"),
    [
        (("user", "add", "../x"), "Invalid name"),
        (("user", "add", "ann", "--org", "a/b"), "Invalid name"),
        (("user", "add", "datasets"), "is reserved"),
        (("user", "add", "ann", "--org", "API"), "is reserved"),
        (("user", "add", "plant"), "already an organization"),
        (("user", "add", "eve", "--org", "ann"), "already a user"),
        (("token", "create", "nobody"), "no user nobody"),
        (("token", "create", "plant"), "no user plant"),
        (("token", "list", "nobody"), "no user nobody"),
        (("token", "revoke", "hf_none"), "There is no such token"),
    ],
)
def test_what_cannot_be_done_is_reported(root: Path, arguments: tuple[str, ...], reported: str) -> None:
    run(root, "user", "add", "ann", "--org", "plant")
    result = run(root, *arguments)
    assert result.exit_code == 2
    assert reported in result.stderr
    assert run(root, "user", "list").output == "ann\tplant\n"


@pytest.mark.parametrize("arguments", [("verify",), ("user", "list"), ("token", "create", "ann")])
def test_a_folder_that_is_not_a_hub_is_not_turned_into_one(root: Path, arguments: tuple[str, ...]) -> None:
    result = run(root, *arguments)
    assert result.exit_code == 2
    assert str(root) in result.stderr
    assert not root.exists()


def test_verify_lists_missing_corrupt_and_unreferenced(service: Service) -> None:
    service.create("x")
    for content in (b"1" * 100, b"2" * 100, b"3" * 100):
        service.upload("ann/x", content)
    service.commit("ann/x", large("a.bin", b"1" * 100), regular("a.txt", b"text"))
    whole = run(service.root, "verify")
    assert (whole.exit_code, whole.output) == (0, "4 objects: 0 missing, 0 corrupt; 0 unreferenced\n")

    store = ObjectStore(service.root)
    stray = store.add(b"nobody's")
    result = run(service.root, "verify")
    assert result.exit_code == 0
    assert f"unreferenced {stray}" in result.output
    first, second = [path for path in store.all() if path.name != stray][:2]
    first.write_bytes(b"0" + first.read_bytes()[1:])
    second.unlink()
    result = run(service.root, "verify")
    assert result.exit_code == 1
    assert f"corrupt {first.name}" in result.output
    assert f"missing {second.name}" in result.output
    assert "4 objects: 1 missing, 1 corrupt; 1 unreferenced" in result.output


def test_serve_prints_its_address_and_what_to_set(root: Path) -> None:
    with running_hub(root) as hub:
        assert f"export HF_ENDPOINT={hub.url}" in hub.log
        assert "Warning" not in hub.log
        second = subprocess.run(
            [sys.executable, "-m", "radikal_datasets.hub_server", "serve", "--root", str(root), "--port", "0"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert second.returncode == 2
        assert "served by another process" in second.stderr


def test_a_port_that_is_taken(root: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(RuntimeError, match="in use"), running_hub(root, taken.getsockname()[1]):
            pass


@pytest.mark.parametrize(("host", "warned"), [("127.0.0.1", 0), ("::1", 0), ("localhost", 0), ("0.0.0.0", 1)])
def test_serving_a_network_warns(root: Path, host: str, warned: int, capsys: pytest.CaptureFixture[str]) -> None:
    commands._announce(root, host, 7860)
    assert capsys.readouterr().err.count("does not encrypt") == warned


def test_without_the_extra_it_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def without(name: str, *details: Any) -> Any:
        if name == "uvicorn":
            raise ModuleNotFoundError("No module named 'uvicorn'", name="uvicorn")
        return imported(name, *details)

    monkeypatch.setattr(builtins, "__import__", without)
    result = run(root, "serve", "--port", str(free_port()))
    assert result.exit_code == 2
    assert 'pip install "radikal-datasets[hub]"' in result.stderr


def test_administering_needs_no_server_library() -> None:
    code = "import sys, radikal_datasets.hub_server.commands; print({'starlette', 'uvicorn'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "set()"
