from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radikal_datasets.errors import OperatingPointError
from training.scoring.operating_point import (
    OperatingPoint,
    all_correct,
    best_operating_point,
    choose_operating_point,
    confusion_matrix,
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


def random_detections(seed: int):
    """Few images and few distinct scores, so that ties and contested boxes are common."""
    generator = random.Random(seed)

    def box():
        x, y = generator.randrange(30), generator.randrange(30)
        return [x, y, x + generator.randrange(0, 30), y + generator.randrange(5, 30)]

    predictions, targets = [], []
    for _ in range(generator.randrange(1, 6)):
        boxes = [box() for _ in range(generator.randrange(4))]
        labels = [generator.randrange(2) for _ in boxes]
        detected = [*(b for b in boxes if generator.random() < 0.7), *(box() for _ in range(generator.randrange(4)))]
        targets.append(true(boxes, labels))
        classes = [generator.randrange(2) for _ in detected]
        predictions.append(found(detected, classes, [generator.randrange(11) / 10 for _ in detected]))
    return predictions, targets


def slow_match(prediction, target, iou=0.5):
    """The same rule, implemented box by box."""
    free = list(range(len(target["boxes"])))
    marks = []
    for i in sorted(range(len(prediction["scores"])), key=lambda i: -prediction["scores"][i]):
        rivals = [
            (overlap(prediction["boxes"][i], target["boxes"][k]), -k)
            for k in free
            if target["labels"][k] == prediction["labels"][i]
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


def slow_points(predictions, targets) -> list[OperatingPoint]:
    """One operating point per distinct score, highest first."""
    total = sum(len(t["labels"]) for t in targets)
    marks = [mark for p, t in zip(predictions, targets, strict=True) for mark in slow_match(p, t)]
    points = []
    for threshold in sorted({score for score, _ in marks}, reverse=True):
        correct = [is_correct for score, is_correct in marks if score >= threshold]
        points.append(OperatingPoint(threshold, sum(correct), total - sum(correct), len(correct) - sum(correct)))
    return points


seeds = given(st.integers(0, 10**6))
checked = settings(deadline=None, max_examples=80)


@seeds
@checked
def test_matching_equals_a_slow_implementation(seed):
    for prediction, target in zip(*random_detections(seed), strict=True):
        assert match(prediction, target) == slow_match(prediction, target)


@seeds
@checked
def test_highest_f1_of_all_thresholds(seed):
    points = slow_points(*random_detections(seed))
    best = max(points, key=lambda point: point.f1, default=None)
    if best is not None and best.f1 > 0:
        assert best_operating_point(*random_detections(seed)) == best
    else:
        assert best_operating_point(*random_detections(seed)).true_positives == 0


@given(st.integers(0, 10**6), st.sampled_from([0.0, 20.0, 50.0, 100.0, 1000.0]))
@checked
def test_fewest_missed_defects_within_the_false_positives_allowed(seed, allowed):
    predictions, targets = random_detections(seed)
    point = choose_operating_point(predictions, targets, max_false_calls_per_100=allowed)
    within = [p for p in slow_points(predictions, targets) if 100 * p.false_positives <= allowed * len(targets)]
    assert point.true_positives == max((p.true_positives for p in within), default=0)
    assert 100 * point.false_positives <= allowed * len(targets)
    assert inspect_parts(predictions, targets, point.threshold).point == point


@given(st.integers(0, 10**6), st.sampled_from([0.1, 0.5, 0.8, 1.0]))
@checked
def test_highest_threshold_that_finds_enough(seed, recall):
    predictions, targets = random_detections(seed)
    total = sum(len(t["labels"]) for t in targets)
    enough = [p for p in slow_points(predictions, targets) if total and p.true_positives >= recall * total]
    if enough:
        assert choose_operating_point(predictions, targets, min_recall=recall) == enough[0]
    else:
        with pytest.raises(OperatingPointError, match=r"out of reach|recall is undefined"):
            choose_operating_point(predictions, targets, min_recall=recall)


@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.3, 0.5, 1.0]))
@checked
def test_parts_agree_with_each_image(seed, threshold):
    predictions, targets = random_detections(seed)
    result = inspect_parts(predictions, targets, threshold)
    points = [p for p in slow_points(predictions, targets) if p.threshold >= threshold]
    if points:
        assert result.point.true_positives == points[-1].true_positives
        assert result.point.false_positives == points[-1].false_positives
    detected = [any(s >= threshold for s in p["scores"]) for p in predictions]
    bad = [bool(t["labels"]) for t in targets]
    correct = [
        sum(is_correct for score, is_correct in slow_match(p, t) if score >= threshold)
        for p, t in zip(predictions, targets, strict=True)
    ]
    assert result.parts == len(targets) and result.bad_parts == sum(bad)
    assert result.bad_parts_passed == sum(b and not d for b, d in zip(bad, detected, strict=True))
    assert result.good_parts_called == sum(d and not b for b, d in zip(bad, detected, strict=True))
    assert result.bad_parts_with_a_miss == sum(n < len(t["labels"]) for n, t in zip(correct, targets, strict=True))


@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.3, 0.5, 1.0]))
@checked
def test_confusion_matrix_adds_up(seed, threshold):
    predictions, targets = random_detections(seed)
    counts = confusion_matrix(predictions, targets, 2, threshold)
    point = inspect_parts(predictions, targets, threshold).point
    for label in range(2):
        assert counts[label].sum() == sum(t["labels"].count(label) for t in targets)
        detected = [c for p in predictions for c, s in zip(p["labels"], p["scores"], strict=True) if s >= threshold]
        assert counts[:, label].sum() == detected.count(label)
    assert counts.trace() == point.true_positives and counts[2, 2] == 0
    assert counts[:2].sum() - counts[:2, :2].trace() == point.missed


def test_confusion_matrix_worked_by_hand():
    targets = [true([A, B, C], [0, 1, 1]), GOOD]
    predictions = [found([A, B, [0, 0, 10, 9]], [0, 0, 1], [0.9, 0.8, 0.7]), found([A, B], [1, 1], [0.6, 0.1])]
    # A found; B predicted as class 0; C missed; a second box on A and one on a good part are false positives.
    assert confusion_matrix(predictions, targets, 2, 0.5).tolist() == [[1, 0, 0], [1, 0, 1], [0, 2, 0]]


def test_rates_are_per_100_parts():
    targets = [true([A, B], [0, 0]), true([A], [0]), GOOD, GOOD]
    predictions = [found([A], [0], [0.9]), NOTHING, found([B, C], [0, 0], [0.8, 0.7]), found([B], [0], [0.1])]
    result = inspect_parts(predictions, targets, 0.5).as_dict()
    counts = {
        "parts": 4,
        "bad_parts": 2,
        "found": 1,
        "missed": 2,
        "false_calls": 2,
        "bad_parts_with_a_miss": 2,
        "bad_parts_passed": 1,
        "good_parts_called": 1,
    }
    rates = {
        "misses_per_100_parts": 50,
        "false_calls_per_100_parts": 50,
        "bad_parts_with_a_miss_per_100_parts": 50,
        "bad_parts_passed_per_100_parts": 25,
        "good_parts_called_per_100_parts": 25,
    }
    assert result == {"threshold": 0.5, "f1": pytest.approx(1 / 3), **counts, **rates}


def test_no_parts_have_no_rates():
    assert inspect_parts([], [], 0.5).as_dict()["misses_per_100_parts"] == -1


def test_a_false_positive_with_the_highest_possible_score():
    """No false positive is allowed, so even a score of 1 must be below the threshold."""
    predictions, targets = [found([B], [0], [1.0])], [true([A], [0])]
    point = choose_operating_point(predictions, targets, max_false_calls_per_100=0)
    assert point.threshold > 1 and point.false_positives == 0
    assert inspect_parts(predictions, targets, point.threshold).point == point


def test_one_rule_at_a_time():
    with pytest.raises(OperatingPointError, match="Pass only one"):
        choose_operating_point([], [], max_false_calls_per_100=1, min_recall=0.9)


def test_an_unreachable_recall_is_reported_with_the_reachable_one():
    with pytest.raises(OperatingPointError, match=r"find 1 of 2 true boxes \(0\.500\)"):
        choose_operating_point([found([A], [0], [0.9])], [true([A, B], [0, 0])], min_recall=0.9)
    with pytest.raises(OperatingPointError, match="none of the 1 images"):
        choose_operating_point([NOTHING], [GOOD], min_recall=0.9)


@seeds
@checked
def test_all_correct_means_no_missed_defect_and_no_false_positive(seed):
    for prediction, target in zip(*random_detections(seed), strict=True):
        point = inspect_parts([prediction], [target], 0.4).point
        assert all_correct(prediction, target, 0.4) == (point.missed == 0 and point.false_positives == 0)


def test_boxes_without_area_match_nothing():
    flat = [5, 5, 5, 20]
    assert match(found([flat], [0], [0.9]), true([flat], [0])) == [(0.9, False)]
