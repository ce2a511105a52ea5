from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from training.run.settings import (
    CHECKOUT,
    CONFIGS,
    Settings,
    SettingsError,
    differences,
    parse,
    resolve_precision,
    save,
    with_config,
)
from training.run.usage import described, help_text, markdown_table


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "c.yaml"
    file.write_text("dataset_name: somewhere\nlearning_rate: 1e-4\nmixed_precision: no\nimage_size: [256, 1600]\n")
    return file


def test_yaml_and_overrides(config):
    settings = parse([str(config), "--num_train_epochs", "3", "--output_dir=out", "--max_train_steps", "1e2"])
    assert settings.learning_rate == 1e-4 and settings.mixed_precision == "no" and settings.canvas == (256, 1600)
    assert settings.num_train_epochs == 3.0 and settings.output_dir == "out" and settings.max_train_steps == 100


def test_text_stays_text(config):
    settings = parse([str(config), "--output_dir", "2024", "--dataset_config_name", "no", "--data_dir", "null"])
    assert (settings.output_dir, settings.dataset_config_name, settings.data_dir) == ("2024", "no", None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--lerning_rate", "1"], "the nearest is 'learning_rate'"),
        (["--learning_rate"], "lacks a value"),
        (["--learning_rate", "fast"], "learning_rate is 'fast'; it must be float"),
        (["--max_train_steps", "1.5"], "must be int or null"),
        (["--max_train_steps", "0"], "at least 1"),
        (["--mixed_precision", "fp8"], "auto, no, fp16 or bf16"),
        (["stray"], "'stray' was not expected"),
        (["other.yaml"], "the config file comes first"),
        (["--image_size", "[32"], r"--image_size \[32: this can't be read"),
    ],
)
def test_mistakes_are_named(config, arguments, message):
    with pytest.raises(SettingsError, match=message):
        parse([str(config), *arguments])


def test_unknown_key_in_a_file(tmp_path):
    (tmp_path / "c.yaml").write_text("dataset_name: x\nbackbon: resnet18\n")
    with pytest.raises(SettingsError, match="'backbon', which is not a setting; the nearest is 'backbone'"):
        parse([str(tmp_path / "c.yaml")])
    with pytest.raises(SettingsError, match=r"there is no config file .*training/configs/ has .*demo.yaml"):
        parse([str(tmp_path / "missing.yaml")])


def test_a_missing_file_says_where_it_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError) as caught:
        parse(["missing.yaml"])
    assert str(tmp_path / "missing.yaml") in str(caught.value)
    assert f"current directory is {tmp_path}" in str(caught.value)
    # A file of the checkout is found from any directory.
    assert parse(["training/configs/demo.yaml"]) == parse([str(CONFIGS / "demo.yaml")])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dataset_name: x\nimage_size: [1, 2\nseed: 1\n", r"c\.yaml, line 3, column \d+: "),
        ("- a\n- b\n", "it holds a list"),
        ("\xff", "no text in UTF-8"),
    ],
)
def test_invalid_yaml_is_reported_with_its_line(tmp_path, text, message):
    (tmp_path / "c.yaml").write_bytes(text.encode("latin-1"))
    with pytest.raises(SettingsError, match=message):
        parse([str(tmp_path / "c.yaml")])


@pytest.mark.parametrize("name", ["radikal_datasets/neu_det", "hub/neu_det", "neu_det"])
def test_without_a_file_the_recipe_of_the_source(name):
    assert with_config(["--dataset_name", name], "demo.yaml")[0] == str(CONFIGS / "neu_det.yaml")


def test_without_a_file_the_default_or_the_resumed_run_is_used(config, tmp_path):
    assert with_config([str(config), "--seed", "1"], "demo.yaml") == [str(config), "--seed", "1"]
    resume = ["--output_dir", str(tmp_path), "--resume_from_checkpoint", "latest"]
    assert with_config(resume, "demo.yaml")[0] == str(CONFIGS / "demo.yaml")
    save(parse([str(config)]), tmp_path / "train_config.yaml")
    assert with_config(resume, "demo.yaml") == [str(tmp_path / "train_config.yaml"), *resume]
    assert with_config(resume[:2], "demo.yaml")[0] == str(CONFIGS / "demo.yaml")


def test_the_default_recipe_for_another_set_keeps_its_configuration_to_itself():
    """GDXray's castings and outputs/gdxray_castings belong to nobody else's data."""
    own = parse(with_config(["--dataset_name", "somewhere/my parts"]))
    assert (own.dataset_config_name, own.output_dir) == (None, "outputs/my parts")
    named = parse(with_config(["--dataset_name", "x", "--dataset_config_name", "coco", "--output_dir", "here"]))
    assert (named.dataset_config_name, named.output_dir) == ("coco", "here")
    for arguments in ([], ["--dataset_name", "radikal_datasets/gdxray"]):
        assert parse(with_config(arguments)).dataset_config_name == "castings"


def test_own_images_start_from_the_neutral_recipe(tmp_path):
    """Neither of another set's settings nor of its size, whether the folder is raw, prepared or of Parquet files."""
    (tmp_path / "my parts").mkdir()
    (tmp_path / "my parts" / "radikal.yaml").write_text("name: parts\n")
    (tmp_path / "hub" / "coco").mkdir(parents=True)
    (tmp_path / "hub" / "README.md").write_text("---\nradikal_datasets:\n  source: folder\n---\n")
    for name in ("my parts", "hub"):
        complete = with_config(["--data_dir", str(tmp_path / name)])
        settings = parse(complete)
        assert complete[0] == str(CONFIGS / "own.yaml")
        assert settings.dataset_name == "radikal_datasets/folder" and settings.data_dir == str(tmp_path / name)
        assert settings.output_dir == f"outputs/{name}" and settings.task == "detection"
    for name in ("radikal_datasets/folder", str(tmp_path / "my parts"), "plant/scratches"):
        settings = parse(with_config(["--dataset_name", name]))
        assert settings.dataset_name == name and settings.flip_horizontal == settings.flip_vertical == 0
    (tmp_path / "castings").mkdir()
    assert parse(with_config(["--data_dir", str(tmp_path / "castings")])).dataset_config_name == "castings"


def test_differences_from_the_resumed_run(config, tmp_path):
    save(parse([str(config)]), tmp_path / "run.yaml")
    assert differences(parse([str(config), "--resume_from_checkpoint", "latest"]), tmp_path / "run.yaml") == []
    (line,) = differences(parse([str(config), "--learning_rate", "0.5"]), tmp_path / "run.yaml")
    assert line == "learning_rate is 0.5; the run was started with 0.0001."
    assert differences(parse([str(config)]), tmp_path / "none.yaml") == []


def test_every_setting_is_described_in_the_help_and_in_the_docs():
    assert [one.name for one in described()] == list(vars(parse([str(CONFIGS / "demo.yaml")])))
    assert all(f"--{one.name}  ({one.kind}, {one.default})" in help_text("x") and one.meaning for one in described())
    generator = runpy.run_path(str(CHECKOUT / "docs" / "generate.py"))  # the hook that makes the site's reference pages
    page = (CHECKOUT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
    assert markdown_table() in generator["on_page_markdown"](page)


def test_image_size_must_fit_the_strides(config):
    with pytest.raises(SettingsError, match="multiples of 32"):
        _ = parse([str(config), "--image_size", "100"]).canvas


def test_saved_settings_start_the_same_run(config, tmp_path):
    settings = parse([str(config), "--image_size", "96", "--seed", "3"])
    save(settings, tmp_path / "train_config.yaml")
    assert parse([str(tmp_path / "train_config.yaml")]) == settings


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.name)
def test_shipped_configs_are_valid_and_state_their_memory(file):
    settings = parse([str(file)])
    assert settings.canvas
    assert isinstance(settings, Settings)
    assert "GPU memory" in file.read_text()


@pytest.mark.parametrize(
    ("asked", "launcher", "cuda", "expected"),
    [
        ("auto", "no", True, "fp16"),
        ("auto", "no", False, "no"),
        ("auto", "bf16", True, "bf16"),
        ("auto", "bf16", False, "bf16"),
        ("auto", "fp16", True, "fp16"),
        ("no", "fp16", True, "no"),
        ("fp16", "no", True, "fp16"),
        ("bf16", "no", False, "bf16"),
        ("auto", "fp16", False, None),
        ("fp16", "no", False, None),
    ],
)
def test_precision(monkeypatch, asked, launcher, cuda, expected):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", launcher)
    if expected is None:
        with pytest.raises(SettingsError, match="no CUDA device"):
            resolve_precision(asked, cuda)
    else:
        assert resolve_precision(asked, cuda) == expected
