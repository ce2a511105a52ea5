"""export.py: the ONNX file gives the same detections as torch, with onnxruntime and numpy alone."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from radikal_datasets.errors import ModelError
from tests.training.conftest import ROOT
from tests.training.saved_runs import NAMES, SIZE, drawn, untrained, write_images, write_run
from training import export as exporting
from training import models
from training.export import ExportError, export, main, metadata
from training.using.image_files import find_images
from training.using.inference import detect_defects
from training.using.onnx_module import ExportedDetector, ModelOutput, differences, sample_images
from training.using.predictor import Predictor
from training.using.trained_model import OpenedModel, open_model

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("export") / "run", threshold=0.7)


@pytest.fixture(scope="module")
def written(run):
    """One export for all tests of this module; it takes seconds."""
    output = run.parent / "model.onnx"
    assert main([str(run), "--output", str(output)]) == 0
    return output


@pytest.fixture(scope="module")
def session(written):
    return onnxruntime.InferenceSession(str(written))


def test_metadata_says_what_a_user_needs(run, session):
    about = session.get_modelmeta().custom_metadata_map
    assert about == metadata(open_model(run))
    assert json.loads(about["classes"]) == NAMES and json.loads(about["image_size"]) == list(SIZE)
    assert (about["model_type"], about["threshold"], about["channels"]) == ("rt_detr_v2", "0.7", "rgb")
    assert "radikal_datasets" in about
    assert [one.name for one in session.get_inputs()] == ["images"]
    assert [one.name for one in session.get_outputs()] == ["boxes", "scores", "labels"]


def test_images_of_any_size_and_number(session):
    images = np.stack([drawn(i, (130, 77)) for i in range(3)])
    together = session.run(None, {"images": images})
    boxes, scores, labels = together
    assert boxes.shape == (3, 12, 4) and scores.shape == labels.shape == (3, 12)
    assert boxes.dtype == scores.dtype == np.float32 and labels.dtype == np.int64
    assert (np.diff(scores, axis=1) <= 0).all() and boxes.min() >= 0
    assert boxes[..., [0, 2]].max() <= 77 and boxes[..., [1, 3]].max() <= 130
    for i, image in enumerate(images):
        alone = session.run(None, {"images": image[None]})
        one, other = (ModelOutput(*(value[n] for value in values)) for values, n in ((alone, 0), (together, i)))
        assert differences(one, other, np.ones(4), 5).max() < 1e-2


def _listing(title: str) -> str:
    """Return the code of that title in the docs."""
    page = (ROOT / "docs" / "using-a-model.md").read_text(encoding="utf-8")
    (code,) = re.findall(rf'```python title="{title}"\n(.*?)```', page, re.DOTALL)
    return code


def test_the_script_of_the_docs_finds_what_predict_finds_without_torch(run, written, tmp_path):
    code = _listing("detect.py")
    assert code.count("\n") <= 16
    guard = "\nassert not {'torch', 'transformers', 'radikal_datasets'} & set(sys.modules)\n"
    (tmp_path / "detect.py").write_text(code + guard, encoding="utf-8")
    # Images of the canvas's size, so that the two resizing methods make no difference.
    images = tmp_path / "images"
    images.mkdir()
    for i in range(3):
        Image.fromarray(drawn(i, SIZE)).save(images / f"{i}.png")
    files = [f"images/{i}.png" for i in range(3)]
    done = subprocess.run(
        [sys.executable, "-I", "detect.py", written, *files], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = sorted(tuple(line.split()) for line in done.stdout.splitlines())
    result = detect_defects(Predictor(run, threshold=0.7), find_images([images]))
    wanted = sorted(
        (f"images/{one.image.name}", NAMES[label], score, box)
        for one in result.detections
        for box, score, label in zip(one.boxes, one.scores, one.labels, strict=True)
    )
    assert len(found) == len(wanted) > 0
    for (file, name, score, *edges), (other_file, other_name, other_score, box) in zip(found, wanted, strict=True):
        assert (file, name) == (other_file, other_name)
        assert float(score) == pytest.approx(other_score, abs=2e-3)
        assert [float(edge) for edge in edges] == pytest.approx(box, abs=0.2)


def test_openvino_finds_the_same_by_the_documented_lines(written, tmp_path):
    pytest.importorskip("openvino")
    code = _listing("openvino_detect.py")
    (tmp_path / "openvino_detect.py").write_text(code, encoding="utf-8")
    session = onnxruntime.InferenceSession(str(written), providers=["CPUExecutionProvider"])
    files = [tmp_path / f"{i}.png" for i in range(4)]
    wanted = []
    for i, file in enumerate(files):
        image = drawn(i, SIZE)
        Image.fromarray(image).save(file)
        boxes, scores, labels = (np.asarray(found)[0] for found in session.run(None, {"images": image[None]}))
        wanted.append([labels[0], scores[0], *boxes[0]])
    command = [sys.executable, "openvino_detect.py", written, *map(str, SIZE), *(file.name for file in files)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = [[float(value) for value in line.split()[1:]] for line in done.stdout.splitlines()]
    assert np.allclose(found, np.array(wanted, float), atol=0.01)
    assert np.allclose(np.array(found)[:, 1], [scores for _, scores, *_ in wanted], atol=1e-5)


def test_an_export_that_differs_from_torch_is_not_written(run, written, monkeypatch, tmp_path):
    opened = open_model(run)
    monkeypatch.setattr(exporting, "_write", lambda *given: _stand_in(written, given[2]))
    images = write_images(tmp_path / "images")
    assert export(opened, tmp_path / "model.onnx", check_images=images).box_difference < 0.01
    (tmp_path / "model.onnx").unlink()
    with torch.no_grad():
        opened.model.get_submodule("model.decoder.class_embed")[-1].bias += 0.1
    with pytest.raises(ExportError, match="does not find what torch finds"):
        export(opened, tmp_path / "model.onnx", check_images=images)
    assert not list(tmp_path.glob("*.onnx*")) and not list(tmp_path.glob(".*.part"))


def test_a_different_resize_is_detected(run, written, monkeypatch, tmp_path):
    """Without the image processor's anti-aliasing, boxes on images of the canvas's size are correct, on others not."""
    opened = open_model(run)
    before = opened.processor.__call__

    def aliased(images: np.ndarray, **options: Any) -> Any:
        small = Image.fromarray(images).resize(SIZE[::-1], Image.Resampling.NEAREST)
        return before(images=np.array(small), **options)

    monkeypatch.setattr(type(opened.processor), "__call__", lambda _, images, **options: aliased(images, **options))
    monkeypatch.setattr(exporting, "_write", lambda *given: _stand_in(written, given[2]))
    with pytest.raises(ExportError, match=r"at most 0\.00"):
        export(opened, tmp_path / "model.onnx")


def _stand_in(written: Path, part: Path) -> onnxruntime.InferenceSession:
    part.write_bytes(written.read_bytes())
    return onnxruntime.InferenceSession(str(part))


def test_pixels_are_prepared_as_the_processor_prepares_them(run):
    opened = open_model(run)
    detector = ExportedDetector(opened)
    for image in sample_images(SIZE):
        wanted = opened.processor(images=image, return_tensors="pt")["pixel_values"]
        assert torch.allclose(detector.pixel_values(torch.from_numpy(image[None])), wanted, atol=1e-5)


def test_pairs_are_prepared_as_the_loader_prepares_them(tmp_path):
    from loaders import DetectionLoader
    from tests.loaders.conftest import encode, make_split

    opened = open_model(write_run(tmp_path / "run", channels="pair"))
    image, template = drawn(1), drawn(2)
    row = {"image_id": "a", "bytes": encode(image), "width": 140, "height": 100, "boxes": [], "labels": []}
    split = make_split([row]).remove_columns("reference")
    split = split.add_column("reference", [{"bytes": encode(template), "path": None}])
    norm = models.normalization(opened.processor)
    (batch,) = DetectionLoader(split, 1, SIZE, channels="pair", shuffle=False, resize="exact", **norm)
    found = ExportedDetector(opened).pixel_values(*(torch.from_numpy(one[None]) for one in (image, template)))
    assert torch.allclose(found, batch["pixel_values"], atol=1e-5)


class TestRefusals:
    def test_opset_without_antialias(self, run, tmp_path, capsys):
        assert main([str(run), "--output", str(tmp_path / "a.onnx"), "--opset", "17"]) == 1
        assert "must be at least 18" in capsys.readouterr().err

    def test_a_processor_that_does_not_stretch(self, run, tmp_path):
        opened = open_model(run)
        opened.processor.size = {"shortest_edge": 640}
        with pytest.raises(ModelError, match="resizes to"):
            ExportedDetector(opened)
        opened = open_model(run)
        opened.processor.resample = 3
        with pytest.raises(ModelError, match="does not resize them bilinearly"):
            ExportedDetector(opened)

    def test_no_model_and_no_images(self, run, tmp_path, capsys):
        assert main([str(tmp_path), "--output", str(tmp_path / "a.onnx")]) == 1
        assert main([str(run), "--output", str(tmp_path / "a.onnx"), "--check_images", str(tmp_path)]) == 1
        errors = capsys.readouterr().err
        assert "is not a trained model" in errors and "there is no image in this folder" in errors


@given(st.integers(0, 10_000), st.integers(1, 30))
def test_differences_ignore_the_order(seed, count):
    rng = np.random.default_rng(seed)
    boxes, scores, labels = rng.random((count, 4)) * 50, rng.random(count), rng.integers(0, 3, count)
    order = rng.permutation(count)
    same = differences(
        ModelOutput(boxes, scores, labels), ModelOutput(boxes[order], scores[order], labels[order]), np.ones(4), 20
    )
    assert len(same) == min(20, count) and same.max() == 0
    best = int(np.argmax(scores))
    other = labels.copy()
    other[labels == labels[best]] = 3
    assert np.isinf(
        differences(ModelOutput(boxes, scores, labels), ModelOutput(boxes, scores, other), np.ones(4), 1)
    ).all()


def opened_by_hand(model_type: str, channels: str = "rgb") -> OpenedModel:
    model = untrained(model_type, "resnet18")
    model.config.radikal_channels = channels
    return OpenedModel(model_type, None, model, models.image_processor(model.config.model_type, SIZE), None)


@pytest.mark.slow
# Each family is traced, written and run through onnxruntime: too slow for every test run, so done before a release.
@pytest.mark.skipif(not os.environ.get("RADIKAL_THOROUGH"), reason="minutes each; RADIKAL_THOROUGH=1 runs it")
@pytest.mark.parametrize("model_type", models.MODEL_TYPES)
def test_every_family(model_type, tmp_path):
    opened = opened_by_hand(model_type)
    if model_type == "dense":  # the order of its scores decides which duplicates remain, so they must not be tied
        opened.model.class_head.weight.data *= 100  # pyright: ignore
    done = export(opened, tmp_path / "model.onnx")
    assert done.file.is_file() and done.box_difference < 0.1 and done.score_difference < 1e-3


@pytest.mark.slow
def test_pairs(tmp_path):
    export(opened_by_hand("rt_detr_v2", "pair"), tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    assert [one.name for one in session.get_inputs()] == ["images", "references"]
