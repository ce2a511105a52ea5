from __future__ import annotations

import re

import pytest

from tests.loaders.conftest import drawn_row
from training.scoring.operating_point import all_correct, best_operating_point
from training.using.prediction_page import Picture, evenly_mixed, write_page


def test_operating_point_maximises_f1():
    targets = [{"boxes": [[0, 0, 10, 10], [50, 50, 60, 60]], "labels": [0, 0]}, {"boxes": [], "labels": []}]
    predictions = [
        {"boxes": [[0, 0, 10, 10], [0, 0, 10, 9], [50, 50, 60, 60]], "labels": [0, 0, 0], "scores": [0.9, 0.3, 0.6]},
        {"boxes": [[1, 1, 5, 5]], "labels": [0], "scores": [0.2]},
    ]
    point = best_operating_point(predictions, targets)
    assert (point.threshold, point.true_positives, point.missed) == (0.6, 2, 0)
    assert (point.false_positives, point.f1) == (0, 1.0)


def test_operating_point_without_anything():
    point = best_operating_point([{"boxes": [], "labels": [], "scores": []}], [{"boxes": [], "labels": []}])
    assert (point.true_positives, point.missed, point.false_positives, point.f1) == (0, 0, 0, 0)


@pytest.mark.parametrize("name", ["made/1", "<script>alert(1)</script>"])
def test_page_needs_nothing_else(tmp_path, name):
    row = drawn_row(1)
    prediction = {"boxes": [[1, 1, 9, 9], [2, 2, 8, 8]], "labels": [0, 1], "scores": [0.8, 0.1]}
    picture = Picture(name, row["bytes"], row["width"], row["height"], row, prediction)
    write_page(
        tmp_path / "p.html", title="T", note="synthetic", numbers={"mAP50": "0.9"}, pictures=[picture],
        class_names=["hole", "scratch"], threshold=0.5,
    )  # fmt: skip
    text = (tmp_path / "p.html").read_text()
    assert "synthetic" in text and "<script" not in text
    assert len(re.findall("<rect", text)) == 2  # one true, one predicted above the threshold
    assert not re.search(r'(?:src|href)="(?!data:|#)', text)
    assert [file.name for file in tmp_path.iterdir()] == ["p.html"]


def test_all_correct_requires_every_box_and_nothing_else():
    target = {"boxes": [[0, 0, 10, 10]], "labels": [0]}
    found = {"boxes": [[0, 0, 10, 10], [50, 50, 60, 60]], "labels": [0, 0], "scores": [0.9, 0.4]}
    assert all_correct(found, target, 0.5)
    assert not all_correct(found, target, 0.3)  # a false positive
    assert not all_correct(found, target, 0.95)  # a missed defect
    assert all_correct(found, {"boxes": [], "labels": []}, 0.95)


def test_pictures_are_mixed_in_the_proportion_of_all():
    right = [False] * 10 + [True] * 30
    shown = evenly_mixed(right, 8)
    assert [right[i] for i in shown] == [True, True, False, True, True, True, False, True]
    assert len(set(shown)) == 8
    assert sorted(evenly_mixed(right, 99)) == list(range(40))
    assert evenly_mixed([], 5) == []
    assert evenly_mixed([False, False], 1) == [0]
