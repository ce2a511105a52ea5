"""Complete, tiny runs: in this process where only the outcome counts, else through the real command line."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import datasets
import pytest
import torch
import yaml
from safetensors.torch import load_file
from transformers import pipeline

from tests.loaders.conftest import drawn_row, make_split
from tests.training.audit_runs import text_of
from tests.training.complete_runs import metrics_of, weights_of
from tests.training.conftest import ROOT, launch, write_hub_folder
from training import score, train
from training.models import from_checkpoint
from training.run.arguments import DEFAULT_THRESHOLD, FIXED_THRESHOLD
from training.run.data import remarks
from training.using.trained_model import open_model

KEYS = {"map", "map_50", "map_75", "map_small", "map_medium", "map_large", "mar_100", "map_per_class"}


def test_files_that_a_run_leaves(tiny_config, tmp_path, capsys):
    """Two accumulated batches per step, evaluation in mid-epoch, and --max_train_steps instead of epochs."""
    extra = [
        "--max_train_steps",
        "5",
        "--num_train_epochs",
        "1",
        "--gradient_accumulation_steps",
        "2",
        "--eval_steps",
        "2",
    ]
    assert train.main([str(tiny_config), *extra, "--checkpointing_steps", "2"]) == 0
    run = tmp_path / "run"
    metrics = metrics_of(run)
    assert set(metrics["validation"]) == set(metrics["test"]) == KEYS
    assert set(metrics["test"]["map_per_class"]) == {"hole", "scratch"}
    assert metrics["config"]["precision"] == "no" and metrics["config"]["mixed_precision"] == "auto"
    assert [entry["step"] for entry in metrics["training"]["history"]] == [2, 4, 5]
    assert metrics["training"]["steps"] == 5
    assert {p.name for p in run.glob("checkpoint-*")} == {"checkpoint-4", "checkpoint-5"}  # the oldest is removed
    assert {p.parent.name for p in run.rglob("config.json")} == {"best", "last"}
    assert yaml.safe_load((run / "train_config.yaml").read_text())["max_train_steps"] == 5
    out = capsys.readouterr().out
    assert "step 5: loss" in out and "checkpoint every 2 steps, about 3 of them" in out
    assert not list(run.glob("run.*"))  # the lock
    for split in ("validation", "test"):
        page = (run / "report" / split / "index.html").read_text(encoding="utf-8")
        assert f"<h1>Predictions beside ground truth: {split}</h1>" in page and "<figure" in page
        assert f"<dt>missed</dt><dd>{metrics['operating_point'][split]['missed']:,}</dd>" in page
    # The threshold is saved with the model, for users who get it without its run.
    threshold = metrics["operating_point"]["threshold"]
    assert 0 <= threshold <= 1 and open_model(run / "best").threshold == open_model(run).threshold == threshold
    assert from_checkpoint(str(run / "best"), ["hole"]).config.radikal_threshold is None
    found = pipeline("object-detection", model=str(run / "best"), threshold=0.0)(_picture())
    assert found and found[0]["label"] in ("hole", "scratch")

    text = text_of(run)
    assert "A detector for hole and scratch, trained on 26 annotated images of " in text
    assert "test was scored once by train" in text and "7 images were compared" not in text
    assert "All 42 images were compared with each other" in text
    assert "recipe tiny.yaml" in text and re.search(r"max_train_steps none 5 given ", text)
    assert re.search(r"code radikal-datasets [\w.]+, commit [0-9a-f]{40}", text)

    # score.py finds the run's data and gives the same numbers.
    page = run / "report" / "test" / "index.html"
    shown = page.read_text(encoding="utf-8")
    page.unlink()
    assert score.main([str(run), "--output", str(tmp_path / "s.json")]) == 0
    assert page.read_text(encoding="utf-8") == shown  # the same page again, at the run's operating point
    assert json.loads((tmp_path / "s.json").read_text()) == metrics["test"]
    assert "Times that score looked at it since: 1" in text_of(run)
    assert score.main([str(run), "--split", "unlabeled"]) == 1
    assert "It has train, validation, test" in capsys.readouterr().err
    assert score.main([str(run), "--data_dir", "elsewhere"]) == 1
    assert "Omit --data_dir, or pass" in capsys.readouterr().err
    (run / "best").rename(run / "gone")
    assert score.main([str(run)]) == 1
    assert "this run has no scored model yet" in capsys.readouterr().err

    # A second run into the same folder is refused, and replaces it only on request.
    assert train.main([str(tiny_config), "--max_train_steps", "1"]) == 1
    assert "--resume_from_checkpoint latest" in capsys.readouterr().err


def _picture():
    import io

    from PIL import Image

    return Image.open(io.BytesIO(drawn_row(1)["bytes"]))


def test_a_page_that_cannot_be_drawn_costs_no_scores(tiny_config, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("training.scoring.prediction_page.write_prediction_page", lambda *_, **__: 1 / 0)
    assert train.main([str(tiny_config), "--max_train_steps", "1"]) == 0
    assert metrics_of(tmp_path / "run")["test"]["map"] >= 0
    assert capsys.readouterr().err.count("warning: cannot write") == 2
    # The audit report is another page: it is there, and links to none that is not.
    (report,) = (tmp_path / "run").rglob("index.html")
    assert report.parent.name == "report" and "/index.html" not in report.read_text(encoding="utf-8")


def test_learns(tiny_config, tmp_path):
    """Enough steps to find white rectangles on black; a loop that did not learn would stay near zero."""
    assert train.main([str(tiny_config), "--max_train_steps", "60", "--eval_steps", "60", "--noise", "0"]) == 0
    first, last = _losses(tmp_path / "run", tiny_config)
    assert last < first


def _losses(run: Path, config: Path) -> tuple[float, float]:
    history = metrics_of(run)["training"]["history"]
    assert train.main([str(config), "--max_train_steps", "1", "--output_dir", str(run.parent / "one")]) == 0
    return metrics_of(run.parent / "one")["training"]["history"][0]["loss"], history[-1]["loss"]


def test_a_folder_in_use_is_refused_and_names_the_process(tiny_config, tmp_path, capsys):
    from training.run.output_dir import held

    with held(tmp_path / "run"):
        assert train.main([str(tiny_config)]) == 1
        assert f"Process {os.getpid()} is already writing to {tmp_path / 'run'}" in capsys.readouterr().err
        assert {p.name for p in (tmp_path / "run").iterdir()} == {"run.lock", "run.pid"}
    assert not (tmp_path / "run").exists()
    (tmp_path / "run").touch()
    assert train.main([str(tiny_config)]) == 1
    assert "Cannot create output_dir" in capsys.readouterr().err


@pytest.mark.parametrize("inside", ["", "deep/run"])
def test_output_among_the_images_is_refused(tiny_config, tiny_data, capsys, inside):
    before = sorted(tiny_data.rglob("*"))
    assert train.main([str(tiny_config), "--output_dir", str(tiny_data / inside)]) == 1
    assert "is inside the data folder" in capsys.readouterr().err
    assert sorted(tiny_data.rglob("*")) == before


def test_missing_splits(tiny_config, tmp_path, capsys):
    """Without validation and test the run trains, says so, and ends well."""
    data = write_hub_folder(tmp_path / "d", {"train": [drawn_row(i) for i in range(5)]})
    assert train.main([str(tiny_config), "--dataset_name", str(data), "--max_train_steps", "2"]) == 0
    metrics = metrics_of(tmp_path / "run")
    assert metrics["validation"] is None and metrics["test"] is None
    out = capsys.readouterr().out
    assert "There is no validation split. There is no test split. Nothing will be scored" in out
    assert (tmp_path / "run" / "best" / "model.safetensors").is_file()
    assert "Nothing was scored" in text_of(tmp_path / "run")


@pytest.mark.parametrize("task", ["detection", "classification"])
def test_nothing_is_chosen_on_test(tiny_config, tmp_path, capsys, task):
    """Without validation, best/ is the last model and there is no operating point; test is reported at a fixed one."""
    rows = [drawn_row(i) for i in range(6)]
    data = write_hub_folder(tmp_path / "d", {"train": rows[:4], "test": rows[4:]})
    more = [] if task == "detection" else ["--task", "classification", "--model_size", "nano"]
    assert train.main([str(tiny_config), "--dataset_name", str(data), "--max_train_steps", "2", *more]) == 0
    run, metrics = tmp_path / "run", metrics_of(tmp_path / "run")
    assert metrics["validation"] is None and metrics["operating_point"]["threshold"] is None
    assert metrics["operating_point"]["test"]["threshold"] == DEFAULT_THRESHOLD
    assert metrics["operating_point"]["test"]["threshold_chosen_on"] == FIXED_THRESHOLD
    best, last = (load_file(run / name / "model.safetensors") for name in ("best", "last"))
    assert all(torch.equal(best[name], last[name]) for name in best)
    if task == "detection":
        assert open_model(run / "best").threshold is None
    assert "No operating point is chosen." in capsys.readouterr().out
    assert "No operating point was chosen, because no validation split was scored." in text_of(run)
    assert score.main([str(run)]) == 0


def test_loss_that_is_not_a_number_ends_the_run_with_the_images(tiny_config, tmp_path, capsys, monkeypatch):
    from training.tasks import detection

    def poisoned(model):
        original = model.loss_function

        def loss_function(*args, **kwargs):
            loss, *rest = original(*args, **kwargs)
            return (loss * float("nan"), *rest)

        model.loss_function = loss_function

    monkeypatch.setattr(detection, "float32_loss", poisoned)
    assert train.main([str(tiny_config), "--max_train_steps", "9", "--max_nonfinite_steps", "3"]) == 1
    err = capsys.readouterr().err
    assert "3 steps in a row" in err and "made/" in err


def test_one_bad_step_is_skipped_and_counted(tiny_config, tmp_path, monkeypatch):
    from training.tasks import detection

    def poisoned(model):
        original, calls = model.loss_function, []

        def loss_function(*args, **kwargs):
            calls.append(0)
            loss, *rest = original(*args, **kwargs)
            return (loss * float("inf") if len(calls) == 2 else loss, *rest)

        model.loss_function = loss_function

    monkeypatch.setattr(detection, "float32_loss", poisoned)
    assert train.main([str(tiny_config), "--max_train_steps", "4"]) == 0
    assert metrics_of(tmp_path / "run")["training"]["skipped_steps"] == 1
    assert all(torch.isfinite(v).all() for v in weights_of(tmp_path / "run" / "best").values())


def test_mistakes_end_with_one_message(tiny_config, tmp_path, capsys, monkeypatch):
    assert train.main([str(tiny_config), "--mixed_precision", "fp16"]) == 1
    assert "no CUDA device" in capsys.readouterr().err
    assert train.main([str(tiny_config), "--lr", "1"]) == 2
    assert "'lr', which is not a setting; the nearest is" in capsys.readouterr().err
    assert train.main([str(tiny_config), "--resume_from_checkpoint", "latest"]) == 1
    assert "no run was started there" in capsys.readouterr().err
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "train_config.yaml").touch()
    assert train.main([str(tiny_config), "--resume_from_checkpoint", "latest"]) == 1
    assert "was stopped before its first checkpoint" in capsys.readouterr().err
    assert train.main([str(tiny_config), "--resume_from_checkpoint", "last"]) == 1
    assert "Did you mean latest?" in capsys.readouterr().err
    assert train.main([str(tiny_config), "--model_type", "yolo"]) == 1
    assert "Available are detr, conditional_detr" in capsys.readouterr().err
    assert train.main([str(tiny_config), "--dataset_name", "no/such_set"]) == 1
    err = capsys.readouterr().err
    assert "Cannot load dataset_name no/such_set: there is no such folder" in err and len(err.splitlines()) == 1


def test_unsuitable_datasets_are_refused_with_what_is_needed(tiny_config, tmp_path, capsys):
    whole = make_split([drawn_row(i) for i in range(5)])
    features = {**whole.features, "labels": datasets.List(datasets.Value("int64"))}
    for name, split in {
        "columns": whole.remove_columns(["width", "annotated"]),
        "classes": whole.cast(datasets.Features(features)),
    }.items():
        (tmp_path / name).mkdir()
        split.to_parquet(tmp_path / name / "train.parquet")
        assert train.main([str(tiny_config), "--dataset_name", str(tmp_path / name)]) == 1
    err = capsys.readouterr().err
    assert "lacks the columns width, annotated. It needs image_id, image, width" in err
    assert "it must be a list of ClassLabel" in err
    assert train.main([str(tiny_config), "--dataset_config_name", "castings"]) == 1
    assert "Pass one of them as --dataset_config_name, or null for none." in capsys.readouterr().err


def test_remarks_on_splits_and_classes():
    both = make_split([drawn_row(i) for i in range(6)])
    without = make_split([drawn_row(i, labels=[0] * len(drawn_row(i)["labels"])) for i in range(6)])
    unknown = make_split([drawn_row(i, annotated=False) for i in range(3)])
    assert remarks({"train": both, "validation": both, "test": both}) == []
    assert remarks({"train": both, "validation": both}) == [
        "There is no test split: only the validation split will be scored."
    ]
    assert remarks({"train": without, "validation": unknown, "test": both}) == [
        "No image of the validation split is annotated: only the test split will be scored, with the last "
        "model, which best/ will hold. No operating point is chosen.",
        "No training image contains these classes: scratch.",
    ]


def test_a_signal_before_the_first_step_ends_the_run_without_a_traceback(tiny_config, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(train, "load_splits", lambda _: signal.raise_signal(signal.SIGINT))
    assert train.main([str(tiny_config)]) == 130
    assert "Stopped before the first step" in capsys.readouterr().out
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_without_recipe_and_data_it_trains_on_synthetic_images_and_says_so(tmp_path):
    """The real command line in an empty folder, with both spellings of an option, for each script."""
    steps = ["--max_train_steps", "2", "--eval-steps", "2", "--draw-curves", "false"]
    process = launch(*steps, cwd=tmp_path, launcher=("--quiet", "--num_processes", "1"))
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    lines = out.strip().splitlines()
    assert "SYNTHETIC" in lines[0] and "SYNTHETIC" in lines[-1]
    metrics = metrics_of(tmp_path / "outputs" / "synthetic_castings")
    assert metrics["synthetic"] is True and metrics["training"]["steps"] == 2


@pytest.mark.slow
def test_two_processes_share_the_work(tiny_config, tmp_path):
    run = str(tmp_path / "run")
    arguments = [str(tiny_config), "--max_train_steps", "3", "--output_dir", run]
    # torchrun is what `accelerate launch --multi_gpu` becomes; on CPUs accelerate would ask for mpirun.
    script = str(ROOT / "training" / "train.py")
    process = subprocess.Popen(
        [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", script, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    _, err = process.communicate(timeout=400)
    assert process.returncode == 0, err
    metrics = metrics_of(tmp_path / "run")
    assert metrics["training"]["processes"] == 2 and set(metrics["validation"]) == KEYS
