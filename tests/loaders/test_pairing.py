"""Templates that are shifted against their image, and those that differ by defects alone."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loaders import DetectionLoader
from loaders.pairing import aligned
from tests.loaders.conftest import encode, make_split


def board(seed: int, size: tuple[int, int] = (120, 160)) -> np.ndarray:
    """Tracks and pads, black on white."""
    rng = np.random.default_rng(seed)
    picture = np.full(size, 255, np.uint8)
    for _ in range(14):
        a, b = (tuple(int(v) for v in rng.integers(0, (size[1], size[0]))) for _ in range(2))
        cv2.line(picture, a, b, 0, int(rng.integers(2, 6)))
        cv2.circle(picture, a, int(rng.integers(3, 8)), 0, -1)
    return picture


def with_defect(picture: np.ndarray, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y, x = (int(rng.integers(20, edge - 30)) for edge in picture.shape)
    picture = picture.copy()
    picture[y : y + 8, x : x + 8] = 255 - picture[y : y + 8, x : x + 8]
    return picture


def shifted(picture: np.ndarray, across: int, down: int) -> np.ndarray:
    shift = np.array([[1, 0, across], [0, 1, down]], np.float32)
    return cv2.warpAffine(picture, shift, picture.shape[::-1], borderMode=cv2.BORDER_REPLICATE)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000), st.integers(-9, 9), st.integers(-9, 9))
def test_a_shift_is_taken_back(seed, across, down):
    template = board(seed)
    image = with_defect(template, seed)
    found = aligned(image, shifted(template, across, down))
    inner = slice(12, -12), slice(12, -12)
    assert np.array_equal(found[inner], template[inner])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000))
def test_a_template_in_place_stays_as_it_is(seed):
    template = board(seed)
    assert aligned(with_defect(template, seed), template) is template
    assert aligned(template, template) is template


@pytest.mark.parametrize(
    ("image", "template"),
    [
        (np.full((64, 64), 9, np.uint8), np.full((64, 64), 200, np.uint8)),  # nothing to hold on to
        (board(1), board(2)),  # another board
        (board(1)[:20, :20], shifted(board(1), 3, 3)[:20, :20]),  # too small to tell
        (board(1), shifted(board(1), 40, 0)),  # farther than parts move
    ],
)
def test_what_no_shift_explains_stays_as_it_is(image, template):
    template = np.ascontiguousarray(template)
    assert aligned(np.ascontiguousarray(image), template) is template


def test_a_pair_shows_the_difference_of_what_belongs_together():
    template = board(3)
    image = with_defect(template, 3)
    row = {
        "image_id": "a",
        "bytes": encode(image),
        "reference": {"bytes": encode(shifted(template, 4, -3)), "path": None},
        "width": 160,
        "height": 120,
        "boxes": [[1, 1, 9, 9]],
        "labels": [0],
    }
    loader = DetectionLoader(make_split([row]), 1, (120, 160), channels="pair")
    planes = next(loader.raw()).pixels[0].numpy()
    different = planes[2][12:-12, 12:-12] > 0
    assert np.array_equal(different, (image != template)[12:-12, 12:-12]) and different.sum() == 64
