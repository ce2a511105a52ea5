"""The audit page of a run: what it says, and that it says so where something is not known."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.loaders.conftest import drawn_row, make_split
from tests.training.audit_runs import data, page_of, point, text_of, write_cases, write_complete_run
from training.audit.facts import weights_sha256
from training.audit.leak_check import check_data
from training.audit.page import write_audit
from training.audit.rates import Rate
from training.audit.scorings import record_scoring
from training.explaining.verdicts import TESTS
from training.run.arguments import FIXED_THRESHOLD
from training.run.data_record import data_record
from training.run.run_record import record_start, recorded
from training.run.settings import Settings
from training.scoring.worst_cases import MOST, WORST_CASES, write_worst_classified


@pytest.mark.parametrize(
    ("count", "total", "expected"),
    # Clopper and Pearson's intervals, from quantiles of the beta distribution.
    [
        (0, 40, "0.0 to 8.8"),
        (1, 5000, "0.00051 to 0.11"),
        (3, 40, "1.6 to 20.4"),
        (40, 40, "91.2 to 100.0"),
        (12, 269, "2.3 to 7.7"),
    ],
)
def test_intervals(count: int, total: int, expected: str):
    assert Rate(count, total).between == expected


def test_nothing_is_known_of_no_parts():
    rate = Rate(0, 0)
    assert (rate.known, rate.number, rate.between, rate.counts) == (False, "unknown", "", "none")


def test_a_run_with_everything(tmp_path: Path):
    run = write_complete_run(tmp_path / "line3")
    write_cases(run, make_split([drawn_row(i) for i in range(9)]))
    assert write_audit(run)
    text = text_of(run)
    for part in (
        "Audit report: line3",
        "A detector for hole and scratch, trained on 60 annotated images of STEEL: strip.",
        "how many pass as good? 7.5 95 % interval 1.6 to 20.4. 3 of 40 test images with a defect had no detection.",
        "how many are rejected? 10.0 95 % interval 1.2 to 31.7. 2 of 20 test images without a defect had a false",
        "On 9 of 40 defective parts at least one defect was not found (22.5 of 100; 95 % interval 10.8 to 38.5); 6 of "
        "them are rejected anyway",
        "The score threshold, 0.250, was chosen on the validation images for the highest F1",
        "Steel-1. For research only. may be passed on no",
        "forbids to pass them on. This page shows some of them",
        "recommended: 70/15/15",
        "180 images were read; the complete set has 200.",
        "clipped_box 7 repaired it was clipped",
        "No group (series, board, part; an image without one is its own) is in two splits.",
        "were not searched for",
        "rt_detr_v2 with resnet18, 20.0 million parameters",
        "60 of 8 images; the weights are those of step 40, the best on validation",
        "seed 3",
        "test was scored once by train",
        "hole 10 8 2 3 0.500 0.800",
        "40 images of defective parts are few: the true rate may be anywhere from 1.6 to 20.4 of 100.",
        "The run was not explained. To do it: radikal-datasets explain line3",
        "Missed defects: ",
        "code not recorded",
    ):
        assert part in text, part
    page = page_of(run)
    assert write_audit(run) and page_of(run) == page
    assert "<script" not in page and not re.search(r"(src|href)=[\"']?(https?:|//)", page)
    assert page.count("data:image/jpeg") == 14 and len(page) < 1_000_000


def test_images_of_worst_cases_are_bounded(tmp_path: Path):
    run = write_complete_run(tmp_path / "run")
    write_cases(run, make_split([drawn_row(i) for i in range(30)]))
    cases = json.loads((run / "report" / "test" / WORST_CASES).read_text(encoding="utf-8"))
    assert [len(one["shown"]) for one in cases.values()] == [MOST, MOST]
    assert cases["false"]["images"] == 30
    assert "on a defect-free part" in cases["false"]["shown"][0]["text"]


def test_without_validation(tmp_path: Path):
    fixed = point(threshold=0.3, threshold_chosen_on=FIXED_THRESHOLD)
    points = {"threshold": None, "test": fixed}
    run = write_complete_run(tmp_path / "run", validation=None, operating_point=points)
    assert write_audit(run)
    text = text_of(run)
    assert "No operating point was chosen, because no validation split was scored." in text
    assert "threshold of 0.30, which was fixed before the run" in text
    assert "the weights are those of step 40, the last" in text
    assert "Without a scored validation split" in text and "validation chose the weights" not in text


def test_without_test_and_without_good_parts(tmp_path: Path):
    only = point("these images", parts=40, good_parts_called=0)
    run = write_complete_run(tmp_path / "run", test=None, operating_point={"threshold": 0.25, "validation": only})
    assert write_audit(run)
    text = text_of(run)
    assert "how many are rejected? unknown Not known: there are no validation images without a defect." in text
    assert "they are better than what new images will show" in text
    assert "No test split was scored: there is no figure that nothing was chosen on." in text
    assert "No validation image shows a good part: how many would be rejected is not known." in text


def test_a_run_that_was_not_scored(tmp_path: Path):
    nothing = {"validation": None, "test": None, "operating_point": {"threshold": None}, "report": {}}
    run = write_complete_run(tmp_path / "run", **nothing)
    assert write_audit(run)
    assert "Nothing was scored: no image of a validation or test split is annotated." in text_of(run)


def test_a_run_of_an_older_version(tmp_path: Path):
    """metrics.json without `data`, and nothing else in the folder: what is unknown is said to be."""
    run = write_complete_run(tmp_path / "run", data=None, training={}, report={})
    (run / "best" / "model.safetensors").unlink()
    assert write_audit(run)
    text = text_of(run)
    assert "Dataset: radikal_datasets/steel. Its license, protocol and counts were not recorded" in text
    assert "Whether the images of this page may be passed on is not known." not in text  # it shows none
    assert "recipe not recorded" in text and "checksum of the weights not recorded" in text


def test_an_incomplete_or_damaged_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert not write_audit(tmp_path)
    run = write_complete_run(tmp_path / "run")
    assert write_audit(run)
    (run / "metrics.json").write_text("{", encoding="utf-8")
    assert not write_audit(run)
    assert "warning: cannot write" in capsys.readouterr().err
    assert not (run / "report" / "index.html").exists()  # an older one would belong to other scores


def test_images_that_a_program_drew(tmp_path: Path):
    recorded = data()
    recorded["sets"][0]["sample"] = True
    run = write_complete_run(tmp_path / "run", data=recorded)
    assert write_audit(run)
    assert "The images are synthetic, drawn by a program." in text_of(run)


def test_scorings_after_training(tmp_path: Path):
    run = write_complete_run(tmp_path / "run")
    scores = json.loads((run / "metrics.json").read_text(encoding="utf-8"))["test"]
    for given in ([], [], ["--data_dir", "/secret/line 4"]):
        record_scoring(run, "test", given, scores)
    assert write_audit(run)
    text = text_of(run)
    assert "Times that score looked at it since: 3" in text
    assert "test, with the data of the run, 2 times: AP 0.456, AP50 0.800" in text
    assert "test, with --data_dir line 4: AP 0.456" in text and "secret" not in text
    (run / "best" / "model.safetensors").write_bytes(b"other weights")
    assert write_audit(run)
    assert "Scored again after training" not in text_of(run)


def explanations(run: Path, passes: dict[str, bool | None], weights: str | None) -> None:
    one = {
        "name": "gradcam",
        "energy": 0.5,
        "ratio": 3.0,
        "pointing": 1.0,
        "energy_in_call": 0.5,
        "deletion": 0.1,
        "insertion": 0.9,
        "curves_won": 0.8,
        "redrawn": {"decoder": 0.2, "backbone": 0.1},
        "seconds": 1.0,
        "passes": passes,
    }
    found = {
        "weights_sha256": weights,
        "options": {"split": "test"},
        "images": [{}, {}],
        "summary": {"right": 4, "false_calls": 1, "methods": [one]},
        "calibration": {"all detections": {"count": 50, "error": 0.1, "bias": 0.05}, "none": {"error": None}},
    }
    (run / "explanations").mkdir(exist_ok=True)
    (run / "explanations" / "explanations.json").write_text(json.dumps(found), encoding="utf-8")


def test_explanations(tmp_path: Path):
    run = write_complete_run(tmp_path / "run")
    explanations(run, dict.fromkeys(TESTS, True), weights_sha256(run))
    assert write_audit(run)
    text = text_of(run)
    assert "5 detections on 2 images of test" in text
    assert "All three tests are passed by: Grad-CAM." in text
    assert (
        "Of all detections: 50 detections, expected calibration error 0.100; scores are on average 0.050 above" in text
    )
    explanations(run, {"energy": True, "curves": False, "redrawn": None}, weights_sha256(run))
    assert write_audit(run)
    assert "No method passes all three tests" in text_of(run)
    assert "passes 3.00 times fails 80 % won not tested" in text_of(run)
    explanations(run, dict.fromkeys(TESTS, True), "of another model")
    assert write_audit(run)
    assert "There are explanations, but not of these weights" in text_of(run)
    assert "passed by: Grad-CAM" not in text_of(run)


def test_a_classifier(tmp_path: Path):
    scores = {"score": 0.9, "accuracy": 0.8, "f1": 0.7, "auroc": 0.9, "images": 60}
    matrix = {"classes": ["defect_free", "defect"], "counts": [[18, 2], [3, 37]]}
    counts = {name: value for name, value in point().items() if name != "bad_parts_with_a_miss"}
    run = write_complete_run(
        tmp_path / "run",
        names=["defect_free", "defect"],
        validation=scores,
        test=scores,
        operating_point={"threshold": 0.25, "validation": counts, "test": counts},
        report={"test": {"confusion_matrix": matrix}},
    )
    settings = run / "train_config.yaml"
    settings.write_text(settings.read_text(encoding="utf-8").replace("task: detection", "task: classification"))
    rows = [drawn_row(i) for i in range(6)]
    split, answers = make_split(rows), [(row["image_id"], int(bool(row["boxes"])), [0.5, 0.5]) for row in rows]
    assert write_worst_classified(run / "report" / "test", split, answers, ["defect_free", "defect"], 0.5)
    assert write_audit(run)
    text = text_of(run)
    assert "A classifier for defect_free and defect" in text
    assert "3 of 40 test images with a defect had no defect found." in text
    assert "defect 40 37 3 2" in text and "accuracy 0.800 0.800" in text
    assert "Only detectors can be explained so far." in text
    assert "False alarms: 2 images" in text and "probability of a defect 0.50" in text


def test_leaks_are_found_once_and_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    same = drawn_row(1)
    splits = {
        "train": make_split([drawn_row(0), same]),
        "test": make_split([{**same, "image_id": "copy"}, drawn_row(5)]),
    }
    run = write_complete_run(tmp_path / "run", data=data())
    check_data(run, splits)
    assert "Searching 4 images" in capsys.readouterr().out
    check_data(run, splits)
    assert capsys.readouterr().out == ""
    assert write_audit(run)
    text = text_of(run)
    assert "All 4 images were compared with each other. Pairs across splits: 1 pair: the same bytes." in text
    assert "1 images of test show what an image of train or validation also shows." in text
    assert "made/1 (train) and copy (test)" in text
    assert "1 of 60 test images show what an image of another split also shows" in text


def test_the_record_of_a_dataset():
    splits = {
        "train": make_split([drawn_row(i) for i in range(6)]),
        "test": make_split([drawn_row(7), drawn_row(8, annotated=False)]),
    }
    settings = Settings(dataset_name="somewhere/else")
    record = data_record(settings, splits)
    assert record["splits"]["train"] == {
        "images": 6,
        "annotated": 6,
        "defect_free": 2,
        "boxes": 4,
        "groups": 6,
        "images_per_class": {"hole": 2, "scratch": 2},
        "boxes_per_class": {"hole": 2, "scratch": 2},
    }
    assert record["splits"]["test"]["annotated"] == 1 and record["groups_in_two_splits"] == 0
    (one,) = record["sets"]
    assert one["source"] is None and one["counters"] is None and one["protocol"] is None
    assert data_record(settings, dict(reversed(splits.items())))["digest"] == record["digest"]
    assert data_record(settings, {**splits, "train": splits["train"].remove_columns("group")})["digest"]
    fewer = {**splits, "train": splits["train"].select(range(5))}
    assert data_record(settings, fewer)["digest"] != record["digest"]


def test_the_record_of_a_start(tmp_path: Path):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("dataset_name: a/b\nseed: 1\n", encoding="utf-8")
    settings = Settings(dataset_name="a/b", seed=2, output_dir="somewhere")
    (tmp_path / "run").mkdir()
    record_start(settings, tmp_path / "run", str(recipe), resumed=False)
    record_start(settings, tmp_path / "run", str(tmp_path / "run" / "train_config.yaml"), resumed=True)
    first, second = recorded(tmp_path / "run")
    assert (
        first["proposed"] == {} and first["recipe"] == "mine.yaml" and first["differs_from_recipe"] == {"seed": [1, 2]}
    )
    assert second["recipe"] is None and second["version"] == first["version"]
    assert first["packages"]["torch"] and first["hardware"]["cores"] > 0
    record_start(settings, tmp_path / "run", "", resumed=False)
    assert len(recorded(tmp_path / "run")) == 1
