"""One short training on a folder of own images, and what uses its model on folders in every format."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.own_data.trees import CLASSES, WRITERS
from tests.training.audit_runs import text_of
from tests.training.conftest import TINY
from training import explain, predict, train
from training.run.settings import RUN_SETTINGS
from training.using.saved_run import open_run

pytestmark = pytest.mark.slow
IMAGES = 18


@pytest.fixture(scope="session")
def trained(own_tree: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps on own images as COCO."""
    root = tmp_path_factory.mktemp("trained")
    recipe = root / "tiny.yaml"
    recipe.write_text(f"output_dir: {root / 'run'}\n{TINY}", encoding="utf-8")
    folder = own_tree("coco", IMAGES)
    assert train.main([str(recipe), "--dataset_name", str(folder), "--max_train_steps", "2"]) == 0
    return root / "run"


def test_a_folder_is_trained_on(trained: Path) -> None:
    metrics = json.loads((trained / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["training"]["steps"] == 2 and metrics["validation"] and metrics["test"]
    text = text_of(trained)
    assert "owner's images. These are the owner's own images" in text and "Fleck" in text
    assert "read from raw files" in text and "The license of the images forbids to pass them on." in text
    classes = json.loads((trained / "best" / "config.json").read_text(encoding="utf-8"))["id2label"]
    assert sorted(classes.values()) == ["Fleck", "Haarriß", "Kratzer tief"]


def test_another_folder_replaces_the_runs_own(trained: Path, tmp_path: Path) -> None:
    """A run of `train --data-dir FOLDER`, explained or scored on a folder given as its dataset."""
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    own = {"dataset_name": "radikal_datasets/folder", "data_dir": "first"}
    settings = yaml.safe_load((run / RUN_SETTINGS).read_text(encoding="utf-8"))
    (run / RUN_SETTINGS).write_text(yaml.safe_dump(settings | own), encoding="utf-8")
    folder = "radikal_datasets/folder"
    for given, expected in (
        ([], (folder, "first")),
        (["--dataset_name", "second"], ("second", None)),
        (["--data_dir", "second"], (folder, "second")),
        (["--dataset_name", "second", "--data_dir", "part"], ("second", "part")),
    ):
        found, _, _ = open_run(run, given)
        assert (found.dataset_name, found.data_dir) == expected


@pytest.mark.parametrize("format_", WRITERS)
def test_predict_takes_the_folder(
    format_: str,
    trained: Path,
    own_tree: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    images = own_tree(format_, IMAGES) / "Linie 3"
    arguments = [str(trained), str(images), "--output", str(tmp_path / "out"), "--overlays", "none"]
    assert predict.main(arguments) == 0
    assert "6 images, " in capsys.readouterr().out
    assert isinstance(json.loads((tmp_path / "out" / "predictions.json").read_text(encoding="utf-8")), list)


@pytest.mark.parametrize("format_", WRITERS)
def test_explain_takes_the_folder(format_: str, trained: Path, own_tree: Callable[..., Path], tmp_path: Path) -> None:
    folder = own_tree(format_, IMAGES)
    if not (folder / "radikal.yaml").exists():  # some formats do not state the order of the classes: the owner does
        folder = Path(shutil.copytree(folder, tmp_path / "mine"))
        (folder / "radikal.yaml").write_text(json.dumps({"classes": CLASSES}), encoding="utf-8")
    arguments = [str(trained), "--dataset_name", str(folder), "--output", str(tmp_path / "out")]
    quick = ["--images", "1", "--detections", "1", "--threshold", "0", "--methods", "gradcam", "--curve-steps", "0"]
    status = explain.main([*arguments, *quick, "--redrawn-images", "0", "--masks", "4"])
    assert status == 0 and list((tmp_path / "out").rglob("*.html"))
