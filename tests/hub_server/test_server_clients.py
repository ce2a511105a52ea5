"""Stock huggingface_hub, datasets and `hf`, as users have them, against the embedded Hub in a separate process."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi, constants
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tests.hub_server.conftest import Server

NOWHERE = "http://127.0.0.1:9"  # the discard port: a client that asks for another host is refused
TINY_PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c6360f8cf00000201010018dd8db0"
    "0000000049454e44ae426082"
)


@pytest.fixture
def api(server: Server, monkeypatch: pytest.MonkeyPatch) -> Callable[..., HfApi]:
    """`api("ann")`: the client of a user; `api(None)`: an anonymous one."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "ENDPOINT", server.hub.url)
    template = server.hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    look_up = socket.getaddrinfo

    def only_this_machine(host: str, *details: Any, **options: Any) -> Any:
        assert host == "127.0.0.1", f"a client asked for {host}"
        return look_up(host, *details, **options)

    monkeypatch.setattr(socket, "getaddrinfo", only_this_machine)

    def client(user: str | None) -> HfApi:
        return HfApi(endpoint=server.hub.url, token=server.tokens.get(user, user) if user else False)

    return client


def stock(server: Server, home: Path, command: list[str], user: str = "ann") -> str:
    """Run a command in an environment that has only this Hub, and return what it printed."""
    keep = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGINGFACE"))}
    environment = {
        "HF_ENDPOINT": server.hub.url,
        "HF_TOKEN": server.tokens[user],
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        "HF_UPDATE_DOWNLOAD_COUNTS": "0",
        "HTTP_PROXY": NOWHERE,
        "HTTPS_PROXY": NOWHERE,
        "NO_PROXY": "127.0.0.1",
    }
    done = subprocess.run(
        command, env=keep | environment, capture_output=True, text=True, timeout=120, check=False, cwd=home
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def make_folder(folder: Path) -> dict[str, bytes]:
    files = {
        "README.md": b"---\nlicense: mit\n---\n# A set\n",
        "data/a.parquet": b"PAR1" + bytes(3_000_000) + b"PAR1",
        "data/deep/er/ä b.txt": b"small",
        "image.png": TINY_PNG,
        "empty.bin": b"",
    }
    for path, content in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return files


@pytest.mark.parametrize("repo_type", ["dataset", "model"])
@pytest.mark.filterwarnings("ignore:It seems that you are about to commit a data file", "ignore:Use 'content=")
def test_upload_and_download_of_a_folder(
    api: Callable[..., HfApi], server: Server, tmp_path: Path, repo_type: str
) -> None:
    files, ann, name = make_folder(tmp_path / "up"), api("ann"), "ann/folder"
    url = ann.create_repo(name, repo_type=repo_type, private=True)
    assert (url.repo_id, url.repo_type) == (name, repo_type)
    assert ann.create_repo(name, repo_type=repo_type, private=True, exist_ok=True).repo_id == name
    first = ann.upload_folder(repo_id=name, repo_type=repo_type, folder_path=tmp_path / "up")
    assert sorted(ann.list_repo_files(name, repo_type=repo_type)) == sorted(files)
    down = Path(ann.snapshot_download(name, repo_type=repo_type, cache_dir=tmp_path / "cache"))
    assert {str(path.relative_to(down)): path.read_bytes() for path in down.rglob("*") if path.is_file()} == files
    one = ann.hf_hub_download(name, "data/a.parquet", repo_type=repo_type, cache_dir=tmp_path / "other")
    assert Path(one).read_bytes() == files["data/a.parquet"]

    ann.create_tag(name, tag="v1", repo_type=repo_type)
    ann.create_branch(name, branch="dev", repo_type=repo_type)
    ann.delete_file("image.png", repo_id=name, repo_type=repo_type)
    ann.upload_file(
        path_or_fileobj=b"on dev", path_in_repo="dev.txt", repo_id=name, repo_type=repo_type, revision="dev"
    )
    assert "image.png" not in ann.list_repo_files(name, repo_type=repo_type)
    assert "image.png" in ann.list_repo_files(name, repo_type=repo_type, revision="v1")
    assert "dev.txt" in ann.list_repo_files(name, repo_type=repo_type, revision="dev")
    refs = ann.list_repo_refs(name, repo_type=repo_type)
    assert [ref.name for ref in refs.branches] == ["dev", "main"]
    assert [(ref.name, ref.target_commit) for ref in refs.tags] == [("v1", first.oid)]
    titles = [commit.title for commit in ann.list_repo_commits(name, repo_type=repo_type)]
    assert len(titles) == 3
    assert titles[-1] == "initial commit"
    info = ann.repo_info(name, repo_type=repo_type, revision="v1", files_metadata=True)
    assert info.sha == first.oid
    assert info.private is True
    sizes = {sibling.rfilename: sibling.size for sibling in info.siblings or []}
    assert sizes == {path: len(content) for path, content in files.items()}
    paths = ann.get_paths_info(name, ["data", "data/a.parquet", "none"], repo_type=repo_type)
    assert [path.path for path in paths] == ["data", "data/a.parquet"]
    tree = ann.list_repo_tree(name, "data", repo_type=repo_type, recursive=True, expand=True)
    assert [entry.path for entry in tree] == ["data/a.parquet", "data/deep", "data/deep/er", "data/deep/er/ä b.txt"]

    ann.delete_tag(name, tag="v1", repo_type=repo_type)
    ann.delete_branch(name, branch="dev", repo_type=repo_type)
    with pytest.raises(RevisionNotFoundError):
        ann.repo_info(name, repo_type=repo_type, revision="v1")
    ann.update_repo_settings(name, repo_type=repo_type, private=False)
    assert api(None).repo_info(name, repo_type=repo_type).private is False
    listed = api(None).list_datasets(author="ann") if repo_type == "dataset" else api(None).list_models(author="ann")
    assert [entry.id for entry in listed] == [name]
    ann.delete_repo(name, repo_type=repo_type)
    assert not ann.repo_exists(name, repo_type=repo_type)


@pytest.mark.filterwarnings("ignore:Use 'content=")
def test_a_second_upload_of_the_same_sends_nothing(api: Callable[..., HfApi], server: Server, tmp_path: Path) -> None:
    make_folder(tmp_path / "up")
    ann = api("ann")
    ann.create_repo("ann/again", repo_type="dataset")
    upload: dict[str, Any] = {"repo_id": "ann/again", "repo_type": "dataset", "folder_path": tmp_path / "up"}
    first = ann.upload_folder(**upload)
    assert ann.upload_folder(**upload).oid == first.oid


def test_clients_understand_the_errors(api: Callable[..., HfApi], server: Server) -> None:
    ann = api("ann")
    ann.create_repo("ann/errors", repo_type="dataset")
    for user in (None, "bob"):
        with pytest.raises(RepositoryNotFoundError):
            api(user).dataset_info("ann/errors")
        with pytest.raises(RepositoryNotFoundError):
            api(user).dataset_info("ann/none")
    with pytest.raises(HfHubHTTPError, match="Invalid credentials in Authorization header"):
        api("hf_wrong").dataset_info("ann/errors")
    with pytest.raises(EntryNotFoundError):
        ann.hf_hub_download("ann/errors", "none.txt", repo_type="dataset")
    with pytest.raises(RevisionNotFoundError):
        ann.dataset_info("ann/errors", revision="none")
    with pytest.raises(HfHubHTTPError, match="nobody") as error:
        ann.create_repo("nobody/x", repo_type="dataset")
    assert error.value.response.status_code == 403
    first = ann.dataset_info("ann/errors").sha
    upload: dict[str, Any] = {"repo_id": "ann/errors", "repo_type": "dataset", "path_in_repo": "a.txt"}
    ann.upload_file(path_or_fileobj=b"1", parent_commit=first, **upload)
    with pytest.raises(HfHubHTTPError) as error:
        ann.upload_file(path_or_fileobj=b"2", parent_commit=first, **upload)
    assert error.value.response.status_code == 412
    reader = HfApi(endpoint=server.hub.url, token=server.hub.token("ann", "read"))
    with pytest.raises(HfHubHTTPError, match="is read-only"):
        reader.upload_file(path_or_fileobj=b"1", **upload)
    with pytest.raises(ValueError, match="not YAML"):
        ann.upload_file(**upload | {"path_in_repo": "README.md"}, path_or_fileobj=b"---\nlicense: [\n---\n")


PUSH_AND_LOAD = """
import json
import datasets
import huggingface_hub
from huggingface_hub import DatasetCard, HfApi, ModelCard

datasets.config.USE_PARQUET_EXPORT = False
rows = datasets.Dataset.from_dict({"number": list(range(100)), "text": ["a", "b"] * 50})
rows.push_to_hub("plant/numbers", "small", private=True)
first = rows.select(range(50)).push_to_hub("plant/numbers", "half", split="test").oid
rows.select(range(3)).push_to_hub("plant/numbers", "half", split="test")
datasets.DatasetDict(train=rows, test=rows).push_to_hub("plant/numbers", "both", num_shards={"train": 3, "test": 1})
rows.push_to_hub("plant/numbers", "dev", revision="dev")
card = DatasetCard.load("plant/numbers")
card.text += "\\nWritten by hand.\\n"
if huggingface_hub.__version__.startswith("1."):  # these would send the card to huggingface.co
    import radikal_datasets
card.push_to_hub("plant/numbers")
HfApi().create_repo("plant/model")
ModelCard("---\\nlicense: mit\\n---\\n# A model\\n").push_to_hub("plant/model")
load = datasets.load_dataset
print(json.dumps({
    "private": HfApi().dataset_info("plant/numbers").private,
    "configs": sorted(datasets.get_dataset_config_names("plant/numbers")),
    "card": "Written by hand." in DatasetCard.load("plant/numbers").text,
    "model": ModelCard.load("plant/model").data.license,
    "equal": load("plant/numbers", "small", split="train").to_dict() == rows.to_dict(),
    "old": len(load("plant/numbers", "half", split="test", revision=first)),
    "new": len(load("plant/numbers", "half", split="test")),
    "both": {name: len(split) for name, split in load("plant/numbers", "both").items()},
    "streamed": sum(1 for row in load("plant/numbers", "both", split="train", streaming=True)),
    "dev": len(load("plant/numbers", "dev", split="train", revision="dev")),
}))
# A stream that datasets read ahead may abort the interpreter at its end (threads of pyarrow): leave without that.
import os
import sys
sys.stdout.flush()
os._exit(0)
"""


def test_datasets_pushes_loads_and_streams(server: Server, tmp_path: Path) -> None:
    printed = stock(server, tmp_path, [sys.executable, "-c", PUSH_AND_LOAD])
    assert json.loads(printed.splitlines()[-1]) == {
        "private": True,
        "configs": ["both", "half", "small"],
        "card": True,
        "model": "mit",
        "equal": True,
        "old": 50,
        "new": 3,
        "both": {"train": 100, "test": 100},
        "streamed": 100,
        "dev": 100,
    }


def test_the_hf_command(server: Server, tmp_path: Path) -> None:
    files = make_folder(tmp_path / "up")
    hf = str(Path(sys.executable).with_name("hf"))
    stock(server, tmp_path, [hf, "upload", "ann/by-hf", "up", ".", "--repo-type", "dataset", "--private"])
    stock(server, tmp_path, [hf, "download", "ann/by-hf", "--repo-type", "dataset", "--local-dir", "down"])
    for path, content in files.items():
        assert (tmp_path / "down" / path).read_bytes() == content


@pytest.mark.parametrize(
    "path",
    [
        "/datasets/ann/x/resolve/main/../../../../hub.sqlite",
        "/datasets/ann/x/resolve/main/..%2f..%2f..%2f..%2fhub.sqlite",
        "/../hub.sqlite",
        "//etc/passwd",
        "/api/datasets/../../hub.sqlite",
        "/api/datasets/ann/..%2fx",
        "/%2e%2e/hub.sqlite",
        "/\\..\\hub.sqlite",
        "*",
        "/" + "a/" * 5_000,
    ],
)
def test_paths_that_no_client_would_send(server: Server, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.hub.port, timeout=10)
    connection.putrequest("GET", path, skip_host=False)
    connection.putheader("Authorization", f"Bearer {server.tokens['ann']}")
    connection.endheaders()
    response = connection.getresponse()
    assert response.status in (400, 404)
    assert b"SQLite format 3" not in response.read()
    connection.close()
