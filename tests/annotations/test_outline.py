"""Outlines of masks: filling them gives the mask back, holes filled."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from radikal_datasets.annotations.outline import outlines
from tests.annotations.filling import filled

MASKS = arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9)))


@given(MASKS)
def test_filling_the_polygons_gives_the_mask_with_its_holes_filled(mask: np.ndarray) -> None:
    polygons, holes = outlines(mask)
    assert len(polygons) == ndimage.label(mask, np.ones((3, 3)))[1]
    without_holes = ndimage.binary_fill_holes(mask)
    np.testing.assert_array_equal(filled(polygons, mask.shape), without_holes)
    background = ndimage.label(np.pad(~mask, 1, constant_values=True))[1]
    assert holes == background - 1


@given(MASKS, st.integers(0, 5), st.integers(0, 5))
def test_an_outline_moves_with_its_mask(mask: np.ndarray, down: int, right: int) -> None:
    moved = np.pad(mask, ((down, 2), (right, 3)))
    for one, other in zip(outlines(mask).polygons, outlines(moved).polygons, strict=True):
        np.testing.assert_array_equal(one + np.array([right, down]), other)


@pytest.mark.parametrize(
    ("mask", "corners"),
    [
        ([[1]], [(0, 0), (1, 0), (1, 1), (0, 1)]),
        ([[0, 1, 1, 1]], [(1, 0), (4, 0), (4, 1), (1, 1)]),
        ([[1, 0], [0, 1]], [(0, 0), (1, 0), (1, 1), (2, 1), (2, 2), (1, 2), (1, 1), (0, 1)]),
    ],
)
def test_corners(mask: list[list[int]], corners: list[tuple[int, int]]) -> None:
    ((polygon,), holes) = outlines(np.array(mask, bool))
    assert [tuple(corner) for corner in polygon] == corners and holes == 0
