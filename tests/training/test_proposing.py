"""Settings proposed for a set without a recipe: they fit every set and machine, and what is named stays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np
import PIL.Image
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from radikal_datasets.schema import features
from training import train as train_script
from training.run.data import load_splits
from training.run.proposing import named_settings, propose, recipe_for
from training.run.set_facts import Machine, SetFacts
from training.run.settings import CONFIGS, Settings, parse, with_config

DESKTOP, GPU = Machine(4, None), Machine(16, 24.0)
TINY = SetFacts(images=500, boxes=700, classes=2, height=64, width=64, defect=12.0, templates=False)
LARGE = SetFacts(images=150, boxes=900, classes=3, height=3000, width=4000, defect=10.0, templates=False)
SIXTY = SetFacts(images=42, boxes=90, classes=2, height=200, width=200, defect=30.0, templates=False)


def values(facts: SetFacts, machine: Machine = DESKTOP, **named: object) -> dict[str, object]:
    return {one.name: one.value for one in propose(facts, machine, named)}


@given(
    st.builds(
        SetFacts,
        images=st.integers(1, 100_000),
        boxes=st.integers(1, 10**6),
        classes=st.integers(1, 50),
        height=st.integers(1, 9000),
        width=st.integers(1, 9000),
        defect=st.floats(0.1, 9000),
        templates=st.booleans(),
    ),
    st.builds(Machine, st.integers(1, 64), st.none() | st.floats(2, 140)),
)
def test_every_proposal_is_a_valid_recipe_of_bounded_cost(facts: SetFacts, machine: Machine) -> None:
    found = values(facts, machine)
    settings = Settings(dataset_name="x", **found)
    height, width = settings.canvas
    limit = 640 if machine.gpu_gib else 320
    assert max(height, width) <= limit or min(facts.height, facts.width) * limit < 64 * max(facts.height, facts.width)
    assert 1 <= settings.per_device_train_batch_size <= min(32, facts.images)
    if settings.tile_size is not None:
        assert isinstance(settings.tile_size, list)
        assert all(tile <= edge for tile, edge in zip(settings.tile_size, (facts.height, facts.width), strict=True))
    assert len({one.name for one in propose(facts, machine)}) == len(found)
    assert all(one.why for one in propose(facts, machine))


def test_tiny_images_are_not_blown_up() -> None:
    assert values(TINY)["image_size"] == [64, 64]
    assert values(TINY)["feature_strides"] == [4, 8, 16]
    faint = replace(TINY, defect=5.0)
    assert values(faint)["image_size"] == [128, 128]


def test_small_defects_in_large_images_are_seen_at_full_resolution_in_tiles() -> None:
    found = values(LARGE)
    assert found["tile_size"] == found["image_size"] == [256, 256]
    assert "tile_size" not in values(replace(LARGE, defect=300.0))
    assert values(LARGE, GPU)["tile_size"] == [640, 640]


def test_few_images_are_shown_more_often_in_small_batches() -> None:
    few, many = values(SIXTY), values(replace(SIXTY, images=3000))
    assert few["num_train_epochs"] == 100 and many["num_train_epochs"] == 12
    assert few["per_device_train_batch_size"] == 7 and many["per_device_train_batch_size"] == 22


def test_templates_and_the_machine_choose_channels_and_family() -> None:
    assert values(replace(SIXTY, templates=True))["channels"] == "pair"
    assert values(SIXTY)["model_type"] == "dense"
    on_gpu = values(SIXTY, GPU)
    assert on_gpu["model_type"] == "rt_detr_v2" and "feature_strides" not in on_gpu
    assert "feature_strides" in values(SIXTY, GPU, model_type="dense")
    assert "feature_strides" not in values(SIXTY, model_type="detr")


def test_what_is_named_is_not_proposed_and_the_rest_fits_it() -> None:
    found = values(LARGE, image_size=320)
    assert "image_size" not in found and "tile_size" not in found
    assert "num_train_epochs" not in values(LARGE, num_train_epochs=3)


def test_the_facts_of_a_set_are_those_of_its_annotated_images() -> None:
    names = ["a", "b"]
    image = PIL.Image.fromarray(np.zeros((40, 60), np.uint8))
    rows = {
        "image_id": ["0", "1", "2"],
        "image": [image] * 3,
        "width": [60, 60, 600],
        "height": [40, 40, 400],
        "boxes": [[[0, 0, 4, 9], [0, 0, 16, 16]], [], []],
        "labels": [[0, 1], [], []],
        "masks": [[], [], []],
        "reference": [image] * 3,
        "annotated": [True, True, False],
        "group": ["0", "1", "2"],
    }
    facts = SetFacts.of(datasets.Dataset.from_dict(rows, features=features(names)))
    assert (facts.images, facts.boxes, facts.classes, facts.height, facts.width) == (2, 2, 2, 40, 60)
    assert facts.defect == pytest.approx(7.0) and facts.templates
    assert "2 annotated training images, typically 60 x 40 pixels, a template for each" in str(facts)


def own_folder(folder: Path) -> Path:
    """Return 24 images in YOLO's layout, a bright square in each."""
    for number in range(24):
        pixels = np.full((64, 64), 90, np.uint8)
        pixels[20:32, 8 + number : 24 + number] = 220
        for kind, suffix in (("images", ".png"), ("labels", ".txt")):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            path = folder / kind / f"part{number}{suffix}"
            if suffix == ".png":
                PIL.Image.fromarray(pixels).save(path)
            else:
                path.write_text(f"0 {(16 + number) / 64} {26 / 64} {16 / 64} {12 / 64}\n")
    (folder / "data.yaml").write_text("names: [bright]\n")
    (folder / "radikal.yaml").write_text("name: squares\n")
    return folder


def test_a_run_without_a_recipe_prints_and_keeps_the_proposal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = own_folder(tmp_path / "squares")
    small = ["--backbone", "test_resnet", "--backbone_weights", "null", "--feature_strides", "[8, 16, 32]"]
    once = ["--max_train_steps", "1", "--num_threads", "1", "--report_to", "none", "--draw_curves", "false"]
    assert train_script.main(["--data_dir", str(data), *small, *once]) == 0
    printed = capfd.readouterr().out
    assert "Proposed for 1" in printed and "image_size: [64, 64]" in printed and "feature_strides" not in printed
    run = tmp_path / "outputs" / "squares"
    text = (run / "recipe.yaml").read_text(encoding="utf-8")
    assert text.startswith("# Proposed for 1") and "  # " in text
    again = parse([str(run / "recipe.yaml")])
    used = yaml.safe_load((run / "train_config.yaml").read_text(encoding="utf-8"))
    assert again.model_type == used["model_type"] == "dense" and again.image_size == used["image_size"]


def test_nothing_is_proposed_where_a_recipe_or_a_model_was_named(tmp_path: Path) -> None:
    data = own_folder(tmp_path / "squares")
    for arguments in (
        [str(CONFIGS / "neu_det.yaml"), "--data_dir", str(data)],
        ["--data_dir", str(data), "--model_name_or_path", "somewhere"],
        ["--data_dir", str(data), "--task", "classification"],
    ):
        complete = with_config(arguments)
        settings, named = parse(complete), named_settings(arguments, complete)
        assert named is None or recipe_for(settings, load_splits(settings)["train"], named) is None
    named = named_settings(only := ["--data_dir", str(data)], with_config(only))
    assert named is not None and "image_size" not in named
