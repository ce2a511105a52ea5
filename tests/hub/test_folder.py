from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import datasets
import pyarrow.parquet as pq
import pytest
from huggingface_hub import DatasetCard

from radikal_datasets import build_hub_folder, load_dataset
from radikal_datasets.errors import LayoutError, OutputError
from radikal_datasets.hub import folder as hub_folder
from radikal_datasets.loading import is_hub_folder
from radikal_datasets.schema import features
from radikal_datasets.sources import source_info


def checksums(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


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
        assert path.stat().st_size < limit * 1.5 or pq.read_metadata(path).num_rows == 1
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


def test_without_configs_all_that_are_there(sample_tree: Callable[..., Path], tmp_path: Path) -> None:
    build_hub_folder("gdxray", data_dir=sample_tree("gdxray"), output_dir=tmp_path / "a")
    assert set(source_info("gdxray").config_names) >= {p.parent.name for p in (tmp_path / "a").glob("*/*.parquet")}
    with pytest.raises(LayoutError, match="layout of gdxray"):
        build_hub_folder("gdxray", data_dir=sample_tree("deeppcb"), output_dir=tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_an_interrupted_prepare_leaves_what_was_there(
    sample_tree: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree, out = sample_tree("dagm2007"), tmp_path / "hub"
    build_hub_folder("dagm2007", ["class1", "class2"], data_dir=tree, output_dir=out)
    before = checksums(out)
    write_shard = hub_folder._write_shard

    def interrupted(builder, folder, shard):
        if builder.config.name == "class2" and shard.split == "test":
            raise KeyboardInterrupt
        return write_shard(builder, folder, shard)

    monkeypatch.setattr(hub_folder, "_write_shard", interrupted)
    for output in (out, tmp_path / "new"):
        with pytest.raises(KeyboardInterrupt):
            build_hub_folder("dagm2007", ["class1", "class2"], data_dir=tree, output_dir=output, protocol="70-15-15")
    assert checksums(out) == before
    assert list((tmp_path / "new").iterdir()) == []


def test_a_killed_prepare_is_cleaned_up_by_the_next(sample_tree: Callable[..., Path], tmp_path: Path) -> None:
    left_over = tmp_path / f"{hub_folder._STAGE}0123abcd" / "default"
    left_over.mkdir(parents=True)
    (left_over / "train-00000-of-00001.parquet").write_bytes(b"half")
    (tmp_path / "README.md").write_text("# notes")
    assert not is_hub_folder(tmp_path)
    build_hub_folder("deeppcb", data_dir=sample_tree("deeppcb"), output_dir=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "default"]


@pytest.mark.parametrize("below", [".", "hub", "bottle/.."])
def test_nothing_is_written_into_the_raw_tree(below: str, sample_tree: Callable[..., Path], tmp_path: Path) -> None:
    tree = tmp_path / "raw"
    shutil.copytree(sample_tree("mvtec_ad"), tree)
    before = checksums(tree)
    with pytest.raises(OutputError, match="raw tree"):
        build_hub_folder("mvtec_ad", "bottle", data_dir=tree, output_dir=tree / below)
    assert checksums(tree) == before


def test_files_that_are_not_ours_are_not_replaced(sample_tree: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "default").mkdir()
    (tmp_path / "default" / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"notes\.txt"):
        build_hub_folder("deeppcb", data_dir=sample_tree("deeppcb"), output_dir=tmp_path)
    assert (tmp_path / "default" / "notes.txt").read_text() == "mine"


def test_a_folder_belongs_to_one_source(sample_tree: Callable[..., Path], tmp_path: Path) -> None:
    build_hub_folder("deeppcb", data_dir=sample_tree("deeppcb"), output_dir=tmp_path)
    with pytest.raises(OutputError, match="holds deeppcb"):
        build_hub_folder("neu_det", data_dir=sample_tree("neu_det"), output_dir=tmp_path)
    with pytest.raises(LayoutError, match="prepared from deeppcb"):
        load_dataset("radikal_datasets/neu_det", data_dir=tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_others_may_read_what_was_prepared(sample_tree: Callable[..., Path], tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        build_hub_folder("deeppcb", data_dir=sample_tree("deeppcb"), output_dir=tmp_path / "hub")
    finally:
        os.umask(old)
    for path in [tmp_path / "hub", *(tmp_path / "hub").rglob("*")]:
        assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644), path


def test_the_card_tells_the_truth(sample_tree: Callable[..., Path], tmp_path: Path) -> None:
    build_hub_folder("deeppcb", data_dir=sample_tree("deeppcb"), output_dir=tmp_path)
    card = DatasetCard.load(tmp_path / "README.md")
    loaded = datasets.load_dataset(str(tmp_path))
    data = card.data.to_dict()
    assert data["license"] == "mit"
    assert {split["name"]: split["num_examples"] for split in data["dataset_info"]["splits"]} == {
        split: dataset.num_rows for split, dataset in loaded.items()
    }
    for split, dataset in loaded.items():
        boxes = sum(len(labels) for labels in dataset["labels"])
        clean = sum(not labels for labels in dataset["labels"])
        assert f"| {split} | {dataset.num_rows:,} | {clean:,} | {boxes:,} |" in card.text
