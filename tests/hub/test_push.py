"""Pushing to the embedded Hub, in this process; faults of other Hubs are simulated in its client."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import datasets.config
import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import httpx
from typer.testing import CliRunner

from radikal_datasets import build_hub_folder, load_dataset
from radikal_datasets.cli import app
from radikal_datasets.errors import (
    ConfigNameError,
    HubAccessError,
    HubError,
    HubFolderError,
    LicenseError,
    NotPrivateError,
    SourceNotFoundError,
    UnknownSourceError,
)
from radikal_datasets.hub.push import push_to_hub
from radikal_datasets.hub.repository import Repository
from radikal_datasets.hub_client import transfer
from radikal_datasets.hub_client.endpoint import Hub
from radikal_datasets.prepared.manifest import Manifest
from tests.hub.embedded import RunningHub
from tests.hub.fake import use_hub


@pytest.fixture
def at_hub(hub: RunningHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> RunningHub:
    """Point all clients of this process at the embedded Hub, as user ann."""
    use_hub(monkeypatch, hub.url + "/", tmp_path)
    monkeypatch.setenv("HF_TOKEN", hub.token("ann"))
    monkeypatch.setattr(datasets.config, "HF_CACHE_HOME", tmp_path / "home")
    monkeypatch.setattr(transfer, "_LONGEST_WAIT", 0.02)
    return hub


@pytest.fixture(scope="module")
def prepared(sample_tree: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """class1 and class2 of the DAGM sample. Do not modify it: copy it."""
    output = tmp_path_factory.mktemp("prepared") / "dagm2007"
    return build_hub_folder("dagm2007", ["class1", "class2"], data_dir=sample_tree("dagm2007"), output_dir=output)


@pytest.fixture
def folder(prepared: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(prepared, tmp_path / "folder"))


def http_error(status: int) -> HfHubHTTPError:
    request = httpx.Request("POST", "http://127.0.0.1/api")
    return HfHubHTTPError("no", response=httpx.Response(status, request=request))


def sent_objects(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect the addresses that objects are sent to."""
    sent: list[str] = []
    request = httpx.Client.request

    def noting(self: httpx.Client, method: str, url: Any, **options: Any) -> httpx.Response:
        if method == "PUT":
            sent.append(str(url))
        return request(self, method, url, **options)

    monkeypatch.setattr(httpx.Client, "request", noting)
    return sent


def rows(loaded: Any) -> list[dict[str, Any]]:
    return [row for split in sorted(loaded) for row in loaded[split].with_format("arrow").to_list()]


def test_a_pushed_set_is_private_and_loads_as_it_was(at_hub: RunningHub, folder: Path, tmp_path: Path) -> None:
    result = push_to_hub(folder, "radikal_datasets/dagm2007")
    api = HfApi(endpoint=at_hub.url)
    info = api.dataset_info("radikal_datasets/dagm2007")
    assert info.private is True
    assert (info.sha, result.private) == (result.commit, True)
    assert len(api.list_repo_commits("radikal_datasets/dagm2007", repo_type="dataset")) == 2  # ours, and the first
    assert not any(
        "radikal.json" in path for path in api.list_repo_files("radikal_datasets/dagm2007", repo_type="dataset")
    )
    for config in ("class1", "class2"):
        ours = load_dataset("radikal_datasets/dagm2007", config, cache_dir=tmp_path / "ours")
        theirs = datasets.load_dataset(str(folder), config, cache_dir=str(tmp_path / "theirs"))
        assert rows(ours) == rows(theirs)
        streamed = load_dataset(
            "radikal_datasets/dagm2007", config, split="train", streaming=True, revision=result.commit
        )
        assert next(iter(streamed))["image_id"] == theirs["train"][0]["image_id"]  # type: ignore[index]


def test_existing_files_are_not_sent_again(
    at_hub: RunningHub, folder: Path, sample_tree: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = push_to_hub(folder, "ann/again")
    sent = sent_objects(monkeypatch)
    again = push_to_hub(folder, "ann/again")
    assert (again.commit, again.sent, sorted(again.kept)) == (first.commit, (), sorted(first.sent))
    assert sent == []
    build_hub_folder("dagm2007", "class1", data_dir=sample_tree("dagm2007"), output_dir=folder, protocol="70-15-15")
    changed = push_to_hub(folder, "ann/again")
    assert changed.commit != first.commit
    assert changed.sent and all(path.startswith("class1/") for path in changed.sent)
    assert len(sent) == len(changed.sent)


def test_configs_that_are_only_on_the_hub_stay(
    at_hub: RunningHub, folder: Path, sample_tree: Callable[..., Path], tmp_path: Path
) -> None:
    push_to_hub(folder, "ann/configs", "class1")
    other = build_hub_folder("dagm2007", "class3", data_dir=sample_tree("dagm2007"), output_dir=tmp_path / "other")
    push_to_hub(other, "ann/configs")
    push_to_hub(folder, "ann/configs", ["class2"])
    assert sorted(datasets.get_dataset_config_names("ann/configs")) == ["class1", "class2", "class3"]
    assert load_dataset("ann/configs", "class3", split="train").num_rows > 0


def test_prose_on_the_hub_stays(at_hub: RunningHub, folder: Path) -> None:
    push_to_hub(folder, "ann/prose")
    api = HfApi(endpoint=at_hub.url)
    card = Path(api.hf_hub_download("ann/prose", "README.md", repo_type="dataset")).read_text()
    edited = (card + "\nAsk Ann about line 3.\n").encode()
    api.upload_file(path_or_fileobj=edited, path_in_repo="README.md", repo_id="ann/prose", repo_type="dataset")
    push_to_hub(folder, "ann/prose")
    card = Path(api.hf_hub_download("ann/prose", "README.md", repo_type="dataset")).read_text()
    assert "Ask Ann about line 3." in card


def test_files_that_the_folder_no_longer_has_go(
    at_hub: RunningHub, folder: Path, sample_tree: Callable[..., Path]
) -> None:
    tree = sample_tree("dagm2007")
    build_hub_folder("dagm2007", "class1", data_dir=tree, output_dir=folder, max_shard_bytes=30_000)
    many = push_to_hub(folder, "ann/fewer", "class1")
    build_hub_folder("dagm2007", "class1", data_dir=tree, output_dir=folder)
    few = push_to_hub(folder, "ann/fewer", "class1")
    assert few.removed and set(few.removed) <= set(many.sent)
    assert (
        datasets.load_dataset("ann/fewer", split="train").num_rows
        == datasets.load_dataset(  # type: ignore[union-attr]
            str(folder), "class1", split="train"
        ).num_rows
    )  # type: ignore[union-attr]


def test_a_dry_run_changes_nothing(at_hub: RunningHub, folder: Path) -> None:
    result = push_to_hub(folder, "ann/dry", dry_run=True)
    assert result.commit is None and result.private is None and result.sent
    assert not HfApi(endpoint=at_hub.url).repo_exists("ann/dry", repo_type="dataset")


def test_push_to_another_branch(at_hub: RunningHub, folder: Path) -> None:
    push_to_hub(folder, "ann/branch", revision="v2")
    assert load_dataset("ann/branch", "class1", split="train", revision="v2").num_rows > 0
    assert "class1/train-00000-of-00001.parquet" not in HfApi(endpoint=at_hub.url).list_repo_files(
        "ann/branch", repo_type="dataset"
    )


def test_public_only_where_the_license_allows(
    at_hub: RunningHub, folder: Path, sample_tree: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(LicenseError, match="must not be made public"):
        push_to_hub(folder, "ann/public", public=True)
    assert not HfApi(endpoint=at_hub.url).repo_exists("ann/public", repo_type="dataset")
    free = build_hub_folder("deeppcb", data_dir=sample_tree("deeppcb"), output_dir=tmp_path / "deeppcb")
    assert push_to_hub(free, "ann/free", public=True).private is False
    assert datasets.load_dataset("ann/free", split="test", token=False).num_rows > 0  # type: ignore[union-attr]


def test_nothing_is_sent_to_a_public_repository(
    at_hub: RunningHub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = HfApi(endpoint=at_hub.url)
    api.create_repo("ann/open", repo_type="dataset", private=False)
    with pytest.raises(NotPrivateError, match=r"is a public repository\. Nothing was sent"):
        push_to_hub(folder, "ann/open")
    assert api.list_repo_files("ann/open", repo_type="dataset") == []
    # A Hub that does not know `visibility` creates a public repository and answers 200.
    create = HfApi.create_repo
    monkeypatch.setattr(HfApi, "create_repo", lambda self, *a, **k: create(self, *a, **{**k, "private": False}))
    sent = sent_objects(monkeypatch)
    with pytest.raises(NotPrivateError, match="deleted again"):
        push_to_hub(folder, "ann/asked-private")
    assert sent == []
    assert not api.repo_exists("ann/asked-private", repo_type="dataset")


@pytest.mark.parametrize("status", [409, 412, 429, 503])
def test_requests_to_a_busy_hub_are_retried(
    at_hub: RunningHub, folder: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    failures = {"preupload_lfs_files": 1, "create_commit": 2, "dataset_info": 1}
    for name in failures:
        original = getattr(HfApi, name)

        def failing(self: HfApi, *args: Any, name: str = name, original: Any = original, **options: Any) -> Any:
            failures[name] -= 1
            if failures[name] >= 0:
                raise http_error(status)
            return original(self, *args, **options)

        monkeypatch.setattr(HfApi, name, failing)
    result = push_to_hub(folder, f"ann/busy{status}")
    assert all(left < 0 for left in failures.values())
    assert Repository(Hub.current(), f"ann/busy{status}").read("main").commit == result.commit


def test_a_lost_response_does_not_cause_a_second_commit(
    at_hub: RunningHub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create, lost = HfApi.create_commit, [True]

    def losing(self: HfApi, *args: Any, **options: Any) -> Any:
        answer = create(self, *args, **options)
        if lost.pop() if lost else False:
            raise httpx.ReadError("the connection was cut")
        return answer

    monkeypatch.setattr(HfApi, "create_commit", losing)
    push_to_hub(folder, "ann/lost")
    assert len(HfApi(endpoint=at_hub.url).list_repo_commits("ann/lost", repo_type="dataset")) == 2


def test_a_hub_that_ignores_the_parent_loses_no_config(
    at_hub: RunningHub, folder: Path, sample_tree: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another push, made from the same parent, lands right after ours and overwrites our card and manifest."""
    other = build_hub_folder("dagm2007", "class3", data_dir=sample_tree("dagm2007"), output_dir=tmp_path / "other")
    push_to_hub(folder, "ann/ignored", "class1")
    create, pending = HfApi.create_commit, [True]

    def racing(self: HfApi, repo_id: str, operations: Any, **options: Any) -> Any:
        options["parent_commit"] = None
        api = HfApi(endpoint=at_hub.url)
        names = ("README.md", "manifest.json")
        files = [Path(api.hf_hub_download(repo_id, name, repo_type="dataset")).read_bytes() for name in names]
        answer = create(self, repo_id, operations, **options)
        if pending.pop() if pending else False:
            for name, content in zip(names, files, strict=True):
                api.upload_file(path_or_fileobj=content, path_in_repo=name, repo_id=repo_id, repo_type="dataset")
        return answer

    monkeypatch.setattr(HfApi, "create_commit", racing)
    push_to_hub(other, "ann/ignored")
    snapshot = Repository(Hub.current(), "ann/ignored").read("main")
    assert sorted(Manifest.parse(snapshot.manifest or "").configs) == ["class1", "class3"]
    assert sorted(datasets.get_dataset_config_names("ann/ignored")) == ["class1", "class3"]


def test_a_corrupt_shard_never_leaves_the_folder(
    at_hub: RunningHub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = next(folder.glob("class1/*.parquet"))
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    sent = sent_objects(monkeypatch)
    with pytest.raises(HubFolderError, match=shard.name):
        push_to_hub(folder, "ann/corrupt")
    assert sent == []
    assert not HfApi(endpoint=at_hub.url).repo_exists("ann/corrupt", repo_type="dataset")


@pytest.mark.parametrize(("name", "text"), [("README.md", "---\nlicense: [mit\n---\n"), ("manifest.json", "[]")])
def test_a_card_or_manifest_on_the_hub_that_cannot_be_read(
    at_hub: RunningHub, folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    first = push_to_hub(folder, "ann/unreadable")
    read = Repository._text
    monkeypatch.setattr(
        Repository, "_text", lambda self, path, commit: text if path == name else read(self, path, commit)
    )
    with pytest.raises(HubFolderError, match=f"{name} of {at_hub.url}/datasets/ann/unreadable"):
        push_to_hub(folder, "ann/unreadable")
    assert HfApi(endpoint=at_hub.url).dataset_info("ann/unreadable").sha == first.commit


def test_wrong_tokens_and_names(
    at_hub: RunningHub, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = at_hub.token("ann", "read")
    with pytest.raises(HubAccessError, match="403") as refused:
        push_to_hub(folder, "ann/new", token=secret)
    assert "user ann" in str(refused.value) and "the token argument" in str(refused.value)
    with pytest.raises(HubAccessError, match="not valid") as invalid:
        push_to_hub(folder, "ann/new", token="hf_made_up")
    with pytest.raises(HubAccessError):
        push_to_hub(folder, "bob/theirs")
    with pytest.raises(HubAccessError):
        push_to_hub(folder, "ann/new", token=False)
    for text in (str(refused.value), str(invalid.value), caplog.text):
        assert secret not in text and "hf_made_up" not in text
    for name in ("../etc", "ann/..", "ann/a..b", "alone", "/ann", "ann/", "a/b/c"):
        with pytest.raises(HubError, match=r"can't be a repository|has no namespace"):
            push_to_hub(folder, name)


def test_what_is_pushed_must_be_there(at_hub: RunningHub, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownSourceError, match="neither a source nor a folder"):
        push_to_hub(tmp_path / "nothing", "ann/x")
    with pytest.raises(SourceNotFoundError, match="--data-dir was not given"):
        push_to_hub("neu_det", "ann/x")
    with pytest.raises(ConfigNameError, match="class9"):
        push_to_hub(folder, "ann/x", ["class9"])


def test_a_source_is_prepared_and_pushed_from_the_command_line(
    at_hub: RunningHub, sample_tree: Callable[..., Path], tmp_path: Path
) -> None:
    command = ["push", "deeppcb", "--data-dir", str(sample_tree("deeppcb")), "--repo-id", "radikal_datasets/deeppcb"]
    dry = CliRunner().invoke(app, [*command, "--dry-run"], catch_exceptions=False)
    assert "would send" in dry.output and "not created yet" in dry.output
    done = CliRunner().invoke(app, command, catch_exceptions=False)
    assert "(private)" in done.output and "commit http://127.0.0.1" in done.output
    again = CliRunner().invoke(app, command, catch_exceptions=False)
    assert "sent 0 files" in again.output
    assert load_dataset("radikal_datasets/deeppcb", cache_dir=tmp_path / "c")["train"][0]["reference"] is not None


def test_the_croissant_file_describes_all_that_the_repository_holds(
    at_hub: RunningHub, folder: Path, tmp_path: Path
) -> None:
    older = Path(shutil.copytree(folder, tmp_path / "older"))
    (older / "croissant.json").unlink()  # as a version wrote it that knew none
    push_to_hub(older, "ann/croissant", "class2")
    push_to_hub(folder, "ann/croissant", "class1")
    path = HfApi(endpoint=at_hub.url).hf_hub_download("ann/croissant", "croissant.json", repo_type="dataset")
    assert Path(path).read_bytes() == (folder / "croissant.json").read_bytes()
    assert push_to_hub(folder, "ann/croissant").sent == ()
