from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub
import pytest
from datasets import load_dataset as plain_load_dataset
from huggingface_hub import constants

from radikal_datasets import build_hub_folder, load_dataset
from radikal_datasets.errors import (
    ConfigNameError,
    HubAccessError,
    HubContentError,
    HubUnavailableError,
    ProtocolError,
    SourceNotFoundError,
)
from radikal_datasets.hub_client.endpoint import Hub
from tests.hub.embedded import RunningHub, running_hub
from tests.hub.fake import Answer, fake_hub, front, make_authority, offline, use_hub

PCB, XRAY = "radikal_datasets/deeppcb", "radikal_datasets/gdxray"


@pytest.fixture(scope="module")
def folders(sample_tree: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Prepared folders: deeppcb, the same by another protocol, and two configurations of gdxray."""
    out = tmp_path_factory.mktemp("prepared")
    pcb, xray = sample_tree("deeppcb"), sample_tree("gdxray")
    return {
        "deeppcb": build_hub_folder("deeppcb", data_dir=pcb, output_dir=out / "deeppcb"),
        "other": build_hub_folder("deeppcb", data_dir=pcb, output_dir=out / "other", protocol="70-15-15"),
        "gdxray": build_hub_folder("gdxray", ["castings", "welds"], data_dir=xray, output_dir=out / "gdxray"),
    }


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    with running_hub(tmp_path_factory.mktemp("server") / "root") as hub:
        hub.add_user("anna", ["radikal_datasets"])
        hub.add_user("berta")
        yield hub


@pytest.fixture
def hub(server: RunningHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """User anna, online at the Hub, with empty caches; there is no repository."""
    huggingface_hub.close_session()
    use_hub(monkeypatch, server.url, tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", server.token("anna"))
    hub = Hub.current()
    yield hub
    offline(monkeypatch, False)
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    for info in hub.api.list_datasets():
        hub.api.delete_repo(info.id, repo_type="dataset")
    huggingface_hub.close_session()


def push(hub: Hub, repo_id: str, folder: Path) -> str:
    """Commit with stock clients."""
    hub.api.create_repo(repo_id, repo_type="dataset", private=True, exist_ok=True)
    done = hub.api.upload_folder(
        repo_id=repo_id,
        repo_type="dataset",
        folder_path=folder,
        ignore_patterns=[".*"],
        delete_patterns=["*"],
    )
    return done.oid


def rows(dataset: Any) -> list[dict]:
    for column in ("image", "reference"):
        dataset = dataset.cast_column(column, datasets.Image(decode=False))
    return list(dataset.cast_column("masks", datasets.List(datasets.Image(decode=False))))


Load = Callable[..., Any]
both = pytest.mark.parametrize("load", [load_dataset, plain_load_dataset], ids=["ours", "plain"])


def streamed(load: Load, *args: Any, **kwargs: Any) -> Any:
    return load(*args, streaming=True, **kwargs)


# ---- what exists ----


@both
def test_pushed_datasets_load_both_ways_and_stream(load: Load, hub: Hub, folders: dict[str, Path]) -> None:
    push(hub, XRAY, folders["gdxray"])
    for config in ("castings", "welds"):
        local = plain_load_dataset(str(folders["gdxray"]), config)
        loaded, stream = load(XRAY, config), streamed(load, XRAY, config)
        assert list(loaded) == list(stream) == list(local)
        for split in local:
            assert loaded[split].features == stream[split].features == local[split].features
            assert rows(loaded[split]) == rows(stream[split]) == rows(local[split])


@both
def test_a_revision_pins_by_tag_branch_and_commit(load: Load, hub: Hub, folders: dict[str, Path]) -> None:
    first = push(hub, PCB, folders["deeppcb"])
    hub.api.create_tag(PCB, tag="v1", repo_type="dataset")
    hub.api.create_branch(PCB, branch="line/2", repo_type="dataset")
    before = {split: set(data["image_id"]) for split, data in load(PCB).items()}
    push(hub, PCB, folders["other"])
    after = {split: set(data["image_id"]) for split, data in load(PCB).items()}
    assert before != after
    for revision in (first, "v1", "line/2"):
        for loaded in (load(PCB, revision=revision), streamed(load, PCB, revision=revision)):
            assert {split: {row["image_id"] for row in data} for split, data in loaded.items()} == before
    assert {split: set(data["image_id"]) for split, data in load(PCB, revision="main").items()} == after


def test_the_namespace_is_configurable(hub: Hub, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    push(hub, "anna/deeppcb", folders["deeppcb"])
    monkeypatch.setenv("RADIKAL_NAMESPACE", "anna")
    assert load_dataset(PCB, split="train").num_rows == plain_load_dataset(PCB, split="train").num_rows > 0


def test_any_repository_of_the_private_hub_is_loaded_as_safely(hub: Hub, folders: dict[str, Path]) -> None:
    commit = push(hub, "anna/boards", folders["deeppcb"])
    for revision in (None, commit):
        assert load_dataset("anna/boards", split="train", revision=revision, protocol="recommended").num_rows > 0
    with pytest.raises(ProtocolError, match="was prepared with protocol 'recommended', not 'official'"):
        load_dataset("anna/boards", protocol="official")
    file = "default/test-00000-of-00001.parquet"
    assert list(load_dataset("anna/boards", data_files={"some": file})) == ["some"]
    assert set(load_dataset("anna/boards", data_dir="default")) == {"train", "validation", "test"}
    hub.api.delete_repo("anna/boards", repo_type="dataset")
    with pytest.raises(HubAccessError, match="does not say which"):
        load_dataset("anna/boards")


@both
def test_error_for_a_missing_config_lists_the_available_ones(load: Load, hub: Hub, folders: dict[str, Path]) -> None:
    push(hub, XRAY, folders["gdxray"])
    with pytest.raises(ValueError, match=r"baggage.*\['castings', 'welds'\]"):
        load(XRAY, "baggage")
    with pytest.raises(ValueError, match=r"\['castings', 'welds'\]"):
        load(XRAY)
    with pytest.raises(ConfigNameError, match=r"castings.*welds"):
        load_dataset(XRAY, "baggage")


def test_a_card_whose_yaml_does_not_parse(hub: Hub, folders: dict[str, Path]) -> None:
    push(hub, PCB, folders["deeppcb"])
    hub.api.upload_file(
        path_or_fileobj=b"# no metadata at all, by hand\n", path_in_repo="README.md", repo_id=PCB, repo_type="dataset"
    )
    assert set(load_dataset(PCB)) >= {"train", "test"}  # datasets finds the splits by the files' names
    # The Hub's own check refuses a card that does not parse, so this breaks the downloaded copy.
    card = Path(hub.api.hf_hub_download(PCB, "README.md", repo_type="dataset"))
    card.resolve().write_text("---\nconfigs: [\n---\n")
    with pytest.raises(HubContentError, match=r"the YAML of README\.md at commit"):
        load_dataset(PCB)


# ---- what does not exist, or is not accessible ----


def test_removed_revoked_and_wrong_are_errors_even_if_cached(
    hub: Hub, server: RunningHub, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    push(hub, PCB, folders["deeppcb"])
    load_dataset(PCB)  # now in both caches
    tokens = {"berta": server.token("berta"), "nobody": "hf_wrong", "anonymous": False, "anna": server.token("anna")}
    expected = {
        "berta": r"asked as user berta \(token from the token argument\): .*HTTP 404",
        "nobody": r"asked as an unknown user \(token from the token argument\): the token is not valid there",
        "anonymous": r"asked as anonymous \(no token\): .*HTTP 401.*HF_TOKEN",
        "anna": r"asked as user anna \(token from the token argument\): .*HTTP 404",
    }
    for who, token in tokens.items():
        if who == "anna":
            assert load_dataset(PCB, token=token)
            hub.api.delete_repo(PCB, repo_type="dataset")
        for load in (load_dataset, plain_load_dataset):
            for streaming in (False, True):
                with pytest.raises(SourceNotFoundError, match=expected[who]) as caught:
                    load(PCB, token=token, streaming=streaming)
                assert isinstance(caught.value.__cause__, HubAccessError)
                assert f"{server.url}, repository {PCB}" in str(caught.value)
                assert "page: http" in str(caught.value)
                reported = "".join(traceback.format_exception(caught.value))
                assert token is False or token not in reported
    # ... and in offline mode it was asked for.
    offline(monkeypatch)
    assert load_dataset(PCB, split="train").num_rows == plain_load_dataset(PCB, split="train").num_rows > 0


def test_a_missing_revision_does_not_fall_back_to_a_folder(
    hub: Hub, folders: dict[str, Path], sample_tree: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    push(hub, PCB, folders["deeppcb"])
    monkeypatch.setenv("RADIKAL_DATA", str(sample_tree("deeppcb").parent))
    assert load_dataset(PCB)
    for load in (load_dataset, plain_load_dataset):
        with pytest.raises(SourceNotFoundError, match="no such branch, tag or commit") as caught:
            load(PCB, revision="v9")
        assert "RADIKAL_DATA was not searched, because revision 'v9' was requested" in str(caught.value)


def test_a_revision_without_a_hub_is_an_error_not_a_download(monkeypatch: pytest.MonkeyPatch) -> None:
    offline(monkeypatch, False)
    monkeypatch.setattr("radikal_datasets.loading.download.download", lambda *_: pytest.fail("downloaded"))
    with pytest.raises(SourceNotFoundError, match="no Hub was contacted"):
        load_dataset(PCB, revision="v1")


def test_an_empty_repository(hub: Hub) -> None:
    hub.api.create_repo(PCB, repo_type="dataset", private=True)
    for load in (load_dataset, plain_load_dataset):
        with pytest.raises(HubContentError, match="Push a dataset to it first"):
            load(PCB)


@both
def test_an_unreachable_hub_is_not_reported_as_a_missing_dataset(
    load: Load, hub: Hub, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    push(hub, PCB, folders["deeppcb"])
    load(PCB)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(HubUnavailableError, match=r"127\.0\.0\.1:1, repository .*refused"):
        load(PCB)


@both
def test_a_hub_that_fails_midway_is_not_replaced_by_a_cached_version(
    load: Load, hub: Hub, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """datasets would serve the newest version in its cache, whatever commit was asked for."""
    push(hub, PCB, folders["deeppcb"])
    load(PCB)
    newer = "ab" * 20

    def behave(method: str, path: str, *_: object) -> Answer:
        if path.startswith(f"/api/datasets/{PCB}"):
            return 200, {}, {"id": PCB, "sha": newer, "private": True, "siblings": []}
        if path.endswith("/README.md"):
            return 200, {"X-Repo-Commit": newer, "ETag": '"1"'}, b"---\nlicense: mit\n---\n"
        return 403, {}, {}  # equivalent to a 503, which the clients retry for 23 seconds

    with fake_hub(behave) as other:
        monkeypatch.setenv("HF_ENDPOINT", other.url)
        with pytest.raises(HubUnavailableError, match=f"commit {newer} could not be read completely.* was not used"):
            load(PCB)


def test_a_damaged_file_in_the_cache(hub: Hub, folders: dict[str, Path], tmp_path: Path) -> None:
    push(hub, PCB, folders["deeppcb"])
    load_dataset(PCB, cache_dir=tmp_path / "one")
    shard = next(Path(constants.HF_HUB_CACHE).rglob("train-*.parquet")).resolve()
    shard.write_bytes(shard.read_bytes()[:-1000])
    with pytest.raises(HubContentError, match="force_redownload") as caught:
        load_dataset(PCB, cache_dir=tmp_path / "two")
    assert PCB in str(caught.value)
    loaded = load_dataset(PCB, cache_dir=tmp_path / "two", download_mode="force_redownload")
    assert rows(loaded["train"]) == rows(plain_load_dataset(str(folders["deeppcb"]), split="train"))


# ---- offline ----


def test_offline_mode_loads_the_requested_version_and_logs_it(
    hub: Hub, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """datasets alone would serve the newest for any revision."""
    first = push(hub, PCB, folders["deeppcb"])
    hub.api.create_tag(PCB, tag="v1", repo_type="dataset")
    old = set(load_dataset(PCB, revision="v1", split="train")["image_id"])
    second = push(hub, PCB, folders["other"])
    new = set(load_dataset(PCB, split="train")["image_id"])
    assert old != new
    offline(monkeypatch)
    for load in (load_dataset, plain_load_dataset):
        assert set(load(PCB, split="train")["image_id"]) == new
        for revision in ("v1", first):
            caplog.clear()
            assert set(load(PCB, split="train", revision=revision)["image_id"]) == old
            assert f"offline, using commit {first} from the cache" in caplog.text
            assert {row["image_id"] for row in load(PCB, split="train", revision=revision, streaming=True)} == old
        with pytest.raises(SourceNotFoundError, match=f"(?s)the cache holds .*{second[:12]}.*not searched") as caught:
            load(PCB, revision="v9")
        assert isinstance(caught.value.__cause__, HubUnavailableError)
    with pytest.raises(SourceNotFoundError, match="nothing from it"):
        load_dataset(XRAY, "castings")


def test_offline_with_several_configs(hub: Hub, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    commit = push(hub, XRAY, folders["gdxray"])
    counts = {name: load_dataset(XRAY, name, split="train").num_rows for name in ("welds", "castings")}
    hub.api.upload_file(path_or_fileobj=b"x", path_in_repo="NOTES", repo_id=XRAY, repo_type="dataset")
    load_dataset(XRAY, "castings")  # now the newest commit in the cache is one without welds
    offline(monkeypatch)
    for load in (load_dataset, plain_load_dataset):
        for revision in (None, commit):
            for name, count in counts.items():
                assert load(XRAY, name, split="train", revision=revision).num_rows == count
    with pytest.raises(ConfigNameError, match=r"castings.*welds"):
        load_dataset(XRAY)


# ---- through TLS and a proxy ----


def test_a_configured_authority_and_proxy_serve_streams_and_downloads(
    hub: Hub, server: RunningHub, folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl command to make a certificate authority with")
    push(hub, PCB, folders["deeppcb"])
    authority, chain = make_authority(tmp_path)
    for number, tls in enumerate((chain, None)):
        huggingface_hub.close_session()
        with front(server.port, tls) as (url, hosts), monkeypatch.context() as monkeypatch:
            monkeypatch.setenv("HF_ENDPOINT", url if tls else "http://hub.plant/")
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority))
            monkeypatch.setenv("http_proxy", "" if tls else url)
            monkeypatch.setenv("no_proxy", "")
            monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / str(number)))
            loaded = load_dataset(PCB, split="test", cache_dir=tmp_path / f"arrow{number}")
            stream = load_dataset(PCB, split="test", streaming=True)
            assert rows(stream) == rows(loaded)
            assert len(hosts) > 5
            assert tls or set(hosts) == {"hub.plant"}
    huggingface_hub.close_session()


# ---- no other host is contacted ----


def push_and_load(hub: Hub, folder: Path, cache: Path, ours: str) -> dict[str, Any]:
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("HF_HUB_OFFLINE", "HF_UPDATE_DOWNLOAD_COUNTS", "HF_HUB_DISABLE_TELEMETRY")
    }
    environment |= {
        "HF_ENDPOINT": hub.endpoint + ("/" if ours == "ours" else ""),
        "HF_TOKEN": str(hub.token),
        "HF_HOME": str(cache),
        "HF_HUB_DISABLE_XET": "1",
    }
    script = Path(__file__).parents[1] / "hub" / "push_and_load.py"
    command = [sys.executable, str(script), str(folder), PCB, ours]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert str(hub.token) not in done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_only_the_hub_is_contacted(hub: Hub, folders: dict[str, Path], tmp_path: Path) -> None:
    """Push, load and stream, with the libraries imported before this package and a trailing slash in the endpoint."""
    reported = push_and_load(hub, folders["deeppcb"], tmp_path / "ours", "ours")
    assert reported["hosts"] == ["127.0.0.1"]
    assert reported["rows"] > 0
    cached = [path for path in (tmp_path / "ours").rglob("*") if path.is_file() and path.stat().st_size < 10**6]
    assert cached
    assert not any(str(hub.token).encode() in path.read_bytes() for path in cached)


def test_the_connection_watch_detects_other_hosts(hub: Hub, folders: dict[str, Path], tmp_path: Path) -> None:
    """Without this package, stock clients contact two more hosts; the watch refuses both, so that nothing leaves."""
    hosts = push_and_load(hub, folders["deeppcb"], tmp_path / "stock", "stock")["hosts"]
    assert {"s3.amazonaws.com", "datasets-server.127.0.0.1"} <= set(hosts)


def test_which_commit_is_loaded_is_logged_without_the_token(
    hub: Hub, folders: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    commit = push(hub, PCB, folders["deeppcb"])
    with caplog.at_level(logging.DEBUG):
        load_dataset(PCB, split="train")
    assert f"{PCB}: commit {commit} on {hub.endpoint}" in caplog.text
    assert str(hub.token) not in caplog.text
