"""VOC files, read back by this package's own reader and by torchvision."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radikal_datasets.annotations.voc import parse_voc
from radikal_datasets.export.voc import voc_box
from tests.export.conftest import SETS, Export, check_same

SHORT = {"validation": "val"}
JPEG_SOURCES = ["neu_det", "deeppcb", "severstal", pytest.param("real/neu_det", marks=pytest.mark.realdata)]


@pytest.mark.parametrize(("source", "config"), SETS)
def test_read_back(source: str, config: str | None, exported: Callable[..., Export]) -> None:
    export, found = exported(source, config, "voc"), {}
    ids = export.image_ids()
    for listed in (export.folder / "ImageSets" / "Main").iterdir():
        for stem in listed.read_text().splitlines():
            xml = export.folder / "Annotations" / f"{stem}.xml"
            voc, truth = parse_voc(xml.read_bytes(), str(xml)), export.truth[ids[stem]]
            assert (voc.width, voc.height) == truth.size
            assert SHORT.get(truth.split, truth.split) == listed.stem
            assert (export.folder / "JPEGImages" / voc.filename).read_bytes() == truth.data
            found[ids[stem]] = [(item.name, item.box) for item in voc.objects]
    whole = all(value == int(value) for truth in export.truth.values() for _, box in truth.named for value in box)
    check_same(found, export.truth, off=0 if whole else 0.5)


@pytest.mark.parametrize("source", JPEG_SOURCES)
def test_torchvision_reads_the_same(source: str, exported: Callable[..., Export]) -> None:
    torchvision = pytest.importorskip("torchvision.datasets")
    export, found = exported(source, None, "voc"), {}
    ids = export.image_ids()
    for split in ("train", "val"):
        for image, target in torchvision.VOCDetection(export.folder.parents[1], "2012", split):
            annotation = target["annotation"]
            image_id = ids[Path(annotation["filename"]).stem]
            assert image.size == export.truth[image_id].size
            found[image_id] = [
                (item["name"], (int(b["xmin"]) - 1, int(b["ymin"]) - 1, int(b["xmax"]), int(b["ymax"])))
                for item in annotation["object"] * bool(annotation["object"])
                for b in [item["bndbox"]]
            ]
    check_same(found, {key: truth for key, truth in export.truth.items() if truth.split in ("train", "validation")})


@given(st.data(), st.integers(1, 3000))
def test_an_edge_moves_by_half_a_pixel_at_most_and_no_box_is_lost(data: st.DataObject, size: int) -> None:
    low, high = sorted(data.draw(st.lists(st.floats(0, size), min_size=2, max_size=2, unique=True)))
    x_min, y_min, x_max, y_max = voc_box((low, low, high, high))
    assert (x_min, x_max) == (y_min, y_max)
    assert 1 <= x_min <= x_max <= size
    if high - low >= 1:
        assert abs(x_min - 1 - low) <= 0.5
        assert abs(x_max - high) <= 0.5


@given(st.lists(st.integers(0, 3000), min_size=2, max_size=2, unique=True))
def test_boxes_at_integer_pixels_are_unchanged(edges: list[int]) -> None:
    low, high = sorted(edges)
    assert voc_box((low, low, high, high)) == (low + 1, low + 1, high, high)


def test_boxes_between_two_halves_keep_their_size() -> None:
    assert voc_box((170.5, 0.5, 197.5, 1.5)) == (172, 2, 198, 2)
