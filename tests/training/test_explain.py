"""Complete explanations of a tiny run, started as by a user."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState

from tests.training.conftest import TINY
from training import explain, train
from training.explaining.cases import _partners, cases, choose, predict_images
from training.explaining.targets import Detection

QUICK = ["--masks", "6", "--gradient_steps", "2", "--curve_steps", "2", "--detections", "1", "--redrawn_images", "1"]


@pytest.fixture(scope="module")
def run(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("explained")
    config = folder / "tiny.yaml"
    config.write_text(f"dataset_name: {tiny_data}\noutput_dir: {folder / 'run'}\n{TINY}", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACCELERATE_USE_CPU", "true")
        assert train.main([str(config), "--max_train_steps", "2", "--eval_steps", "2"]) == 0
    AcceleratorState._reset_state(reset_partial_state=True)
    yield folder / "run"


def test_a_run_is_explained(run: Path, tmp_path: Path, capsys):
    output = tmp_path / "maps"
    arguments = [str(run), "--images", "2", "--threshold", "0", "--output", str(output), *QUICK]
    assert explain.main(arguments) == 0
    said = capsys.readouterr().out
    assert "2 to explain" in said and "energy" in said and str(output / "index.html") in said
    numbers = json.loads((output / "explanations.json").read_text())
    assert [len(image["detections"]) for image in numbers["images"]] == [1, 1]
    names = {one["name"] for one in numbers["summary"]["methods"]}
    assert names == {*explain.METHODS, "consensus", "random", "smooth", "center", "box"}
    assert [bool(i["detections"][0]["maps"]["gradcam"]["redrawn"]) for i in numbers["images"]] == [True, False]
    for image in numbers["images"]:
        with np.load(output / image["maps"]) as arrays:
            assert set(arrays) == {f"d1_{name}" for name in [*explain.METHODS, "consensus"]}
            assert all(one.shape == (64, 64) and one.dtype == np.float16 for one in arrays.values())
        assert all((output / file).is_file() for file in image["overlays"]) and len(image["overlays"]) == 8
        page = (output / image["page"]).read_text(encoding="utf-8")
        assert image["name"] in page and "D-RISE" in page
    for page in output.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        for link in re.findall(r'(?:href|src)="([^"]+)"', text):
            assert link.startswith("data:") or (page.parent / link).is_file(), link


def test_the_same_seed_gives_the_same_numbers_and_replaces_them(run: Path, tmp_path: Path):
    output = tmp_path / "maps"
    found = []
    for seed in ("0", "0", "1"):
        extra = ["--methods", "d_rise", "--random_seed", seed, "--output", str(output)]
        assert explain.main([str(run), "--images", "1", "--threshold", "0", *QUICK, *extra]) == 0
        (image,) = json.loads((output / "explanations.json").read_text())["images"]
        found.append(image["detections"])
    assert found[0] == found[1] != found[2]


def test_named_images_and_few_methods_without_curves(run: Path, tmp_path: Path):
    output = tmp_path / "maps"
    assert explain.main([str(run), "--images", "1", "--threshold", "0", "--methods", "attention", *QUICK]) == 0
    name = json.loads((run / "explanations" / "explanations.json").read_text())["images"][0]["name"]
    extra = [
        "--methods",
        "attention",
        "gradcam",
        "--curve_steps",
        "0",
        "--redrawn_images",
        "0",
        "--output",
        str(output),
    ]
    assert explain.main([str(run), "--images", name, "--threshold", "0", *extra]) == 0
    numbers = json.loads((output / "explanations.json").read_text())
    assert [image["name"] for image in numbers["images"]] == [name]
    scores = numbers["images"][0]["detections"][0]["maps"]["gradcam"]
    assert scores["deletion"] is None and scores["redrawn"] == {}
    assert numbers["summary"]["methods"][0]["passes"]["curves"] is None


def test_an_image_without_a_detection_has_a_page_that_says_so(run: Path, tmp_path: Path):
    from training.run.data import load_splits
    from training.using.saved_run import open_run

    settings, _, _ = open_run(run, [])
    name = load_splits(settings)["test"]["image_id"][0]
    output = tmp_path / "maps"
    assert explain.main([str(run), "--images", name, "--threshold", "1.5", "--output", str(output)]) == 0
    (page,) = (output / "images").glob("*.html")
    assert "nothing to explain" in page.read_text()
    assert explain.main([str(run), "--threshold", "1.5", "--output", str(output)]) == 0  # no image at all


@pytest.mark.parametrize(
    ("extra", "said", "status"),
    [
        (["--images", "no_such_image"], "no annotated image no_such_image", 1),
        (["--split", "tset"], "no split 'tset'", 1),
        (["--mask", "3"], "'mask', which is not a setting", 2),
    ],
)
def test_invalid_requests_are_reported(run: Path, tmp_path: Path, capsys, extra, said, status):
    assert explain.main([str(run), "--output", str(tmp_path / "maps"), *extra]) == status
    assert said in capsys.readouterr().err


def test_an_older_explanation_survives_an_invalid_call(run: Path, tmp_path: Path):
    (tmp_path / "images").mkdir()
    for name in ("explanations.json", "index.html", "images/a.html"):
        (tmp_path / name).write_text("old")
    assert explain.main([str(run), "--output", str(tmp_path), "--images", "no_such_image"]) == 1
    assert all(path.read_text() == "old" for path in tmp_path.rglob("*.*"))


def test_a_folder_of_something_else_is_left_alone(run: Path, capsys):
    assert explain.main([str(run), "--output", str(run)]) == 1
    assert "holds something other than explanations" in capsys.readouterr().err and (run / "metrics.json").is_file()
    assert explain.main([str(run.parent / "nowhere")]) == 1


def test_detections_on_stretched_images_are_at_the_models_positions(run: Path):
    """Files are not square, the model's input is: boxes are mapped from the file's pixels back to the query's."""
    detector_run = explain._open_detector(run, "test", [])
    found = predict_images(detector_run, "test")
    names = choose(found, 3, 0.0)
    read = list(cases(detector_run, "test", names, 0.0, 5))
    assert [case.name for case in read] == names and any(case.size[0] != case.size[1] for case in read)
    for case in read:
        with torch.no_grad():
            boxes = detector_run.detector(case.pixels)[1][0]
        for one in case.detections:
            assert boxes[one.query].clamp(0, 64).tolist() == pytest.approx(one.box, abs=0.01)
        ground_truth = next(one.ground_truth for one in found if one.name == case.name)
        height, width = case.size
        scale = np.array([64 / width, 64 / height] * 2)
        mine = np.reshape([box for box, _ in case.ground_truth], (-1, 4))
        assert np.allclose(mine, np.reshape(ground_truth["boxes"], (-1, 4)) * scale, atol=0.01)


def test_a_true_box_is_the_partner_of_one_detection_of_its_class():
    box = (10.0, 10.0, 30.0, 30.0)
    detected = [(box, 1), (box, 0), ((12.0, 10.0, 30.0, 30.0), 0), ((40.0, 40.0, 50.0, 50.0), 0)]
    detections = [Detection(place, label, 0.9 - i / 10, i) for i, (place, label) in enumerate(detected)]
    assert _partners(detections, [(box, 0)]) == [None, box, None, None]


def test_tiles_are_explained_one_by_one(run: Path, tmp_path: Path):
    extra = ["--methods", "attention", "--curve_steps", "0", "--redrawn_images", "0", "--tile_size", "48"]
    assert (
        explain.main([str(run), "--images", "2", "--threshold", "0", "--output", str(tmp_path / "maps"), *extra]) == 0
    )
    numbers = json.loads((tmp_path / "maps" / "explanations.json").read_text())
    assert all(re.fullmatch(r".+@\d+,\d+", image["name"]) for image in numbers["images"])
