import pytest
from hypothesis import given
from hypothesis import strategies as st

from radikal_datasets.annotations.dagm_labels import LabelRow, parse_labels
from radikal_datasets.errors import MalformedAnnotationError

CLEAN = "1151\t0\t1151.PNG\t0\t0\t"
DEFECTIVE = "1152\t1\t1152.PNG\t0\t1152_label.PNG"


def parse(text: str):
    return list(parse_labels(text, "Labels.txt"))


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_rows_as_the_publisher_writes_them(end):
    assert parse(end.join(["1", CLEAN, DEFECTIVE])) == [
        ("1151", LabelRow(False, "Labels.txt", 2)),
        ("1152", LabelRow(True, "Labels.txt", 3)),
    ]


def test_a_missing_heading_blank_lines_and_lower_case_are_accepted():
    rows = parse("7\t1\t0007.png\t0\t0007_LABEL.png\n\n" + CLEAN)
    assert rows == [("0007", LabelRow(True, "Labels.txt", 1)), ("1151", LabelRow(False, "Labels.txt", 3))]


@pytest.mark.parametrize(
    ("row", "stem", "found"),
    [
        ("1151\t2\t1151.PNG\t0\t0\t", "1151", "0 (clean) or 1 (defective) expected, '2' found"),
        ("1151\t0\t1151.PNG\t0\t1151_label.PNG", "1151", "marked 0, but its label image is '1151_label.PNG'"),
        ("1151\t1\t1151.PNG\t0\t0\t", "1151", "marked 1, but its label image is '0'"),
        ("1151\t1\t1151.PNG\t0\t1150_label.PNG", "1151", "1150_label"),
        ("1150\t0\t1151.PNG\t0\t0\t", "1151", "row '1150' names the image '1151.PNG'"),
        ("1151\t0", "1151", "5 fields expected, 2 found"),
        ("1151\t0\t1151.PNG\t0\t0\t7", "1151", "5 fields expected, 6 found"),
        ("1151\t0\t1151.bmp\t0\t0\t", "1151", "names the image '1151.bmp'"),
        ("<html>", None, "5 fields expected, 1 found"),
        ("9" * 5000 + "\t0\t1151.PNG\t0\t0", "1151", "names the image '1151.PNG'"),
        ("x\t0\t\t0\t0", None, "5 fields expected, 4 found"),
    ],
)
def test_error_for_a_wrong_row_names_image_line_and_content(row, stem, found):
    rows = parse("1\n" + row)
    assert [r[0] for r in rows] == [stem]
    error = rows[0][1]
    assert isinstance(error, MalformedAnnotationError)
    assert found in str(error) and error.line == 2 and error.path == "Labels.txt"


def test_a_lone_1_is_the_heading_on_the_first_line_only():
    assert parse("1\n") == []
    [(stem, error)] = parse("1\n1\n")
    assert stem == "1" and isinstance(error, MalformedAnnotationError)


@given(st.dictionaries(st.integers(1, 9999), st.booleans()))
def test_any_list_written_is_read_back(images):
    lines = ["1"]
    for number, defective in images.items():
        label = f"{number:04}_label.PNG" if defective else "0\t"
        lines.append(f"{number:04}\t{int(defective)}\t{number:04}.PNG\t0\t{label}")
    assert {stem: row.defective for stem, row in parse("\n".join(lines))} == {f"{n:04}": d for n, d in images.items()}


@given(st.text())
def test_any_text_gives_rows_or_errors_and_nothing_else(text):
    for stem, row in parse(text):
        assert isinstance(row, MalformedAnnotationError) or (isinstance(row, LabelRow) and stem)
