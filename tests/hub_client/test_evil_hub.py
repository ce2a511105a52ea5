"""A Hub on loopback that answers with paths in place of commit ids, ETags and names: no client may write to them."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import datasets
import huggingface_hub
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import CommitInfo, constants

from radikal_datasets import load_dataset
from radikal_datasets.errors import HubContentError
from radikal_datasets.hub.repository import Repository
from radikal_datasets.hub_client.endpoint import Hub
from tests.hub.fake import Answer, fake_hub, offline, use_hub

REPO = "ann/evil"
GOOD, OTHER = "c0ffee" + "0" * 34, "beef" + "1" * 36
TEXT = "touch /tmp/owned #"  # what an attacker would like to see in a shell's startup file


def parquet() -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table({"a": [1, 2, 3]}), out)
    return out.getvalue()


@dataclass
class EvilHub:
    """Answer as a Hub does, except where a field says otherwise; None: the header is left out."""

    files: dict[str, bytes]
    sha: Any = GOOD
    header: str | None = GOOD
    header_of_missing: str | None = GOOD
    etag: str | None = None
    linked_etag: str | None = None
    listed: list[dict[str, Any]] = field(default_factory=list)
    siblings: list[str] = field(default_factory=list)
    moved_to: str | None = None  # files are first redirected there

    def __call__(self, method: str, path: str, *_: object) -> Answer:
        if "/tree/" in path:
            return (
                200,
                {},
                [*({"type": "file", **_entry(name, data)} for name, data in self.files.items()), *self.listed],
            )
        if "/paths-info/" in path:
            return 200, {}, [{"type": "file", **_entry(name, data)} for name, data in self.files.items()]
        if "/resolve/" in path or path.startswith("/moved/"):
            return self._file(path)
        if path.startswith((f"/api/datasets/{REPO}", f"/api/models/{REPO}")):
            names = [{"rfilename": name} for name in [*self.files, *self.siblings]]
            return 200, {}, {"id": REPO, "sha": self.sha, "private": True, "siblings": names}
        return 404, {}, {}

    def _file(self, path: str) -> Answer:
        name = unquote(path.rsplit("/", 1)[1])
        if name not in self.files:
            missing = {} if self.header_of_missing is None else {"X-Repo-Commit": self.header_of_missing}
            return 404, {"X-Error-Code": "EntryNotFound", **missing}, {}
        if self.moved_to and "/resolve/" in path:
            return 307, {"Location": f"{self.moved_to}/{name}"}, {}
        data = self.files[name]
        headers = {"ETag": self.etag or f'"{hashlib.sha256(data).hexdigest()}"'}
        headers |= {} if self.header is None else {"X-Repo-Commit": self.header}
        headers |= {} if self.linked_etag is None else {"X-Linked-Etag": self.linked_etag}
        return 200, headers, data


def _entry(name: str, data: bytes) -> dict[str, Any]:
    return {"path": name, "size": len(data), "oid": "b" * 40}


@dataclass
class Machine:
    """A user's machine: `victim` is one of their files, `cache` is all that a client may change, `hub` is its Hub."""

    home: Path
    hub: EvilHub
    url: str

    @property
    def cache(self) -> Path:
        return self.home / "cache"

    @property
    def victim(self) -> Path:
        return self.home / ".bashrc"

    def others(self) -> dict[str, str]:
        """Everything outside the cache, to check that it is unchanged."""
        paths = [path for path in self.home.rglob("*") if self.cache not in (path, *path.parents)]
        return {str(path): path.read_text() if path.is_file() else "" for path in paths}

    def from_cache(self, target: Path | None = None, above: int = 4) -> str:
        """Path of `target`, by default the victim, from that many folders below the home: ``../../..``."""
        return "../" * above + str((target or self.victim).relative_to(self.home))


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Machine]:
    home = tmp_path / "home"
    (home / "cache").mkdir(parents=True)
    card = b"---\nlicense: mit\n---\n"
    hub = EvilHub({"README.md": card, "train.parquet": parquet(), "config.json": b'{"model_type": "detr"}'})
    with fake_hub(hub) as served:
        huggingface_hub.close_session()
        use_hub(monkeypatch, served.url, home / "cache")
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(datasets.config, "HF_MODULES_CACHE", home / "cache" / "modules")
        monkeypatch.setenv("HF_TOKEN", "hf_x")
        machine = Machine(home, hub, served.url)
        machine.victim.write_text("alias ll='ls -l'\n")
        yield machine
    huggingface_hub.close_session()


Load = Callable[[], Any]


def load_ours() -> Any:
    return load_dataset(REPO, split="train")


def load_source() -> Any:
    """Load with plain `datasets`, through this package's wrapper."""
    return datasets.load_dataset("radikal_datasets/neu_det", split="train")


def snapshot() -> Any:
    return Hub.current().api.snapshot_download(REPO, repo_type="dataset")


def model() -> Any:
    from training.using.trained_model import open_model  # imports torch

    return open_model(REPO)


def refused(machine: Machine, load: Load, match: str) -> None:
    """Expect the error, with the Hub and what to do in its message; nothing but the cache was touched."""
    before = machine.others()
    with pytest.raises(HubContentError, match=match) as caught:
        load()
    assert machine.url in str(caught.value)
    assert "use an https:// address" in str(caught.value)
    assert machine.others() == before
    assert not [path for path in machine.cache.rglob("*") if path.is_file() and TEXT in path.read_text(errors="ignore")]


def test_a_well_behaved_hub_can_be_read_in_every_way(machine: Machine) -> None:
    assert load_ours().num_rows == 3
    assert Path(snapshot(), "train.parquet").is_file()


# ---- the commit id ----

COMMITS: dict[str, Any] = {
    "above": "../../../../.bashrc",
    "just above": "../x",
    "absolute": "/tmp/radikal-evil",
    "windows": "..\\..\\x",
    "drive": "C:x",
    "short": GOOD[:39],
    "shorter": GOOD[:7],
    "long": GOOD + "0",
    "uppercase": GOOD.upper(),
    "other letters": "g" * 40,
    "other digits": "\u0661" * 40,
    "line end": GOOD + "\n",
    "branch": "main",
    "empty": "",
    "nul": "0" * 39 + "\0",
    "number": 1234567890123456789012345678901234567890,
    "list": [GOOD],
}


@pytest.mark.parametrize("sha", COMMITS.values(), ids=COMMITS)
def test_an_invalid_commit_id(machine: Machine, sha: Any) -> None:
    machine.hub.sha, machine.hub.header = sha, TEXT
    refused(machine, load_ours, "commit id .* is not 40 lowercase hexadecimal digits")
    refused(machine, snapshot, "commit id .* is not 40 lowercase hexadecimal digits")
    assert not list(machine.cache.rglob("refs"))


def test_a_source_by_plain_datasets(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.REPO", "radikal_datasets/neu_det")
    machine.hub.sha, machine.hub.header = machine.from_cache(), TEXT
    refused(machine, load_source, "not 40 lowercase hexadecimal digits")


def test_a_commit_other_than_the_requested_one(machine: Machine) -> None:
    refused(
        machine, lambda: load_dataset(REPO, revision=OTHER), f"asked for commit {OTHER} and answered with commit {GOOD}"
    )
    refused(machine, lambda: Repository(Hub.current(), REPO).read(OTHER), f"asked for commit {OTHER}")


def test_an_invalid_commit_id_after_a_push(machine: Machine) -> None:
    machine.hub.sha = machine.from_cache()
    for repo_type in ("dataset", "model"):
        refused(machine, lambda kind=repo_type: Repository(Hub.current(), REPO, kind).read("main"), "not 40 lowercase")
    commit = f"{machine.url}/datasets/{REPO}/commit/x"
    made = {"commit_url": commit, "commit_message": "", "commit_description": "", "_endpoint": machine.url}
    refused(machine, lambda: CommitInfo(**made, oid="../x"), "not 40 lowercase")


# ---- the headers of files ----


@pytest.mark.parametrize("header", [TEXT, "../../../../.bashrc", "/tmp/x", GOOD[:39], GOOD.upper(), OTHER, GOOD + "1"])
@pytest.mark.parametrize("moved", [None, "/moved"])
def test_a_file_of_another_commit(machine: Machine, header: str, moved: str | None) -> None:
    machine.hub.header, machine.hub.moved_to = header, moved
    refused(machine, load_ours, "commit")


def test_a_file_without_a_commit(machine: Machine) -> None:
    machine.hub.header = None
    refused(machine, load_ours, "without the header X-Repo-Commit")


@pytest.mark.parametrize("header", ["../../../../../.profile", TEXT, OTHER])
def test_a_missing_file_of_another_commit(machine: Machine, header: str) -> None:
    """The clients record in their cache, under that commit, that the file does not exist."""
    machine.hub.header_of_missing = header
    del machine.hub.files["README.md"]
    refused(machine, load_ours, "commit")


def test_a_model_whose_branch_is_an_arbitrary_string(machine: Machine) -> None:
    machine.hub.header = TEXT
    refused(machine, model, "not 40 lowercase hexadecimal digits")


@pytest.mark.parametrize("name", ["etag", "linked_etag"])
@pytest.mark.parametrize("etag", ['"{new}"', '"{above}"', "..", 'W/"..\\..\\x"', '"C:x"', '"a/b"'])
def test_an_etag_that_is_a_path(machine: Machine, name: str, etag: str) -> None:
    new = machine.home / ".profile"
    setattr(machine.hub, name, etag.format(new=new, above=machine.from_cache(new)))
    refused(machine, load_ours, "ETag")
    refused(machine, model, "ETag")


# ---- the names of files ----

PATHS = {
    "above": "../../../../../.profile",
    "in the middle": "data/../../../../../../.profile",
    "absolute": "/tmp/radikal-evil.parquet",
    "backslash": "..\\..\\train.parquet",
    "drive": "C:/train.parquet",
    "drive of a folder": "data/C:train.parquet",
    "nul": "train\0.parquet",
    "empty": "",
    "dot": "./train.parquet",
    "two slashes": "data//train.parquet",
    "network share": "//server/share/train.parquet",
}


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_a_listed_path_that_leaves_the_repository(machine: Machine, path: str) -> None:
    machine.hub.listed = [{"type": "file", **_entry(path, b"x")}]
    refused(machine, load_ours, "file name .* is not a path inside a repository")
    refused(machine, snapshot, "file name .* is not a path inside a repository")
    refused(machine, lambda: Repository(Hub.current(), REPO).read("main"), "file name")
    machine.hub.listed = [{"type": "directory", "path": path, "oid": "b" * 40}]
    refused(machine, lambda: list(Hub.current().api.list_repo_tree(REPO, repo_type="dataset")), "file name")
    machine.hub.listed, machine.hub.siblings = [], [path]
    refused(machine, load_ours, "file name")


def test_a_checksum_that_is_a_path(machine: Machine) -> None:
    lfs = {"oid": machine.from_cache(), "size": 1, "pointerSize": 1}
    machine.hub.listed = [{"type": "file", **_entry("big.bin", b"x"), "lfs": lfs}]
    refused(machine, snapshot, "checksum")


@pytest.mark.parametrize(
    "path", ["a/b c/d.parquet", "..a", "a..b", "...", ".gitattributes", "part:b", "name with 'quotes'", "ü/é"]
)
def test_unusual_but_valid_names(machine: Machine, path: str) -> None:
    machine.hub.listed = [{"type": "file", **_entry(path, b"x")}]
    assert path in Hub.current().api.list_repo_files(REPO, repo_type="dataset")


# ---- the card ----


@pytest.mark.parametrize("name", ["version", "config_name"])
def test_a_card_that_names_a_folder_outside(machine: Machine, name: str) -> None:
    config = {"config_name": "default", "data_files": "train.parquet", name: machine.from_cache(machine.home / "x", 5)}
    machine.hub.files["README.md"] = f"---\nconfigs: {json.dumps([config])}\n---\n".encode()
    before = machine.others()
    with pytest.raises(HubContentError):
        load_ours()
    assert machine.others() == before


# ---- afterwards ----


def test_the_cache_serves_nothing_of_an_evil_hub(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = load_ours().num_rows
    machine.hub.sha, machine.hub.header = machine.from_cache(), TEXT
    refused(machine, load_ours, "not 40 lowercase")
    offline(monkeypatch)
    assert load_ours().num_rows == rows
