"""Classification, pairs and combined datasets, end to end; early stopping, and epochs without strong augmentation."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image
from transformers import AutoImageProcessor, pipeline

from loaders import Augmentation, ClassificationLoader
from tests.loaders.conftest import drawn_row, make_split
from tests.training.audit_runs import text_of
from tests.training.complete_runs import metrics_of
from tests.training.conftest import TINY, write_hub_folder
from training import score, train
from training.models.classifiers import build_classifier, classifier_normalization, classifier_processor
from training.run.checkpoints import Progress
from training.run.data import augmentation
from training.run.settings import Settings, SettingsError
from training.tasks.classification import scores_of


@pytest.fixture
def halves(tmp_path):
    """Images of which every second one has no defect."""
    counts = {"train": range(24), "validation": range(100, 108), "test": range(200, 208)}
    rows = {name: [drawn_row(i) for i in numbers] for name, numbers in counts.items()}
    for split in rows.values():
        for row in split[::2]:
            row |= {"boxes": [], "labels": []}
    return write_hub_folder(tmp_path / "halves", rows)


@pytest.mark.parametrize("target", ["defect", "class"])
def test_a_classifier_trains_scores_and_runs_in_a_pipeline(tmp_path, halves, capsys, target):
    config = tmp_path / "c.yaml"
    config.write_text(f"dataset_name: {halves}\noutput_dir: {tmp_path / 'run'}\n{TINY}", encoding="utf-8")
    options = ["--task", "classification", "--target", target, "--max_train_steps", "3", "--eval_steps", "3"]
    assert train.main([str(config), *options]) == 0
    metrics = metrics_of(tmp_path / "run")
    assert set(metrics["test"]) == {"score", "accuracy", "f1", "auroc", "images"} and metrics["test"]["images"] == 8
    capsys.readouterr()
    pages = [tmp_path / "run" / "report" / split / "index.html" for split in ("validation", "test")]
    assert all("<h1>Misclassified images" in page.read_text(encoding="utf-8") for page in pages)
    text = text_of(tmp_path / "run")
    assert "A classifier for defect_free" in text and "had no defect found." in text
    shown = pages[1].read_text(encoding="utf-8")
    pages[1].unlink()
    assert score.main([str(tmp_path / "run")]) == 0
    assert pages[1].read_text(encoding="utf-8") == shown
    assert json.loads(capsys.readouterr().out) == pytest.approx(metrics["test"])
    (first, *_) = pipeline("image-classification", str(tmp_path / "run" / "best"))(Image.new("RGB", (50, 40)))
    assert first["label"] in ["defect_free", "defect"] if target == "defect" else True


def test_a_classifiers_processor_repeats_the_loaders_preprocessing(tmp_path):
    row = drawn_row(1)
    model = build_classifier(
        ["defect_free", "defect"], size="nano", backbone="test_resnet", image_size=(64, 96), one_mean=True
    )
    model.save_pretrained(tmp_path)
    processor = AutoImageProcessor.from_pretrained(tmp_path)
    split = make_split([row])
    (batch,) = ClassificationLoader(split, 1, (64, 96), resize="exact", **classifier_normalization(model))
    theirs = processor([split[0]["image"].convert("RGB")])["pixel_values"]
    # Pillow rounds to integer gray levels, of which there are 255 in 1 / 0.226.
    assert float((batch["pixel_values"] - theirs).abs().max()) < 1.1 / 255 / 0.226
    assert classifier_processor(model).data_config == processor.data_config


def test_scores_of_predictions():
    answers = [("a", 0, [0.9, 0.1]), ("b", 1, [0.4, 0.6]), ("c", 1, [0.7, 0.3]), ("d", 0, [0.8, 0.2])]
    assert scores_of(answers, "defect") == pytest.approx(
        {"score": 1.0, "accuracy": 0.75, "f1": 2 / 3, "auroc": 1.0, "images": 4}
    )
    alone = scores_of(answers[:1], "defect")
    assert alone["auroc"] == -1 and alone["score"] == alone["f1"] == 0


def test_a_pair_model_is_marked_and_refuses_to_resume_without_pairs(tmp_path, capsys):
    from radikal_datasets import build_hub_folder
    from radikal_datasets.samples import make_sample

    make_sample("deeppcb", tmp_path / "raw", images=18, seed=0)
    build_hub_folder("deeppcb", data_dir=tmp_path / "raw", output_dir=tmp_path / "hub")
    config = tmp_path / "c.yaml"
    config.write_text(f"dataset_name: {tmp_path / 'hub'}\n{TINY}max_train_steps: 2\n", encoding="utf-8")
    assert train.main([str(config), "--channels", "pair", "--output_dir", str(tmp_path / "pair")]) == 0
    assert json.loads((tmp_path / "pair/best/config.json").read_text(encoding="utf-8"))["radikal_channels"] == "pair"
    # The folder's name says nothing of its source; its card does.
    metrics = json.loads((tmp_path / "pair/metrics.json").read_text(encoding="utf-8"))
    assert 0 <= metrics["report"]["test"]["deeppcb_protocol"]["f_score"] <= 1
    more = ["--model_name_or_path", str(tmp_path / "pair" / "best"), "--output_dir", str(tmp_path / "other")]
    assert train.main([str(config), *more]) == 1
    assert "was trained with 'pair'" in capsys.readouterr().err
    assert train.main([str(config), "--channels", "pair", *more]) == 0


def test_sets_are_combined(tmp_path):
    for name, start, label in (("one", 0, ["hole", "scratch"]), ("two", 500, ["dent", "scratch"])):
        counts = {"train": range(start, start + 8), "validation": range(start + 100, start + 103)}
        rows = {split: [drawn_row(i) for i in numbers] for split, numbers in counts.items()}
        for split in rows.values():
            for row in split:
                row["image_id"] = f"{name}/{row['image_id']}"
        folder = write_hub_folder(tmp_path / name, rows)
        assert folder.is_dir() and label
    config = tmp_path / "c.yaml"
    config.write_text(
        f"dataset_name: {tmp_path / 'one'}\ncombine_with: [{tmp_path / 'two'}]\ncombine_labels: source\n{TINY}"
        f"max_train_steps: 2\noutput_dir: {tmp_path / 'run'}\n",
        encoding="utf-8",
    )
    assert train.main([str(config)]) == 0
    classes = metrics_of(tmp_path / "run")["validation"]["map_per_class"]
    assert all(name.startswith(("one_", "two_")) for name in classes) and len({n[:3] for n in classes}) == 2


def test_a_run_stops_early_without_improvement(tiny_config, tmp_path, monkeypatch, capsys):
    from training.tasks import detection

    scores = iter([0.1, 0.3, 0.2, 0.25, 0.9])
    real = detection.evaluate

    def fixed(*arguments):
        return {**real(*arguments), "map": next(scores)}

    monkeypatch.setattr(detection, "evaluate", fixed)
    options = ["--max_train_steps", "9", "--eval_steps", "1", "--early_stopping_patience", "2"]
    assert train.main([str(tiny_config), *options]) == 0
    metrics = metrics_of(tmp_path / "run")
    assert metrics["training"]["steps"] == 4 and metrics["training"]["best_step"] == 2
    assert "Stopped early" in capsys.readouterr().out
    # When resumed, it stays ended.
    assert Progress(worse_in_a_row=2).should_stop_early(2)


def test_every_augmentation_is_a_setting_with_the_same_default():
    defaults = {field.name: field.default for field in dataclasses.fields(Settings)}
    for field in dataclasses.fields(Augmentation):
        assert defaults["scale_jitter" if field.name == "scale" else field.name] == field.default
    assert augmentation(Settings(dataset_name="x", shear=3, min_visible=0.5)) == Augmentation(shear=3, min_visible=0.5)


def test_plain_augmentation_leaves_out_unrealistic_transforms():
    settings = Settings(dataset_name="x", mosaic=0.5, erase=0.5, copy_paste=0.5, noise=0.01)
    whole, plain = augmentation(settings), augmentation(settings, plain=True)
    assert (whole.mosaic, whole.erase, whole.copy_paste) == (0.5, 0.5, 0.5)
    assert (plain.mosaic, plain.erase, plain.copy_paste, plain.noise) == (0, 0, 0, 0.01)
    assert augmentation(Settings(dataset_name="x", augment=False)) is None


@pytest.mark.parametrize(("name", "value"), [("task", "segmentation"), ("channels", "bgr"), ("multi_scale", 1.5)])
def test_invalid_values(name, value):
    with pytest.raises(SettingsError, match=f"{name} is"):
        Settings(dataset_name="x", **{name: value})


def test_multi_scale_and_accumulation_run(tiny_config, tmp_path):
    options = ["--max_train_steps", "3", "--multi_scale", "0.5", "--gradient_accumulation_steps", "2", "--mosaic", "1"]
    more = ["--lr_scheduler_type", "flat_cosine", "--plain_epochs", "1", "--draw_curves", "true"]
    assert train.main([str(tiny_config), *options, *more]) == 0
    assert np.isfinite(metrics_of(tmp_path / "run")["training"]["history"][-1]["loss"])
    assert (tmp_path / "run" / "report" / "validation" / "confusion_matrix.png").is_file()
