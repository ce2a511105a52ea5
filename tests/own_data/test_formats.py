"""The same 66 images in nine formats give the same rows."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from radikal_datasets import load_dataset
from tests.own_data.trees import IMAGES, WRITERS, Truth, truths


def by_id(index) -> dict:
    return {example.image_id: example for split in index.splits.values() for example in split}


def expected(truth: Truth) -> list:
    return sorted((name, tuple(map(float, box))) for name, box in truth.boxes)


@pytest.mark.parametrize("format_", WRITERS)
def test_every_format_holds_the_same_boxes(format_: str, own_tree: Callable[..., Path], index: Callable) -> None:
    found = index(own_tree(format_))
    examples = by_id(found)
    assert len(examples) == IMAGES
    assert not found.report.loses_something
    for truth in truths():
        example = examples[unicodedata.normalize("NFC", truth.stem)]
        assert (example.width, example.height) == truth.size
        assert example.annotated
        boxes = sorted((one.label, one.box) for one in example.instances)
        assert [name for name, _ in boxes] == [name for name, _ in expected(truth)]
        for (_, box), (_, wanted) in zip(boxes, expected(truth), strict=True):
            assert np.allclose(box, wanted, atol=1e-3)


def test_splits_and_groups_do_not_depend_on_the_format_or_the_folder(own_tree: Callable, index: Callable) -> None:
    found = []
    for format_ in ("coco", "cvat", "masks", "yolo"):  # the formats that state an order of classes, and the same one
        splits = index(own_tree(format_)).splits
        found.append({name: [(e.image_id, e.group) for e in rows] for name, rows in splits.items()})
    assert found[0] == found[1] == found[2] == found[3]
    assert set(found[0]) == {"train", "validation", "test"}


@pytest.mark.parametrize("format_", ["coco", "masks"])
def test_loading_by_name_by_folder_and_streamed_gives_equal_rows(
    format_: str, own_tree: Callable[..., Path], tmp_path: Path
) -> None:
    folder = own_tree(format_)
    named = load_dataset("radikal_datasets/folder", data_dir=folder, cache_dir=tmp_path)
    plain = load_dataset(str(folder), cache_dir=tmp_path)
    streamed = load_dataset("radikal_datasets/folder", format_, data_dir=folder, streaming=True)
    for split in named:
        ids = named[split]["image_id"]
        assert list(plain[split]["image_id"]) == list(ids)
        rows = list(streamed[split])
        assert [row["image_id"] for row in rows] == list(ids)
        for row in named[split]:
            assert row["image"].size == (row["width"], row["height"])
            assert len(row["masks"]) == (len(row["boxes"]) if format_ == "masks" else 0)
            for mask, box in zip(row["masks"], row["boxes"], strict=False):
                ys, xs = np.nonzero(np.asarray(mask))
                assert (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1) == tuple(box)


def test_an_image_shows_its_defect_where_its_box_is(own_tree: Callable[..., Path], tmp_path: Path) -> None:
    """The frame of boxes is that of the decoded image, EXIF or not."""
    splits = load_dataset("radikal_datasets/folder", data_dir=own_tree("coco"), cache_dir=tmp_path)
    for row in (row for split in splits.values() for row in split):
        pixels = np.asarray(row["image"]).astype(float)
        pixels = pixels if pixels.ndim == 2 else pixels.mean(axis=-1)
        shown = np.zeros(pixels.shape, bool)
        for x1, y1, x2, y2 in row["boxes"]:
            shown[int(y1) : int(y2), int(x1) : int(x2)] = True
        if shown.any():
            assert pixels[shown].mean() > 1.5 * pixels[~shown].mean(), row["image_id"]
