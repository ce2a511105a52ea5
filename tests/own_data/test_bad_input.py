"""Every kind of bad input is named with its file (and line), counted, and ends verify with 1 if something is lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from radikal_datasets.errors import BadFileError, ConfigNameError, LayoutError, OwnDataError
from radikal_datasets.sources.folder import Folder
from radikal_datasets.verification import verify
from tests.own_data.bad_folders import BOX, CASES, coco, cvat, images, table


def found(root: Path, kind: str) -> list:
    """The problems of a kind, of what the builder finds."""
    report = Folder(data_dir=root, cache_dir=root.parent / "cache").index().report
    return [problem for problem in report.problems if problem.kind == kind]


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_named_and_counted(name: str, tmp_path: Path) -> None:
    make, kind, path, line, exit_code = CASES[name]
    root = make(tmp_path / "Öfen")
    problems = found(root, kind)
    assert problems, Folder(data_dir=root, cache_dir=tmp_path).index().report.problems
    assert problems[0].path == path
    if line is not None:
        assert problems[0].line == line
    assert verify("folder", data_dir=root).exit_code == exit_code


def test_an_image_with_bad_truth_is_left_out_and_the_others_stay(tmp_path: Path) -> None:
    root = coco(tmp_path / "x", {"bbox": [5, 5, float("inf"), 9]}, {"bbox": [1, 1, 5, 5]})
    index = Folder(data_dir=root, cache_dir=tmp_path).index()
    assert [e.image_id for rows in index.splits.values() for e in rows] == ["b"]


@pytest.mark.parametrize(
    "annotation", [{"iscrowd": 1, **BOX}, {"segmentation": [[1, 1, 9, 9]]}, {"bbox": [90, 90, 5, 5]}]
)
def test_an_image_that_lost_its_only_box_is_not_defect_free(annotation: dict[str, Any], tmp_path: Path) -> None:
    index = Folder(data_dir=coco(tmp_path / "x", annotation), cache_dir=tmp_path).index()
    assert [e.image_id for e in index.splits["unlabeled"]] == ["a"]


def test_strict_raises_at_the_first_loss(tmp_path: Path) -> None:
    root = cvat(tmp_path / "x", '<polygon label="dent" points="1,1;9,9"/>')
    with pytest.raises(OwnDataError, match=r"annotations\.xml, line 4"):
        Folder(data_dir=root, cache_dir=tmp_path, strict=True).index()
    root = coco(tmp_path / "y", BOX | {"category_id": 7})
    with pytest.raises(BadFileError, match=r"instances.json, line 17: annotation 0 has category_id 7"):
        Folder(data_dir=root, cache_dir=tmp_path, strict=True).index()


def test_two_formats_in_one_tree_ask_for_the_config(tmp_path: Path) -> None:
    root = coco(tmp_path / "x")
    (root / "a.xml").write_text("<annotation><size><width>60</width><height>40</height></size></annotation>")
    with pytest.raises(ConfigNameError, match=r"2 formats: coco \(instances.json ...\); voc \(a.xml ...\)"):
        Folder(data_dir=root, cache_dir=tmp_path)
    report = Folder(data_dir=root, config_name="coco", cache_dir=tmp_path).index().report
    assert report.counts()["other_format"] == 1 and not report.loses_something
    (root / "radikal.yaml").write_text("format: voc")
    assert Folder(data_dir=root, cache_dir=tmp_path).config.name == "voc"
    with pytest.raises(ConfigNameError, match="no config 'kitti'"):
        Folder(data_dir=root, config_name="kitti", cache_dir=tmp_path)


def test_a_folder_without_annotations_says_what_is_read(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match=r"2 images.*coco, yolo, voc"):
        Folder(data_dir=images(tmp_path / "x", "a.png", "b.png"), cache_dir=tmp_path)


@pytest.mark.parametrize(
    ("names", "stated"),
    [
        (("Linie 1/a.png", "Linie 2/a.png"), "a.png"),
        (("x/1/a.png", "y/1/a.png"), "1/a.png"),
        (("eins/a.png", "zwei/a.png", "drei/b.png"), "C:\\daten\\a.png"),
    ],
)
def test_a_name_that_fits_two_images_is_ambiguous(names: tuple[str, ...], stated: str, tmp_path: Path) -> None:
    root = coco(tmp_path / "x", BOX, listed=[{"id": 1, "file_name": stated}, {"id": 2, "file_name": "b.png"}])
    images(root, *names)
    (root / "a.png").unlink()
    assert found(root, "ambiguous_image")[0].found.startswith(f"{stated!r} fits 2 images")
    assert verify("folder", data_dir=root).exit_code == 1


def test_repairs_of_more_than_a_fifth_are_systematic(tmp_path: Path) -> None:
    rows = [f"a.png,{40 + i},{20 + i},{10},{9},dent" for i in range(12)]  # x, y, width, height
    root = table(tmp_path / "x", *rows)
    assert found(root, "systematic_swapped_corners")[0].count == 12
    assert verify("folder", data_dir=root).exit_code == 1
    (root / "radikal.yaml").write_text("boxes: xywh")
    report = Folder(data_dir=root, cache_dir=tmp_path).index().report
    assert "swapped_corners" not in report.counts()


def test_mostly_unlabeled_unless_the_owner_says_they_are_clean(tmp_path: Path) -> None:
    root = images(coco(tmp_path / "x"), *(f"more/{i}.png" for i in range(5)))
    assert found(root, "mostly_unlabeled")[0].count == 5
    (root / "radikal.yaml").write_text("unlabeled: clean")
    index = Folder(data_dir=root, cache_dir=tmp_path).index()
    assert not index.report.loses_something and "unlabeled" not in index.splits
    assert index.report.counts()["assumed_clean"] == 5


@pytest.mark.parametrize("names", [["Kratzer", "kratzer "], ["rolled in scale", "rolled-in_scale"], ["A b", "ab"]])
def test_look_alike_classes_are_named(names: list[str], tmp_path: Path) -> None:
    root = coco(tmp_path / "x", BOX, categories=[{"id": i, "name": n} for i, n in enumerate(names, 1)])
    assert len(found(root, "similar_classes")) == 1
    (root / "radikal.yaml").write_text(json.dumps({"classes": {names[1].strip(): names[0]}}))
    builder = Folder(data_dir=root, cache_dir=tmp_path)
    assert builder.class_names == (names[0],)
    assert "similar_classes" not in builder.index().report.counts()


def test_many_classes(tmp_path: Path) -> None:
    many = [{"id": i, "name": f"Klasse {i}"} for i in range(1, 40_001)]
    builder = Folder(data_dir=coco(tmp_path / "x", BOX | {"category_id": 39_999}, categories=many), cache_dir=tmp_path)
    assert len(builder.class_names) == 40_000
    labels = {i.label for rows in builder.index().splits.values() for e in rows for i in e.instances}
    assert labels == {"Klasse 1", "Klasse 39999"}


@pytest.mark.parametrize("name", ["Zeile\neins.png", "<b>fett&amp;.png", "ü" * 120 + ".png", "é.png", "100%d=1?.png"])
def test_odd_file_names(name: str, tmp_path: Path) -> None:
    root = coco(tmp_path / "x", BOX, listed=[{"id": 1, "file_name": name}, {"id": 2, "file_name": "b.png"}])
    (root / "a.png").rename(root / name)
    index = Folder(data_dir=root, cache_dir=tmp_path).index()
    assert not index.report.loses_something, index.report.problems
    assert sum(len(rows) for rows in index.splits.values()) == 2


@pytest.mark.parametrize(("values", "kind"), [((0, 90, 110), "unknown_class"), ((0, 1, 2), "unknown_class")])
def test_masks_whose_values_have_no_name(values: tuple[int, ...], kind: str, tmp_path: Path) -> None:
    root = images(tmp_path / "x", "images/a.png", "images/b.png")
    (root / "masks").mkdir()
    for name in "ab":
        pixels = np.zeros((40, 60), np.uint8)
        pixels[2:9, 2:9], pixels[20:30, 2:9] = values[1], values[2]
        PIL.Image.fromarray(pixels).save(root / "masks" / f"{name}.png")
    assert found(root, kind)
    (root / "radikal.yaml").write_text(f"classes: {{{values[1]}: dent, {values[2]}: Fleck}}")
    builder = Folder(data_dir=root, cache_dir=tmp_path)
    assert builder.class_names == ("dent", "Fleck")
    assert not builder.index().report.loses_something


def test_inverted_masks_are_reported(tmp_path: Path) -> None:
    root = images(tmp_path / "x", "images/a.png", "images/b.png")
    (root / "masks").mkdir()
    for name in "ab":
        pixels = np.full((40, 60), 255, np.uint8)
        pixels[2:9, 2:9] = 0
        PIL.Image.fromarray(pixels).save(root / "masks" / f"{name}.png")
    assert found(root, "inverted_masks")
    assert verify("folder", data_dir=root).exit_code == 1


@pytest.mark.parametrize("size", [(59, 40), (40, 60), (6, 4)])
def test_a_mask_of_another_size_costs_its_image(size: tuple[int, int], tmp_path: Path) -> None:
    root = images(tmp_path / "x", "good/a.png", "crack/b.png")
    (root / "masks" / "crack").mkdir(parents=True)
    PIL.Image.new("L", size, 255).save(root / "masks" / "crack" / "b.png")
    assert found(root, "mask_size")
    assert verify("folder", data_dir=root).exit_code == 1
