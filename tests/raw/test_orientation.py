"""EXIF orientation: one frame for pixels, sizes, boxes and masks, in every decoder."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ImageOps

from loaders.decoding import Decoder
from radikal_datasets import load_dataset
from radikal_datasets.raw.images import image_header
from radikal_datasets.raw.orientation import displayed_size, turned, turned_points, upright
from radikal_datasets.raw.tree import Tree
from radikal_datasets.verification import verify


def written(form: str, orientation: int) -> bytes:
    pixels = np.zeros((40, 64), np.uint8)
    pixels[:20, :16] = 250
    exif, data = PIL.Image.Exif(), BytesIO()
    exif[0x0112] = orientation
    PIL.Image.fromarray(pixels).convert("RGB" if form == "WEBP" else "L").save(data, form, exif=exif)
    return data.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_every_decoder_shows_the_same_frame(form: str, orientation: int, tmp_path: Path) -> None:
    data = written(form, orientation)
    with PIL.Image.open(BytesIO(data)) as opened:
        expected = np.asarray(ImageOps.exif_transpose(opened).convert("L"))
    (tmp_path / "a.img").write_bytes(data)
    header = image_header(Tree.open(tmp_path), "a.img")
    assert header.size == expected.shape[::-1]
    assert header.stored == (64, 40)
    with PIL.Image.open(BytesIO(data)) as opened:
        assert displayed_size(opened) == header.size
        assert np.abs(np.asarray(upright(opened).convert("L")).astype(int) - expected).max() < 3
    with PIL.Image.open(BytesIO(data)) as opened:
        opened.load()
        assert upright(opened).size == header.size
    pixels, size = Decoder()(memoryview(data), color=False)
    assert size == expected.shape
    assert np.abs(pixels.astype(int) - expected).max() < 8


def test_a_jpeg_that_is_turned_is_decoded_small() -> None:
    pixels, size = Decoder()(memoryview(written("JPEG", 6)), color=True, at_least=(16, 10))
    assert size == (64, 40) and pixels.shape == (16, 10, 3)


@given(st.integers(1, 8), st.integers(1, 9), st.integers(1, 9), st.data())
def test_points_turn_as_pixels_do(orientation: int, width: int, height: int, data: st.DataObject) -> None:
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    pixels = np.zeros((height, width))
    pixels[y, x] = 1
    ((x1, y1), (x2, y2)) = turned_points(((x, y), (x + 1, y + 1)), orientation, (width, height))
    ((row, column),) = np.argwhere(turned(pixels, orientation))
    assert (min(x1, x2), min(y1, y2)) == (column, row)


def test_a_public_source_turns_boxes_with_the_image(sample_tree: Callable[..., Path], tmp_path: Path) -> None:
    import shutil

    tree = tmp_path / "NEU-DET"
    shutil.copytree(sample_tree("neu_det"), tree)
    path = tree / "IMAGES" / "crazing_2.jpg"
    before = load_dataset("radikal_datasets/neu_det", data_dir=tree, cache_dir=tmp_path / "a")
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    PIL.Image.open(path).save(path, exif=exif)
    after = load_dataset("radikal_datasets/neu_det", data_dir=tree, cache_dir=tmp_path / "b")
    one, other = (
        next(r for s in splits.values() for r in s if r["image_id"] == "neu_det/crazing_2")
        for splits in (before, after)
    )
    assert other["image"].size == (other["width"], other["height"])
    boxes = [[200 - y2, x1, 200 - y1, x2] for x1, y1, x2, y2 in one["boxes"]]
    assert other["boxes"] == boxes
    assert verify("neu_det", data_dir=tree).reports["default"].counts()["exif_turned_annotation"] == len(boxes)
