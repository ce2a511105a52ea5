"""VisA: what `check_source` in tests/testing cannot know: its counts, its class numbers, and the list."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import PIL.Image

from radikal_datasets.sources.visa import SOURCE, Visa


def read(root: Path, cache: Path, config: str, **settings) -> tuple[dict, Visa]:
    builder = Visa(config_name=config, data_dir=root, cache_dir=str(cache), **settings)
    return {e.image_id: (split, e) for split, rows in builder.index().splits.items() for e in rows}, builder


def test_facts() -> None:
    assert SOURCE.config("all").images == 10_821 and len(SOURCE.config("all").classes) == 78
    assert sum((config.images or 0) - 100 for config in SOURCE.configs[:-1]) == 9_621
    assert SOURCE.config("pcb4").classes[5] == "wrong_place"
    assert any("not yet run on real images" in note for note in SOURCE.notes)


def test_values_of_a_mask_are_classes_also_in_a_palette(sample_tree: Callable[..., Path], tmp_path: Path) -> None:
    tree = sample_tree("visa")
    with PIL.Image.open(tree / "pcb1/Data/Masks/Anomaly/001.png") as palette:
        assert palette.mode == "P"
    found, builder = read(tree, tmp_path, "pcb1")
    assert [i.label for i in found["visa/pcb1/Anomaly/001"][1].instances] == ["bent", "melt"]
    assert [i.label for i in found["visa/pcb1/Anomaly/003"][1].instances] == ["melt"]
    assert found["visa/pcb1/Normal/0000"][1].annotated
    assert not builder.report().loses_something


def test_official_is_the_list_and_an_unlisted_anomaly_is_never_trained_on(
    sample_tree: Callable[..., Path], tmp_path: Path
) -> None:
    tree = Path(shutil.copytree(sample_tree("visa"), tmp_path / "visa"))
    listed = tree / "split_csv/1cls.csv"
    rows = listed.read_text(encoding="utf-8").splitlines(keepends=True)
    listed.write_text("".join(row for row in rows if "pcb1/Data/Images/Anomaly/003" not in row), encoding="utf-8")
    found, builder = read(tree, tmp_path, "pcb1", protocol="official")
    assert builder.report().files("unlisted_image") == ["pcb1/Data/Images/Anomaly/003.JPG"]
    assert not any(example.instances for split, example in found.values() if split == "train")
    assert {split for split, _ in found.values()} == {"train", "test"}
