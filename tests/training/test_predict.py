"""predict.py: it returns what the model finds, whatever is in the folder."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools.coco import COCO

from loaders import DetectionLoader, Tiling
from radikal_datasets.errors import SettingsError
from tests.loaders.conftest import make_split
from tests.training.conftest import ROOT
from tests.training.saved_runs import NAMES, SIZE, drawn, write_images, write_run
from training import models
from training.predict import main, predict
from training.using.image_files import find_images, find_references
from training.using.inference import detect_defects
from training.using.predictor import Predictor
from training.using.trained_model import open_model

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("rgb") / "run", threshold=0.7)


@pytest.fixture(scope="module")
def pair_run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("pair") / "run", channels="pair")


@pytest.fixture
def images(tmp_path):
    return write_images(tmp_path / "images")


def opened_at(run: Path, threshold: float = 0.0, tiles: Tiling | None = None) -> Predictor:
    predictor = Predictor(run, threshold=threshold)
    predictor.set_tiles(tiles)
    return predictor


def detections_in(run: Path, folder: Path, threshold: float = 0.0, tiles: Tiling | None = None, **options):
    return detect_defects(opened_at(run, threshold, tiles), find_images([folder]), **options)


def as_numbers(one) -> tuple:
    return one.size, np.round(one.boxes, 2).tolist(), np.round(one.scores, 4).tolist(), one.labels


def test_detections_equal_those_of_transformers(run, images):
    opened = open_model(run)
    for one in detections_in(run, images).detections:
        pixels = np.array(Image.open(one.image.file))
        inputs = opened.processor(images=pixels, return_tensors="pt")
        with torch.no_grad():
            outputs = opened.model(pixel_values=inputs["pixel_values"])
        sizes = torch.tensor([pixels.shape[:2]])
        (wanted,) = opened.processor.post_process_object_detection(outputs, threshold=0.0, target_sizes=sizes)
        height, width = pixels.shape[:2]
        limit = torch.tensor([width, height, width, height])
        assert np.allclose(one.scores, wanted["scores"].numpy(), atol=1e-4)
        assert one.labels == wanted["labels"].tolist()
        assert np.allclose(one.boxes, torch.minimum(wanted["boxes"].clamp_min(0), limit).numpy(), atol=0.05)


def test_every_kind_of_file_gives_the_same(run, tmp_path):
    gray = drawn(5, color=False)
    folder = tmp_path / "images" / "deeper"
    folder.mkdir(parents=True)
    Image.fromarray(gray).save(folder / "rgb.png")
    Image.fromarray(gray[..., 0]).save(folder / "gray.PNG")
    Image.fromarray(gray[..., 0]).save(folder / "gray.bmp")
    Image.fromarray(gray[..., 0].astype(np.uint16) * 256 + 77).save(folder / "deep.tif")
    Image.fromarray(gray[..., 0].astype(np.uint16) * 256).save(folder / "deep.png")
    (folder / ".hidden.png").write_bytes(b"")
    (folder / "notes.txt").write_text("no image", encoding="utf-8")
    found = detections_in(run, tmp_path / "images").detections
    assert [one.image.name for one in found] == [
        "deeper/deep.png",
        "deeper/deep.tif",
        "deeper/gray.PNG",
        "deeper/gray.bmp",
        "deeper/rgb.png",
    ]
    assert all(as_numbers(one) == as_numbers(found[0]) for one in found)


def test_what_is_found_in_an_image_does_not_depend_on_the_others(run, images, tmp_path):
    alone = detect_defects(opened_at(run), find_images([images / "1.png"]))
    for i in range(60):  # by default a loader would treat the dataset as gray
        Image.fromarray(drawn(i, (40, 50), color=False)[..., 0]).save(images / f"gray{i}.png")
    together = detections_in(run, images, batch_size=16)
    (same,) = [one for one in together.detections if one.image.name == "1.png"]
    one = alone.detections[0]
    assert np.allclose(same.scores, one.scores, atol=1e-3) and same.scores[0] == max(same.scores)
    assert same.labels[0] == one.labels[0] and np.allclose(same.boxes[0], one.boxes[0], atol=0.5)


@pytest.mark.parametrize("batch_size", [1, 2, 8])
@pytest.mark.parametrize("tiles", [None, Tiling((50, 60))])
def test_broken_images_affect_only_themselves(run, images, batch_size, tiles):
    whole = detections_in(run, images, tiles=tiles).detections
    (images / "0a.png").write_text("no image", encoding="utf-8")
    content = (images / "1.png").read_bytes()
    (images / "0b.png").write_bytes(content[: len(content) // 2])
    (images / "0c.png").write_bytes(content[: len(content) // 2])
    (images / "3.jpg").write_bytes(b"\xff\xd8\xff")
    result = detections_in(run, images, batch_size=batch_size, tiles=tiles)
    assert sorted(result.unreadable) == ["0a.png", "0b.png", "0c.png", "3.jpg"]
    assert all(result.unreadable.values())
    assert [(one.image.name, one.size) for one in result.detections] == [(one.image.name, one.size) for one in whole]
    for one, wanted in zip(result.detections, whole, strict=True):  # the last digits depend on the size of a batch
        assert np.allclose(one.scores[:5], wanted.scores[:5], atol=1e-3)


def test_tiles_find_above_a_threshold_what_they_find_at_all(run, tmp_path):
    folder = tmp_path / "big"
    folder.mkdir()
    for i in range(3):
        Image.fromarray(drawn(i, (200, 300))).save(folder / f"{i}.png")
    tiles = Tiling((64, 96), 0.3)
    every = detections_in(run, folder, tiles=tiles).detections
    threshold = float(np.median([score for one in every for score in one.scores]))
    some = detections_in(run, folder, threshold, tiles=tiles).detections
    for one, part in zip(every, some, strict=True):
        kept = [i for i, score in enumerate(one.scores) if score >= threshold]
        assert part.boxes == [one.boxes[i] for i in kept]
        assert part.scores == [one.scores[i] for i in kept] == sorted(part.scores, reverse=True)


def test_results_are_read_by_pycocotools(run, images, tmp_path, capsys):
    output = tmp_path / "found"
    assert main([str(run), str(images), "--output", str(output), "--threshold", "0.2", "--overlays", "found"]) == 0
    truth = COCO(str(output / "images.json"))
    results = truth.loadRes(str(output / "predictions.json"))
    assert {image["file_name"] for image in truth.dataset["images"]} == {"0.png", "1.png", "2.png"}
    assert [c["name"] for c in truth.loadCats(truth.getCatIds())] == NAMES
    found = {one.image.name: one for one in detections_in(run, images, 0.2).detections}
    for number, image in truth.imgs.items():
        one = found[image["file_name"]]
        assert (image["width"], image["height"]) == one.size == Image.open(one.image.file).size
        listed = results.loadAnns(results.getAnnIds(imgIds=[number]))
        assert [a["category_id"] - 1 for a in listed] == one.labels
        wanted = [[x, y, x2 - x, y2 - y] for x, y, x2, y2 in one.boxes]
        assert np.allclose([a["bbox"] for a in listed], wanted, atol=0.006)
        assert (output / "overlays" / f"{image['file_name']}.jpg").is_file() == bool(one.scores)
    assert "images/s" in capsys.readouterr().out


def test_threshold_is_the_runs_own_the_default_or_as_asked_for(run, pair_run, images, tmp_path, capsys):
    assert open_model(run).threshold == 0.7
    assert Predictor(run / "best").threshold == 0.7  # as `Predictor` does: the best/ of a run counts as the run
    assert open_model(run / "best").threshold is None
    shutil.copytree(run / "best", tmp_path / "alone")
    assert main([str(run), str(images), "--output", str(tmp_path / "a"), "--overlays", "none"]) == 0
    assert "at least 0.7 (of the run)" in capsys.readouterr().out
    scores = [one["score"] for one in json.loads((tmp_path / "a" / "predictions.json").read_text())]
    every = sum(len(one.scores) for one in detections_in(run, images).detections)
    assert 0 < len(scores) < every and min(scores) >= 0.7
    assert main([str(run / "best"), str(images), "--output", str(tmp_path / "b"), "--overlays", "none"]) == 0
    assert "at least 0.7 (of the run)" in capsys.readouterr().out
    assert main([str(tmp_path / "alone"), str(images), "--output", str(tmp_path / "c"), "--overlays", "none"]) == 0
    assert "at least 0.3 (default)" in capsys.readouterr().out


def test_a_threshold_no_detection_reaches(run, images, tmp_path):
    assert main([str(run), str(images), "--output", str(tmp_path / "a"), "--threshold", "1"]) == 0
    assert json.loads((tmp_path / "a" / "predictions.json").read_text()) == []


def test_tiles_default_to_those_of_training(tmp_path):
    from training.predict import tiling

    run = write_run(tmp_path / "tiled", tile_size=[32, 64], tile_overlap=0.4)
    for model in (run, run / "best"):
        trained = Predictor(model).facts.tiles
        assert tiling(trained, None, None) == Tiling((32, 64), 0.4)
        assert tiling(trained, "none", None) is None
        assert tiling(trained, "48", 0.1) == Tiling((48, 48), 0.1)
        assert tiling(trained, "48", None) == Tiling((48, 48), 0.4)
        with pytest.raises(SettingsError, match="--tile-size a,b"):
            tiling(trained, "a,b", None)


def test_the_best_of_a_run_is_used_as_the_run(images, tmp_path):
    run = write_run(tmp_path / "run", tile_size=[40, 60], resize="fast", channels="gray", threshold=0.3)
    for name, model in (("of run", run), ("of best", run / "best")):
        assert main([str(model), str(images), "--output", str(tmp_path / name), "--overlays", "none"]) == 0
    both = [(tmp_path / name / "predictions.json").read_text() for name in ("of run", "of best")]
    assert both[0] == both[1] and json.loads(both[0])


class TestPairs:
    def write(self, folder: Path, suffix: str = ".png") -> Path:
        folder.mkdir(parents=True)
        for i in range(2):
            Image.fromarray(drawn(i)[..., 0]).save(folder / f"{i}_test{suffix}")
            Image.fromarray(drawn(i + 10)[..., 0]).save(folder / f"{i}_temp{suffix}")
        return folder

    def test_template_beside_the_image_as_the_loader_shows_it(self, pair_run, tmp_path):
        folder = self.write(tmp_path / "boards")
        opened = open_model(pair_run)
        pictures = find_references(find_images([folder], pairs=True), None)
        assert [(one.name, one.reference.name) for one in pictures] == [
            ("0_test.png", "0_temp.png"),
            ("1_test.png", "1_temp.png"),
        ]
        found = detect_defects(opened_at(pair_run), pictures).detections
        rows = [
            {"image_id": str(i), "bytes": one.file.read_bytes(), "width": 140, "height": 100, "boxes": [], "labels": []}
            for i, one in enumerate(pictures)
        ]
        templates = [{"bytes": one.reference.read_bytes(), "path": None} for one in pictures]
        split = make_split(rows)
        split = split.remove_columns("reference").add_column("reference", templates)
        options = models.normalization(opened.processor)
        (batch,) = DetectionLoader(split, 2, SIZE, channels="pair", shuffle=False, resize="exact", **options)
        with torch.no_grad():
            outputs = opened.model(pixel_values=batch["pixel_values"])
        wanted = opened.processor.post_process_object_detection(outputs, threshold=0.0)
        for one, scores in zip(found, (w["scores"] for w in wanted), strict=True):
            assert np.allclose(one.scores, scores.numpy(), atol=1e-4)

    def test_templates_in_a_folder_of_their_own(self, pair_run, images, tmp_path, capsys):
        write_images(tmp_path / "templates", 3)
        output = tmp_path / "found"
        command = [str(pair_run), str(images), "--output", str(output), "--overlays", "none"]
        assert main([*command, "--references", str(tmp_path / "templates")]) == 0
        (tmp_path / "templates" / "1.png").unlink()
        assert main([*command, "--references", str(tmp_path / "templates")]) == 1
        assert "1 of 3 images have none: 1.png. Pass --references" in capsys.readouterr().err
        assert main(command) == 1
        assert "3 of 3 images have none" in capsys.readouterr().err

    def test_a_broken_template_is_reported_as_such(self, pair_run, tmp_path):
        folder = self.write(tmp_path / "boards")
        (folder / "1_temp.png").write_bytes(b"nothing")
        pictures = find_references(find_images([folder], pairs=True), None)
        result = detect_defects(opened_at(pair_run), pictures)
        assert [one.image.name for one in result.detections] == ["0_test.png"]
        assert "its template" in result.unreadable["1_test.png"] and "1_temp.png" in result.unreadable["1_test.png"]

    def test_other_models_refuse_templates(self, run, images, tmp_path, capsys):
        assert main([str(run), str(images), "--output", str(tmp_path / "o"), "--references", str(images)]) == 1
        assert "Omit --references" in capsys.readouterr().err


class TestRefusals:
    @pytest.mark.parametrize("where", [".", "below"])
    def test_output_among_the_images(self, run, images, where, capsys):
        assert main([str(run), str(images), "--output", str(images / where)]) == 1
        assert "is inside the folder of images" in capsys.readouterr().err
        assert sorted(path.name for path in images.iterdir()) == ["0.png", "1.png", "2.png"]

    def test_output_with_something_else_in_it(self, run, images, tmp_path, capsys):
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "mine.txt").write_text("keep", encoding="utf-8")
        assert main([str(run), str(images), "--output", str(tmp_path / "other")]) == 1
        assert "something other than predictions" in capsys.readouterr().err
        assert (tmp_path / "other" / "mine.txt").is_file()

    def test_older_predictions_are_replaced(self, run, images, tmp_path):
        predictor = opened_at(run, 0.2)
        predict(predictor, find_images([images]), tmp_path / "found")
        predict(predictor, find_images([images / "1.png"]), tmp_path / "found")
        left = [path.name for path in (tmp_path / "found" / "overlays").rglob("*.jpg")]
        assert left == ["1.png.jpg"]

    def test_no_images(self, run, tmp_path, capsys):
        (tmp_path / "empty").mkdir()
        assert main([str(run), str(tmp_path / "empty"), "--output", str(tmp_path / "o")]) == 1
        assert main([str(run), str(tmp_path / "missing"), "--output", str(tmp_path / "o")]) == 1
        (tmp_path / "empty" / "a.png").write_text("no image", encoding="utf-8")
        assert main([str(run), str(tmp_path / "empty"), "--output", str(tmp_path / "o")]) == 1
        errors = capsys.readouterr().err.splitlines()
        assert [line.split(":")[0] for line in errors] == ["error"] * 3
        assert "None of the 1 images can be read; the first one is a.png: no image header" in errors[2]

    def test_no_model(self, images, tmp_path, capsys):
        assert main([str(images), str(images), "--output", str(tmp_path / "o")]) == 1
        assert "neither train_config.yaml nor config.json" in capsys.readouterr().err
        assert main(["plant/model", str(images), "--output", str(tmp_path / "o")]) == 1
        assert "there is no such folder" in capsys.readouterr().err


def test_page_shows_names_as_text(run, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    Image.fromarray(drawn(1)).save(folder / "a & <b>.png")
    predict(opened_at(run), find_images([folder]), tmp_path / "found")
    page = (tmp_path / "found" / "index.html").read_text(encoding="utf-8")
    assert "a &amp; &lt;b&gt;.png" in page and "<b>.png" not in page
    assert 'href="overlays/a%20%26%20%3Cb%3E.png.jpg"' in page


def test_as_a_user_types_it(run, images, tmp_path):
    (images / "broken.jpg").write_bytes(b"nothing")
    command = [sys.executable, "training/predict.py", str(run), str(images), "--output", str(tmp_path / "found")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    assert "Cannot read broken.jpg: no image header" in done.stderr and "Traceback" not in done.stderr
    assert done.stdout.startswith("3 images, ") and "1 could not be read" in done.stdout
