from __future__ import annotations

from pathlib import Path

import evaluate
import pytest

from training.scoring.detection_map.detection_map import DetectionMap

KEYS = {"map", "map_50", "map_75", "map_small", "map_medium", "map_large", "mar_100", "map_per_class"}


def scores(predictions, references, names=("a", "b", "c")):
    return DetectionMap(keep_in_memory=True).compute(
        predictions=predictions, references=references, class_names=list(names)
    )


def found(boxes, labels, values):
    return {"boxes": boxes, "labels": labels, "scores": values}


def true(boxes, labels):
    return {"boxes": boxes, "labels": labels}


def test_perfect_and_undefined():
    truth = [true([[10, 10, 60, 60], [100, 100, 110, 110]], [0, 1]), true([], [])]
    result = scores([found(**truth[0], values=[0.9, 0.8]), found([], [], [])], truth)
    assert set(result) == KEYS
    assert result["map"] == result["map_small"] == result["map_medium"] == result["mar_100"] == 1
    assert result["map_large"] == -1 and result["map_per_class"] == {"a": 1, "b": 1, "c": -1}


def test_nothing_found_and_nothing_to_find():
    empty = found([], [], [])
    assert scores([empty], [true([[0, 0, 5, 5]], [1])])["map_50"] == 0
    result = scores([empty], [true([], [])])
    assert set(result) == KEYS and result["map"] == -1 and result["map_per_class"] == {"a": -1, "b": -1, "c": -1}


def test_worked_by_hand():
    """Two of one class: the most confident detection overlaps at IoU 0.6, then a false positive, then one at IoU 1."""
    truth = [true([[0, 0, 100, 100], [200, 200, 300, 300]], [0, 0])]
    boxes = [[0, 0, 100, 60], [400, 400, 450, 450], [200, 200, 300, 300]]
    result = scores([found(boxes, [0, 0, 0], [0.9, 0.8, 0.7])], truth, ("a",))
    # Precision 1 for the 51 recalls 0..0.50, then 2/3 for the other 50.
    assert result["map_50"] == pytest.approx((51 + 50 * 2 / 3) / 101)
    # At IoU 0.75 only the last is correct: precision 1/3 up to recall 0.50.
    assert result["map_75"] == pytest.approx(51 / 3 / 101)


def test_wrong_class_does_not_count():
    assert scores([found([[0, 0, 50, 50]], [1], [0.9])], [true([[0, 0, 50, 50]], [0])])["map_50"] == 0


def test_loads_by_path_without_a_network():
    module = evaluate.load(str(Path(__file__).parents[2] / "training" / "scoring" / "detection_map"))
    truth = [true([[10, 10, 60, 60]], [0])]
    result = module.compute(predictions=[found(**truth[0], values=[0.5])], references=truth, class_names=["a"])
    assert result["map"] == 1
