from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radikal_datasets.annotations.voc import VocObject, parse_voc
from radikal_datasets.errors import MalformedAnnotationError

numbers = st.integers(1, 200)


def an_object(
    name: object = "crazing", xmin: object = 1, ymin: object = 2, xmax: object = 30, ymax: object = 40
) -> str:
    box = f"<xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax><ymax>{ymax}</ymax>"
    return f"<object><name>{name}</name>\n<bndbox>{box}</bndbox></object>"


def voc(*objects: str, size: str = "<width>200</width><height>100</height>", filename: str = "a.jpg") -> bytes:
    lines = ["<annotation>", f"<filename>{filename}</filename>", f"<size>{size}</size>", *objects, "</annotation>"]
    return "\n".join(lines).encode()


def test_boxes_become_half_open_from_zero():
    truth = parse_voc(voc(an_object()), "a.xml")
    assert (truth.filename, truth.width, truth.height) == ("a.jpg", 200, 100)
    assert truth.objects == [VocObject("crazing", (0, 1, 30, 40), False, 4)]


def test_one_pixel_is_one_pixel():
    (found,) = parse_voc(voc(an_object(xmin=5, ymin=6, xmax=5, ymax=6)), "a.xml").objects
    assert found.box == (4, 5, 5, 6)


def test_no_object_gives_no_box():
    assert parse_voc(voc(), "a.xml").objects == []


def test_a_declaration_spaces_and_other_elements_do_not_matter():
    data = b'<?xml version="1.0"?>\n' + voc("<segmented>0</segmented>", an_object(" crazing ", " 1 ", "2\n", 30.0, 40))
    (found,) = parse_voc(data, "a.xml").objects
    assert (found.name, found.box) == ("crazing", (0, 1, 30, 40))


def test_file_without_filename():
    assert parse_voc(voc(filename=""), "a.xml").filename == ""


@given(numbers, numbers, numbers, numbers)
def test_swapped_corners_are_sorted_and_marked(x1, y1, x2, y2):
    (found,) = parse_voc(voc(an_object("crazing", x1, y1, x2, y2)), "a.xml").objects
    assert found.box == (min(x1, x2) - 1, min(y1, y2) - 1, max(x1, x2), max(y1, y2))
    assert found.swapped == (x1 > x2 or y1 > y2)


@given(st.lists(st.tuples(st.sampled_from(["crazing", "patches"]), numbers, numbers, numbers, numbers), max_size=5))
def test_objects_keep_order_and_line(rows):
    found = parse_voc(voc(*(an_object(*row) for row in rows)), "a.xml").objects
    assert [item.name for item in found] == [row[0] for row in rows]
    assert [item.line for item in found] == [4 + 2 * k for k in range(len(rows))]


def declared(encoding: str, name: str = "\u94a2") -> str:
    return f"<?xml version='1.0' encoding='{encoding}'?>\n" + voc(an_object(name)).decode()


@pytest.mark.parametrize("encoding", ["gb2312", "GBK", "gb18030", "utf-8", "UTF-16"])
def test_reads_files_written_by_chinese_editors(encoding):
    (found,) = parse_voc(declared(encoding).encode(encoding), "a.xml").objects
    assert (found.name, found.line) == ("\u94a2", 5)


def test_byte_order_mark_overrides_a_wrong_declaration():
    (found,) = parse_voc(declared("gbk").encode("utf-8-sig"), "a.xml").objects
    assert found.name == "\u94a2"


@pytest.mark.parametrize(
    ("data", "line", "found"),
    [
        (declared("foobar", "a").encode(), 1, "encoding"),
        (declared("big5", "a").encode(), 1, "encoding"),
        (declared("rot13", "a").encode(), 1, "encoding"),
        (declared("idna", "a").encode(), 1, "encoding"),
        (
            declared("gbk", "a@").encode().replace(b"@", b"\xff"),
            5,
            "the bytes are not valid gbk, the declared encoding",
        ),
        (declared("gbk", "&c;").encode("gbk"), 5, "undefined entity"),
    ],
)
def test_encoding_that_cannot_be_read_is_malformed(data, line, found):
    with pytest.raises(MalformedAnnotationError, match=found) as caught:
        parse_voc(data, "a.xml")
    assert (caught.value.path, caught.value.line) == ("a.xml", line)


@given(st.sampled_from(["utf-8", "gbk", "gb18030", "foobar", "utf-16", "utf-7", "latin-1"]), st.binary(max_size=20))
def test_any_bytes_parse_or_are_malformed(encoding, junk):
    for data in (junk, declared(encoding, "a").encode().replace(b">a<", b">" + junk + b"<")):
        try:
            assert parse_voc(data, "a.xml").objects
        except MalformedAnnotationError as error:
            assert error.path == "a.xml"


BOMB = b"""<!DOCTYPE annotation [
 <!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">
]>
<annotation><filename>&c;</filename></annotation>"""
OUTSIDE = b'<!DOCTYPE annotation SYSTEM "file:///etc/passwd">\n<annotation/>'


@pytest.mark.parametrize(
    ("data", "line", "found"),
    [
        (b"", 1, "no element found"),
        (b"not XML", 1, "syntax error"),
        (voc(an_object())[:-20], 5, "unclosed token|no element found"),
        (BOMB, 1, "document type declaration"),
        (OUTSIDE, 1, "document type declaration"),
        (voc(an_object("&c;")), 4, "undefined entity"),
        (b"<annotation><filename>a</filename></annotation>", 1, "<annotation> has no <size>"),
        (voc(size="<width>200</width>"), 3, "<size> has no <height>"),
        (voc(size="<width>0</width><height>100</height>"), 3, "image size 0x100"),
        (voc(size="<width>wide</width><height>100</height>"), 3, "<width> is 'wide'"),
        (voc("<object><name>crazing</name></object>"), 4, "<object> has no <bndbox>"),
        (voc(an_object(name="")), 4, "<name> is empty"),
        (voc(an_object(xmax="")), 5, "<xmax> is empty"),
        (voc(an_object(xmax="wide")), 5, "<xmax> is 'wide'"),
        (voc(an_object(xmax="nan")), 5, "<xmax> is 'nan'"),
        (voc(an_object(xmax="1e999")), 5, "<xmax> is '1e999'"),
    ],
)
def test_error_names_the_line_and_the_problem(data, line, found):
    with pytest.raises(MalformedAnnotationError, match=found) as caught:
        parse_voc(data, "ANNOTATIONS/a.xml")
    assert (caught.value.path, caught.value.line) == ("ANNOTATIONS/a.xml", line)
