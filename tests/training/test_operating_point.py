from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radikal_datasets.errors import OperatingPointError
from training.scoring.operating_point import (
    OperatingPoint,
    best_operating_point,
    choose_operating_point,
    confusion_matrix,
    faultless,
    inspect_parts,
    match,
)

NOTHING = {"boxes": [], "labels": [], "scores": []}
GOOD = {"boxes": [], "labels": []}
A, B, C = [0, 0, 10, 10], [50, 50, 60, 60], [80, 80, 90, 90]


def found(boxes, labels, scores):
    return {"boxes": boxes, "labels": labels, "scores": scores}


def true(boxes, labels):
    return {"boxes": boxes, "labels": labels}


def made_up(seed: int):
    """Few images and few different scores, so that ties and contested boxes are common."""
    generator = random.Random(seed)

    def box():
        x, y = generator.randrange(30), generator.randrange(30)
        return [x, y, x + generator.randrange(0, 30), y + generator.randrange(5, 30)]

    predictions, truths = [], []
    for _ in range(generator.randrange(1, 6)):
        boxes = [box() for _ in range(generator.randrange(4))]
        labels = [generator.randrange(2) for _ in boxes]
        detected = [*(b for b in boxes if generator.random() < 0.7), *(box() for _ in range(generator.randrange(4)))]
        truths.append(true(boxes, labels))
        classes = [generator.randrange(2) for _ in detected]
        predictions.append(found(detected, classes, [generator.randrange(11) / 10 for _ in detected]))
    return predictions, truths


def slow_match(prediction, truth, iou=0.5):
    """The rule said again, box by box."""
    free = list(range(len(truth["boxes"])))
    marks = []
    for i in sorted(range(len(prediction["scores"])), key=lambda i: -prediction["scores"][i]):
        rivals = [
            (overlap(prediction["boxes"][i], truth["boxes"][k]), -k)
            for k in free
            if truth["labels"][k] == prediction["labels"][i]
        ]
        best, k = max(rivals, default=(0.0, 0))
        if best >= iou:
            free.remove(-k)
        marks.append((prediction["scores"][i], best >= iou))
    return marks


def overlap(a, b) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(0, width) * max(0, height)
    either = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both
    return both / either if either else 0.0


def slow_points(predictions, truths) -> list[OperatingPoint]:
    """One for every score there is, highest first."""
    total = sum(len(t["labels"]) for t in truths)
    marks = [mark for p, t in zip(predictions, truths, strict=True) for mark in slow_match(p, t)]
    points = []
    for threshold in sorted({score for score, _ in marks}, reverse=True):
        rights = [right for score, right in marks if score >= threshold]
        points.append(OperatingPoint(threshold, sum(rights), total - sum(rights), len(rights) - sum(rights)))
    return points


seeds = given(st.integers(0, 10**6))
checked = settings(deadline=None, max_examples=80)


@seeds
@checked
def test_matching_is_the_rule_said_slowly(seed):
    for prediction, truth in zip(*made_up(seed), strict=True):
        assert match(prediction, truth) == slow_match(prediction, truth)


@seeds
@checked
def test_highest_f1_of_all_thresholds(seed):
    points = slow_points(*made_up(seed))
    best = max(points, key=lambda point: point.f1, default=None)
    if best is not None and best.f1 > 0:
        assert best_operating_point(*made_up(seed)) == best
    else:
        assert best_operating_point(*made_up(seed)).found == 0


@given(st.integers(0, 10**6), st.sampled_from([0.0, 20.0, 50.0, 100.0, 1000.0]))
@checked
def test_fewest_misses_within_the_false_calls_allowed(seed, allowed):
    predictions, truths = made_up(seed)
    point = choose_operating_point(predictions, truths, max_false_calls_per_100=allowed)
    within = [p for p in slow_points(predictions, truths) if 100 * p.false_calls <= allowed * len(truths)]
    assert point.found == max((p.found for p in within), default=0)
    assert 100 * point.false_calls <= allowed * len(truths)
    assert inspect_parts(predictions, truths, point.threshold).point == point


@given(st.integers(0, 10**6), st.sampled_from([0.1, 0.5, 0.8, 1.0]))
@checked
def test_highest_threshold_that_finds_enough(seed, recall):
    predictions, truths = made_up(seed)
    total = sum(len(t["labels"]) for t in truths)
    enough = [p for p in slow_points(predictions, truths) if total and p.found >= recall * total]
    if enough:
        assert choose_operating_point(predictions, truths, min_recall=recall) == enough[0]
    else:
        with pytest.raises(OperatingPointError, match=r"out of reach|no recall"):
            choose_operating_point(predictions, truths, min_recall=recall)


@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.3, 0.5, 1.0]))
@checked
def test_parts_agree_with_each_image(seed, threshold):
    predictions, truths = made_up(seed)
    result = inspect_parts(predictions, truths, threshold)
    points = [p for p in slow_points(predictions, truths) if p.threshold >= threshold]
    if points:
        assert (result.point.found, result.point.false_calls) == (points[-1].found, points[-1].false_calls)
    called = [any(s >= threshold for s in p["scores"]) for p in predictions]
    bad = [bool(t["labels"]) for t in truths]
    rights = [
        sum(right for score, right in slow_match(p, t) if score >= threshold)
        for p, t in zip(predictions, truths, strict=True)
    ]
    assert result.parts == len(truths) and result.bad_parts == sum(bad)
    assert result.bad_parts_passed == sum(b and not c for b, c in zip(bad, called, strict=True))
    assert result.good_parts_called == sum(c and not b for b, c in zip(bad, called, strict=True))
    assert result.bad_parts_with_a_miss == sum(n < len(t["labels"]) for n, t in zip(rights, truths, strict=True))


@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.3, 0.5, 1.0]))
@checked
def test_confusion_matrix_adds_up(seed, threshold):
    predictions, truths = made_up(seed)
    counts = confusion_matrix(predictions, truths, 2, threshold)
    point = inspect_parts(predictions, truths, threshold).point
    for label in range(2):
        assert counts[label].sum() == sum(t["labels"].count(label) for t in truths)
        detected = [c for p in predictions for c, s in zip(p["labels"], p["scores"], strict=True) if s >= threshold]
        assert counts[:, label].sum() == detected.count(label)
    assert counts.trace() == point.found and counts[2, 2] == 0
    assert counts[:2].sum() - counts[:2, :2].trace() == point.missed


def test_confusion_matrix_worked_by_hand():
    truths = [true([A, B, C], [0, 1, 1]), GOOD]
    predictions = [found([A, B, [0, 0, 10, 9]], [0, 0, 1], [0.9, 0.8, 0.7]), found([A, B], [1, 1], [0.6, 0.1])]
    # A found; B taken for class 0; C missed; a second box on A and one on a good part are false calls.
    assert confusion_matrix(predictions, truths, 2, 0.5).tolist() == [[1, 0, 0], [1, 0, 1], [0, 2, 0]]


def test_rates_are_a_hundred_parts():
    truths = [true([A, B], [0, 0]), true([A], [0]), GOOD, GOOD]
    predictions = [found([A], [0], [0.9]), NOTHING, found([B, C], [0, 0], [0.8, 0.7]), found([B], [0], [0.1])]
    result = inspect_parts(predictions, truths, 0.5).as_dict()
    counts = {
        "parts": 4, "bad_parts": 2, "found": 1, "missed": 2, "false_calls": 2, "bad_parts_with_a_miss": 2,
        "bad_parts_passed": 1, "good_parts_called": 1,
    }  # fmt: skip
    rates = {
        "misses_per_100_parts": 50, "false_calls_per_100_parts": 50, "bad_parts_with_a_miss_per_100_parts": 50,
        "bad_parts_passed_per_100_parts": 25, "good_parts_called_per_100_parts": 25,
    }  # fmt: skip
    assert result == {"threshold": 0.5, "f1": pytest.approx(1 / 3), **counts, **rates}


def test_no_parts_have_no_rates():
    assert inspect_parts([], [], 0.5).as_dict()["misses_per_100_parts"] == -1


def test_a_false_call_with_the_highest_score_there_is():
    """No false call is allowed, so even a score of 1 must lie below the threshold."""
    predictions, truths = [found([B], [0], [1.0])], [true([A], [0])]
    point = choose_operating_point(predictions, truths, max_false_calls_per_100=0)
    assert point.threshold > 1 and point.false_calls == 0
    assert inspect_parts(predictions, truths, point.threshold).point == point


def test_one_rule_at_a_time():
    with pytest.raises(OperatingPointError, match="give one"):
        choose_operating_point([], [], max_false_calls_per_100=1, min_recall=0.9)


def test_recall_that_nothing_reaches_is_told_with_what_is_reached():
    with pytest.raises(OperatingPointError, match=r"find 1 of 2 true boxes \(0\.500\)"):
        choose_operating_point([found([A], [0], [0.9])], [true([A, B], [0, 0])], min_recall=0.9)
    with pytest.raises(OperatingPointError, match="none of the 1 images"):
        choose_operating_point([NOTHING], [GOOD], min_recall=0.9)


@seeds
@checked
def test_faultless_is_no_miss_and_no_false_call(seed):
    for prediction, truth in zip(*made_up(seed), strict=True):
        point = inspect_parts([prediction], [truth], 0.4).point
        assert faultless(prediction, truth, 0.4) == (point.missed == 0 and point.false_calls == 0)


def test_boxes_without_an_area_match_nothing():
    flat = [5, 5, 5, 20]
    assert match(found([flat], [0], [0.9]), true([flat], [0])) == [(0.9, False)]
