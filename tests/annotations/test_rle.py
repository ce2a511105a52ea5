from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from radikal_datasets.annotations.components import label_components
from radikal_datasets.annotations.rle import RleMask, components, decode, encode
from radikal_datasets.errors import MalformedAnnotationError

masks = arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12))


def naive_decode(text: str, width: int, height: int) -> np.ndarray:
    """Decode pixel by pixel, as the competition's page describes it."""
    mask = np.zeros((height, width), dtype=bool)
    numbers = [int(field) for field in text.split()]
    for start, length in zip(numbers[::2], numbers[1::2], strict=True):
        for pixel in range(start, start + length):
            column, row = divmod(pixel - 1, height)
            mask[row, column] = True
    return mask


def test_counts_from_one_in_column_order():
    mask = decode("3 4", width=4, height=3)  # the bottom of the first column and all of the second
    assert mask.shape == (3, 4)
    assert np.argwhere(mask).tolist() == [[0, 1], [1, 1], [2, 0], [2, 1]]


def test_first_and_last_pixel():
    mask = decode("1 1 12 1", width=4, height=3)
    assert np.argwhere(mask).tolist() == [[0, 0], [2, 3]]


def test_full_and_empty_masks():
    assert decode("1 12", 4, 3).all()
    assert not decode("", 4, 3).any()
    assert encode(np.zeros((3, 4), dtype=bool)) == ""


def test_runs_may_touch():
    assert (decode("2 2 4 3", 4, 3) == decode("2 5", 4, 3)).all()


@given(masks)
def test_encode_and_decode_are_inverse(mask):
    height, width = mask.shape
    text = encode(mask)
    assert (decode(text, width, height) == mask).all()
    assert encode(decode(text, width, height)) == text


@given(masks)
def test_decodes_as_the_naive_loop_does(mask):
    height, width = mask.shape
    assert (naive_decode(encode(mask), width, height) == mask).all()


@given(masks)
def test_components_equal_those_of_the_decoded_mask(mask):
    height, width = mask.shape
    labels, boxes = components(encode(mask), width, height)
    expected_labels, expected_boxes = label_components(mask)
    assert (labels == expected_labels).all()
    assert boxes == expected_boxes
    assert (RleMask(encode(mask)).labels(None, width, height) == expected_labels).all()  # type: ignore[arg-type]


def test_components_touch_at_corners_and_across_columns():
    # "3 4" in a 3 x 4 image is one instance although its run spans two columns; "1 1 5 1" touches at a corner.
    assert components("3 4", 4, 3)[1] == [(0, 0, 2, 3)]
    assert components("1 1 5 1", 4, 3)[1] == [(0, 0, 2, 2)]
    assert components("1 1 10 1", 4, 3)[1] == [(0, 0, 1, 1), (3, 0, 4, 1)]
    # Neighbors in the run-length code, but in two columns that do not touch.
    assert len(components("3 2", 4, 3)[1]) == 2


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("1", "do not form pairs"),
        ("1 2 3", "do not form pairs"),
        ("one 2", "'one' is not a pixel number"),
        ("1 2.5", "'2.5' is not a pixel number"),
        ("1 99999999999999999999", "not a pixel number"),
        ("1 -2", "outside"),
        ("-9223372036854775808 1", "outside"),
        ("1 -9223372036854775808", "outside"),
        ("1 9999999999999999999", "not a pixel number"),
        ("1 " + "9" * 5000, "not a pixel number"),
        ("1_0 1", "'1_0' is not a pixel number"),
        ("\u0661 1", "not a pixel number"),
        ("0 2", "outside"),
        ("3 0", "empty or outside"),
        ("12 2", "outside the image's 12"),
        ("13 1", "outside the image's 12"),
        ("9223372036854775807 9223372036854775807", "outside"),
        ("1 3 3 1", "overlap"),
        ("5 2 1 2", "out of order"),
        ("1 2 1 2", "overlap"),
    ],
)
def test_error_names_the_line_and_the_problem(text, found):
    with pytest.raises(MalformedAnnotationError, match=found) as caught:
        decode(text, 4, 3, "train.csv", 17)
    assert (caught.value.path, caught.value.line) == ("train.csv", 17)
    assert str(caught.value).startswith("train.csv, line 17: run-length code")


huge = st.integers() | st.integers(-2, 22) | st.sampled_from([2**31, 2**63 - 1, 2**63, -(2**63), -(2**64)])


@given(st.lists(huge, max_size=6).map(lambda numbers: " ".join(map(str, numbers))) | st.text())
def test_any_numbers_decode_or_are_malformed(text):
    try:
        mask = decode(text, 5, 4)
    except MalformedAnnotationError:
        return
    assert (mask == naive_decode(text, 5, 4)).all()


@given(st.text(alphabet="0123456789 -.ax", max_size=12))
def test_any_text_decodes_or_is_malformed(text):
    try:
        mask = decode(text, 5, 4)
    except MalformedAnnotationError:
        return
    assert (mask == naive_decode(text, 5, 4)).all()
