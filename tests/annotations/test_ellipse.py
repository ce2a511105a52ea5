import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radikal_datasets.annotations.ellipse import Ellipse, parse_ellipses
from radikal_datasets.errors import MalformedAnnotationError
from radikal_datasets.samples.drawing import box_of

ELLIPSES = st.builds(
    Ellipse,
    st.floats(1, 30),
    st.floats(1, 30),
    st.floats(-7, 7),
    st.floats(-10, 60),
    st.floats(-10, 50),
)


def parse(text: str):
    return list(parse_ellipses(text, "labels.txt"))


def test_reads_a_published_example_row():
    [(number, ellipse)] = parse("1\t 27.1\t 10.5\t 1.5707\t 100.25\t 200.75\n")
    assert number == 1
    assert ellipse == Ellipse(27.1, 10.5, 1.5707, 100.25, 200.75)


def test_scientific_notation_and_blank_lines():
    assert parse("\n 2   2.0e+01 1e1 0 5 6\r\n") == [(2, Ellipse(20, 10, 0, 5, 6))]


@pytest.mark.parametrize(
    ("row", "number"),
    [
        ("1 2 3 4 5", 1),
        ("1 2 3 4 5 6 7", 1),
        ("1 2 3 four 5 6", 1),
        ("1 2 3 nan 5 6", 1),
        ("1 inf 3 0 5 6", 1),
        ("1 0 3 0 5 6", 1),
        ("1 4 -3 0 5 6", 1),
        ("1.5 4 3 0 5 6", None),
        ("<html>", None),
        ("9" * 5000 + " 4 3 0 5 6", None),
    ],
)
def test_error_for_a_wrong_row_names_image_and_line(row, number):
    [(found, error)] = parse(f"\n{row}")
    assert found == number
    assert isinstance(error, MalformedAnnotationError) and error.line == 2


def test_without_rotation_the_major_axis_lies_along_x():
    drawn = Ellipse(5, 2, 0, 10, 8).labels(None, 21, 17)
    assert drawn.shape == (17, 21)
    assert box_of(drawn > 0) == (5, 6, 16, 11)  # center +- half axis, both ends included
    assert Ellipse(5, 2, 0, 10, 8).box(21, 17) == (5, 6, 16, 11)


def test_a_quarter_turn_lays_it_along_y_and_an_eighth_points_down_right():
    assert Ellipse(5, 2, math.pi / 2, 10, 8).box(21, 17) == (8, 3, 13, 14)
    drawn = Ellipse(6, 1, math.pi / 4, 8, 8).labels(None, 17, 17)
    assert drawn[11, 11] == 1 and drawn[5, 5] == 1  # y grows downwards
    assert drawn[5, 11] == 0 and drawn[11, 5] == 0


def test_ellipses_are_clipped_to_the_image_and_dropped_outside():
    assert Ellipse(5, 5, 0, 0, 0).box(20, 20) == (0, 0, 6, 6)
    assert Ellipse(5, 5, 0, -40, 0).box(20, 20) is None


@given(ELLIPSES)
def test_pixels_are_those_whose_center_satisfies_the_equation(ellipse):
    drawn = pickle.loads(pickle.dumps(ellipse)).labels(None, 50, 40)
    assert drawn.dtype == np.int32 and set(np.unique(drawn)) <= {0, 1}
    a, b, turn = (
        ellipse.semi_major,
        ellipse.semi_minor,
        complex(math.cos(ellipse.rotation), -math.sin(ellipse.rotation)),
    )
    for y in range(0, 40, 3):
        for x in range(0, 50, 3):
            point = complex(x - ellipse.x_center, y - ellipse.y_center) * turn
            distance = (point.real / a) ** 2 + (point.imag / b) ** 2
            if abs(distance - 1) > 1e-9:
                assert drawn[y, x] == (distance < 1)
    box = ellipse.box(50, 40)
    assert (box is None) == (not drawn.any())
    if box is not None:
        assert box == box_of(drawn > 0)


@given(ELLIPSES)
def test_the_box_is_within_a_pixel_of_the_extent(ellipse):
    """Extent of a turned ellipse: half width sqrt(a^2 cos^2 + b^2 sin^2)."""
    ellipse = Ellipse(ellipse.semi_major + 1, ellipse.semi_minor + 1, ellipse.rotation, 50, 50)
    cosine, sine = math.cos(ellipse.rotation), math.sin(ellipse.rotation)
    half_width = math.hypot(ellipse.semi_major * cosine, ellipse.semi_minor * sine)
    half_height = math.hypot(ellipse.semi_major * sine, ellipse.semi_minor * cosine)
    x_min, y_min, x_max, y_max = ellipse.box(101, 101)
    for found, wanted in ((x_max - 1 - 50, half_width), (50 - x_min, half_width)):
        assert wanted - 2 <= found <= wanted + 1e-9
    for found, wanted in ((y_max - 1 - 50, half_height), (50 - y_min, half_height)):
        assert wanted - 2 <= found <= wanted + 1e-9


@given(st.text())
def test_any_text_gives_ellipses_or_errors_and_nothing_else(text):
    for number, row in parse(text):
        assert isinstance(row, MalformedAnnotationError) or (isinstance(row, Ellipse) and number is not None)
