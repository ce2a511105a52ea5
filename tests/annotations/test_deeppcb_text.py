from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radikal_datasets.annotations.deeppcb_text import PcbDefect, parse_deeppcb
from radikal_datasets.errors import MalformedAnnotationError

numbers = st.integers(0, 639)
lines = st.tuples(numbers, numbers, numbers, numbers, st.integers(0, 9))


def test_reads_a_line():
    assert parse_deeppcb("466 441 493 470 3\n", "x.txt") == [PcbDefect((466, 441, 493, 470), 3, False, 1)]


def test_reads_commas_like_blanks():
    expected = parse_deeppcb("466 441 493 470 3", "x.txt")
    for text in ("466,441,493,470,3", "466, 441, 493, 470, 3", "466\t441\t493 470 3", " 466 ,441 ,493,470,3 "):
        assert parse_deeppcb(text, "x.txt") == expected


def test_sorts_corners_and_marks_them():
    (defect,) = parse_deeppcb("493 470 466 441 3", "x.txt")
    assert defect.box == (466, 441, 493, 470)
    assert defect.swapped


def test_counts_lines_over_blank_ones():
    assert [defect.line for defect in parse_deeppcb("\n1 2 3 4 5\r\n\r\n  \n6 7 8 9 1", "x.txt")] == [2, 5]


@pytest.mark.parametrize("text", ["", "\n", "\r\n \r\n"])
def test_an_empty_file_has_no_defects(text):
    assert parse_deeppcb(text, "x.txt") == []


@pytest.mark.parametrize(
    "line",
    [
        *("1 2 3 4", "1 2 3 4 5 6", "1,,2,3,4", "1 2 3 four 5", "1 2 3 4 5.5", "1 2 3 4 -1", "nan 2 3 4 5"),
        *("1 2 3 4 open", "1 2 3 4 " + "1" * 5000, f"1 2 3 {'9' * 400} 1", "1 2 3 4 \u00b2"),
    ],
)
def test_error_names_file_and_line(line):
    with pytest.raises(MalformedAnnotationError, match=r"group1/x\.txt, line 2") as caught:
        parse_deeppcb(f"1 2 3 4 5\n{line}\n", "group1/x.txt")
    assert caught.value.line == 2


def joined(rows) -> str:
    return "\n".join(" ".join(map(str, row)) for row in rows)


fields = st.integers() | st.floats() | st.text(max_size=3) | st.just("1" * 5000)


@given(st.text() | st.lists(st.lists(fields, min_size=4, max_size=6)).map(joined))
def test_any_text_parses_or_is_malformed(text):
    try:
        found = parse_deeppcb(text, "x.txt")
    except MalformedAnnotationError as error:
        assert error.path == "x.txt"
        return
    assert all(defect.type >= 0 and all(abs(edge) < 1e9 for edge in defect.box) for defect in found)


@given(st.lists(lines), st.sampled_from([" ", ",", ", ", "\t"]), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_reads_what_was_written(rows, separator, end, final_newline):
    text = end.join(separator.join(map(str, row)) for row in rows) + (end if final_newline else "")
    found = parse_deeppcb(text, "x.txt")
    assert [defect.type for defect in found] == [row[4] for row in rows]
    for defect, (x1, y1, x2, y2, _) in zip(found, rows, strict=True):
        assert defect.box == (min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))
        assert defect.swapped == (x1 > x2 or y1 > y2)
