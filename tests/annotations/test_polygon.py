from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from radikal_datasets.annotations.polygon import PolygonMask, clip_polygon, hull

WIDTH, HEIGHT = 40, 30


def area(points) -> float:
    following = points[1:] + points[:1]
    return abs(sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in zip(points, following, strict=True))) / 2


@st.composite
def rectangles(draw):
    """Corners of an oriented rectangle in and around the image."""
    cx, cy = draw(st.floats(-20, WIDTH + 20)), draw(st.floats(-20, HEIGHT + 20))
    long, wide, turn = draw(st.floats(1, 30)), draw(st.floats(1, 30)), draw(st.floats(0, math.pi))
    c, s = math.cos(turn), math.sin(turn)
    return [(cx + a * long * c - b * wide * s, cy + a * long * s + b * wide * c) for a, b in _CORNERS]


_CORNERS = ((-1, -1), (1, -1), (1, 1), (-1, 1))


def test_polygon_inside_is_unchanged():
    points = [(1.0, 2.0), (10.0, 4.0), (5.0, 20.0)]
    assert clip_polygon(points, WIDTH, HEIGHT) == points


def test_polygon_outside_is_dropped():
    assert clip_polygon([(-5.0, 1.0), (-1.0, 1.0), (-1.0, 9.0)], WIDTH, HEIGHT) == []


def test_diamond_over_the_left_edge():
    clipped = clip_polygon([(0.0, 5.0), (5.0, 10.0), (0.0, 15.0), (-5.0, 10.0)], WIDTH, HEIGHT)
    assert hull(clipped) == (0, 5, 5, 15)
    assert area(clipped) == 25


def test_hull_of_what_is_inside_is_smaller_than_the_clipped_hull():
    """A diamond off a corner: its bounding box reaches into the image, the diamond itself does not."""
    diamond = [(-10.0, -1.0), (-1.0, -10.0), (8.0, -1.0), (-1.0, 8.0)]
    assert hull(clip_polygon(diamond, WIDTH, HEIGHT)) == (0, 0, 7, 7)
    assert clip_polygon([(x - 8, y - 8) for x, y in diamond], WIDTH, HEIGHT) == []


@given(rectangles())
def test_clipped_polygon_is_inside_and_its_area_is_what_a_fine_raster_counts(points):
    clipped = clip_polygon(points, WIDTH, HEIGHT)
    assert all(-1e-9 <= x <= WIDTH + 1e-9 and -1e-9 <= y <= HEIGHT + 1e-9 for x, y in clipped)
    fine = 4
    scaled = PolygonMask(tuple((fine * x, fine * y) for x, y in points))
    counted = scaled.labels(None, fine * WIDTH, fine * HEIGHT).sum() / fine**2
    # Only pixels on the outline can differ, and half of them on average; the outline is at most 140 long.
    assert counted == pytest.approx(area(clipped) if clipped else 0, abs=140 / fine)


@given(rectangles())
def test_mask_lies_in_the_hull(points):
    clipped = clip_polygon(points, WIDTH, HEIGHT)
    assume(clipped)
    labels = PolygonMask(tuple(points)).labels(None, WIDTH, HEIGHT)
    assert labels.shape == (HEIGHT, WIDTH)
    assert set(np.unique(labels)) <= {0, 1}
    ys, xs = np.nonzero(labels)
    assert len(ys)
    x_min, y_min, x_max, y_max = hull(clipped)
    assert math.floor(x_min) <= xs.min() and xs.max() < math.ceil(x_max) + 1
    assert math.floor(y_min) <= ys.min() and ys.max() < math.ceil(y_max) + 1


@pytest.mark.parametrize("reverse", [False, True])
def test_pixels_are_those_whose_centers_are_inside(reverse):
    points = ((2.0, 1.0), (7.0, 1.0), (7.0, 4.0), (2.0, 4.0))
    labels = PolygonMask(points[::-1] if reverse else points).labels(None, 10, 6)
    expected = np.zeros((6, 10), int)
    expected[1:4, 2:7] = 1
    assert (labels == expected).all()


def test_sliver_between_pixel_centers_gets_a_pixel():
    labels = PolygonMask(((3.6, 0.0), (3.9, 0.0), (3.9, 8.0), (3.6, 8.0))).labels(None, 10, 8)
    assert labels.sum() == 1
    assert labels[4, 3] == 1
