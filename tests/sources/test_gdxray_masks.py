"""GDXray: oriented rectangles, and W0002, which holds the masks of W0001."""

from __future__ import annotations

import shutil

import numpy as np
import PIL.Image
import pytest
from gdxray_trees import SIZE, boxes, build, examples, oriented, write_series

from radikal_datasets import errors

# ---- oriented rectangles ----


def drawn(builder, name):
    instances = examples(builder)[name][1].instances
    return [i.mask.source.labels(builder.tree, *SIZE) == i.mask.component for i in instances]


def test_oriented_rectangle_has_its_hull_as_box_and_itself_as_mask(tmp_path):
    # A diamond around (20, 20) with half diagonals of 10, given in MATLAB's frame.
    builder = oriented(tmp_path, "1 20.5 10.5 30.5 20.5 20.5 30.5 10.5 20.5")
    assert boxes(builder, "B0046_0001") == [(10, 10, 30, 30)]
    y, x = np.mgrid[: SIZE[1], : SIZE[0]] + 0.5
    (mask,) = drawn(builder, "B0046_0001")
    inside, border = np.abs(x - 20) + np.abs(y - 20) < 10, np.abs(x - 20) + np.abs(y - 20) == 10
    assert (mask | border == inside | border).all()
    assert builder.report().counts() == {}


def test_oriented_rectangle_over_the_edge_is_clipped_before_its_hull_is_taken(tmp_path):
    # A diamond around the corner (0, 0) with half diagonals of 10, moved right by 5.
    builder = oriented(tmp_path, "1 5.5 -9.5 15.5 0.5 5.5 10.5 -4.5 0.5")
    assert boxes(builder, "B0046_0001") == [(0, 0, 15, 10)]
    assert builder.report().counts() == {"clipped_box": 1}
    assert builder.report().problems[0].line == 1


def test_oriented_rectangle_whose_hull_alone_meets_the_image_is_lost(tmp_path):
    builder = oriented(
        tmp_path, "1 -4.5 -13.5 4.5 -4.5 -4.5 4.5 -13.5 -4.5", "2 20.5 10.5 30.5 20.5 20.5 30.5 10.5 20.5"
    )
    assert boxes(builder, "B0046_0001") == []
    assert builder.report().counts() == {"empty_box": 1}


def test_oriented_rectangle_twice_is_a_duplicate(tmp_path):
    row = "1 20.5 10.5 30.5 20.5 20.5 30.5 10.5 20.5"
    builder = oriented(tmp_path, row, row)
    assert len(boxes(builder, "B0046_0001")) == 1
    assert builder.report().counts() == {"duplicate_box": 1}


# ---- W0002 holds the masks of W0001 ----


def test_masks_are_annotations_and_not_samples(welds, tmp_path):
    builder = build(welds.parent, tmp_path, "welds")
    found = examples(builder)
    assert sorted(found) == ["W0001_0001", "W0001_0002"]
    assert boxes(builder, "W0001_0001") == [(4, 4, 9, 8), (20, 20, 22, 26), (30, 20, 32, 26)]
    assert found["W0001_0002"][1].annotated
    assert boxes(builder, "W0001_0002") == []
    pixels = np.asarray(PIL.Image.open(welds / "W0002" / "W0002_0001.png")) > 0
    assert (np.sum(drawn(builder, "W0001_0001"), axis=0) == pixels).all()
    assert builder.report().counts() == {}


def test_masks_take_precedence_over_an_annotation_file(welds, tmp_path):
    (welds / "W0001" / "ground_truth.txt").write_text("1 11 21 6 16\n")
    assert len(boxes(build(welds.parent, tmp_path, "welds"), "W0001_0001")) == 3


@pytest.mark.parametrize("truth", [None, "1 11 21 6 16\n2 11 21 6 16\n"])
def test_image_without_its_mask_is_unlabeled_and_affects_no_other(welds, tmp_path, truth):
    (welds / "W0002" / "W0002_0002.png").unlink()
    if truth:
        (welds / "W0001" / "ground_truth.txt").write_text(truth)
    builder = build(welds.parent, tmp_path, "welds")
    found = examples(builder)
    assert sorted(found) == ["W0001_0001", "W0001_0002"]
    assert len(found["W0001_0001"][1].instances) == 3
    split, example = found["W0001_0002"]
    assert (split, example.annotated, example.instances) == ("unlabeled", False, [])
    report = builder.report()
    assert [(p.kind, p.path) for p in report.problems] == [("missing_truth", "Welds/W0001/W0001_0002.png")]
    assert not report.loses_something


@pytest.mark.parametrize("series_there", [True, False])
def test_mask_without_its_image_is_counted_and_affects_no_other(welds, tmp_path, series_there):
    (welds / "W0001" / "W0001_0002.png").unlink()
    write_series(welds, "W0003", truth="1 11 21 6 16\n")
    if not series_there:
        shutil.rmtree(welds / "W0001")
    builder = build(welds.parent, tmp_path, "welds")
    assert ("W0001_0001" in examples(builder)) is series_there
    assert builder.report().counts() == {"missing_image": 1 if series_there else 2}
    assert builder.report().problems[-1].path == "Welds/W0002/W0002_0002.png"
    with pytest.raises(
        errors.MissingImageError, match=r"W0002_000\d\.png: the mask belongs to image \d, which does not exist"
    ):
        build(welds.parent, tmp_path, "welds", strict=True).index()


def test_one_missing_mask_leaves_every_split(tmp_path):
    group = tmp_path / "GDXray" / "Welds"
    for number, series in enumerate(("W0001", "W0003", "W0004"), start=1):
        write_series(group, series, 2, truth=f"1 11 21 6 {15 + number}\n")
    write_series(group, "W0002", 1)
    builder = build(group.parent, tmp_path, "welds")
    assert list(builder.index().splits) == ["train", "validation", "test", "unlabeled"]


def test_without_masks_the_series_is_unlabeled(welds, tmp_path):
    shutil.rmtree(welds / "W0002")
    builder = build(welds.parent, tmp_path, "welds")
    assert set(builder.index().splits) == {"unlabeled"}
    assert builder.report().counts() == {}


def test_unreadable_image_is_counted_once_and_its_mask_not_at_all(welds, tmp_path):
    path = welds / "W0001" / "W0001_0002.png"
    path.write_bytes(path.read_bytes()[:-10])
    builder = build(welds.parent, tmp_path, "welds")
    assert sorted(examples(builder)) == ["W0001_0001"]
    assert builder.report().counts() == {"unreadable_image": 1}


def test_mask_of_another_size_removes_its_image(welds, tmp_path):
    PIL.Image.new("L", (60, 48)).save(welds / "W0002" / "W0002_0002.png")
    builder = build(welds.parent, tmp_path, "welds")
    assert sorted(examples(builder)) == ["W0001_0001"]
    assert builder.report().counts() == {"mask_size": 1}
