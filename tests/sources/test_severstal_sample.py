"""The sample tree of Severstal, in its layouts and compared with what was planted in it."""

from __future__ import annotations

import csv
import json
import shutil
from collections import Counter
from io import BytesIO
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from test_severstal import CLASSES, HEIGHT, OLD, WIDTH, build, examples, write_csv

from radikal_datasets.annotations.rle import encode
from radikal_datasets.samples import make_sample
from radikal_datasets.sources.severstal import SIZE


@pytest.mark.parametrize("layout", ["parent", "zip"])
def test_same_ids_and_splits_from_every_layout(sample_tree, tmp_path, layout):
    root = sample_tree("severstal")
    expected = examples(build(root, tmp_path))
    if layout == "parent":
        place = tmp_path / "kaggle"
        shutil.copytree(root, place / "input" / "severstal-steel-defect-detection")
    else:
        place = Path(shutil.make_archive(str(tmp_path / "severstal"), "zip", root))
    assert examples(build(place, tmp_path)) == expected


def test_sample_in_the_old_form_is_the_same(sample_tree, tmp_path):
    root = tmp_path / "old"
    shutil.copytree(sample_tree("severstal"), root)
    with (root / "train.csv").open(newline="") as file:
        codes = {(row["ImageId"], row["ClassId"]): row["EncodedPixels"] for row in csv.DictReader(file)}
    images = sorted(path.name for path in (root / "train_images").iterdir())
    rows = [f"{name}_{k},{codes.get((name, str(k)), '')}" for name in images for k in range(1, 5)]
    write_csv(root, OLD, *rows)
    assert sorted(examples(build(root, tmp_path))) == sorted(examples(build(sample_tree("severstal"), tmp_path)))
    for name, (split, example) in examples(build(sample_tree("severstal"), tmp_path)).items():
        old_split, old = examples(build(root, tmp_path))[name]
        assert old_split == split
        assert set(old.instances) == set(example.instances)


@pytest.mark.parametrize("broken", [False, True])
def test_sample_has_exactly_what_was_planted(sample_tree, tmp_path, broken):
    root = sample_tree("severstal", broken=broken)
    planted: Counter[str] = Counter()
    for trap in json.loads(root.with_name("severstal.traps.json").read_text())["traps"]:
        planted[trap["kind"]] += trap["count"]
    builder = build(root, tmp_path)
    assert builder.report().counts() == planted
    assert builder.report().loses_something == broken
    found = builder.index().splits
    assert set(found) == {"train", "validation", "test", "unlabeled"}
    # A mask of another size loses its image; the N images exist whatever is planted.
    assert sum(map(len, found.values())) == 12


def test_same_seed_same_bytes(tmp_path):
    for name in ("a", "b"):
        make_sample("severstal", tmp_path / name, images=12, seed=3)
    files = [sorted(p.relative_to(tmp_path / name) for p in (tmp_path / name).rglob("*.*")) for name in ("a", "b")]
    assert files[0] == files[1]
    assert all((tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes() for path in files[0])


def test_converts_with_masks_equal_to_what_was_drawn(sample_tree, tmp_path):
    root = sample_tree("severstal")
    builder = build(root, tmp_path)
    builder.download_and_prepare()
    dataset = builder.as_dataset()
    assert set(dataset) == {"train", "validation", "test", "unlabeled"}
    with (root / "train.csv").open(newline="") as file:
        drawn = {
            (row["ImageId"], row["ClassId"]): row["EncodedPixels"] for row in csv.DictReader(file) if row["ImageId"]
        }
    seen: dict[tuple[str, str], np.ndarray] = {}
    for split, rows in dataset.items():
        assert rows.features["labels"].feature.names == list(CLASSES)
        for table in rows.with_format("arrow"):
            (row,) = table.to_pylist()
            name = row["image_id"].removeprefix("severstal/") + ".jpg"
            folder = "test_images" if split == "unlabeled" else "train_images"
            assert row["image"] == {"path": f"{folder}/{name}", "bytes": (root / folder / name).read_bytes()}
            assert (row["width"], row["height"]) == SIZE
            assert row["annotated"] == (split != "unlabeled")
            assert row["reference"] is None
            assert len(row["masks"]) == len(row["boxes"]) == len(row["labels"])
            for mask, box, label in zip(row["masks"], row["boxes"], row["labels"], strict=True):
                image = PIL.Image.open(BytesIO(mask["bytes"]))
                assert (image.mode, image.format) == ("L", "PNG")
                pixels = np.asarray(image)
                assert set(np.unique(pixels)) == {0, 255}
                rows_hit, columns_hit = np.nonzero(pixels)
                assert box == [columns_hit.min(), rows_hit.min(), columns_hit.max() + 1, rows_hit.max() + 1]
                key = (name, str(label + 1))
                seen[key] = seen.get(key, np.zeros((HEIGHT, WIDTH), dtype=bool)) | (pixels > 0)
    assert {key: encode(mask) for key, mask in seen.items()} == drawn
