"""The card's contact sheet for unusual images."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from radikal_datasets.prepared.previews import preview_sheet
from radikal_datasets.schema import Box, Example, Instance


def sheet(image: Image.Image, box: Box) -> np.ndarray | None:
    out = io.BytesIO()
    image.save(out, "PNG")
    example = Example("a", "a.png", image.width, image.height, [Instance("dent", box)])
    builder: Any = SimpleNamespace(
        index=lambda: SimpleNamespace(splits={"train": [example]}),
        class_names=["dent"],
        config=SimpleNamespace(name="c"),
        tree=SimpleNamespace(read=lambda path: out.getvalue()),
    )
    found = preview_sheet(builder)
    return None if found is None else np.asarray(Image.open(io.BytesIO(found)).convert("L"))


@pytest.mark.parametrize("size", [(1600, 16), (2560, 20), (25_600, 60)])
def test_images_that_become_a_line(size):
    assert sheet(Image.new("L", size, 90), (1, 0, 30, 1)) is not None


def test_an_image_that_shrinks_to_nothing_is_skipped():
    assert sheet(Image.new("L", (25_600, 20), 90), (1, 0, 30, 1)) is None


def test_sixteen_bits_are_not_white():
    levels = np.linspace(2_000, 40_000, 64 * 64).reshape(64, 64).astype(np.uint16)
    shown = sheet(Image.fromarray(levels), (5, 5, 20, 20))
    assert shown is not None
    assert ((shown > 40) & (shown < 200)).mean() > 0.2
