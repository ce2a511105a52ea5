"""File names, atomic writes, what is left out and reported, and the command."""

from __future__ import annotations

import csv
import io
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import datasets
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from radikal_datasets import build_hub_folder, source_info
from radikal_datasets.errors import LayoutError, OutputError
from radikal_datasets.export import FORMATS, export_sets, exporting
from radikal_datasets.export.coco import CocoWriter
from radikal_datasets.export.shared import Record, atomic_output, extension_of, file_stems
from radikal_datasets.schema import features
from tests.export.conftest import read_annotation

IDS = st.lists(st.text(st.sampled_from("aAbB01/._ -:*ßü漢\\"), min_size=1, max_size=12), unique=True, max_size=20)


@given(IDS)
def test_file_names_are_safe_everywhere_and_differ_in_more_than_case(image_ids: list[str]) -> None:
    stems = file_stems(image_ids)
    assert list(stems) == image_ids
    assert len({stem.lower() for stem in stems.values()}) == len(image_ids)
    assert all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", stem) for stem in stems.values())


def test_file_names_keep_what_they_can() -> None:
    ids = ["neu_det/crazing_1", "a/b", "a__b", "CON", "nul.x", "a/lpt1", "x" * 500, "y" * 500, "Y" * 500]
    stems = file_stems(ids)
    assert stems["neu_det/crazing_1"] == "neu_det__crazing_1"
    assert stems["CON"] == "_CON"
    assert stems["nul.x"] == "_nul.x"
    assert stems["a/lpt1"] == "a__lpt1"
    assert stems["a/b"].startswith("a__b-") and stems["a/b"] != stems["a__b"]
    assert max(map(len, stems.values())) <= 120


def test_the_same_image_id_twice_is_an_error() -> None:
    with pytest.raises(LayoutError, match="'a' occurs twice"):
        file_stems(["a", "b", "a"])


def test_extensions() -> None:
    assert extension_of("Class1/0001.PNG", b"") == ".png"
    assert extension_of(None, b"\xff\xd8\xff\xe0") == ".jpg"
    assert extension_of("no suffix", b"\x89PNG\r\n") == ".png"
    assert extension_of("img_1.5", b"\x89PNG\r\n") == ".png"
    assert extension_of(None, b"II*\0") == ".tif"


def test_same_base_names_in_two_folders_do_not_collide(sample_tree: Callable[..., Path], tmp_path: Path) -> None:
    export_sets("mvtec_ad", "all", format="voc", output=tmp_path / "out", data_dir=sample_tree("mvtec_ad"))
    truth, _ = read_annotation("mvtec_ad", "all", sample_tree("mvtec_ad"))
    base_names = [image_id.rpartition("/")[2] for image_id in truth]
    assert len(set(base_names)) < len(base_names)
    assert len(list((tmp_path / "out" / "JPEGImages").iterdir())) == len(truth)
    with (tmp_path / "out" / "images.csv").open(encoding="utf-8", newline="") as file:
        assert {line["image_id"] for line in csv.DictReader(file)} == truth.keys()


@pytest.mark.parametrize("format", FORMATS)
def test_unannotated_images_are_left_out_and_reported(
    format: str, sample_tree: Callable[..., Path], tmp_path: Path
) -> None:
    tree = sample_tree("severstal")
    (done,) = export_sets("severstal", format=format, output=tmp_path / "out", data_dir=tree)
    truth, _ = read_annotation("severstal", None, tree)
    assert sum(done.images.values()) == len(truth)
    assert any(not item.named for item in truth.values())  # defect-free images are among them
    assert "unlabeled" not in done.images
    assert done.left_out == 2
    assert "left out because unannotated: 2 (they must not pass for defect-free)" in done.lines()
    masks = sum(len(item.masks) for item in truth.values())
    assert (f"{masks:,} masks, one per box" in done.not_held) == (not FORMATS[format].HOLDS_MASKS)
    license = (tmp_path / "out" / "LICENSE.txt").read_text(encoding="utf-8")
    assert license.startswith(source_info("severstal").license.name)


def test_references_and_fractional_boxes_are_reported(sample_tree: Callable[..., Path], tmp_path: Path) -> None:
    (done,) = export_sets("deeppcb", format="coco", output=tmp_path / "a", data_dir=sample_tree("deeppcb"))
    assert done.not_held == ["12 reference images (the defect-free counterparts)"]
    tree = sample_tree("gdxray")
    (done,) = export_sets("gdxray", "castings", format="voc", output=tmp_path / "b", data_dir=tree)
    assert done.not_held[-1].startswith("fractions of a pixel: ")


def test_every_configuration_gets_a_folder_and_one_alone_gets_the_output(
    sample_tree: Callable[..., Path], tmp_path: Path
) -> None:
    tree = sample_tree("gdxray")
    done = export_sets("gdxray", format="coco", output=tmp_path / "all", data_dir=tree)
    assert [one.folder for one in done] == [tmp_path / "all" / one.title.partition("/")[2] for one in done]
    assert all((one.folder / "annotations").is_dir() for one in done)
    assert {path.name for path in (tmp_path / "all").iterdir()} == {one.folder.name for one in done}
    (one,) = export_sets("gdxray", "welds", format="coco", output=tmp_path / "welds", data_dir=tree)
    assert one.folder == tmp_path / "welds"


def test_a_prepared_folder_exports_as_its_source_does(sample_tree: Callable[..., Path], tmp_path: Path) -> None:
    tree = sample_tree("neu_det")
    build_hub_folder("neu_det", data_dir=tree, output_dir=tmp_path / "hub")
    export_sets(str(tmp_path / "hub"), format="yolo", output=tmp_path / "a")
    export_sets("neu_det", format="yolo", output=tmp_path / "b", data_dir=tree)
    ours, theirs = (
        {p.relative_to(tmp_path / d): p.read_bytes() for p in (tmp_path / d).rglob("*") if p.is_file()} for d in "ab"
    )
    assert ours.keys() == theirs.keys()
    assert [path for path in ours if ours[path] != theirs[path]] == [Path("data.yaml")]  # names title and license


def test_a_folder_with_files_is_refused_and_untouched(sample_tree: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"holds other files \(notes\.txt\)"):
        export_sets("neu_det", format="coco", output=tmp_path, data_dir=sample_tree("neu_det"))
    with pytest.raises(OutputError, match="is a file"):
        export_sets("neu_det", format="coco", output=tmp_path / "notes.txt", data_dir=sample_tree("neu_det"))
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_the_raw_tree_is_not_written_to(sample_tree: Callable[..., Path]) -> None:
    tree = sample_tree("neu_det")
    before = sorted(tree.rglob("*"))
    with pytest.raises(OutputError, match="is inside the input folder"):
        export_sets("neu_det", format="coco", output=tree / "out", data_dir=tree)
    assert sorted(tree.rglob("*")) == before


@pytest.mark.parametrize("there", [False, True])
def test_an_export_that_fails_leaves_nothing(
    there: bool, sample_tree: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []

    def fail_at_the_fifth(self: CocoWriter, record: Record) -> None:
        written.append(record)
        if len(written) == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(CocoWriter, "add", fail_at_the_fifth)
    out = tmp_path / "new" / "out"
    if there:
        out.mkdir(parents=True)
    with pytest.raises(KeyboardInterrupt):
        export_sets("neu_det", format="coco", output=out, data_dir=sample_tree("neu_det"))
    assert sorted(tmp_path.rglob("*")) == ([out.parent, out] if there else [])


def test_files_created_meanwhile_are_left_alone(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="holds other files"), atomic_output(tmp_path / "out") as stage:
        (stage / "ours").write_text("")
        (tmp_path / "out" / "theirs").write_text("")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["theirs"]
    (tmp_path / "out" / "theirs").unlink()
    (tmp_path / "out" / ".export-0123abcd").mkdir()
    with (
        pytest.raises(OutputError, match="another export is writing here, or was killed"),
        atomic_output(tmp_path / "out"),
    ):
        pass


def odd_row(**changes: Any) -> dict[str, Any]:
    out = io.BytesIO()
    Image.new("L", (8, 8), 50).save(out, "PNG")
    return {
        "image_id": "a",
        "image": {"bytes": out.getvalue(), "path": None},
        "width": 8,
        "height": 8,
        "boxes": [[1, 1, 5, 5]],
        "labels": [0],
        "masks": None,
        "reference": None,
        "annotated": True,
        "group": "a",
    } | changes


def folder_of(folder: Path, **splits: dict[str, Any]) -> str:
    for split, one in splits.items():
        datasets.Dataset.from_list([one], features=features(["dent"])).to_parquet(str(folder / f"{split}.parquet"))
    return str(folder)


@pytest.mark.parametrize("form", FORMATS)
def test_masks_may_be_null_and_names_may_hold_characters_xml_cannot(form: str, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    export_sets(folder_of(tmp_path / "set", train=odd_row(image_id="a\x07b")), format=form, output=tmp_path / "out")
    for file in (tmp_path / "out").rglob("*.xml"):
        assert ElementTree.parse(file).findtext("source/image") == "a_b"


def test_two_splits_of_one_name_are_an_error() -> None:
    rows = datasets.Dataset.from_list([odd_row()], features=features(["dent"]))
    with pytest.raises(LayoutError, match="would be called val"):
        exporting._checked("set", datasets.DatasetDict({"val": rows, "validation": rows}))


def test_a_dataset_without_ground_truth_or_columns_is_an_error(tmp_path: Path) -> None:
    row = {
        "image_id": "a",
        "image": {"bytes": b"x", "path": "a.png"},
        "width": 2,
        "height": 2,
        "boxes": [],
        "labels": [],
        "masks": [],
        "reference": None,
        "annotated": False,
        "group": "a",
    }
    table = datasets.Dataset.from_list([row], features=features(["dent"]))
    for name, dataset in (("unlabeled", table), ("other", table.remove_columns("annotated"))):
        (tmp_path / name).mkdir()
        dataset.to_parquet(str(tmp_path / name / "train.parquet"))
    with pytest.raises(LayoutError, match=r"No image of .* is annotated"):
        export_sets(str(tmp_path / "unlabeled"), format="coco", output=tmp_path / "out")
    with pytest.raises(LayoutError, match="split train, lacks the columns annotated"):
        export_sets(str(tmp_path / "other"), format="coco", output=tmp_path / "out")
    with pytest.raises(ValueError, match="The formats are coco, roboflow, yolo, yolo-polygons, voc, mvtec, objects"):
        export_sets(str(tmp_path / "other"), format="csv", output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command_reports_what_it_wrote(sample_tree: Callable[..., Path], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "radikal_datasets.cli", "export", "dagm2007", "class1", "--format", "yolo"]
    options = ["--data-dir", sample_tree("dagm2007"), "--output", tmp_path / "out"]
    done = subprocess.run([*command, *map(str, options)], capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    assert "dagm2007/class1: 11 images (train 4, validation 2, test 5), " in done.stdout
    assert "left out because unannotated: 1 " in done.stdout
    assert "not held: " in done.stdout
    again = subprocess.run([*command, *map(str, options)], capture_output=True, text=True, timeout=180)
    assert again.returncode == 2
    assert "Traceback" not in again.stderr
    assert "holds other files" in again.stderr
