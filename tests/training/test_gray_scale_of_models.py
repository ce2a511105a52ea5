"""A model keeps the gray scale of its training images, and whatever uses the model shows it images on that scale."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from radikal_datasets.gray_scale import GrayScale
from tests.loaders.conftest import drawn_row
from tests.training.complete_runs import assert_same_run
from tests.training.conftest import TINY, write_hub_folder
from training import explain, score, train
from training.explaining.cases import predict_images
from training.export import metadata
from training.models import keep_gray_scale
from training.using.image_files import find_images
from training.using.inference import detect_defects
from training.using.predictor import Predictor
from training.using.trained_model import open_model

SPLITS = {"train": range(14), "validation": range(100, 105), "test": range(200, 205)}


def rows(bits: int) -> dict[str, list[dict]]:
    """Images of 8 bits, or of more with the same upper eight and noise below."""
    random = np.random.default_rng(1)
    found: dict[str, list[dict]] = {}
    for split, numbers in SPLITS.items():
        for number in numbers:
            row = drawn_row(number)
            with PIL.Image.open(io.BytesIO(row["bytes"])) as image:
                pixels = np.asarray(image.convert("L"))
            if bits > 8:
                pixels = (pixels.astype(np.uint16) << (bits - 8)) + random.integers(0, 1 << (bits - 8), pixels.shape)
                pixels[0, 0] = (1 << bits) - 1
            else:
                pixels = pixels.copy()
                pixels[0, 0] = 255
            out = io.BytesIO()
            PIL.Image.fromarray(pixels.astype(np.uint16 if bits > 8 else np.uint8)).save(out, "PNG")
            found.setdefault(split, []).append({**row, "bytes": out.getvalue()})
    return found


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """The same training on the same images in 8 and in 12 bits."""
    from accelerate.state import AcceleratorState, PartialState

    folder = tmp_path_factory.mktemp("depths")
    made = {}
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("ACCELERATE_USE_CPU", "true")
        for bits in (8, 12):
            data = write_hub_folder(folder / f"data{bits}", rows(bits))
            for number, row in enumerate(rows(bits)["test"]):
                (data / "images").mkdir(exist_ok=True)
                (data / "images" / f"{number}.png").write_bytes(row["bytes"])
            config = folder / f"{bits}.yaml"
            made[bits] = folder / f"run{bits}"
            config.write_text(f"dataset_name: {data}/data\noutput_dir: {made[bits]}\n{TINY}", encoding="utf-8")
            assert train.main([str(config), "--max_train_steps", "4"]) == 0
            AcceleratorState._reset_state(reset_partial_state=True)
            PartialState._reset_state()
    return made


def test_twelve_bits_train_like_their_upper_eight(runs: dict[int, Path]) -> None:
    assert_same_run(runs[8], runs[12])
    configs = [json.loads((runs[bits] / "best" / "config.json").read_text()) for bits in (8, 12)]
    assert "radikal_gray_scale" not in configs[0] and configs[1]["radikal_gray_scale"] == [0, 4095]
    assert (runs[12] / "report" / "test" / "index.html").is_file()


def test_predict_score_explain_and_export_use_the_stored_scale(runs: dict[int, Path], tmp_path: Path) -> None:
    opened = {bits: open_model(runs[bits]) for bits in runs}
    assert opened[12].gray_scale == GrayScale(0, 4095)
    assert json.loads(metadata(opened[12])["gray_scale"]) == [0, 4095] and "gray_scale" not in metadata(opened[8])
    images = {bits: find_images([runs[bits].parent / f"data{bits}" / "images"]) for bits in runs}
    found = {bits: detect_defects(Predictor(runs[bits], threshold=0.0), images[bits]).detections for bits in runs}
    assert len(found[8]) == len(SPLITS["test"])
    for one, other in zip(found[8], found[12], strict=True):
        assert np.allclose(one.scores, other.scores, atol=1e-6) and np.allclose(one.boxes, other.boxes, atol=1e-3)
    assert score.score_run(runs[8], "test", []) == score.score_run(runs[12], "test", [])
    explained = [predict_images(explain._open_detector(runs[bits], "test", []), "test") for bits in runs]
    assert [one.prediction for one in explained[0]] == [one.prediction for one in explained[1]]


def test_an_image_that_a_model_of_8_bits_would_see_black_is_refused(runs: dict[int, Path], tmp_path: Path) -> None:
    pixels = np.tile(np.arange(256), (64, 1))
    PIL.Image.fromarray((pixels * 16).astype(np.uint16)).save(tmp_path / "12.png")
    PIL.Image.fromarray((pixels / 255).astype(np.float32)).save(tmp_path / "float.tif")
    PIL.Image.fromarray((pixels * 257).astype(np.uint16)).save(tmp_path / "full.png")
    result = detect_defects(Predictor(runs[8], threshold=0.0), find_images([tmp_path]))
    assert [one.image.name for one in result.detections] == ["full.png"]
    assert sorted(result.unreadable) == ["12.png", "float.tif"]
    assert "12 bits, used from 0 to 4,080" in result.unreadable["12.png"]


def test_a_run_on_8_bits_forgets_the_scale_of_its_checkpoint(runs: dict[int, Path]) -> None:
    model = open_model(runs[12]).model
    keep_gray_scale(model, None)
    assert "radikal_gray_scale" not in model.config.to_dict()
