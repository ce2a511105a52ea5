"""Places where `prepare` refuses to write."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from radikal_datasets import build_hub_folder, load_dataset
from radikal_datasets.errors import LayoutError, OutputError
from tests.hub.files import checksums


@pytest.mark.parametrize("below", [".", "hub", "bottle/.."])
def test_nothing_is_written_into_the_raw_tree(below: str, sample_tree: Callable[..., Path], tmp_path: Path) -> None:
    tree = tmp_path / "raw"
    shutil.copytree(sample_tree("mvtec_ad"), tree)
    before = checksums(tree)
    with pytest.raises(OutputError, match="raw tree"):
        build_hub_folder("mvtec_ad", "bottle", data_dir=tree, output_dir=tree / below)
    assert checksums(tree) == before


def test_foreign_files_are_not_replaced(sample_tree: Callable[..., Path], tmp_path: Path) -> None:
    tree, notes = sample_tree("deeppcb"), tmp_path / "default" / "notes.txt"
    notes.parent.mkdir()
    notes.write_text("mine")
    with pytest.raises(OutputError, match="default"):
        build_hub_folder("deeppcb", data_dir=tree, output_dir=tmp_path)
    assert notes.read_text() == "mine"
    build_hub_folder("deeppcb", data_dir=tree, output_dir=tmp_path / "hub")
    notes = tmp_path / "hub" / "default" / "notes.txt"
    notes.write_text("mine")
    with pytest.raises(OutputError, match=r"notes\.txt"):
        build_hub_folder("deeppcb", data_dir=tree, output_dir=tmp_path / "hub", protocol="70-15-15")
    assert notes.read_text() == "mine"


def test_nothing_is_written_beside_foreign_files(sample_tree: Callable[..., Path], tmp_path: Path) -> None:
    """Among images, or in another raw tree, where the next load would silently take one of the two."""
    tree = tmp_path / "other"
    shutil.copytree(sample_tree("deeppcb"), tree)
    before = checksums(tree)
    with pytest.raises(OutputError, match="holds other files"):
        build_hub_folder("deeppcb", data_dir=sample_tree("deeppcb"), output_dir=tree)
    with pytest.raises(OutputError, match="holds other files"):
        build_hub_folder("deeppcb", data_dir=tree, output_dir=tmp_path)
    assert checksums(tree) == before
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="is a file"):
        build_hub_folder("deeppcb", data_dir=tree, output_dir=tmp_path / "file")


def test_an_existing_readme_becomes_part_of_the_card(sample_tree: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("my notes\n")
    build_hub_folder("deeppcb", data_dir=sample_tree("deeppcb"), output_dir=tmp_path)
    assert "my notes" in (tmp_path / "README.md").read_text()


def test_a_folder_belongs_to_one_source(sample_tree: Callable[..., Path], tmp_path: Path) -> None:
    build_hub_folder("deeppcb", data_dir=sample_tree("deeppcb"), output_dir=tmp_path)
    with pytest.raises(OutputError, match="already holds deeppcb"):
        build_hub_folder("neu_det", data_dir=sample_tree("neu_det"), output_dir=tmp_path)
    with pytest.raises(LayoutError, match="prepared from deeppcb"):
        load_dataset("radikal_datasets/neu_det", data_dir=tmp_path)
