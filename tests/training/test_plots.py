from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from radikal_datasets.errors import ClassNamesError
from training.scoring.detection_map.detection_map import DetectionMap
from training.scoring.plots import draw_confusion_matrix, draw_image_roc, draw_precision_recall
from training.scoring.report import full_report, summary

A, B = [10, 10, 60, 60], [100, 100, 140, 150]
NAMES = ["hole", "scratch", "never_seen"]
TRUTHS = [
    {"boxes": [A, B], "labels": [0, 1]},
    {"boxes": [A], "labels": [1]},
    {"boxes": [], "labels": []},
    {"boxes": [], "labels": []},
]
PREDICTIONS = [
    {"boxes": [[10, 10, 60, 40], B], "labels": [0, 0], "scores": [0.9, 0.8]},  # the first is correct at IoU 0.6
    {"boxes": [A], "labels": [1], "scores": [0.7]},
    {"boxes": [B], "labels": [0], "scores": [0.75]},
    {"boxes": [], "labels": [], "scores": []},
]


def pixels(file) -> np.ndarray:
    with Image.open(file) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB")).astype(int)


@pytest.mark.parametrize("classes", [1, 6, 20])
def test_matrix_grows_with_its_classes(tmp_path, classes):
    counts = np.diag([*range(1, classes + 1), 0])
    draw_confusion_matrix(counts, [f"class_{i}" for i in range(classes)], tmp_path / "m.png", "title")
    height, width, _ = pixels(tmp_path / "m.png").shape
    assert min(height, width) > 50 * classes and max(height, width) < 8000


def test_matrix_is_shaded_by_row(tmp_path):
    """A rare class is as dark as a frequent one: two full fields here, of 1 and of 900 boxes."""
    draw_confusion_matrix(np.array([[1, 0, 0], [900, 0, 0], [0, 0, 0]]), ["a", "b"], tmp_path / "full.png", "")
    draw_confusion_matrix(np.array([[1, 0, 1], [0, 900, 0], [0, 0, 0]]), ["a", "b"], tmp_path / "half.png", "")
    dark = [np.all(pixels(tmp_path / name) == [8, 48, 107], axis=-1).sum() for name in ("full.png", "half.png")]
    assert dark[0] == pytest.approx(2 * dark[1], rel=0.1)


def test_every_class_has_its_own_line(tmp_path):
    curve = np.full(101, 0.5)
    draw_precision_recall({f"class_{i}": curve for i in range(20)}, tmp_path / "p.png", "title")
    one = pixels(tmp_path / "p.png")
    draw_precision_recall({}, tmp_path / "none.png", "title")
    assert not np.array_equal(one[:50, :50], pixels(tmp_path / "none.png")) and one.std() > 0
    blue = np.all(one == [0x00, 0x72, 0xB2], axis=-1).sum()
    orange = np.all(one == [0xE6, 0x9F, 0x00], axis=-1).sum()
    assert blue > 20 and orange > 20


def test_roc_needs_both_kinds(tmp_path):
    with pytest.raises(ValueError, match="3 of 3 images are defective"):
        draw_image_roc(np.zeros(3), np.ones(3, dtype=bool), tmp_path / "r.png", "title")
    draw_image_roc(np.array([0.1, 0.9]), np.array([False, True]), tmp_path / "r.png", "title", threshold=0.5)
    orange = np.all(pixels(tmp_path / "r.png") == [0xD5, 0x5E, 0x00], axis=-1)
    assert orange.sum() > 100  # the threshold's point


def test_full_report(tmp_path):
    report = full_report(PREDICTIONS, TRUTHS, NAMES, tmp_path / "deep" / "er", publisher_scores=["deeppcb_protocol"])
    assert json.loads(json.dumps(report)) == report
    assert report["pictures"] == ["confusion_matrix.png", "precision_recall.png", "image_roc.png"]
    assert sorted(report["pictures"]) == sorted(file.name for file in (tmp_path / "deep" / "er").iterdir())
    expected = DetectionMap(keep_in_memory=True).compute(predictions=PREDICTIONS, references=TRUTHS, class_names=NAMES)
    per_class = report["coco"].pop("map_50_per_class")
    assert report["coco"] == expected
    # A class's AP50 is the mean of its curve, and map_50 the mean over classes with a true box.
    assert per_class["never_seen"] == -1
    assert (per_class["hole"] + per_class["scratch"]) / 2 == pytest.approx(report["coco"]["map_50"])
    point = report["operating_point"]
    assert (point["threshold"], point["threshold_chosen_on"]) == (0.7, "these images")
    assert (point["found"], point["missed"], point["false_calls"]) == (2, 1, 2)
    assert report["image_level"]["auroc"] == 0.75
    assert report["confusion_matrix"] == {
        "classes": [*NAMES, "background"],
        "counts": [[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]],
    }
    assert report["deeppcb_protocol"]["f_score"] == pytest.approx(4 / 7)
    text = summary(report)
    assert "2 of 2" not in text and "1 of 2 bad parts have a missed defect, 0 pass as good" in text


def test_test_images_are_scored_at_the_threshold_of_validation(tmp_path):
    report = full_report(PREDICTIONS, TRUTHS, NAMES, tmp_path, 0.85, min_recall=0.99)
    point = report["operating_point"]
    assert (point["threshold"], point["threshold_chosen_on"]) == (0.85, "validation")
    assert (point["found"], point["missed"], point["false_calls"]) == (1, 2, 0)
    assert report["image_level"]["threshold"] == 0.85
    assert "deeppcb_protocol" not in report


@pytest.mark.parametrize("rule", [{"min_recall": 0.3}, {"max_false_calls_per_100": 0}])
def test_other_rules_for_the_threshold(tmp_path, rule):
    assert full_report(PREDICTIONS, TRUTHS, NAMES, tmp_path, **rule)["operating_point"]["threshold"] == 0.9


def test_an_old_roc_plot_is_removed(tmp_path):
    full_report(PREDICTIONS, TRUTHS, NAMES, tmp_path)
    report = full_report(PREDICTIONS[:2], TRUTHS[:2], NAMES, tmp_path)
    assert "image_roc.png" not in report["pictures"] and not (tmp_path / "image_roc.png").exists()
    assert report["image_level"]["auroc"] == -1


def test_nothing_found_and_nothing_to_find(tmp_path):
    nothing = {"boxes": [], "labels": [], "scores": []}
    report = full_report([nothing], [{"boxes": [], "labels": []}], NAMES, tmp_path)
    assert report["coco"]["map"] == -1 and report["operating_point"]["f1"] == 0
    assert report["pictures"] == ["confusion_matrix.png", "precision_recall.png"]
    assert summary(report)
    assert full_report([nothing], TRUTHS[:1], NAMES, tmp_path)["coco"]["map_50"] == 0


def test_a_label_without_a_name(tmp_path):
    with pytest.raises(ClassNamesError, match=r"predictions\[1\] has label 1, but there are 1 class names"):
        full_report(PREDICTIONS, [{"boxes": [], "labels": []}] * 4, ["hole"], tmp_path)
