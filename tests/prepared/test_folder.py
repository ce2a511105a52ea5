from __future__ import annotations

import itertools
import logging
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import datasets
import PIL.Image
import pyarrow.parquet as pq
import pytest
from huggingface_hub import DatasetCard

from radikal_datasets import build_hub_folder
from radikal_datasets.errors import HubFolderError, LayoutError
from radikal_datasets.prepared import atomic_folder as staging
from radikal_datasets.prepared import folder as hub_folder
from radikal_datasets.prepared import previews, shards
from radikal_datasets.prepared.manifest import Manifest, check_folder
from radikal_datasets.prepared.reading import is_hub_folder
from radikal_datasets.schema import features
from radikal_datasets.sources import source_info
from tests.hub.files import checksums


def test_shards_are_bounded_complete_and_the_same_twice(sample_tree: Callable[..., Path], tmp_path: Path) -> None:
    tree = sample_tree("deeppcb")
    limit = 200_000
    for number, processes in enumerate((None, 2)):
        build_hub_folder(
            "deeppcb", data_dir=tree, output_dir=tmp_path / str(number), max_shard_bytes=limit, num_proc=processes
        )
    assert checksums(tmp_path / "0") == checksums(tmp_path / "1")
    shards = sorted((tmp_path / "0" / "default").glob("train-*.parquet"))
    assert len(shards) > 1
    assert [path.name for path in shards] == [f"train-{n:05d}-of-{len(shards):05d}.parquet" for n in range(len(shards))]
    for path in shards:
        assert path.stat().st_size <= limit or pq.read_metadata(path).num_rows == 1
        assert pq.read_schema(path).metadata[b"huggingface"]
    names = source_info("deeppcb").configs[0].classes
    assert datasets.load_dataset(str(tmp_path / "0"), split="train").features == features(names)


def test_configs_share_one_card_and_keep_each_other(sample_tree: Callable[..., Path], tmp_path: Path) -> None:
    tree = sample_tree("dagm2007")
    build_hub_folder("dagm2007", ["class1"], data_dir=tree, output_dir=tmp_path / "a", protocol="official")
    build_hub_folder("dagm2007", ["class2"], data_dir=tree, output_dir=tmp_path / "a")
    card = DatasetCard.load(tmp_path / "a" / "README.md")
    assert [config["config_name"] for config in card.data.to_dict()["configs"]] == ["class1", "class2"]
    assert card.data.to_dict()["radikal_datasets"]["protocol"] == {"class1": "official", "class2": "recommended"}
    assert "Configuration `class1`" in card.text
    assert "Configuration `class2`" in card.text
    assert datasets.get_dataset_config_names(str(tmp_path / "a")) == ["class1", "class2"]
    before = checksums(tmp_path / "a" / "class2")
    build_hub_folder("dagm2007", ["class1"], data_dir=tree, output_dir=tmp_path / "a")
    assert checksums(tmp_path / "a" / "class2") == before
    card = DatasetCard.load(tmp_path / "a" / "README.md")
    assert card.text.count("Configuration `class1`") == 1
    assert {"train", "validation", "test"} <= set(datasets.load_dataset(str(tmp_path / "a"), "class1"))


def test_without_configs_all_available_ones_are_prepared(sample_tree: Callable[..., Path], tmp_path: Path) -> None:
    build_hub_folder("gdxray", data_dir=sample_tree("gdxray"), output_dir=tmp_path / "a")
    assert set(source_info("gdxray").config_names) >= {p.parent.name for p in (tmp_path / "a").glob("*/*.parquet")}
    with pytest.raises(LayoutError, match="layout of gdxray"):
        build_hub_folder("gdxray", data_dir=sample_tree("deeppcb"), output_dir=tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_an_interrupted_prepare_keeps_the_previous_state(
    sample_tree: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree, out = sample_tree("dagm2007"), tmp_path / "hub"
    build_hub_folder("dagm2007", ["class1", "class2"], data_dir=tree, output_dir=out)
    before = checksums(out)
    write_shard = shards.write_shard

    def interrupted(builder, folder, shard):
        if builder.config.name == "class2" and shard.split == "test":
            raise KeyboardInterrupt
        return write_shard(builder, folder, shard)

    monkeypatch.setattr(shards, "write_shard", interrupted)
    for output in (out, tmp_path / "new"):
        with pytest.raises(KeyboardInterrupt):
            build_hub_folder("dagm2007", ["class1", "class2"], data_dir=tree, output_dir=output, protocol="70-15-15")
    assert checksums(out) == before
    assert list((tmp_path / "new").iterdir()) == []


def test_a_killed_prepare_is_cleaned_up_by_the_next(sample_tree: Callable[..., Path], tmp_path: Path) -> None:
    left_over = tmp_path / f"{staging._PREFIX}0123abcd" / "new" / "default"
    left_over.mkdir(parents=True)
    (left_over / "train-00000-of-00001.parquet").write_bytes(b"half")
    (tmp_path / "README.md").write_text("# notes")
    assert not is_hub_folder(tmp_path)
    build_hub_folder("deeppcb", data_dir=sample_tree("deeppcb"), output_dir=tmp_path)
    there = {".radikal.json", "README.md", "croissant.json", "default", "manifest.json", "previews"}
    assert {path.name for path in tmp_path.iterdir()} == there
    assert "# notes" in (tmp_path / "README.md").read_text()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_others_may_read_what_was_prepared(sample_tree: Callable[..., Path], tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        build_hub_folder("deeppcb", data_dir=sample_tree("deeppcb"), output_dir=tmp_path / "hub")
    finally:
        os.umask(old)
    for path in [tmp_path / "hub", *(tmp_path / "hub").rglob("*")]:
        assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644), path


# ---- the second time ----


def times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.fixture
def no_conversion(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("a shard is written again")

    monkeypatch.setattr(hub_folder._Folder, "_convert", refuse)


@pytest.fixture
def prepared(sample_tree: Callable[..., Path], tmp_path: Path) -> tuple[Path, Path]:
    """A separate tree, and a folder with two of its configurations."""
    tree, out = tmp_path / "raw", tmp_path / "hub"
    shutil.copytree(sample_tree("mvtec_ad"), tree)
    build_hub_folder("mvtec_ad", ["bottle", "cable"], data_dir=tree, output_dir=out)
    return tree, out


def test_a_second_prepare_rewrites_nothing(prepared: tuple[Path, Path], no_conversion: None) -> None:
    tree, out = prepared
    before = times(out)
    for configs in (["bottle", "cable"], "cable"):
        build_hub_folder("mvtec_ad", configs, data_dir=tree, output_dir=out)
        assert times(out) == before


def test_a_copied_tree_gives_the_same_bytes_anywhere_and_the_old_files_stay(
    prepared: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree, out = prepared
    copy = tmp_path / "elsewhere" / "copy"
    shutil.copytree(tree, copy, copy_function=shutil.copyfile)
    for number, path in enumerate(sorted(copy.rglob("*"))):
        os.utime(path, (10**9 + number, 10**9 + number))
    monkeypatch.chdir(copy)
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    time.tzset()
    try:
        build_hub_folder("mvtec_ad", ["cable", "bottle"], data_dir=".", output_dir=tmp_path / "b", num_proc=2)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert checksums(tmp_path / "b") == checksums(out)
    before = times(out)
    build_hub_folder("mvtec_ad", ["bottle", "cable"], data_dir=copy, output_dir=out)
    changed = {path.name for path, mtime in times(out).items() if before.get(path) != mtime}
    assert changed <= {".radikal.json"}
    check_folder(out)


def test_configurations_prepared_one_by_one_equal_those_prepared_together(
    prepared: tuple[Path, Path], tmp_path: Path
) -> None:
    tree, out = prepared
    for config in ("cable", "bottle"):
        build_hub_folder("mvtec_ad", config, data_dir=tree, output_dir=tmp_path / "b")
    assert checksums(tmp_path / "b") == checksums(out)


def test_only_what_changed_is_replaced(prepared: tuple[Path, Path]) -> None:
    tree, out = prepared
    before, manifest = times(out), check_folder(out)
    sorted((tree / "bottle").glob("train/good/*"))[0].unlink()
    build_hub_folder("mvtec_ad", ["bottle", "cable"], data_dir=tree, output_dir=out)
    after = times(out)
    unchanged = [path for path in before if path.is_relative_to(out / "cable") or path.name == "cable.jpg"]
    assert len(unchanged) > 2
    assert all(after[path] == before[path] for path in unchanged)
    assert check_folder(out).configs["cable"] == manifest.configs["cable"]
    rows = [sum(f.rows or 0 for f in m.configs["bottle"].files.values()) for m in (manifest, check_folder(out))]
    assert rows[0] - rows[1] == 1


@pytest.mark.parametrize("keep_time", [False, True])
def test_a_damaged_shard_is_written_again(prepared: tuple[Path, Path], keep_time: bool) -> None:
    tree, out = prepared
    before, times_before = checksums(out), times(out)
    shard = next((out / "cable").glob("train-*"))
    stat = shard.stat()
    shard.write_bytes(shard.read_bytes()[:-10] + (b"" if keep_time else b"0123456789"))
    if keep_time:
        os.utime(shard, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    build_hub_folder("mvtec_ad", ["bottle", "cable"], data_dir=tree, output_dir=out)
    assert checksums(out) == before
    assert all(times(out)[path] == t for path, t in times_before.items() if path.is_relative_to(out / "bottle"))


def test_a_file_that_was_only_touched_is_hashed_and_stays(prepared: tuple[Path, Path], no_conversion: None) -> None:
    tree, out = prepared
    shard = next((out / "cable").glob("train-*"))
    os.utime(shard, (10**9, 10**9))
    for _ in range(2):
        build_hub_folder("mvtec_ad", ["bottle", "cable"], data_dir=tree, output_dir=out)
        assert shard.stat().st_mtime == 10**9


def test_shards_of_another_count_do_not_linger(prepared: tuple[Path, Path]) -> None:
    tree, out = prepared
    build_hub_folder("mvtec_ad", "cable", data_dir=tree, output_dir=out, max_shard_bytes=70_000)
    many = list((out / "cable").glob("train-*"))
    assert len(many) > 1
    assert all(path.name.endswith(f"-of-{len(many):05d}.parquet") for path in many)
    assert all(path.stat().st_size <= 70_000 for path in (out / "cable").iterdir())  # masks included
    check_folder(out)
    build_hub_folder("mvtec_ad", "cable", data_dir=tree, output_dir=out)
    assert [path.name for path in (out / "cable").glob("train-*")] == ["train-00000-of-00001.parquet"]
    check_folder(out)


def test_prose_in_the_card_stays_and_shards_are_not_written_for_it(
    prepared: tuple[Path, Path], no_conversion: None
) -> None:
    tree, out = prepared
    card = out / "README.md"
    text = card.read_text().replace("## Citation", "## Cited")  # within a block: ours
    card.write_text(
        text.replace("<!-- radikal: end config cable -->\n", "<!-- radikal: end config cable -->\n\nMine.\n")
    )
    build_hub_folder("mvtec_ad", ["bottle", "cable"], data_dir=tree, output_dir=out)
    assert "<!-- radikal: end config cable -->\n\nMine.\n\n<!--" in card.read_text()
    assert "## Citation" in card.read_text()
    before = times(out)
    build_hub_folder("mvtec_ad", ["bottle", "cable"], data_dir=tree, output_dir=out)
    assert times(out) == before


def test_a_card_that_does_not_parse_is_left_alone(prepared: tuple[Path, Path]) -> None:
    tree, out = prepared
    (out / "README.md").write_text("---\nlicense: mit\ntags: [\n---\nMine.\n")
    before = times(out)
    with pytest.raises(HubFolderError, match=r"README\.md, line 3: cannot parse the YAML"):
        build_hub_folder("mvtec_ad", "bottle", data_dir=tree, output_dir=out, protocol="official")
    assert times(out) == before


class Killed(BaseException):
    """Stands in for SIGKILL: none of this package's code runs after it."""


def test_after_a_kill_at_any_moment_the_next_prepare_repairs(
    prepared: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before each rename in turn; even preparing another configuration leaves a complete folder."""
    tree, first = prepared
    both, official = ["bottle", "cable", "tile"], "official"
    old = checksums(first)
    build_hub_folder("mvtec_ad", both, data_dir=tree, output_dir=tmp_path / "new", protocol=official)
    new = checksums(tmp_path / "new")
    rename, replace = Path.rename, Path.replace
    seen: set[str] = set()
    for moment in itertools.count():
        out = tmp_path / f"out{moment}"
        shutil.copytree(first, out)
        left = moment

        def guarded(self: Path, target: Path, original: Callable[[Path, Path], Path]) -> Path:
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed
            return original(self, target)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", lambda self, target: guarded(self, target, rename))
            patch.setattr(Path, "replace", lambda self, target: guarded(self, target, replace))
            patch.setattr(staging.Stage, "close", lambda self: None)
            try:
                build_hub_folder("mvtec_ad", both, data_dir=tree, output_dir=out, protocol=official)
                finished = True
            except Killed:
                finished = False
        try:
            check_folder(out)
            state = {str(old): "old", str(new): "new"}[str(checksums_without_stage(out))]
        except HubFolderError as error:
            assert "prepare again" in str(error)
            state = "refused"
        seen.add(state)
        if not finished:
            other = tmp_path / "other"
            shutil.copytree(out, other)
            build_hub_folder("mvtec_ad", "tile", data_dir=tree, output_dir=other, protocol=official)
            assert check_folder(other, rehash=True).configs.keys() == set(both)
            shutil.rmtree(other)
        build_hub_folder("mvtec_ad", both, data_dir=tree, output_dir=out, protocol=official)
        check_folder(out, rehash=True)
        assert checksums(out) == new
        assert not list(out.glob(".prepare-*"))
        shutil.rmtree(out)
        if finished:
            break
    assert moment > 8
    assert seen == {"old", "refused", "new"}


def checksums_without_stage(folder: Path) -> dict[str, str]:
    return {path: sha for path, sha in checksums(folder).items() if not path.startswith(".")}


def test_an_error_while_files_are_moved_undoes_all_of_it(
    prepared: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    tree, out = prepared
    before = checksums(out)
    original = staging.Stage._replace

    def full(self: staging.Stage, part: str) -> None:
        if part == "previews/cable.jpg":
            raise OSError(28, "No space left on device")
        original(self, part)

    monkeypatch.setattr(staging.Stage, "_replace", full)
    with pytest.raises(OSError, match="No space"):
        build_hub_folder("mvtec_ad", ["bottle", "cable"], data_dir=tree, output_dir=out, protocol="official")
    assert checksums(out) == before
    check_folder(out)


# ---- previews ----


def test_a_preview_is_small_reproducible_and_skips_undecodable_images(
    prepared: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tree, out = prepared
    entry = Manifest.load(out).files["previews/bottle.jpg"]
    assert entry.rows is None
    assert entry.bytes < previews.MAX_BYTES
    with PIL.Image.open(out / "previews" / "bottle.jpg") as sheet:
        assert sheet.format == "JPEG"
        assert sheet.width == 4 * 264 + 8
    for path in (tree / "bottle" / "test").rglob("*.png"):  # header and end are intact, the middle is not
        data = bytearray(path.read_bytes())
        data[60:-40] = bytes(len(data) - 100)
        path.write_bytes(data)
    with caplog.at_level(logging.INFO):
        build_hub_folder("mvtec_ad", "bottle", data_dir=tree, output_dir=out)
    assert "left out of the preview" in caplog.text
    with PIL.Image.open(out / "previews" / "bottle.jpg") as sheet:
        assert sheet.width == 264 + 8  # the defect-free one is left
    for path in (tree / "bottle").rglob("*/good/*.png"):
        data = bytearray(path.read_bytes())
        data[60:-40] = bytes(len(data) - 100)
        path.write_bytes(data)
    build_hub_folder("mvtec_ad", "bottle", data_dir=tree, output_dir=out)
    assert not (out / "previews" / "bottle.jpg").exists()
    assert "previews/bottle.jpg" not in (out / "README.md").read_text()
    check_folder(out)
