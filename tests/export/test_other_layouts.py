"""The layouts of Roboflow and MVTec AD, YOLO polygons, VOC's label map, and segmentation that is never missing."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from scipy import ndimage

from radikal_datasets.export import export_sets
from radikal_datasets.export.yolo import joined
from tests.annotations.filling import filled
from tests.export.conftest import SETS, Export

WITH_MASKS = [("severstal", None), ("mvtec_ad", "transistor"), ("dagm2007", "class1")]
REAL = pytest.param("real/neu_det", None, marks=pytest.mark.realdata)


@pytest.mark.parametrize(("source", "config"), SETS)
def test_roboflow_has_the_images_beside_their_annotations(
    source: str, config: str | None, exported: Callable[..., Export]
) -> None:
    export = exported(source, config, "roboflow")
    assert {path.name for path in export.folder.iterdir() if path.is_dir()} <= {"train", "valid", "test"}
    found = 0
    for file in export.folder.glob("*/_annotations.coco.json"):
        data = json.loads(file.read_text(encoding="utf-8"))
        assert [one["name"] for one in data["categories"]] == export.classes
        assert all((file.parent / image["file_name"]).is_file() for image in data["images"])
        assert all(annotation["segmentation"] for annotation in data["annotations"])
        found += len(data["annotations"])
    assert found == sum(len(truth.named) for truth in export.truth.values())


def test_the_segmentation_of_a_box_without_a_mask_is_the_box(exported: Callable[..., Export]) -> None:
    export = exported("neu_det", None, "coco")
    for file in (export.folder / "annotations").iterdir():
        for one in json.loads(file.read_text(encoding="utf-8"))["annotations"]:
            x, y, width, height = one["bbox"]
            assert one["segmentation"] == [[x, y, x + width, y, x + width, y + height, x, y + height]]


@pytest.mark.parametrize(("source", "config"), WITH_MASKS)
def test_yolo_polygons_fill_the_masks(source: str, config: str | None, exported: Callable[..., Export]) -> None:
    export = exported(source, config, "yolo-polygons")
    names = yaml.safe_load((export.folder / "data.yaml").read_text(encoding="utf-8"))["names"]
    compared = 0
    for stem, image_id in export.image_ids().items():
        truth = export.truth[image_id]
        (labels,) = (export.folder / "labels").glob(f"*/{stem}.txt")
        lines = labels.read_text().splitlines()
        assert len(lines) == len(truth.named)
        for line, (name, box), png in zip(lines, truth.named, truth.masks or [None] * len(lines), strict=True):
            label, *shares = line.split()
            assert names[int(label)] == name and len(shares) >= 6 and len(shares) % 2 == 0
            corners = np.array(shares, float).reshape(-1, 2) * truth.size
            assert [*corners.min(0), *corners.max(0)] == pytest.approx(box, abs=0.01)
            if png is not None:
                mask = np.asarray(Image.open(io.BytesIO(png))) > 0
                corner = corners.min(0).round().astype(int)
                part = mask[corner[1] :, corner[0] :][: round(box[3] - box[1]), : round(box[2] - box[0])]
                drawn = filled([(corners - corner).round(3)], (part.shape[0], part.shape[1]))
                np.testing.assert_array_equal(drawn, ndimage.binary_fill_holes(part))
                compared += 1
    assert compared


def test_parts_are_joined_into_one_polygon() -> None:
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float)
    assert joined([square]) is square
    both = joined([square, square + 5])
    assert both.tolist() == [*square.tolist(), [0, 0], *(square + 5).tolist(), [5, 5], [0, 0]]


@pytest.mark.parametrize(
    ("source", "config"), [*WITH_MASKS, ("neu_det", None), ("deeppcb", None), ("gdxray", "castings"), REAL]
)
def test_the_layout_of_mvtec(source: str, config: str | None, exported: Callable[..., Export]) -> None:
    export = exported(source, config, "mvtec")
    ids = export.image_ids()
    images = {path.stem: path for part in ("train", "test") for path in (export.folder / part).rglob("*.png")}
    assert images.keys() == ids.keys()
    assert [path.name for path in export.folder.glob("train/*")] in ([], ["good"])
    for stem, path in images.items():
        truth = export.truth[ids[stem]]
        np.testing.assert_array_equal(np.asarray(Image.open(path)), np.asarray(Image.open(io.BytesIO(truth.data))))
        assert (path.parent.name == "good") == (not truth.named)
        assert path.parts[-3] == "test" or (truth.split == "train" and not truth.named)
        mask = export.folder / "ground_truth" / path.parent.name / f"{stem}_mask.png"
        assert mask.is_file() == bool(truth.named)
        if truth.named:
            found = np.asarray(Image.open(mask))
            assert found.shape[::-1] == truth.size and set(np.unique(found)) <= {0, 255}
            expected = np.zeros_like(found)
            for png in truth.masks:
                expected |= np.asarray(Image.open(io.BytesIO(png)))
            assert not truth.masks or (found == expected).all()
            names = {name for name, _ in truth.named}
            assert path.parent.name == (names.pop() if len(names) == 1 else "combined")
    for folder in (export.folder / "ground_truth").glob("*"):
        pairs = zip(sorted((export.folder / "test" / folder.name).iterdir()), sorted(folder.iterdir()), strict=True)
        assert all(f"{image.stem}_mask" == mask.stem for image, mask in pairs)
    kept = {ids[stem] for stem in images}
    assert {i for i, truth in export.truth.items() if truth.split != "train" or not truth.named} == kept


def test_what_mvtec_does_not_hold_is_said(sample_tree: Callable[..., Path], tmp_path: Path) -> None:
    (done,) = export_sets("neu_det", format="mvtec", output=tmp_path / "out", data_dir=sample_tree("neu_det"))
    said = "\n".join(done.lines())
    for phrase in (
        "no defect-free image in the train split",
        "defective images of the train split: left out",
        "their boxes are filled",
        "not PNG: converted",
    ):
        assert phrase in said


def test_voc_has_a_label_map(exported: Callable[..., Export]) -> None:
    export = exported("neu_det", None, "voc")
    lines = (export.folder / "labelmap.txt").read_text(encoding="utf-8").splitlines()
    assert lines == ["# label:color_rgb:parts:actions", "background:::", *(f"{name}:::" for name in export.classes)]
