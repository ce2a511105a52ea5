from __future__ import annotations

import re

import pytest

from tests.loaders.conftest import drawn_row, make_split
from tests.preview.test_gallery import _TOOLS, in_browser
from training.scoring.class_page import write_class_page
from training.scoring.operating_point import all_correct, best_operating_point
from training.scoring.page_images import try_to_write
from training.scoring.prediction_page import (
    Picture,
    error_counts,
    evenly_mixed,
    most_errors,
    write_prediction_page,
    write_split_page,
)


def test_operating_point_maximizes_f1():
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
def test_page_is_self_contained(tmp_path, name):
    row = drawn_row(1)
    prediction = {"boxes": [[1, 1, 9, 9], [2, 2, 8, 8]], "labels": [0, 1], "scores": [0.8, 0.1]}
    picture = Picture(name, row["bytes"], row["width"], row["height"], row, prediction)
    write_prediction_page(
        tmp_path / "p.html",
        title="T",
        note="synthetic",
        numbers={"mAP50": "0.9"},
        pictures=[picture],
        class_names=["hole", "scratch"],
        threshold=0.5,
    )
    text = (tmp_path / "p.html").read_text()
    assert "synthetic" in text and text.count("<script") == 1 and "alert(1)</script>" not in text
    assert len(re.findall('<rect class="line', text)) == 2  # one true, one predicted above the threshold
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


TWO = {"boxes": [[0, 0, 10, 10], [50, 50, 60, 60]], "labels": [0, 1]}
ONE = {"boxes": [[0, 0, 10, 10], [20, 20, 30, 30]], "labels": [0, 0], "scores": [0.9, 0.8]}


def test_both_sides_name_found_missed_and_false(tmp_path):
    row = drawn_row(1)
    picture = Picture("a", row["bytes"], row["width"], row["height"], TWO, ONE)
    page = tmp_path / "p.html"
    write_prediction_page(
        page, title="T", numbers={}, pictures=[picture], class_names=["hole", "scratch"], threshold=0.85
    )
    text = page.read_text()
    assert "2 true, 1 found, 1 missed, 0 false positives" in text
    assert "hole: found" in text and "scratch: missed" in text and "hole 0.90: correct" in text
    assert 'data-result="missed" data-class="0 1"' in text
    write_prediction_page(
        page, title="T", numbers={}, pictures=[picture], class_names=["hole", "scratch"], threshold=0.5
    )
    assert "hole 0.80: false positive" in page.read_text() and 'data-result="missed false"' in page.read_text()


def test_the_most_errors_come_first_and_some_correct_ones_last():
    assert error_counts([ONE, ONE], [TWO, TWO], 0.5) == [2, 2] and error_counts([ONE], [TWO], 0.95) == [2]
    errors = [0, 1, 0, 3, 0, 2, 0]
    assert most_errors(errors, 4, 1) == [3, 5, 1, 0]
    assert most_errors(errors, 3, 1) == [3, 5, 0]
    assert most_errors(errors, 24, 2) == [3, 5, 1, 0, 2, 4, 6]
    assert (
        most_errors([1, 2], 24, 6) == [1, 0] and most_errors([0, 0, 0, 0], 2, 1) == [0, 2] and not most_errors([], 9, 2)
    )


def test_a_page_that_fails_is_a_warning_and_leaves_no_older_one(tmp_path, capsys):
    (tmp_path / "index.html").write_text("of other scores")

    def write(file):
        raise OSError("disk full")

    assert not try_to_write(tmp_path / "index.html", write)
    assert "warning: cannot write" in (said := capsys.readouterr().err) and "disk full" in said
    assert not (tmp_path / "index.html").exists()


def test_a_page_of_a_split_is_light_and_shows_no_more_than_24(tmp_path):
    rows = [drawn_row(i) for i in range(30)]
    split = make_split(rows)
    noise = [{"boxes": [[0, 0, 5, 5]], "labels": [0], "scores": [0.9]} for _ in rows]
    targets = [{"boxes": row["boxes"], "labels": row["labels"]} for row in split]
    found = split["image_id"], noise, targets
    names = split.features["labels"].feature.names
    assert write_split_page(tmp_path / "test", "test", split, found, names, 0.5, "validation")
    page = tmp_path / "test" / "index.html"
    assert page.read_text().count("<figure") == 24 and page.stat().st_size < 3_100_000


def test_a_page_of_a_classifiers_errors_shows_the_most_confident_first(tmp_path):
    split = make_split([drawn_row(i) for i in range(3)])
    first, second, third = split["image_id"]
    answers = [(first, 0, [0.4, 0.6]), (second, 1, [0.9, 0.1]), (third, 1, [0.2, 0.8])]
    assert write_class_page(tmp_path, "test", split, answers, ["good", "defect"])
    text = (tmp_path / "index.html").read_text()
    assert re.findall(r"<b>(.*?)</b> &middot; true: (\w+); predicted: (\w+), ([\d.]+)", text) == [
        (second, "defect", "good", "0.90"),
        (first, "good", "defect", "0.60"),
    ]
    assert "<dt>misclassified</dt><dd>2</dd>" in text
    assert write_class_page(tmp_path, "test", split, answers[2:], ["good", "defect"])
    assert "No image of the test split is misclassified." in (tmp_path / "index.html").read_text()


def test_the_large_view_has_both_sides_and_results_are_filters(tmp_path):
    row = drawn_row(1)
    size = {"width": row["width"], "height": row["height"]}
    wrong = Picture("wrong", row["bytes"], **size, ground_truth=TWO, prediction=ONE)
    none = {"boxes": [], "labels": [], "scores": []}
    right = Picture("right", row["bytes"], **size, ground_truth={"boxes": [], "labels": []}, prediction=none)
    page = tmp_path / "page.html"
    write_prediction_page(
        page, title="T", numbers={}, pictures=[wrong, right], class_names=["hole", "scratch"], threshold=0.5
    )
    found = in_browser(
        page,
        _TOOLS
        + """
        const found = { all: shown() };
        tick("result", "correct"); found.correct = shown(); tick("result", "correct");
        tick("result", "false"); found.false = shown();
        opener(visible()[0]).click();
        found.titles = [...large.querySelectorAll("p")].map((p) => p.textContent);
        found.tags = [...large.querySelectorAll(".tag")].map((tag) => [tag.textContent, tag.className]);
        const tops = [...large.querySelectorAll(".stack")].map((one) => one.getBoundingClientRect().top);
        found.beside = new Set(tops).size;
        key("b"); found.hidden = !seen(large.querySelector(".tag")); key("t"); found.still = seen(large);
        return found;""",
    )
    assert found["all"] == ["wrong", "right"] and found["correct"] == ["right"] and found["false"] == ["wrong"]
    assert found["titles"] == ["ground truth", "predictions"] and found["beside"] == 1
    assert found["tags"] == [
        ["Ho", "tag found"],
        ["Sc", "tag missed"],
        ["Ho 0.90", "tag found"],
        ["Ho 0.80", "tag false"],
    ]
    assert found["hidden"] and found["still"]
