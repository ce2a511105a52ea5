"""`Predictor`: the same detections by torch, by an ONNX file and by predict.py, whatever is delivered."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from accelerate import Accelerator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import radikal_datasets
from loaders import DetectionLoader
from loaders.tiling import Tiling
from radikal_datasets.errors import ImageFileError, ModelError, RunNotFoundError, SettingsError
from tests.loaders.conftest import make_split
from tests.training.conftest import ROOT
from tests.training.opened_predictors import KINDS, THRESHOLD, Exports, Made
from tests.training.saved_runs import NAMES, SIZE, drawn, write_run
from training.models.gray_scale import loader_options
from training.predict import main
from training.scoring.detections import predictions_and_ground_truth
from training.using.image_files import ImageFile
from training.using.inference import detect_defects
from training.using.prediction import Prediction
from training.using.predictor import Predictor
from training.using.trained_model import open_model, trained_tiles

BOX, SCORE = 0.5, 1e-3
SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.tuples(st.integers(40, 150), st.integers(40, 190))
usual = settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    known: dict[str, Made] = {}
    exports = Exports()

    def make(kind: str) -> Made:
        if kind not in known:
            known[kind] = Made(tmp_path_factory.mktemp(kind), kind, exports)
        return known[kind]

    return make


def as_file(image: np.ndarray, file: Path) -> Path:
    Image.fromarray(image).save(file)
    return file


def assert_same(one: Any, other: Any, threshold: float = THRESHOLD) -> None:
    """Each detection of one, apart from those at the very threshold, is one of the other."""
    for left, right in ((one, other), (other, one)):
        boxes, scores, labels = np.array(right.boxes).reshape(-1, 4), np.array(right.scores), np.array(right.labels)
        for box, score, label in zip(left.boxes, left.scores, left.labels, strict=True):
            if score > threshold + SCORE:
                near = (np.abs(boxes - box).max(1) <= BOX) & (np.abs(scores - score) <= SCORE) & (labels == label)
                assert near.any(), (box, score, label, right)


def scored(opened: Any, file: Path, reference: Path | None, size: tuple[int, int]) -> Any:
    """Return what score.py finds in an image, by the loaders of training."""
    height, width = size
    row = {"image_id": "one", "bytes": file.read_bytes(), "width": width, "height": height, "boxes": [], "labels": []}
    split = make_split([row])
    if reference is not None:
        template = {"bytes": reference.read_bytes(), "path": None}
        split = split.remove_columns("reference").add_column("reference", [template])
    loader = DetectionLoader(
        split,
        8,
        opened.canvas,
        channels=opened.channels,
        shuffle=False,
        resize="exact",
        tiles=trained_tiles(opened.settings),
        **loader_options(opened.model, opened.processor),
    )
    _, (found,), _ = predictions_and_ground_truth(opened.model, opened.processor, loader, Accelerator(cpu=True))
    best = [i for i in np.argsort(found["scores"])[::-1] if found["scores"][i] >= THRESHOLD]
    return SimpleNamespace(**{name: [found[name][i] for i in best] for name in ("boxes", "scores", "labels")})


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_torch_onnx_and_predict_find_the_same(kind, made, tmp_path):
    one = made(kind)
    opened = open_model(one.run)
    found: list[int] = []

    @usual
    @given(seed=SEEDS, size=SIZES)
    def check(seed, size):
        image = one.image(seed, size)
        template = one.template(image, seed)
        by_torch, by_onnx = one.torch(image, template), one.onnx(image, template)
        assert_same(by_torch, by_onnx)
        file = as_file(image, tmp_path / "image.png")
        reference = None if template is None else as_file(template, tmp_path / "template.png")
        wanted = scored(opened, file, reference, size)
        (listed,) = detect_defects(one.torch, [ImageFile(file.name, file, reference)]).detections
        assert_same(wanted, listed)
        assert listed.size == by_torch.size == by_onnx.size == size[::-1]
        for got in (by_torch, by_onnx, one.torch(file, reference), one.onnx(file, reference)):
            assert_same(wanted, got)
            assert got.verdict == ("bad" if wanted.scores else "good")
            assert got.names == [NAMES[label] for label in got.labels]
        found.append(len(wanted.scores))

    check()
    assert sum(found) > 0


def test_best_of_a_run_and_facts(made):
    one = made("rt_detr-tiles")
    best = Predictor(one.run / "best")
    image = one.image(3, (150, 190))
    assert_same(one.torch(image), best(image))
    for predictor in (one.torch, one.onnx, best):
        facts = predictor.facts
        assert (facts.class_names, facts.canvas, facts.tiles) == (NAMES, SIZE, Tiling((70, 90), 0.2))
        assert (facts.threshold, facts.resize, facts.device, predictor.threshold) == (
            THRESHOLD,
            "exact",
            "cpu",
            THRESHOLD,
        )
    assert radikal_datasets.Predictor is Predictor


@pytest.mark.parametrize("which", ["torch", "onnx"])
def test_everything_that_can_be_delivered(which, made, tmp_path):
    predictor = getattr(made("rt_detr"), which)
    pixels = drawn(5)
    file = as_file(pixels, tmp_path / "a.png")
    wanted = predictor(pixels)
    assert wanted.boxes
    alpha = np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)])
    floats = pixels / np.float32(255)
    deep = pixels.astype(np.uint16) * 257
    delivered = [file, str(file), file.read_bytes(), memoryview(file.read_bytes()), Image.open(file), alpha, floats]
    for image in [*delivered, deep, pixels[::-1][::-1]]:
        assert predictor(image) == wanted
    gray = drawn(5, color=False)
    for image in (gray[..., 0], gray[..., :1], Image.fromarray(gray[..., 0])):
        assert predictor(image) == predictor(gray)


@pytest.mark.parametrize("which", ["torch", "onnx"])
def test_exif_orientation_is_applied(which, made, tmp_path):
    predictor, pixels = getattr(made("rt_detr"), which), drawn(6)
    exif = Image.Exif()
    exif[274] = 6  # the camera was turned: rows are columns
    Image.fromarray(np.rot90(pixels)).save(tmp_path / "turned.png", exif=exif)
    turned = predictor(tmp_path / "turned.png")
    assert turned.size == (pixels.shape[1], pixels.shape[0]) and turned.boxes
    assert turned == predictor(pixels)
    with Image.open(tmp_path / "turned.png") as opened:
        assert predictor(opened) == turned


@pytest.mark.parametrize("kind", ["rt_detr", "dense-pairs-tiles"])
def test_batches_are_in_order_and_stream(kind, made):
    one = made(kind)
    images = [one.image(i, (60 + 17 * i, 150 - 9 * i)) for i in range(7)]
    templates = [one.template(image, i) for i, image in enumerate(images)]
    pairs = one.channels == "pair"
    for predictor in (one.torch, one.onnx):
        wanted = [predictor(image, template) for image, template in zip(images, templates, strict=True)]
        for size in (1, 3, 100):
            got = list(predictor.batch(images, templates if pairs else None, batch_size=size))
            assert [found.size for found in got] == [found.size for found in wanted]
            for left, right in zip(got, wanted, strict=True):
                assert_same(left, right)
    taken: list[int] = []

    def endless():
        while True:
            taken.append(1)
            yield images[0]

    again = (templates[0] for _ in iter(int, 1)) if pairs else None
    stream = one.torch.batch(endless(), again, batch_size=2)
    next(stream)
    assert len(taken) <= 2


def test_what_cannot_be_used_is_named(made, tmp_path):
    rgb, pair, deep = (made(kind) for kind in ("rt_detr", "rt_detr-pairs", "rt_detr-12-bits"))
    (tmp_path / "torn.png").write_bytes(as_file(drawn(1), tmp_path / "a.png").read_bytes()[:600])
    (tmp_path / "text.jpg").write_text("no image")
    bad = [
        (tmp_path / "torn.png", "torn.png"),
        (tmp_path / "text.jpg", "no image header"),
        (tmp_path / "missing.png", "No such file"),
        (b"\xff\xd8\xff", "3 bytes"),
        (np.zeros((4, 4, 2), np.uint8), "shape"),
        (np.zeros(4, np.uint8), "shape"),
        (np.zeros((0, 4), np.uint8), "shape"),
        (np.zeros((4, 4), bool), "bool"),
        (drawn(1).astype(np.float32), "from 0 to 1"),
        ((drawn(1)[..., 0].astype(np.uint16)), "gray scale"),
    ]
    for predictor in (rgb.torch, rgb.onnx):
        for image, text in bad:
            with pytest.raises(ImageFileError, match=text):
                predictor(image)
        with pytest.raises(ImageFileError, match="does not use templates"):
            predictor(drawn(1), drawn(2))
    with pytest.raises(ImageFileError, match="reference="):
        pair.onnx(drawn(1))
    with pytest.raises(ImageFileError, match="its template"):
        pair.onnx(drawn(1), tmp_path / "torn.png")
    with pytest.raises(ImageFileError, match="the model's gray scale is from 0 to 4095"):
        deep.onnx(drawn(1)[..., 0] / 255)
    with pytest.raises(RunNotFoundError):
        Predictor(tmp_path / "missing.onnx")
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(ModelError, match="onnxruntime"):
        Predictor(tmp_path / "text.onnx")
    with pytest.raises(SettingsError, match="threshold"):
        Predictor(rgb.file, threshold=2)


def test_without_an_operating_point_there_is_no_verdict(tmp_path):
    run = write_run(tmp_path / "run")
    predictor = Predictor(run)
    assert predictor.threshold == 0.3 and predictor(drawn(5)).verdict is None
    assert Predictor(run, threshold=0.05)(drawn(5)).verdict == "bad"
    assert Predictor(run, threshold=1.0)(drawn(5)).verdict == "good"


def test_json_of_a_prediction():
    one = Prediction((7, 5), [[1.004, 2, 3, 4.5]], [0.12345678], [2], ["dent"], 0.1, "bad")
    detections = [{"name": "dent", "label": 2, "score": 0.123457, "box": [1.0, 2, 3, 4.5]}]
    assert json.loads(json.dumps(one.to_dict())) == {
        "verdict": "bad",
        "width": 7,
        "height": 5,
        "detections": detections,
    }


WITHOUT_TORCH = """
import importlib.machinery, json, sys

REFUSED = ("torch", "torchvision", "timm", "transformers", "accelerate")
find = importlib.machinery.PathFinder.find_spec

class Found(importlib.machinery.PathFinder):
    @staticmethod
    def find_spec(name, path=None, target=None):
        return None if name.partition(".")[0] in REFUSED else find(name, path, target)

sys.meta_path[sys.meta_path.index(importlib.machinery.PathFinder)] = Found
"""


def without_torch(code: str, *arguments: str, **options) -> subprocess.CompletedProcess:
    """Run Python code that finds torch and its relatives as little as if they were not installed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH + code, *arguments],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        **options,
    )


def test_an_onnx_file_needs_no_torch(made, tmp_path):
    kinds = ("rt_detr", "dense-16-bits-tiles", "dense-pairs-tiles")
    cases = []
    for kind in kinds:
        one = made(kind)
        image = one.image(8, (130, 170))
        template = one.template(image, 8)
        files = [as_file(image, tmp_path / f"{kind}.png")]
        files += [] if template is None else [as_file(template, tmp_path / f"{kind}-template.png")]
        cases.append([str(one.file), *map(str, files)])
    code = """
from radikal_datasets import Predictor
for model, *files in json.loads(sys.argv[1]):
    print(json.dumps(Predictor(model)(*files).to_dict()))
assert not {"torch", "transformers", "torchvision", "timm", "accelerate"} & set(sys.modules)
try:
    Predictor(sys.argv[2])
except Exception as error:
    print(type(error).__name__, error)
"""
    done = without_torch(code, json.dumps(cases), str(made("rt_detr").run))
    assert done.returncode == 0, done.stderr
    *lines, last = done.stdout.splitlines()
    assert last.startswith("ModelError") and "radikal-datasets[train]" in last
    for kind, case, line in zip(kinds, cases, lines, strict=True):
        assert json.loads(line) == made(kind).onnx(*case[1:]).to_dict()


@pytest.mark.parametrize("kind", ["rt_detr", "dense-pairs-tiles"])
def test_predict_writes_the_same_folder_with_an_onnx_file_without_torch(kind, made, tmp_path):
    one, images, templates = made(kind), tmp_path / "images", tmp_path / "templates"
    images.mkdir(), templates.mkdir()
    for i in range(3):
        image = one.image(i, (100 + 10 * i, 140))
        as_file(image, images / f"{i}.png")
        as_file(image if one.channels != "pair" else one.template(image, i), templates / f"{i}.png")
    (images / "3.png").write_text("no image")
    (templates / "3.png").write_bytes((templates / "2.png").read_bytes())
    options = ["--references", str(templates)] if one.channels == "pair" else []
    assert main([str(one.run), str(images), "--output", str(tmp_path / "torch"), *options]) == 3
    code = "from radikal_datasets.cli import main\nsys.exit(main())"
    done = without_torch(code, "predict", str(one.file), str(images), "--output", str(tmp_path / "onnx"), *options)
    assert done.returncode == 3, done.stderr
    assert "3 images, " in done.stdout and "Cannot read 3.png: no image header" in done.stderr
    by_torch, by_onnx = tmp_path / "torch", tmp_path / "onnx"
    names = [sorted(file.relative_to(folder) for file in folder.rglob("*")) for folder in (by_torch, by_onnx)]
    assert names[0] == names[1] and len(names[0]) == 7
    assert (by_torch / "images.json").read_text() == (by_onnx / "images.json").read_text()
    found = [json.loads((folder / "predictions.json").read_text()) for folder in (by_torch, by_onnx)]
    assert found[0] and abs(len(found[0]) - len(found[1])) <= 2
    for left, right in (found, found[::-1]):
        for box in left:
            if box["score"] > THRESHOLD + SCORE:
                same = [other for other in right if other["image_id"] == box["image_id"]]
                near = np.abs(np.array([other["bbox"] for other in same]) - box["bbox"]).max(1) <= 2 * BOX
                assert near.any()


def test_watching_from_the_command_line_without_torch(made, tmp_path):
    one, camera, output = made("rt_detr"), tmp_path / "camera", tmp_path / "out"
    camera.mkdir()
    for i in range(4):
        as_file(drawn(i), camera / f"{i}.png")
    code = "from radikal_datasets.cli import main\nsys.exit(main())"
    arguments = ["predict", str(one.file), "--watch", str(camera), "--output", str(output), "--stop-after", "0.5"]
    options = ["--csv", str(tmp_path / "found.csv"), "--exit-code"]
    done = without_torch(code, *arguments, *options)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["file"] for line in lines] == [f"{i}.png" for i in range(4)], done.stderr
    assert [line["detections"] for line in lines] == [one.onnx(drawn(i)).to_dict()["detections"] for i in range(4)]
    assert done.returncode == (4 if any(line["verdict"] == "bad" for line in lines) else 0)
    assert "could not be read" in done.stderr and len((tmp_path / "found.csv").read_text().splitlines()) == 5
    again = without_torch(code, *arguments, "--threshold", "1")
    assert (again.returncode, again.stdout) == (0, "")
