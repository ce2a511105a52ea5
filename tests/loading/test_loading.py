from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import datasets
import pytest
from datasets import load_dataset as plain_load_dataset  # before radikal_datasets, as in a user's notebook

import radikal_datasets
from radikal_datasets import build_hub_folder, load_dataset, verify
from radikal_datasets.errors import ConfigNameError, LayoutError, ProtocolError, SourceNotFoundError, UnknownSourceError

SOURCE = "radikal_datasets/deeppcb"


@pytest.fixture
def tree(sample_tree: Callable[..., Path]) -> Path:
    return sample_tree("deeppcb")


def rows(dataset: datasets.Dataset) -> list[dict]:
    """Rows as they are stored: images as bytes."""
    plain = dataset.cast_column("image", datasets.Image(decode=False))
    plain = plain.cast_column("reference", datasets.Image(decode=False))
    return list(plain.cast_column("masks", datasets.List(datasets.Image(decode=False))))


def test_datasets_still_has_the_function_we_wrap() -> None:
    """The first test to fail when a new release of datasets moves what `loading.install` relies on."""
    for module in (datasets.load, datasets.inspect):
        assert module.dataset_module_factory._radikal_datasets
        assert module.dataset_module_factory.__wrapped__.__name__ == "dataset_module_factory"
    assert {"module_path", "hash", "builder_kwargs"} <= set(datasets.load.DatasetModule.__dataclass_fields__)
    assert datasets.__version__.startswith("5.")


def test_plain_datasets_loads_the_same(tree: Path, tmp_path: Path) -> None:
    ours = load_dataset(SOURCE, data_dir=tree, cache_dir=tmp_path)
    plain = plain_load_dataset(SOURCE, data_dir=str(tree), cache_dir=str(tmp_path))
    assert ours.keys() == plain.keys()
    for split in ours:
        assert rows(ours[split]) == rows(plain[split])
    assert ours["train"].cache_files == plain["train"].cache_files  # one cache, not two
    assert datasets.get_dataset_config_names(SOURCE, data_dir=str(tree)) == ["default"]


def test_plain_datasets_takes_protocol_and_strict(tree: Path, tmp_path: Path) -> None:
    official = plain_load_dataset(SOURCE, data_dir=str(tree), cache_dir=str(tmp_path), protocol="official", strict=True)
    assert set(official) == {"train", "test"}


def test_streamed_and_converted_in_processes_are_equal(tree: Path, tmp_path: Path) -> None:
    cached = load_dataset(SOURCE, data_dir=tree, cache_dir=tmp_path / "one")
    parallel = load_dataset(SOURCE, data_dir=tree, cache_dir=tmp_path / "two", num_proc=2)
    streamed = load_dataset(SOURCE, data_dir=tree, streaming=True)
    assert list(cached) == list(parallel) == list(streamed)
    for split in cached:
        assert rows(cached[split]) == rows(parallel[split])
        assert [row["image_id"] for row in streamed[split]] == cached[split]["image_id"]


def test_standing_in_the_tree_keeps_the_bytes(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`datasets.Image.encode_example` drops the bytes of an image whose path exists in the working directory."""
    monkeypatch.chdir(tree)
    loaded = load_dataset(SOURCE, data_dir=".", cache_dir=tmp_path)
    for row in rows(loaded["train"]):
        assert row["image"]["bytes"] == (tree / row["image"]["path"]).read_bytes()


def test_radikal_data_is_searched_second(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RADIKAL_DATA", str(tree.parent))
    assert load_dataset(SOURCE, cache_dir=tmp_path, split="train").num_rows > 0
    with pytest.raises(SourceNotFoundError, match="no such folder"):
        load_dataset(SOURCE, data_dir=tmp_path / "nothing")  # given but missing: nothing else is tried


def test_error_for_missing_data_names_the_download_page(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SourceNotFoundError) as caught:
        load_dataset("radikal_datasets/gdxray", "castings")
    message = str(caught.value)
    for part in (
        "page: http",
        "License: ",
        "Castings",
        'load_dataset("radikal_datasets/gdxray", "castings", data_dir=',
    ):
        assert part in message
    assert isinstance(caught.value, FileNotFoundError)


@pytest.mark.parametrize("protocol", [None, "recommended"])
def test_a_hub_without_the_dataset_is_listed_among_the_places_searched(
    protocol: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RADIKAL_NAMESPACE", "plant")
    with pytest.raises(SourceNotFoundError, match=r"(?s)contacted for plant/neu_det.*Download page: http"):
        load_dataset("radikal_datasets/neu_det", protocol=protocol, cache_dir=tmp_path)


def test_unknown_names(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownSourceError, match="neu_det"):
        load_dataset("radikal_datasets/gdxrai", data_dir=tree)
    with pytest.raises(ConfigNameError, match="castings"):
        load_dataset("radikal_datasets/gdxray", data_dir=tree)
    with pytest.raises(ConfigNameError, match="default"):
        load_dataset(SOURCE, "castings", data_dir=tree)
    with pytest.raises(LayoutError, match=r"trainval\.txt"):
        load_dataset(SOURCE, data_dir=tmp_path)
    with pytest.raises(ProtocolError, match=r"recommended.*70-15-15"):
        load_dataset("radikal_datasets/neu_det", data_dir=tree, protocol="official")
    with pytest.raises(ValueError, match="train"):
        load_dataset(SOURCE, data_dir=tree, cache_dir=tmp_path, split="unlabeled")


def test_the_cache_follows_the_tree_and_the_settings(tree: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    shutil.copytree(tree, own)

    def cache_of(**settings: object) -> str:
        loaded = load_dataset(SOURCE, data_dir=own, cache_dir=tmp_path / "cache", split="train", **settings)
        return str(Path(loaded.cache_files[0]["filename"]).parent)

    first = cache_of()
    assert cache_of() == first
    assert cache_of(protocol="recommended", strict=False) == first
    assert cache_of(protocol="70-15-15") != first
    assert cache_of(strict=True) != first
    (own / "notes.md").write_text("not a file this source reads")
    assert cache_of() == first
    os.utime(next(own.glob("group*/*/*_test.jpg")), ns=(1, 1))
    assert cache_of() != first


def test_a_relative_data_dir_shares_the_cache(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_dataset(SOURCE, data_dir=tree, cache_dir=tmp_path, split="train")
    monkeypatch.chdir(tree.parent)
    assert load_dataset(SOURCE, data_dir="deeppcb", cache_dir=tmp_path, split="train").cache_files == first.cache_files


def test_a_cache_hit_reports_the_same_problems(
    sample_tree: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = sample_tree("deeppcb", broken=True)
    reported = []
    for number in range(3):
        caplog.clear()
        with caplog.at_level(logging.INFO, "radikal_datasets.building.builder"):
            load_dataset(
                SOURCE, data_dir=broken, cache_dir=tmp_path / str(number > 1), num_proc=2 if number > 1 else None
            )
        reported.append([record.getMessage() for record in caplog.records])
    assert reported[0] == reported[1] == reported[2]
    assert "unreadable_image" in reported[0][0]


def test_a_prepared_folder_loads_in_every_way(tree: Path, tmp_path: Path) -> None:
    folder = tmp_path / "hub"
    radikal_datasets.build_hub_folder("deeppcb", data_dir=tree, output_dir=folder, protocol="70-15-15")
    raw = load_dataset(SOURCE, data_dir=tree, cache_dir=tmp_path / "cache", protocol="70-15-15")
    cache = str(tmp_path / "cache")
    doors = {
        "plain, the folder": plain_load_dataset(str(folder), cache_dir=cache),
        "ours, the folder": load_dataset(str(folder), cache_dir=cache, protocol="70-15-15"),
        "ours, data_dir": load_dataset(SOURCE, data_dir=folder, cache_dir=cache, protocol="70-15-15"),
        "plain, data_dir": plain_load_dataset(SOURCE, data_dir=str(folder), cache_dir=cache),
        "plain, by config": plain_load_dataset(SOURCE, "default", data_dir=str(folder), cache_dir=cache),
    }
    for door, loaded in doors.items():
        assert list(loaded) == list(raw), door
        for split in raw:
            assert loaded[split].features == raw[split].features, door
            assert rows(loaded[split]) == rows(raw[split]), door
    with pytest.raises(ProtocolError, match="was prepared with protocol '70-15-15', not 'official'"):
        load_dataset(SOURCE, data_dir=folder, protocol="official")


def test_a_prepared_folder_says_that_strict_is_late(
    tree: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = radikal_datasets.build_hub_folder("deeppcb", data_dir=tree, output_dir=tmp_path / "hub")
    load_dataset(SOURCE, data_dir=folder, cache_dir=tmp_path, strict=True)
    assert "strict has no effect" in caplog.text


def test_any_other_path_is_passed_on_unchanged(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    loaded = load_dataset("csv", data_files=str(tmp_path / "table.csv"), cache_dir=tmp_path / "cache", split="train")
    assert loaded[0] == {"a": 1, "b": 2}


def test_works_from_an_empty_folder_in_a_process_of_its_own(tree: Path, tmp_path: Path) -> None:
    code = (
        "from datasets import load_dataset\nimport radikal_datasets\n"
        f"loaded = load_dataset('{SOURCE}', data_dir={str(tree)!r}, cache_dir={str(tmp_path / 'c')!r})\n"
        "print(loaded['test'].num_rows)"
    )
    empty = tmp_path / "empty"
    empty.mkdir()
    done = subprocess.run([sys.executable, "-c", code], cwd=empty, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0
    assert not any(empty.iterdir())


@pytest.mark.parametrize("path", ["neu_det", "neu-det", "radikal-datasets/neu_det", "radikal-datasets/neu-det"])
def test_typos_are_reported_before_any_request(path: str) -> None:
    with pytest.raises(UnknownSourceError, match="Did you mean 'radikal_datasets/neu_det'"):
        load_dataset(path)


def test_misspelled_source() -> None:
    with pytest.raises(UnknownSourceError, match=r"Did you mean neu_det\?"):
        load_dataset("radikal_datasets/neudet")


def test_an_unknown_argument() -> None:
    with pytest.raises(TypeError, match=r"no argument 'datadir'\. Did you mean 'data_dir'"):
        load_dataset("radikal_datasets/neu_det", datadir="x")


def test_a_prepared_folder_is_not_a_raw_tree(sample_tree: Callable[..., Path], tmp_path: Path) -> None:
    build_hub_folder("neu_det", data_dir=sample_tree("neu_det"), output_dir=tmp_path / "hub")
    with pytest.raises(LayoutError, match="was written by prepare"):
        verify("neu_det", data_dir=tmp_path / "hub")
