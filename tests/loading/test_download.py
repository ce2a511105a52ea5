from __future__ import annotations

import dataclasses
import shutil
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import datasets
import huggingface_hub
import pytest

import radikal_datasets
from radikal_datasets.errors import DownloadError, SourceNotFoundError
from radikal_datasets.loading import download as downloads
from radikal_datasets.source import Source


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The Hub client refuses every request while it is offline, even to loopback."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    huggingface_hub.close_session()
    yield
    huggingface_hub.close_session()


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, online: None) -> Iterator[Path]:
    """A folder served on loopback and named by RADIKAL_MIRROR."""
    folder = tmp_path / "mirror"
    folder.mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("RADIKAL_MIRROR", f"http://127.0.0.1:{server.server_port}/")
    yield folder
    server.shutdown()
    server.server_close()


@pytest.fixture
def source(sample_tree: Callable[..., Path], mirror: Path, tmp_path: Path) -> Source:
    """DeepPCB with the checksum of a synthetic tree, which the mirror serves in the form of the publisher's archive."""
    tree = tmp_path / "publisher"
    shutil.copytree(sample_tree("deeppcb"), tree / "PCBData")
    with tarfile.open(mirror / "deeppcb.tar.gz", "w:gz") as tar:
        tar.add(tree, "DeepPCB-0000000")
        tar.add(__file__, "DeepPCB-0000000/tools/script.py")
    facts = radikal_datasets.source_info("deeppcb")
    assert facts.download is not None
    pinned = dataclasses.replace(facts.download, sha256=downloads.checksum(tree))
    return dataclasses.replace(facts, download=pinned)


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_download_fetches_only_the_tree(
    source: Source, sample_tree: Callable[..., Path], tmp_path: Path, mirror: Path
) -> None:
    folder = downloads.download(source, tmp_path / "data")
    assert folder == tmp_path / "data" / "deeppcb"
    assert files(folder / "PCBData") == files(sample_tree("deeppcb"))
    assert [path.name for path in folder.iterdir()] == ["PCBData"]
    (mirror / "deeppcb.tar.gz").unlink()
    assert downloads.download(source, tmp_path / "data") == folder  # already downloaded: no request


def test_load_dataset_downloads_if_no_other_source_is_given(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(radikal_datasets.sources.builder_class("deeppcb"), "SOURCE", source)
    loaded = radikal_datasets.load_dataset("radikal_datasets/deeppcb")
    assert sum(len(split) for split in loaded.values()) > 0


def test_unexpected_contents_are_refused_and_leave_nothing(source: Source, tmp_path: Path) -> None:
    assert source.download is not None
    other = dataclasses.replace(source, download=dataclasses.replace(source.download, sha256="0" * 64))
    with pytest.raises(DownloadError, match="other files than the pinned version"):
        downloads.download(other, tmp_path / "data")
    assert [path.name for path in (tmp_path / "data").iterdir()] == [".deeppcb.lock"]


@pytest.mark.parametrize("damage", ["missing", "cut", "text"])
def test_a_broken_download_leaves_nothing(source: Source, tmp_path: Path, mirror: Path, damage: str) -> None:
    archive = mirror / "deeppcb.tar.gz"
    data = archive.read_bytes()
    archive.unlink()
    if damage != "missing":
        archive.write_bytes(data[: len(data) // 2] if damage == "cut" else b"<html>log in first</html>")
    with pytest.raises(DownloadError):
        downloads.download(source, tmp_path / "data")
    assert [path.name for path in (tmp_path / "data").iterdir()] == [".deeppcb.lock"]


def test_offline_says_so(source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    huggingface_hub.close_session()
    with pytest.raises(DownloadError, match="HF_HUB_OFFLINE"):
        downloads.download(source, tmp_path / "data")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(SourceNotFoundError, match="Download page"):
        radikal_datasets.load_dataset("radikal_datasets/deeppcb")


def test_error_for_manual_downloads_names_the_page() -> None:
    with pytest.raises(DownloadError, match=r"(?s)Page: .*License: .*IMAGES/"):
        downloads.download(radikal_datasets.source_info("neu_det"))


FAKE = """#!{python}
import os, sys, zipfile
from pathlib import Path

assert sys.argv[1:5] == ["competitions", "download", "-c", "severstal-steel-defect-detection"], sys.argv
assert sys.argv[5] == "-p" and len(sys.argv) == 7
target = Path(sys.argv[6]) / "severstal-steel-defect-detection.zip"
{body}
"""
GOOD = """
root = Path({tree!r})
with zipfile.ZipFile(target, "w") as archive:
    for path in sorted(root.rglob("*")):
        archive.write(path, path.relative_to(root))
print("Downloading severstal-steel-defect-detection.zip")
"""


@pytest.fixture
def kaggle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sample_tree: Callable[..., Path], online: None
) -> Callable[[str], None]:
    """`kaggle(body)`: a program of that name on PATH that runs these lines of Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def install(body: str) -> None:
        text = FAKE.format(python=sys.executable, body=body.replace("TREE", repr(str(sample_tree("severstal")))))
        (folder / "kaggle").write_text(text, encoding="utf-8")
        (folder / "kaggle").chmod(0o755)

    return install


def test_severstal_is_downloaded_by_the_users_kaggle(
    kaggle: Callable[[str], None],
    sample_tree: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    kaggle(GOOD.replace("{tree!r}", "TREE"))
    folder = downloads.download(radikal_datasets.source_info("severstal"), tmp_path / "raw")
    assert folder == tmp_path / "raw" / "severstal"
    assert files(folder) == files(sample_tree("severstal"))
    assert "Downloading severstal" in capsys.readouterr().err
    assert sorted(path.name for path in (tmp_path / "raw").iterdir()) == [".severstal.lock", "severstal"]
    kaggle("sys.exit('not again')")
    assert downloads.download(radikal_datasets.source_info("severstal"), tmp_path / "raw") == folder


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("sys.exit('403 - Forbidden - You must accept the rules of this competition')", "must accept the rules"),
        ("sys.exit('OSError: Could not find kaggle.json')", r"exit status 1:\n.*Could not find kaggle\.json"),
        ("print('429 - Too Many Requests'); sys.exit(3)", r"exit status 3:\n429"),
        ("", "did not write"),
        ("target.write_bytes(b'<html>')", "is damaged"),
        ("zipfile.ZipFile(target, 'w').writestr('../out.txt', 'x')", "outside of the folder"),
        ("zipfile.ZipFile(target, 'w').writestr('a/readme.txt', 'x')", "layout"),
    ],
)
def test_what_kaggle_says_is_passed_on(kaggle: Callable[[str], None], tmp_path: Path, body: str, said: str) -> None:
    kaggle(body)
    with pytest.raises(DownloadError, match=rf"(?s){said}.*kaggle competitions download -c severstal-steel"):
        downloads.download(radikal_datasets.source_info("severstal"), tmp_path / "raw")
    assert not (tmp_path / "raw" / "severstal").exists() and not (tmp_path / "out.txt").exists()


def test_without_kaggle_the_lines_are_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DownloadError) as caught:
        downloads.download(radikal_datasets.source_info("severstal"), tmp_path / "my raw")
    lines = [line.strip() for line in str(caught.value).splitlines()]
    raw = f"'{tmp_path / 'my raw'}'"
    assert f"kaggle competitions download -c severstal-steel-defect-detection -p {raw}" in lines
    archive = f"'{tmp_path / 'my raw' / 'severstal-steel-defect-detection.zip'}'"
    assert f"unzip -q {archive} -d '{tmp_path / 'my raw' / 'severstal'}'" in lines


def test_kaggle_is_not_asked_offline(
    kaggle: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kaggle("sys.exit('asked')")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(DownloadError, match="HF_HUB_OFFLINE"):
        downloads.download(radikal_datasets.source_info("severstal"), tmp_path / "raw")
