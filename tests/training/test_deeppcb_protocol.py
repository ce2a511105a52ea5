"""Compared with the publisher's evaluation/script.py (tangsanli5201/DeepPCB at 08e98c4).

FROZEN holds what that script, run by Python 2.7 with Polygon2, printed for the inputs generated here, passed as files
(`write_archives`). As published it doesn't run: a comma is missing after 'GT_SAMPLE_NAME_2_ID', four-number boxes have
to be requested (LTRB), and gt.zip has spaces where it expects commas; nothing else was changed.
"""

from __future__ import annotations

import importlib
import os
import random
import re
import sys
import types
import zipfile
from pathlib import Path

import evaluate
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.scoring.deeppcb_protocol.deeppcb_protocol import DeepPCBProtocol, best_threshold, protocol_scores

#: Seed of `random_detections` -> AP, hmean, precision, recall as the script prints them.
FROZEN: dict[int, tuple[float, float, float, float]] = {
    0: (0.42471709724637696, 0.5714285714285714, 0.41935483870967744, 0.896551724137931),
    1: (0.40315269376098245, 0.5454545454545455, 0.4090909090909091, 0.8181818181818182),
    2: (0.07110163366149955, 0.2692307692307692, 0.20588235294117646, 0.3888888888888889),
    3: (0.3032040532722797, 0.5, 0.4117647058823529, 0.6363636363636364),
    4: (0.46832658162618984, 0.6153846153846153, 0.47058823529411764, 0.8888888888888888),
    5: (0.2603131761616544, 0.45161290322580644, 0.40384615384615385, 0.5121951219512195),
}
NAMES = ("open", "short", "mousebite", "spur", "copper", "pin-hole")


def found(boxes, labels, scores):
    return {"boxes": boxes, "labels": labels, "scores": scores}


def true(boxes, labels):
    return {"boxes": boxes, "labels": labels}


def random_detections(seed: int):
    """Crowded images, so that the matching matters; some without ground truth, some without detections."""
    generator = random.Random(seed)  # its random() gives the same in every version of Python

    def whole(low: int, high: int) -> int:
        return low + int(generator.random() * (high - low))

    def box():
        x, y = whole(0, 40), whole(0, 40)
        return [x, y, x + whole(5, 40), y + whole(5, 40)]

    predictions, targets = [], []
    for _ in range(6):
        boxes = [box() for _ in range(whole(0, 9))]
        labels = [whole(0, 3) for _ in boxes]
        near = [[max(0, v + whole(-3, 4)) for v in b[:2]] + [v + whole(0, 4) for v in b[2:]] for b in boxes]
        detected = [*near, *(box() for _ in range(whole(0, 12)))] if generator.random() > 0.2 else []
        classes = [*labels, *(whole(0, 3) for _ in detected)][: len(detected)]
        targets.append(true(boxes, labels))
        scores = [round(generator.random(), 6) for _ in detected]
        predictions.append(found(detected, classes, scores))
    return predictions, targets


def write_archives(folder: Path, predictions, targets) -> tuple[Path, Path]:
    """gt.zip and res.zip as the publisher's script reads them."""
    with zipfile.ZipFile(folder / "gt.zip", "w") as gt, zipfile.ZipFile(folder / "res.zip", "w") as result:
        for number, (p, t) in enumerate(zip(predictions, targets, strict=True)):
            boxes = zip(t["boxes"], t["labels"], strict=True)
            gt.writestr(f"{number:08}.txt", "\n".join(",".join(map(str, [*b, NAMES[c]])) for b, c in boxes))
            if p["boxes"]:
                lines = (
                    ",".join([*map(str, b), f"{score:.6f}", NAMES[c]])
                    for b, score, c in zip(p["boxes"], p["scores"], p["labels"], strict=True)
                )
                result.writestr(f"{number:08}.txt", "\n".join(lines))
    return folder / "gt.zip", folder / "res.zip"


@pytest.mark.parametrize("seed", FROZEN)
def test_equals_the_publishers_script(seed):
    ours = protocol_scores(*random_detections(seed))
    assert (ours["ap"], ours["f_score"], ours["precision"], ours["recall"]) == pytest.approx(FROZEN[seed], abs=1e-12)


def test_worked_by_hand():
    """Two boxes: the most confident detection is correct, then a false positive, then one that overlaps at IoU 0.4."""
    truth = [true([[0, 0, 100, 100], [200, 200, 300, 300]], [0, 1])]
    boxes = [[0, 0, 100, 100], [500, 500, 550, 550], [200, 200, 300, 240]]
    scores = protocol_scores([found(boxes, [0, 1, 1], [0.9, 0.8, 0.7])], truth)
    assert scores["ap"] == pytest.approx((1 / 1 + 2 / 3) / 2)  # summed at the true positives; not interpolated
    assert (scores["precision"], scores["recall"]) == pytest.approx((2 / 3, 1))
    assert scores["f_score"] == pytest.approx(2 * (2 / 3) / (2 / 3 + 1))
    scores = protocol_scores([found(boxes, [0, 1, 1], [0.9, 0.8, 0.7])], truth, score_threshold=0.8)
    assert (scores["precision"], scores["recall"]) == pytest.approx((1 / 2, 1 / 2))
    assert scores["ap"] == pytest.approx((1 / 1 + 2 / 3) / 2)  # of all detections, whatever the threshold


@pytest.mark.parametrize(("height", "right"), [(33, 0), (34, 1)])
def test_iou_must_exceed_a_third_of_a_hundred(height, right):
    scores = protocol_scores([found([[0, 0, 100, height]], [0], [0.5])], [true([[0, 0, 100, 100]], [0])])
    assert scores["recall"] == right


def test_a_confident_detection_of_another_class_takes_the_box():
    truth, boxes = [true([[0, 0, 50, 50]], [0])], [[0, 0, 50, 50], [0, 0, 50, 50]]
    assert protocol_scores([found(boxes, [0, 1], [0.9, 0.8])], truth)["recall"] == 1
    assert protocol_scores([found(boxes, [0, 1], [0.8, 0.9])], truth)["recall"] == 0


def test_boxes_are_rounded_to_integer_pixels():
    """33.6 rows of 100 become 34, 33.4 become 33."""
    truth = [true([[0.2, 0.2, 99.8, 100.3]], [0])]
    assert protocol_scores([found([[0, 0, 100, 33.6]], [0], [0.5])], truth)["recall"] == 1
    assert protocol_scores([found([[0, 0, 100, 33.4]], [0], [0.5])], truth)["recall"] == 0


def test_nothing_found_and_nothing_to_find():
    nothing = found([], [], [])
    assert protocol_scores([nothing], [true([[0, 0, 5, 5]], [1])]) == {
        "ap": 0,
        "f_score": 0,
        "precision": 0,
        "recall": 0,
        "score_threshold": 0,
    }
    assert protocol_scores([found([[0, 0, 5, 5]], [0], [0.5])], [true([], [])])["ap"] == -1
    assert best_threshold([nothing], [true([[0, 0, 5, 5]], [1])]) == 1


@given(st.integers(0, 10**6), st.floats(0, 1))
@settings(deadline=None, max_examples=60)
def test_a_threshold_equals_passing_fewer_detections(seed, threshold):
    predictions, targets = random_detections(seed)
    cut = [
        {name: [v for v, s in zip(p[name], p["scores"], strict=True) if s >= threshold] for name in p}
        for p in predictions
    ]
    at, of_cut = protocol_scores(predictions, targets, threshold), protocol_scores(cut, targets)
    assert all(at[name] == of_cut[name] for name in ("f_score", "precision", "recall"))
    assert at["ap"] >= of_cut["ap"]


@given(st.integers(0, 10**6))
@settings(deadline=None, max_examples=15)
def test_best_threshold_has_the_highest_f_score(seed):
    predictions, targets = random_detections(seed)
    every = [score for p in predictions for score in p["scores"]]
    chosen = protocol_scores(predictions, targets, best_threshold(predictions, targets))["f_score"]
    assert all(chosen >= protocol_scores(predictions, targets, score)["f_score"] for score in every)


@given(st.integers(0, 10**6), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=30)
def test_order_of_detections_and_images_does_not_matter(seed, shuffler):
    predictions, targets = random_detections(seed)
    pairs = []
    for p, t in zip(predictions, targets, strict=True):
        order = list(range(len(p["scores"])))
        shuffler.shuffle(order)
        pairs.append(({name: [p[name][i] for i in order] for name in p}, t))
    shuffler.shuffle(pairs)
    shuffled = protocol_scores([p for p, _ in pairs], [t for _, t in pairs])
    assert shuffled == pytest.approx(protocol_scores(predictions, targets))


def test_loads_by_path_without_a_network():
    module = evaluate.load(str(Path(__file__).parents[2] / "training" / "scoring" / "deeppcb_protocol"))
    predictions, targets = random_detections(1)
    assert module.compute(predictions=predictions, references=targets) == protocol_scores(predictions, targets)


def test_a_threshold_takes_the_score_that_set_it():
    """0.7 in float32 would lie below 0.7."""
    metric = DeepPCBProtocol(keep_in_memory=True)
    one = {"boxes": [[0, 0, 9, 9]], "labels": [0]}
    assert metric.compute(predictions=[{**one, "scores": [0.7]}], references=[one], score_threshold=0.7) == {
        "ap": 1,
        "f_score": 1,
        "precision": 1,
        "recall": 1,
        "score_threshold": 0.7,
    }


@pytest.fixture
def publisher(tmp_path, monkeypatch):
    """The publisher's evaluate_method, in this Python: gt.zip, res.zip -> its metrics."""
    folder = os.environ.get("RADIKAL_DEEPPCB_EVALUATION")
    if not folder:
        pytest.skip("RADIKAL_DEEPPCB_EVALUATION is not set: the folder evaluation/ of tangsanli5201/DeepPCB")
    for name in ("script.py", "rrc_evaluation_funcs.py"):
        text = (Path(folder) / name).read_text(encoding="utf-8")
        text = text.replace("'([0-9]+).txt' #", "'([0-9]+).txt', #").replace("'([0-9]+).txt'#", "'([0-9]+).txt', #")
        text = text.replace("from StringIO import", "from io import").replace("Exception, e", "Exception as e")
        text = re.sub(r"unicode\((.*?),\s*.utf-8.\)", r"\1", text.replace(".iteritems()", ".items()"))
        text = re.sub(r"^(\s*)print (.+)$", r"\1print(\2)", text, flags=re.MULTILINE)
        (tmp_path / name).write_text(text, encoding="utf-8")
    polygon = types.ModuleType("Polygon")
    polygon.Polygon = Rectangle  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, "Polygon", polygon)
    monkeypatch.syspath_prepend(tmp_path)
    script = importlib.import_module("script")
    monkeypatch.delitem(sys.modules, "script")
    monkeypatch.delitem(sys.modules, "rrc_evaluation_funcs")

    def run(gt: Path, result: Path):
        parameters = {**script.default_evaluation_params(), "LTRB": True}
        script.validate_data(gt, result, parameters)
        return script.evaluate_method(gt, result, parameters)["method"]

    return run


class Rectangle:
    """The part of Polygon's interface that the script uses, for boxes."""

    def __init__(self, points):
        (self.x0, self.y0), (self.x1, self.y1) = points.min(axis=0), points.max(axis=0)

    def area(self):
        return float((self.x1 - self.x0) * (self.y1 - self.y0))

    def __and__(self, other):
        both = Rectangle.__new__(Rectangle)
        both.x0, both.y0 = max(self.x0, other.x0), max(self.y0, other.y0)
        both.x1, both.y1 = min(self.x1, other.x1), min(self.y1, other.y1)
        return both

    def __len__(self):
        return int(self.x1 > self.x0 and self.y1 > self.y0)


@pytest.mark.realdata
def test_the_publishers_script_itself_on_random_images(publisher, tmp_path):
    for seed in range(30):
        predictions, targets = random_detections(seed)
        assert_equal(publisher(*write_archives(tmp_path, predictions, targets)), predictions, targets)
        if seed in FROZEN:
            frozen = dict(zip(("AP", "hmean", "precision", "recall"), FROZEN[seed], strict=True))
            assert_equal(frozen, predictions, targets)


@pytest.mark.realdata
def test_the_publishers_script_on_its_own_ground_truth(publisher, tmp_path):
    """Its gt.zip (500 images) with detections derived from it: moved, duplicated, of another class, left out."""
    generator = random.Random(7)
    predictions, targets = [], []
    with zipfile.ZipFile(Path(os.environ["RADIKAL_DEEPPCB_EVALUATION"]) / "gt.zip") as archive:
        for name in archive.namelist():
            rows = [list(map(int, line.split())) for line in archive.read(name).decode().splitlines() if line.strip()]
            targets.append(true([row[:4] for row in rows], [row[4] - 1 for row in rows]))
            detected = [row for row in rows for _ in range(int(generator.random() * 2.7))]
            predictions.append(
                found(
                    [[max(0, v + int(generator.gauss(0, 6))) for v in row[:4]] for row in detected],
                    [row[4] - 1 if generator.random() > 0.1 else int(generator.random() * 6) for row in detected],
                    [round(generator.random(), 6) for _ in detected],
                )
            )
    for p in predictions:  # the script refuses a box whose corners are swapped
        p["boxes"] = [[min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3])] for b in p["boxes"]]
    theirs = publisher(*write_archives(tmp_path, predictions, targets))
    assert 0.3 < theirs["AP"] < 0.9 and sum(len(t["labels"]) for t in targets) > 3000
    assert_equal(theirs, predictions, targets, within=1e-6)  # 6 digits: ties may be broken differently


def assert_equal(theirs, predictions, targets, within=1e-12):
    ours = protocol_scores(predictions, targets)
    for our, their in (("ap", "AP"), ("f_score", "hmean"), ("precision", "precision"), ("recall", "recall")):
        assert ours[our] == pytest.approx(theirs[their], abs=within), our
