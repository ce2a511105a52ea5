"""What holds for all sources and all their configurations, on the sample trees.

`radikal_datasets.testing.check_source` checks one source by itself, ours in tests/testing.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import datasets
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radikal_datasets import build_hub_folder, load_dataset
from radikal_datasets.samples import make_sample
from radikal_datasets.schema import features
from radikal_datasets.sources import builder_class, list_sources, source_info, source_names
from radikal_datasets.splits import UNLABELED

from .conftest import SAMPLE_IMAGES

CONFIGS = [(source.name, config) for source in list_sources() for config in source.config_names]
# The configurations of one source differ little: where a test writes files, the first, the last and those that combine
# others stand for all.
SOME = [
    (source.name, config)
    for source in list_sources()
    for single in [[config.name for config in source.configs if not config.parts]]
    for config in dict.fromkeys([single[0], single[-1], *(c.name for c in source.configs if c.parts)])
]


def stored(row: dict) -> dict:
    """A streamed row contains decoded images; their bytes are compared elsewhere."""
    return {key: value for key, value in row.items() if key not in ("image", "reference", "masks")}


def undecoded(dataset: datasets.Dataset) -> datasets.Dataset:
    dataset = dataset.cast_column("image", datasets.Image(decode=False))
    dataset = dataset.cast_column("reference", datasets.Image(decode=False))
    return dataset.cast_column("masks", datasets.List(datasets.Image(decode=False)))


@pytest.mark.parametrize(("source", "config"), CONFIGS)
def test_index_of_every_config(source: str, config: str, sample_tree: Callable[..., Path], tmp_path: Path) -> None:
    builder = builder_class(source)(config_name=config, data_dir=sample_tree(source), cache_dir=tmp_path)
    index = builder.index()
    examples = [example for split in index.splits.values() for example in split]
    parts = len(source_info(source).config(config).parts) or 1
    assert len(examples) >= SAMPLE_IMAGES * parts
    assert {"train", "validation", "test"} <= set(index.splits)
    assert len({example.image_id for example in examples}) == len(examples)
    assert all(example.image_id.startswith(f"{source}/") for example in examples)
    assert all((split == UNLABELED) != e.annotated for split, split_ in index.splits.items() for e in split_)
    assert any(example.instances for example in index.splits["test"])
    assert not index.report.loses_something


@pytest.mark.parametrize(("source", "config"), SOME)
def test_cached_streamed_and_prepared_are_equal_row_by_row(
    source: str, config: str, sample_tree: Callable[..., Path], tmp_path: Path
) -> None:
    tree, path = sample_tree(source), f"radikal_datasets/{source}"
    cached = load_dataset(path, config, data_dir=tree, cache_dir=tmp_path)
    assert all(split.features == features(source_info(source).config(config).classes) for split in cached.values())
    build_hub_folder(source, config, data_dir=tree, output_dir=tmp_path / "hub")
    prepared = datasets.load_dataset(str(tmp_path / "hub"), config, cache_dir=str(tmp_path))
    streamed = load_dataset(path, config, data_dir=tree, streaming=True)
    assert list(cached) == list(prepared) == list(streamed)
    for split in cached:
        assert prepared[split].features == streamed[split].features == cached[split].features
        assert undecoded(prepared[split]).to_list() == undecoded(cached[split]).to_list()
        rows = [stored(row) for row in cached[split]]
        assert [stored(row) for row in streamed[split]] == rows


@pytest.mark.parametrize("source", source_names())
def test_masks_fit_their_boxes_and_images(source: str, sample_tree: Callable[..., Path], tmp_path: Path) -> None:
    import numpy as np

    config = source_info(source).config_names[0]
    for split in load_dataset(
        f"radikal_datasets/{source}", config, data_dir=sample_tree(source), cache_dir=tmp_path
    ).values():
        for row in split:
            assert row["image"].size == (row["width"], row["height"])
            assert len(row["masks"]) in (0, len(row["boxes"]))
            for mask, (x_min, y_min, x_max, y_max) in zip(row["masks"], row["boxes"], strict=False):
                pixels = np.asarray(mask)
                assert pixels.shape == (row["height"], row["width"])
                assert set(np.unique(pixels)) == {0, 255}
                ys, xs = np.nonzero(pixels)
                # A polygon's box is its bounding box, to fractions of a pixel; a mask file's is exact.
                found = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
                assert np.allclose(found, (x_min, y_min, x_max, y_max), atol=1.0)


def test_any_two_sources_concatenate_after_casting_the_labels(sample_tree: Callable[..., Path], tmp_path: Path) -> None:
    """Same columns, same types: the class names are the only difference."""
    sets = []
    for source in source_names():
        config = source_info(source).config_names[0]
        loaded = load_dataset(
            f"radikal_datasets/{source}", config, data_dir=sample_tree(source), cache_dir=tmp_path, split="train"
        )
        names = datasets.ClassLabel(num_classes=64)  # labels stay numbers; combine() will map names
        sets.append(loaded.cast_column("labels", datasets.List(names)))
    for first, second in pairwise([*sets, sets[0]]):
        both = datasets.concatenate_datasets([first, second])
        assert both.num_rows == first.num_rows + second.num_rows
    assert datasets.concatenate_datasets(sets).num_rows == sum(s.num_rows for s in sets)


@pytest.mark.parametrize("source", source_names())
def test_ids_and_splits_are_the_same_from_folder_parent_and_archive(
    source: str, sample_tree: Callable[..., Path], tmp_path: Path
) -> None:
    tree = sample_tree(source)
    parent = tmp_path / "parent"
    shutil.copytree(tree, parent / "some name")
    archive = shutil.make_archive(str(tmp_path / "archive"), "zip", tree)
    config = source_info(source).config_names[0]
    found = []
    for root in (tree, parent, archive):
        index = builder_class(source)(config_name=config, data_dir=root, cache_dir=tmp_path).index()
        found.append({split: [(e.image_id, e.image, e.group) for e in rows] for split, rows in index.splits.items()})
    assert found[0] == found[1] == found[2]


@settings(max_examples=12)
@given(data=st.data())
@pytest.mark.parametrize("source", source_names())
def test_removing_any_image_moves_at_most_two_others(
    source: str, data: st.DataObject, sample_tree: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Through the entire builder, with its groups, tables and strata."""
    config = source_info(source).config_names[0]
    cache = tmp_path_factory.mktemp("cache")

    def builder():
        return builder_class(source)(config_name=config, data_dir=sample_tree(source), cache_dir=cache)

    whole = builder()
    examples = [example for rows in whole.index().splits.values() for example in rows]
    # Exact duplicates are named after one of them; any other group is one the source names (a series, a board).
    ids = {example.image_id for example in examples}
    places = {e.image_id: e.image_id if e.group in ids else e.group for e in examples}
    before = whole._assign_splits(examples, places, config)
    victim = data.draw(st.sampled_from(examples))
    after = whole._assign_splits([example for example in examples if example is not victim], places, config)
    moved_groups = {e.group for e in examples if e is not victim and before.get(e.image_id) != after.get(e.image_id)}
    assert len(moved_groups - {victim.group}) <= 2


@pytest.mark.parametrize("source", source_names())
def test_the_same_seed_draws_the_same_bytes(source: str, sample_tree: Callable[..., Path], tmp_path: Path) -> None:
    make_sample(source, tmp_path / "again", images=SAMPLE_IMAGES, seed=0)
    tree = sample_tree(source)
    names = sorted(path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_file())
    again = sorted(p.relative_to(tmp_path / "again").as_posix() for p in (tmp_path / "again").rglob("*") if p.is_file())
    assert names == again
    assert all((tree / name).read_bytes() == (tmp_path / "again" / name).read_bytes() for name in names)


def test_facts_are_complete() -> None:
    for source in list_sources():
        assert source.title and source.homepage.startswith("http") and source.download_page.startswith("http")
        assert source.license.summary and source.citation.startswith("@") and source.layout
        assert source.modality and source.best_use
        for config in source.configs:
            assert config.classes
            assert set(config.images_by_class) <= set(config.classes)
