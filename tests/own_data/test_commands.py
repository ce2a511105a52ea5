"""Every command takes own data in every format, by the folder's path alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import PIL.Image
import pytest
from typer.testing import CliRunner

from radikal_datasets import combine, load_dataset
from radikal_datasets.cli import app
from radikal_datasets.errors import LayoutError, SourceNotFoundError
from radikal_datasets.export import FORMATS, export_sets
from radikal_datasets.prepared.manifest import Manifest
from tests.hub.embedded import RunningHub, running_hub
from tests.own_data.trees import FOLDERS, WRITERS

IMAGES = 18  # three of each kind of file

#: Command -> arguments after the folder; {out} is a path that does not exist.
COMMANDS = {
    "init": ["--dry-run"],
    "verify": [],
    "verify deep": ["--deep"],
    "prepare": ["--output-dir", "{out}"],
    "stats": [],
    "preview": ["--output", "{out}.html"],
    **{f"export {name}": ["--format", name, "--output", "{out}"] for name in FORMATS},
}


def run(*arguments: object) -> str:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})
    assert done.exit_code == 0, (done.output, done.exception)
    return done.output


@pytest.mark.parametrize("format_", WRITERS)
@pytest.mark.parametrize("command", COMMANDS)
def test_matrix(command: str, format_: str, own_tree: Callable[..., Path], tmp_path: Path) -> None:
    folder = own_tree(format_, IMAGES)
    options = [option.format(out=tmp_path / "out") for option in COMMANDS[command]]
    said = run(command.partition(" ")[0], folder, *options)
    if command in ("init", "verify"):
        assert all(name in said for name in ("Haarriß", "Fleck", "Kratzer tief"))
    if command == "stats":
        assert "18 of 18 images decoded" in " ".join(said.split())


@pytest.mark.parametrize("format_", WRITERS)
def test_prepared_own_data_are_a_set_like_any_other(format_: str, own_tree: Callable, tmp_path: Path) -> None:
    folder, hub = own_tree(format_, IMAGES), tmp_path / "hub"
    run("prepare", "folder", "--data-dir", folder, "--output-dir", hub)
    manifest = Manifest.load(hub)
    assert manifest.decided["classes"][format_]
    assert manifest.facts.config(format_).classes == tuple(manifest.decided["classes"][format_])
    assert "must not be passed on" in (hub / "README.md").read_text(encoding="utf-8")
    before = (hub / "manifest.json").read_bytes()
    run("prepare", folder, "--output-dir", hub)
    assert (hub / "manifest.json").read_bytes() == before
    for command in (("verify", hub, "--deep"), ("stats", hub), ("preview", hub, "--output", tmp_path / "x.png")):
        run(*command)
    splits = load_dataset(str(hub), cache_dir=tmp_path)
    for item in (splits, str(folder)):
        assert sum(split.num_rows for split in combine({"own": item}, labels="source").values()) == IMAGES


def test_init_writes_settings_that_change_nothing_and_keeps_an_existing_file(
    own_tree: Callable, tmp_path: Path
) -> None:
    folder = tmp_path / "Meine Teile"
    shutil.copytree(own_tree("yolo", IMAGES), folder)
    before = load_dataset(str(folder), cache_dir=tmp_path / "a")
    said = run("init", folder)
    assert "18 images, annotations as yolo in 18 files" in said
    assert "12 of 16 bits" in said
    assert f'train --data-dir "{folder}" --output-dir outputs/Meine_Teile' in said
    text = (folder / "radikal.yaml").read_text(encoding="utf-8")
    assert "- Haarriß" in text and "# group:" in text
    after = load_dataset(str(folder), cache_dir=tmp_path / "b")
    for split in before:
        assert before[split].features == after[split].features
    names = {row for split in after.values() for row in split["image_id"]}
    assert names == {f"Meine Teile/{row}" for split in before.values() for row in split["image_id"]}
    done = CliRunner().invoke(app, ["init", str(folder)])
    assert "exists already" in str(done.exception) and done.exit_code == 1
    assert (folder / "radikal.yaml").read_text(encoding="utf-8") == text
    run("init", folder, "--overwrite")


def test_own_splits_are_kept_where_the_owner_says_so(own_tree: Callable, tmp_path: Path) -> None:
    folder = tmp_path / "x"
    shutil.copytree(own_tree("labelme", IMAGES), folder)
    for name, target in zip(FOLDERS, ("train", "valid", "test"), strict=True):
        shutil.move(folder / name, folder / target)
    said = run("init", folder)
    assert "Splits by your folders or lists: train 6, validation 6, test 6" in said
    assert "splits: as_they_are" in (folder / "radikal.yaml").read_text(encoding="utf-8")
    splits = load_dataset(str(folder), cache_dir=tmp_path)
    for name, part in splits.items():
        assert {row.split("/")[1] for row in part["image_id"]} == {"valid" if name == "validation" else name}
    again = load_dataset(str(folder), protocol="70-15-15", cache_dir=tmp_path)
    assert {name: part.num_rows for name, part in again.items()} != {n: p.num_rows for n, p in splits.items()}
    shutil.move(folder / "test" / "Teil 02 öäü.png", folder / "Teil 02 öäü.png")
    shutil.move(folder / "test" / "Teil 02 öäü.json", folder / "Teil 02 öäü.json")
    done = CliRunner().invoke(app, ["verify", str(folder)], env={"COLUMNS": "200"})
    assert done.exit_code == 1 and "no_split: Teil 02 öäü.png" in done.output


def test_groups_by_a_regular_expression_and_roboflows_copies(own_tree: Callable, tmp_path: Path) -> None:
    folder = tmp_path / "x"
    shutil.copytree(own_tree("voc", IMAGES), folder)
    (folder / "radikal.yaml").write_text("group: 'Teil (\\d)'")
    splits = load_dataset(str(folder), cache_dir=tmp_path)
    assert {group for split in splits.values() for group in split["group"]} == {"0", "1"}
    (folder / "radikal.yaml").unlink()
    for path in folder.glob("Linie 3/Teil 02 öäü.*"):
        for split, copy in (("train", "0123456789abcdef"), ("valid", "fedcba9876543210")):
            (folder / split).mkdir(exist_ok=True)
            shutil.copy(path, folder / split / f"t_png.rf.{copy}{path.suffix}")
    splits = load_dataset(str(folder), cache_dir=tmp_path)
    rows = [(split, row["image_id"], row["group"]) for split in splits for row in splits[split]]
    copies = [(split, group) for split, image_id, group in rows if ".rf." in image_id]
    assert len(copies) == 2 and len(set(copies)) == 1


@pytest.fixture
def good_and_bad(tmp_path: Path) -> Path:
    root = tmp_path / "Platten"
    for number in range(12):
        kind = ("good", "good", "crack", "Riß tief")[number % 4]
        (root / kind).mkdir(parents=True, exist_ok=True)
        PIL.Image.new("L", (40, 30), 10 * number).save(root / kind / f"{number}.png")
    return root


def test_folders_without_masks_give_image_level_boxes(good_and_bad: Path, tmp_path: Path) -> None:
    splits = load_dataset(str(good_and_bad), cache_dir=tmp_path)
    rows = [row for split in splits.values() for row in split]
    assert all(row["annotated"] for row in rows)
    assert {tuple(map(tuple, row["boxes"])) for row in rows} == {(), ((0.0, 0.0, 40.0, 30.0),)}
    assert splits["train"].features["labels"].feature.names == ["Riß tief", "crack"]
    run("prepare", good_and_bad, "--output-dir", tmp_path / "hub")
    assert json.loads((tmp_path / "hub" / "manifest.json").read_text())["decided"]["boxes"] == "image_level"
    assert "every box is the complete image" in (tmp_path / "hub" / "README.md").read_text()
    for name in (str(good_and_bad), str(tmp_path / "hub")):
        with pytest.raises(LayoutError, match="not where: every box is the complete image"):
            export_sets(name, format="coco", output=tmp_path / "out")


def test_a_detector_refuses_image_level_boxes(
    good_and_bad: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from training.train import main

    recipe = str(Path("training/configs/neu_det.yaml").resolve())
    assert main([recipe, "--dataset_name", str(good_and_bad), "--output_dir", str(tmp_path / "run")]) == 1
    said = capsys.readouterr().err
    assert "classification or anomaly detection" in said and "--task classification" in said
    assert "--task classification" in run("init", good_and_bad)


def test_no_folder_was_given() -> None:
    with pytest.raises(SourceNotFoundError, match='data_dir="my_folder"'):
        load_dataset("radikal_datasets/folder")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    with running_hub(tmp_path_factory.mktemp("embedded") / "hub") as running:
        running.add_user("ann", ["plant"])
        yield running


@pytest.mark.parametrize("format_", ["coco", "masks"])
def test_own_data_are_pushed_privately_and_load_by_name(
    format_: str, hub: RunningHub, own_tree: Callable, tmp_path: Path
) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "RADIKAL"))} | {
        "HF_ENDPOINT": hub.url,
        "HF_TOKEN": hub.token("ann"),
        "HF_HOME": str(tmp_path),
        "COLUMNS": "200",
    }
    command = [sys.executable, "-m", "radikal_datasets.cli", "push", str(own_tree(format_, IMAGES)), "--repo-id"]
    done = subprocess.run([*command, f"plant/{format_}"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "(private)" in done.stdout
    public = subprocess.run(
        [*command, f"plant/open_{format_}", "--public"], env=environment, capture_output=True, text=True, check=False
    )
    assert public.returncode == 2 and "must not be made public" in public.stderr
    code = "import sys, radikal_datasets\nsplits = radikal_datasets.load_dataset(sys.argv[1])"
    code += "\nprint(sum(split.num_rows for split in splits.values()))"
    loaded = subprocess.run(
        [sys.executable, "-c", code, f"plant/{format_}"], env=environment, capture_output=True, text=True, check=False
    )
    assert loaded.stdout.strip() == str(IMAGES), loaded.stderr
