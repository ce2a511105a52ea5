from __future__ import annotations

import io
import os
import pickle
import tarfile
import zipfile
from pathlib import Path, PureWindowsPath

import fsspec
import pytest

from radikal_datasets.errors import LayoutError, MalformedAnnotationError, SourceNotFoundError
from radikal_datasets.raw.archives import is_unsafe
from radikal_datasets.raw.tree import Tree, _zip_url, is_url, layout_roots

FILES = {"IMAGES/a.jpg": b"aa", "IMAGES/b.jpg": b"b", "notes/deep/c.txt": b"ccc"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "raw"
    for name, data in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (root / ".DS_Store").write_bytes(b"x")
    (root / "IMAGES" / "Thumbs.db").write_bytes(b"x")
    (root / ".venv" / "lib").mkdir(parents=True)
    (root / ".venv" / "lib" / "logo.png").write_bytes(b"x")
    return root


def archive(kind: str, folder: Path, extra: dict[str, bytes] | None = None) -> Path:
    path = folder.with_name(f"raw.{kind}")
    members = FILES | (extra or {})
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as zipped:
            for name, data in members.items():
                zipped.writestr(name, data)
    else:
        with tarfile.open(path, f"w:{kind.partition('.')[2]}") as tar:
            for name, data in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "tar.gz", "tar.xz"])
def test_every_kind_of_root_shows_the_same_files(kind: str, folder: Path) -> None:
    tree = Tree.open(folder if kind == "folder" else archive(kind, folder))
    assert {path: tree.read(path) for path in tree.files} == FILES
    assert {path: stat.size for path, stat in tree.files.items()} == {p: len(data) for p, data in FILES.items()}
    below = pickle.loads(pickle.dumps(tree.below("notes/")))
    assert {path: below.read(path) for path in below.files} == {"deep/c.txt": b"ccc"}


def test_a_remote_root() -> None:
    memory = fsspec.filesystem("memory")
    for name, data in FILES.items():
        memory.pipe(f"/plant/line1/{name}", data)
    tree = Tree.open("memory://plant/line1")
    assert {path: tree.read(path) for path in tree.files} == FILES
    first = tree.fingerprint()
    memory.pipe("/plant/line1/IMAGES/a.jpg", b"changed")
    assert Tree.open("memory://plant/line1").fingerprint() != first


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_members_that_leave_the_archive_are_listed_and_never_read(kind: str, folder: Path) -> None:
    tree = Tree.open(archive(kind, folder, {"../evil.jpg": b"x", "/etc/evil.jpg": b"x"}))
    assert sorted(tree.files) == sorted(FILES)
    assert len(tree.unsafe) == 2
    assert len(tree.below("IMAGES/").unsafe) == 2  # they belong to no folder, so each of them reports them
    assert not list(folder.parent.glob("evil.jpg"))


def test_links_stay_inside(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"s")
    (folder / "IMAGES" / "out.jpg").symlink_to(tmp_path / "secret.jpg")
    (folder / "IMAGES" / "broken.jpg").symlink_to(tmp_path / "nothing.jpg")
    (folder / "loop").symlink_to(folder)
    (folder / "IMAGES" / "inside.jpg").symlink_to(folder / "IMAGES" / "a.jpg")
    tree = Tree.open(folder)
    assert sorted(tree.files) == sorted([*FILES, "IMAGES/inside.jpg"])
    assert sorted(error.path for error in tree.unsafe) == ["IMAGES/broken.jpg", "IMAGES/out.jpg", "loop"]


def test_circular_links_and_unusual_names_are_listed(folder: Path) -> None:
    (folder / "circle.jpg").symlink_to(folder / "circle.jpg")
    (folder / "back\\slash.jpg").write_bytes(b"x")
    Path(os.fsdecode(os.fsencode(folder) + b"/\xb8\xb1.jpg")).write_bytes(b"x")
    tree = Tree.open(folder)
    assert sorted(tree.files) == sorted(FILES)
    assert len(tree.unsafe) == 3
    for error in tree.unsafe:
        str(error).encode("utf-8")
    assert tree.fingerprint()


def test_file_urls_are_folders(folder: Path, tmp_path: Path) -> None:
    (folder / "IMAGES" / "out.jpg").symlink_to(tmp_path)
    tree = Tree.open(f"file://{folder}")
    assert sorted(tree.files) == sorted(FILES)
    assert [error.path for error in tree.unsafe] == ["IMAGES/out.jpg"]


def test_a_damaged_zip_member_fails_alone(folder: Path) -> None:
    path = archive("zip", folder)
    data = path.read_bytes()
    path.write_bytes(data.replace(b"aa", b"ab", 1))
    tree = Tree.open(path)
    with pytest.raises(MalformedAnnotationError, match=r"IMAGES/a\.jpg: cannot be read: Bad CRC"):
        tree.read("IMAGES/a.jpg")
    assert tree.read("IMAGES/b.jpg") == b"b"


def test_a_damaged_gzip_is_refused(folder: Path) -> None:
    path = archive("tar.gz", folder)
    data = bytearray(path.read_bytes())
    data[-8] ^= 0xFF  # the checksum itself, which tarfile never reads
    path.write_bytes(data)
    with pytest.raises(LayoutError, match="Cannot unpack"):
        Tree.open(path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_unreadable_entries_are_reported(folder: Path) -> None:
    (folder / "notes").chmod(0)
    try:
        assert [error.path for error in Tree.open(folder).unsafe] == ["notes"]
    finally:
        (folder / "notes").chmod(0o755)


def test_fingerprint_follows_size_and_time_of_wanted_files_only(folder: Path) -> None:
    def fingerprint() -> str:
        return Tree.open(folder).fingerprint(lambda path: path.startswith("IMAGES/"))

    first = fingerprint()
    (folder / "notes" / "deep" / "c.txt").write_bytes(b"other")
    assert fingerprint() == first
    os.utime(folder / "IMAGES" / "a.jpg", ns=(1, 1))
    assert fingerprint() != first


def test_inputs_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match="no such folder"):
        Tree.open(tmp_path / "nothing")
    for name in ("broken.zip", "broken.tar", "broken.tar.gz", "table.csv"):
        (tmp_path / name).write_bytes(b"not an archive at all")
        with pytest.raises(LayoutError, match=name):
            Tree.open(tmp_path / name)


def test_layout_roots_finds_the_folder_its_parent_and_twice(folder: Path) -> None:
    marker = r"IMAGES/[^/]+\.jpg"
    assert layout_roots(Tree.open(folder), marker) == [""]
    assert layout_roots(Tree.open(folder.parent), marker) == ["raw/"]
    assert layout_roots(Tree.open(folder / "notes"), marker) == []


@pytest.mark.parametrize("member", ["../a", "a/../../b", "/etc/passwd", "C:\\a", "C:a", "..\\a", "\\\\host\\share\\a"])
def test_unsafe_members(member: str) -> None:
    assert is_unsafe(member)


@pytest.mark.parametrize("member", ["a/b.jpg", "a..b/c", "Xgdxannotate('C',37)", "ground_truth.txt;"])
def test_safe_members(member: str) -> None:
    assert not is_unsafe(member)


@pytest.mark.parametrize("path", ["C:\\plant\\NEU-DET", "\\\\server\\share\\NEU-DET", "D:NEU-DET", "line 1\\NEU"])
def test_windows_paths_are_paths(path: str) -> None:
    assert not is_url(str(PureWindowsPath(path)))
    assert not is_url(PureWindowsPath(path).as_posix())


def test_a_windows_archive_reaches_fsspec_as_a_local_file() -> None:
    url = _zip_url(PureWindowsPath("C:\\plant data\\NEU-DET.zip"))
    assert url == "zip://::C:/plant data/NEU-DET.zip"
    assert fsspec.core.split_protocol(url.partition("::")[2]) == (None, "C:/plant data/NEU-DET.zip")
