from __future__ import annotations

import io

import numpy as np
import pytest
import scipy.io
import scipy.sparse
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from radikal_datasets.annotations.gdxray_table import parse_mat, parse_text
from radikal_datasets.errors import MalformedAnnotationError

FIVE = "   1.0000000e+00   1.7100000e+02   1.9800000e+02   4.7100000e+02   4.9300000e+02\n"
NINE = (
    "   4.0000000e+00   1.7183423e+03   1.8833288e+03   1.2038746e+03   2.2941052e+03"
    "   5.2325577e+02   1.4416794e+03   1.0377235e+03   1.0309030e+03\n"
)


def parse(text: str):
    return parse_text(text.encode("latin-1"), "C0001/ground_truth.txt")


def mat_bytes(table: np.ndarray, name: str = "bb") -> bytes:
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, {name: table})
    return buffer.getvalue()


def test_five_columns_are_image_x1_x2_y1_y2_in_matlabs_frame():
    truth = parse(FIVE)
    (row,) = truth.rows[1]
    assert row.box == (170.5, 470.5, 197.5, 492.5)
    assert (row.number, row.line, row.corners, row.swapped) == (1, 1, None, False)
    assert truth.row_count() == 1
    assert not truth.errors


def test_nine_columns_are_an_oriented_rectangle():
    (row,) = parse(NINE).rows[4]
    expected = [(1717.8423, 1882.8288), (1203.3746, 2293.6052), (522.75577, 1441.1794), (1037.2235, 1030.4030)]
    np.testing.assert_allclose(row.corners, expected)
    assert row.box == pytest.approx((522.75577, 1030.4030, 1717.8423, 2293.6052))


def test_half_pixels_are_kept():
    (row,) = parse("2.0 1.7105000e+03 1800 10.5 20\n").rows[2]
    assert row.box == (1710, 10, 1799.5, 19.5)


@pytest.mark.parametrize("line", ["1 30 20 5 9", "1 20 30 9 5", "1 30 20 9 5"])
def test_swapped_pairs_are_sorted_and_marked(line):
    (row,) = parse(line).rows[1]
    assert row.swapped
    assert row.box == (19.5, 4.5, 29.5, 8.5)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_any_line_end_and_blank_lines(end):
    truth = parse(end.join(["", FIVE.strip(), "  ", "2 1 2 3 4", ""]))
    assert sorted(truth.rows) == [1, 2]
    assert truth.rows[2][0].line == 4


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_empty_text_is_empty(text):
    assert parse(text).empty


@pytest.mark.parametrize("line", ["7 1 2 3", "7 1 2 3 x", "7 1 2 nan 3", "7 1 2 3 inf", "7 1 2 3 4 5", "7"])
def test_malformed_line_affects_only_its_image(line):
    truth = parse(f"{FIVE}{line}\n8 1 2 3 4\n")
    assert sorted(truth.rows) == [1, 8]
    assert list(truth.errors) == [7]
    error = truth.errors[7]
    assert (error.path, error.line) == ("C0001/ground_truth.txt", 2)
    assert "image 7" in str(error)


def test_column_count_does_not_change_within_a_file():
    truth = parse(FIVE + NINE + "1 1 2 3 4\n")
    assert list(truth.rows) == [1]
    assert len(truth.rows[1]) == 2
    assert "5 columns expected as in the lines before, 9 found" in truth.errors[4].found


@pytest.mark.parametrize("word", ["x", "1.5", "nan", "inf", "1,2"])
def test_line_without_a_readable_image_number_invalidates_the_series(word):
    with pytest.raises(MalformedAnnotationError, match="an image number expected") as caught:
        parse(f"{FIVE}{word} 1 2 3 4\n")
    assert caught.value.line == 2


@pytest.mark.parametrize("keep", range(1, len(FIVE.rstrip())))
def test_truncated_file_invalidates_the_series(keep):
    """A table truncated anywhere within its second line: rows of any image may be missing."""
    last = FIVE[:keep]
    if not last.strip():
        assert parse(FIVE + last).row_count() == 1  # truncated between two lines: nothing reveals it
        return
    with pytest.raises(MalformedAnnotationError):
        parse(FIVE + last)


def test_complete_last_line_without_a_newline_is_accepted():
    assert parse(FIVE + FIVE.rstrip("\n")).row_count() == 2
    assert parse("1 10 20 30 40\n2 1 2 3 4").row_count() == 2


@given(
    arrays.arrays(np.int64, st.tuples(st.integers(1, 20), st.just(4)), elements=st.integers(0, 3000)),
    st.sampled_from([np.uint16, np.float64]),
)
def test_text_and_matlab_file_give_the_same(edges, dtype):
    table = np.concatenate([np.arange(len(edges))[:, None] // 2 + 1, edges], axis=1)
    text = "".join("".join(f"{value:16.7e}" for value in row) + "\n" for row in table)
    assert parse_mat(mat_bytes(table.astype(dtype)), "x.mat").rows == parse(text).rows


def test_rounding_noise_of_matlab_files_is_removed():
    noisy = np.array([[1, 171 + 5.7e-14, 198, 471 - 5.7e-14, 493]])
    assert parse_mat(mat_bytes(noisy), "x.mat").rows == parse(FIVE).rows


def test_nine_columns_from_a_matlab_file():
    table = np.array([[float(word) for word in NINE.split()]])
    np.testing.assert_allclose(parse_mat(mat_bytes(table), "x.mat").rows[4][0].corners, parse(NINE).rows[4][0].corners)


def test_empty_matlab_table_is_empty():
    assert parse_mat(mat_bytes(np.zeros((0, 0), np.uint8)), "x.mat").empty


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "MATLAB"),
        (b"not a table" * 40, "MATLAB"),
        (mat_bytes(np.ones((2, 5)))[:150], "MATLAB"),
        (mat_bytes(np.ones((2, 5)), "boxes"), "no variable 'bb'"),
        (mat_bytes(np.ones((2, 5, 2))), "shape"),
        (mat_bytes(np.array(["text"])), "bb is"),
    ],
)
def test_broken_matlab_file(data, found):
    with pytest.raises(MalformedAnnotationError, match=found):
        parse_mat(data, "x.mat")


def test_matlab_table_of_other_width():
    truth = parse_mat(mat_bytes(np.array([[3.0, 1, 2]])), "x.mat")
    assert list(truth.errors) == [3]
    assert not truth.empty


@pytest.mark.parametrize("data", ["", FIVE, NINE])
def test_byte_order_mark_does_not_matter(data):
    assert parse_text(b"\xef\xbb\xbf" + data.encode(), "x").rows == parse(data).rows


def test_first_line_of_an_image():
    truth = parse("2 1 2 3 4\n1 1 2 3 x\n1 1 2 3 4\n3 1 2 3 x\n2 1 2 3 4\n")
    assert [truth.first_line(number) for number in (1, 2, 3, 4)] == [2, 1, 4, None]


@pytest.mark.parametrize("far", ["1e308", "-1e308", "1000001", "-1.1e6"])
def test_absurd_coordinates_are_malformed(far):
    truth = parse(f"1 1 2 3 {far}\n2 1 2 3 1e6\n")
    assert (list(truth.rows), list(truth.errors)) == ([2], [1])
    assert "1,000,000 pixels" in truth.errors[1].found
    table = np.array([[1, 2, 3, 4, float(far)]])
    assert list(parse_mat(mat_bytes(table), "x.mat").errors) == [1]


def test_sparse_table_is_malformed():
    with pytest.raises(MalformedAnnotationError, match="bb is a c"):
        parse_mat(mat_bytes(scipy.sparse.csc_matrix(np.ones((2, 5)))), "x.mat")


def check(parser, data):
    """Any input gives objects with finite boxes or raises the one documented error."""
    try:
        truth = parser(data, "x")
    except MalformedAnnotationError as error:
        assert error.path == "x"
        return
    for number, rows in truth.rows.items():
        for row in rows:
            assert row.number == number
            assert all(abs(edge) < 1e6 + 1 for edge in row.box)
            assert row.box[0] <= row.box[2] and row.box[1] <= row.box[3]


any_number = st.floats() | st.integers() | st.text(max_size=4)


@given(st.lists(st.lists(any_number, max_size=10), max_size=4))
def test_any_rows_parse_or_raise_one_error(rows):
    check(parse_text, "\n".join(" ".join(map(str, row)) for row in rows).encode("utf-8", "replace"))


@given(st.text())
def test_any_text_parses_or_raises_one_error(text):
    check(parse_text, text.encode("utf-8", "replace"))


dtypes = st.sampled_from([np.float64, np.float32, np.int64, np.uint64, np.int8, np.complex128])


@given(dtypes.flatmap(lambda dtype: arrays.arrays(dtype, arrays.array_shapes(max_dims=3, max_side=9))))
def test_any_matlab_table_parses_or_raises_one_error(table):
    check(parse_mat, mat_bytes(table))


@given(st.binary(max_size=200))
def test_any_bytes_parse_or_raise_one_error(data):
    for parser in (parse_text, parse_mat):
        check(parser, data)


@given(st.lists(st.floats(-1e4, 1e4), min_size=4, max_size=4))
def test_box_is_sorted_and_half_a_pixel_lower(edges):
    assume(all(abs(edge) > 1e-9 or edge == 0 for edge in edges))
    x1, x2, y1, y2 = edges
    (row,) = parse("1 " + " ".join(repr(edge) for edge in edges) + "\n").rows[1]
    assert row.box == (min(x1, x2) - 0.5, min(y1, y2) - 0.5, max(x1, x2) - 0.5, max(y1, y2) - 0.5)
    assert row.swapped == (x1 > x2 or y1 > y2)
