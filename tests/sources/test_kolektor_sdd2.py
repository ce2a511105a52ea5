"""KolektorSDD2: what `check_source` cannot know: its ids, its splits, and the copy in the publisher's archive."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from radikal_datasets.sources.kolektor_sdd2 import SOURCE, KolektorSdd2
from radikal_datasets.testing import check_source


def read(root: Path, cache: Path, **settings) -> tuple[dict, KolektorSdd2]:
    builder = KolektorSdd2(config_name="default", data_dir=root, cache_dir=str(cache), **settings)
    return {e.image_id: (split, e) for split, rows in builder.index().splits.items() for e in rows}, builder


def test_it_does_what_every_source_must() -> None:
    check_source(KolektorSdd2)


def test_facts() -> None:
    (config,) = SOURCE.configs
    assert (config.images, config.images_by_class) == (3_335, {"defect": 356})
    assert any("not yet run on real images" in note for note in SOURCE.notes)


def test_ids_splits_and_masks(sample_tree: Callable[..., Path], tmp_path: Path) -> None:
    found, builder = read(sample_tree("kolektor_sdd2"), tmp_path, protocol="official")
    assert all(image_id.split("/")[1] == split for image_id, (split, _) in found.items() if split != "unlabeled")
    assert found["kolektor_sdd2/train/10000"][0] == "unlabeled"
    assert len(found["kolektor_sdd2/train/10001"][1].instances) == 2
    clean = found["kolektor_sdd2/train/10003"][1]
    assert clean.annotated and clean.instances == []
    assert builder.report().files("ignored_file") == ["train/10001 (copy).png", "train/10001_GT (copy).png"]
    assert not builder.report().loses_something
