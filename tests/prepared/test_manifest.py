from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radikal_datasets import build_hub_folder
from radikal_datasets.errors import HubFolderError
from radikal_datasets.prepared import checksum_cache as notes
from radikal_datasets.prepared.manifest import ConfigEntry, FileEntry, Manifest, check_folder

counts = st.integers(0, 2**50)
shas = st.text("0123456789abcdef", min_size=64, max_size=64)
names = st.text("abcxyz_09", min_size=1, max_size=8)


@st.composite
def config_entries(draw: st.DrawFn, name: str) -> ConfigEntry:
    files = draw(
        st.dictionaries(names.map(lambda n: f"{name}/{n}.parquet"), st.builds(FileEntry, shas, counts, counts))
    )
    files |= draw(st.sampled_from([{}, {f"previews/{name}.jpg": FileEntry("0" * 64, 1)}]))
    return ConfigEntry(draw(st.text()), files, draw(st.dictionaries(st.text(), counts, max_size=3)))


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    configs = {name: draw(config_entries(name)) for name in draw(st.lists(names, unique=True, max_size=3))}
    return Manifest("gdxray", draw(st.text()), draw(counts), draw(st.text()), configs)


@given(manifests(), st.randoms())
def test_a_manifest_is_read_as_it_was_written_in_whatever_order_it_was_made(manifest: Manifest, random) -> None:
    text = manifest.to_json()
    assert Manifest.parse(text) == manifest
    shuffled = list(manifest.configs)
    random.shuffle(shuffled)
    manifest.configs = {name: manifest.configs[name] for name in shuffled}
    assert manifest.to_json() == text


@given(manifests(), manifests())
def test_merging_manifests(one: Manifest, other: Manifest) -> None:
    merged = one.merged_onto(other)
    assert merged.configs == {**other.configs, **one.configs}
    assert one.merged_onto(merged) == merged
    assert one.merged_onto(None) == one
    other.source = "dagm2007"
    with pytest.raises(HubFolderError, match="dagm2007"):
        one.merged_onto(other)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@given(st.text() | json_values.map(json.dumps), st.data())
def test_garbage_is_refused_and_named(text: str, data: st.DataObject) -> None:
    with pytest.raises(HubFolderError, match=r"there/manifest\.json"):
        Manifest.parse(text, "there/manifest.json")
    # One field of a valid manifest replaced by anything: it is read or refused, and nothing else happens.
    good = json.loads(
        Manifest("x", "1", 1, "1", {"a": ConfigEntry("p", {"a/b.parquet": FileEntry("0" * 64, 1, 1)})}).to_json()
    )
    place = good
    for key in data.draw(
        st.sampled_from(
            [("source",), ("configs",), ("configs", "a"), ("configs", "a", "files", "a/b.parquet", "bytes")]
        )
    ):
        parent, last, place = place, key, place[key]
    parent[last] = data.draw(json_values)
    with contextlib.suppress(HubFolderError):
        Manifest.parse(json.dumps(good))


@pytest.mark.parametrize(
    "path",
    ["../x.parquet", "/x.parquet", "a/../../x", "a\\x.parquet", "a/b/c.parquet", "x.parquet", "a/..", "b/x", "a//x"],
)
def test_a_path_that_leaves_its_folder_is_refused(path: str) -> None:
    text = Manifest("x", "1", 1, "1", {"a": ConfigEntry("p", {path: FileEntry("0" * 64, 1, 1)})}).to_json()
    with pytest.raises(HubFolderError, match="path"):
        Manifest.parse(text)


@pytest.fixture
def folder(sample_tree: Callable[..., Path], tmp_path: Path) -> Path:
    return build_hub_folder("deeppcb", data_dir=sample_tree("deeppcb"), output_dir=tmp_path / "hub")


def shard(folder: Path) -> Path:
    return folder / "default" / "train-00000-of-00001.parquet"


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_unchanged_files_are_not_read_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []
    monkeypatch.setattr(notes, "sha256_of", lambda path: hashed.append(path.name))
    manifest = check_folder(folder)
    assert hashed == []
    assert manifest.files.keys() == {p.relative_to(folder).as_posix() for p in folder.glob("[!.]*/*")}
    assert manifest.configs["default"].counters["swapped_corners"] == 1
    assert sum(file.rows or 0 for file in manifest.files.values()) == 12


@pytest.mark.parametrize("how", ["as they are", "without notes", "all hashed"])
def test_a_copied_folder_is_valid(folder: Path, tmp_path: Path, how: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy, copy_function=shutil.copyfile)  # new timestamps
    if how == "without notes":
        (copy / notes.NOTES_FILENAME).unlink()
    assert check_folder(copy, rehash=how == "all hashed") == check_folder(folder)


def test_a_damaged_shard_is_found(folder: Path) -> None:
    stat = shard(folder).stat()
    flip_a_bit(shard(folder))
    with pytest.raises(HubFolderError, match=r"train-00000-of-00001.*sha256.*Run prepare again"):
        check_folder(folder)
    os.utime(shard(folder), ns=(stat.st_atime_ns, stat.st_mtime_ns))  # happens only on a failing disk
    check_folder(folder)
    with pytest.raises(HubFolderError, match="train-00000-of-00001"):
        check_folder(folder, rehash=True)


def miscount(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"swapped_corners": 1', '"swapped_corners": 2'))


@pytest.mark.parametrize(
    ("harm", "reported"),
    [
        (lambda f: shard(f).unlink(), r"train-00000.* is missing"),
        (lambda f: shard(f).write_bytes(b"PAR1"), r"train-00000.* has 4 bytes"),
        (lambda f: (f / "previews" / "default.jpg").unlink(), r"default\.jpg is missing"),
        (lambda f: (f / "manifest.json").unlink(), r"no manifest\.json"),
        (lambda f: (f / "manifest.json").write_text("{}"), r"manifest\.json is not a manifest"),
        (lambda f: (f / "manifest.json").write_bytes(b"\xff\xfe"), "is not a text file"),
        (lambda f: (f / "README.md").unlink(), r"README\.md is missing"),
        (lambda f: (f / "README.md").write_text("# mine"), "do not match"),
        (lambda f: (f / "README.md").write_text("---\na: [\n---\n"), r"README\.md, line \d: cannot parse the YAML"),
        (
            lambda f: shutil.copy(shard(f), f / "default" / "train-00001-of-00002.parquet"),
            "train-00001.* is not listed in",
        ),
        (miscount, r"README.md and manifest.json .* differ in default"),
    ],
)
def test_incomplete_folders_are_refused_and_repaired_by_prepare(
    folder: Path, harm: Callable[[Path], object], reported: str, sample_tree: Callable[..., Path]
) -> None:
    before = check_folder(folder)
    harm(folder)
    with pytest.raises(HubFolderError, match=reported):
        check_folder(folder)
    if "parse" not in reported:  # a card that people may have edited is not discarded
        build_hub_folder("deeppcb", data_dir=sample_tree("deeppcb"), output_dir=folder)
        assert check_folder(folder, rehash=True) == before
