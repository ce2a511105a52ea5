"""GDXray: its splits, its layouts, and the sample tree."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from gdxray_trees import CONFIGS, build, examples, write_mat, write_series

from radikal_datasets import errors
from radikal_datasets.annotations.components import label_components
from radikal_datasets.samples import make_sample
from radikal_datasets.sources.gdxray import SOURCE, SPLIT_OF_SERIES

# ---- splits ----


def test_assignment_names_34_series_and_keeps_c0055_in_train():
    assert len(SPLIT_OF_SERIES) == 34
    assert SPLIT_OF_SERIES["gdxray/castings/C0055"] == "train"
    assert set(SPLIT_OF_SERIES.values()) == {"train", "validation", "test"}


#: In a complete copy: series -> images, images with boxes, boxes.
MEASURED = {
    **{"C0001": (72, 72, 226), "C0002": (90, 60, 88), "C0007": (37, 30, 30), "C0008": (37, 22, 22)},
    **{"C0010": (37, 16, 16), "C0015": (37, 8, 15), "C0019": (37, 18, 24), "C0021": (37, 31, 212)},
    **{"C0024": (37, 17, 23), "C0026": (37, 12, 24), "C0029": (37, 9, 9), "C0030": (37, 37, 73)},
    **{"C0031": (37, 22, 34), "C0032": (37, 11, 55), "C0033": (37, 33, 33), "C0034": (37, 37, 37)},
    **{"C0035": (37, 34, 34), "C0036": (37, 19, 32), "C0037": (37, 34, 34), "C0038": (37, 13, 13)},
    **{"C0039": (37, 25, 25), "C0040": (37, 17, 17), "C0041": (37, 37, 185), "C0042": (37, 27, 30)},
    **{"C0043": (37, 36, 59), "C0045": (66, 29, 71), "C0047": (72, 12, 13), "C0051": (77, 49, 86)},
    **{"C0054": (31, 31, 55), "C0055": (28, 28, 1213), "C0057": (31, 31, 54), "C0060": (14, 14, 14)},
    **{"C0062": (10, 10, 26), "C0065": (10, 9, 21)},
}


def test_assignment_is_within_two_points_of_15_per_cent():
    assert {f"gdxray/castings/{series}" for series in MEASURED} == set(SPLIT_OF_SERIES)
    totals = np.sum(list(MEASURED.values()), axis=0)
    assert totals.tolist() == [1352, 890, 2903]
    assert totals[1:].tolist() == [SOURCE.config("castings").images_by_class["defect"], SOURCE.config("castings").boxes]
    totals[2] -= MEASURED["C0055"][2]
    for split in ("validation", "test"):
        part = [row for s, row in MEASURED.items() if SPLIT_OF_SERIES[f"gdxray/castings/{s}"] == split]
        np.testing.assert_allclose(100 * np.sum(part, axis=0) / totals, 15, atol=2)


@pytest.mark.parametrize("protocol", ["recommended", "70-15-15"])
def test_series_are_not_split_and_follow_the_assignment(root, castings, tmp_path, protocol):
    for series in ("C0032", "C0010"):
        write_series(castings, series, truth="1 11 21 6 16\n")
    found = examples(build(root, tmp_path, protocol=protocol))
    assert {name: split for name, (split, _) in found.items()} == {
        f"{series}_000{k}": split
        for series, split in (("C0001", "train"), ("C0032", "validation"), ("C0010", "test"))
        for k in (1, 2, 3)
    }


def test_series_not_in_the_assignment_follow_the_general_rule(tmp_path):
    for number in range(1, 8):
        write_series(tmp_path / "G" / "Nature", f"N000{number}", truth="1 11 21 6 16\n")
    splits = build(tmp_path / "G", tmp_path, "nature").index().splits
    assert set(splits) == {"train", "validation", "test"}
    groups = [{example.group for example in found} for found in splits.values()]
    assert sum(len(found) for found in groups) == 7
    assert len(set.union(*groups)) == 7


@pytest.mark.realdata
def test_complete_copy_of_castings(real_data, tmp_path):
    builder = build(real_data("gdxray"), tmp_path)
    report = builder.report()
    assert report.counts() == {"clipped_box": 6, "misnamed_truth": 1, "stray_truth": 1, "empty_truth": 1}
    assert report.totals == {
        "train": {"images": 952, "boxes": 2410},
        "validation": {"images": 192, "boxes": 256},
        "test": {"images": 208, "boxes": 237},
        "unlabeled": {"images": 1375, "boxes": 0},
    }
    counted = {series: [0, 0, 0] for series in MEASURED}
    for _, example in examples(builder).values():
        if example.annotated:
            row = counted[example.group.rpartition("/")[2]]
            for column, value in enumerate((1, bool(example.instances), len(example.instances))):
                row[column] += value
    assert {series: tuple(row) for series, row in counted.items()} == MEASURED


def test_number_of_other_digits_is_a_stray_image(root, castings, tmp_path):
    shutil.copy(castings / "C0001" / "C0001_0001.png", castings / "C0001" / "C0001_1.png")
    builder = build(root, tmp_path)
    assert len(examples(builder)) == 3
    assert builder.report().counts() == {"stray_image": 1}


# ---- layouts ----


def test_extensions_in_upper_case(root, castings, welds, tmp_path):
    write_mat(write_series(castings, "C0029") / "BoundingBox.mat", [(2, 11, 21, 6, 16)])
    before = {config: examples(build(root, tmp_path, config)) for config in ("castings", "welds")}
    for path in [*root.rglob("*.png"), *root.rglob("*.txt"), *root.rglob("*.mat")]:
        path.rename(path.with_suffix(path.suffix.upper()))
    for config, count in (("castings", {"misnamed_truth": 1, "mat_truth": 1}), ("welds", {})):
        builder = build(root, tmp_path, config)
        found = examples(builder)
        assert builder.report().counts() == count
        assert {name: (s, e.image_id, e.annotated, [i.box for i in e.instances]) for name, (s, e) in found.items()} == {
            name: (s, e.image_id, e.annotated, [i.box for i in e.instances]) for name, (s, e) in before[config].items()
        }


def test_same_number_in_both_cases_is_a_duplicate(root, castings, tmp_path):
    shutil.copy(castings / "C0001" / "C0001_0001.png", castings / "C0001" / "C0001_0001.PNG")
    builder = build(root, tmp_path)
    assert len(examples(builder)) == 3
    assert builder.report().counts() == {"duplicate_image": 1}


@pytest.mark.parametrize("layout", ["parent", "tar", "zip"])
def test_same_ids_and_splits_from_every_layout(root, castings, tmp_path, layout):
    write_series(castings, "C0010", truth="1 11 21 6 16\n")
    write_mat(write_series(castings, "C0037") / "BoundingBox.mat", [(2, 11, 21, 6, 16)])
    if layout == "parent":
        shutil.copytree(root, tmp_path / "elsewhere" / "data")
        place = tmp_path / "elsewhere"
    elif layout == "tar":
        place = tmp_path / "gdxray.tar"
        with tarfile.open(place, "w") as tar:
            tar.add(root, "GDXray")
    else:  # one archive per group
        place = Path(shutil.make_archive(str(tmp_path / "Castings"), "zip", root, "Castings"))
    expected = {
        i: (s, e.image_id, e.image, e.instances, e.group) for i, (s, e) in examples(build(root, tmp_path)).items()
    }
    found = {
        i: (s, e.image_id, e.image, e.instances, e.group) for i, (s, e) in examples(build(place, tmp_path)).items()
    }
    assert len(expected) == 9
    assert found == expected


def test_two_copies_below_one_folder_are_refused(root, tmp_path):
    shutil.copytree(root, tmp_path / "copy")
    with pytest.raises(errors.LayoutError, match="more than once"):
        build(tmp_path, tmp_path)


def test_cache_key_changes_with_the_group_and_not_with_others(root, castings, tmp_path):
    before = build(root, tmp_path).cache_dir
    write_series(root / "Nature", "N0001")
    assert build(root, tmp_path).cache_dir == before
    (castings / "C0001" / "ground_truth.txt").write_text("1 11 21 6 16\n")
    after = build(root, tmp_path).cache_dir
    assert after != before
    # Not read, but reported: what is in the group's folder belongs to the group.
    (castings / "C0001" / "C0001_1.png").write_bytes(b"")
    assert build(root, tmp_path).cache_dir != after


# ---- the sample ----


def counts_of_all_configs(root, tmp_path):
    counted: Counter[str] = Counter()
    for config in CONFIGS:
        counted.update(build(root, tmp_path, config).report().counts())
    return counted


@pytest.mark.parametrize("images", [12, 31])
@pytest.mark.parametrize("broken", [False, True])
def test_sample_counts_exactly_what_was_planted(tmp_path, images, broken):
    planted: Counter[str] = Counter()
    for trap in make_sample("gdxray", tmp_path / "raw", images=images, seed=3, broken=broken):
        planted[trap.kind] += trap.count
        assert (tmp_path / "raw" / trap.path).exists() or (tmp_path / "raw" / trap.path).is_symlink()
    assert counts_of_all_configs(tmp_path / "raw", tmp_path) == planted
    assert json.loads((tmp_path / "raw.traps.json").read_text())["broken"] is broken
    for config in CONFIGS:
        builder = build(tmp_path / "raw", tmp_path, config)
        totals = builder.report().totals
        assert sum(total["images"] for total in totals.values()) == images
        assert list(totals) == ["train", "validation", "test", "unlabeled"]
        assert broken or not builder.report().loses_something


def test_sample_is_the_same_for_the_same_seed(tmp_path):
    def digests(seed):
        root = tmp_path / f"raw{len(list(tmp_path.iterdir()))}"
        make_sample("gdxray", root, images=12, seed=seed)
        files = sorted(path for path in root.rglob("*") if path.is_file())
        return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    first = digests(0)
    assert digests(0) == first
    assert digests(1) != first


@pytest.mark.parametrize("config", CONFIGS)
def test_sample_converts(sample_tree, tmp_path, config):
    root = sample_tree("gdxray")
    builder = build(root, tmp_path, config)
    builder.download_and_prepare()
    dataset = builder.as_dataset()
    assert list(dataset) == ["train", "validation", "test", "unlabeled"]
    rows = [row for split in dataset.values() for row in split]
    assert len({row["image_id"] for row in rows}) == 12
    assert not any(row["boxes"] for row in dataset["unlabeled"])
    for row in rows:
        assert row["image"].size == (row["width"], row["height"])
        assert row["reference"] is None
        assert len(row["masks"]) in (0, len(row["boxes"]))
    series_of = {split: {row["group"] for row in dataset[split]} for split in dataset}
    assert sum(len(groups) for groups in series_of.values()) == len(set.union(*series_of.values()))


def test_masks_of_sample_welds_are_pixel_equal_to_what_was_drawn(sample_tree, tmp_path):
    root = sample_tree("gdxray")
    builder = build(root, tmp_path, "welds")
    builder.download_and_prepare()
    seen = 0
    for split in builder.as_dataset().values():
        for row in split:
            path = root / "Welds" / "W0002" / f"{row['image_id'].rpartition('/')[2].replace('W0001', 'W0002')}.png"
            if row["group"] != "gdxray/welds/W0001":
                assert row["masks"] == []
                continue
            labels, _ = label_components(np.asarray(PIL.Image.open(path)) == 255)
            assert len(row["masks"]) == labels.max()
            for number, mask in enumerate(row["masks"], start=1):
                assert mask.mode == "L"
                assert ((np.asarray(mask) == 255) == (labels == number)).all()
                seen += 1
    assert seen >= 4


def test_blades_of_sample_baggage_are_as_dark_as_they_were_drawn(sample_tree, tmp_path):
    """The mask of an oriented rectangle is where the blade was painted: dark inside, light in the ring around it."""
    builder = build(sample_tree("gdxray"), tmp_path, "baggage")
    seen = 0
    for _, example in examples(builder).values():
        for instance in example.instances if example.group == "gdxray/baggage/B0046" else ():
            mask = instance.mask.source.labels(builder.tree, example.width, example.height) == 1
            pixels = np.asarray(PIL.Image.open(io.BytesIO(builder.tree.read(example.image))))
            assert pixels[mask].max() < 60
            x_min, y_min, x_max, y_max = instance.box
            ys, xs = np.nonzero(mask)
            assert x_min - 1 <= xs.min() <= x_min + 2 and x_max - 3 <= xs.max() <= x_max
            assert y_min - 1 <= ys.min() <= y_min + 2 and y_max - 3 <= ys.max() <= y_max
            assert (pixels[~mask] < 60).sum() == 0
            seen += 1
    assert seen >= 2
