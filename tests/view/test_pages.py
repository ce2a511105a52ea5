"""What every page shares: text stays text, and nothing is loaded from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

from radikal_datasets.view.drawing import looks
from radikal_datasets.view.overlay import Mark, overlay
from radikal_datasets.view.pages import facts, render, table, within, write_page
from radikal_datasets.view.svg import shape, svg

EVIL = "<script>alert(1)</script>\"'&"
ESCAPED = "&lt;script&gt;alert(1)&lt;/script&gt;&#34;&#39;&amp;"


def test_text_is_never_markup(tmp_path: Path) -> None:
    body = render("key.html", entries=[("#fff", EVIL)]) + facts({EVIL: EVIL}) + table((EVIL, "n"), [(EVIL, 1234)])
    write_page(tmp_path / "page.html", "page.html", title=EVIL)
    page = (tmp_path / "page.html").read_text("utf-8") + str(body)
    assert "<script" not in page and page.count(ESCAPED) == 7
    assert "<td class=number>1,234</td>" in page
    assert not re.search(r"https?:|url\(|@import|<link", page)


def test_what_was_rendered_is_not_escaped_again() -> None:
    assert table(("a",), [(render("scale.html", bar="<", top="x"),)]).count("<div class=") == 2


def test_svg_escapes_texts_and_attributes_and_leaves_out_none() -> None:
    drawn = svg(10, 20, [shape("text", EVIL, shape("title", EVIL), x=1.26, text_anchor="end", class_=EVIL, style=None)])
    assert drawn.startswith('<svg viewBox="0 0 10 20">')
    assert drawn.count(ESCAPED) == 3
    assert f'<text x="1.3" text-anchor="end" class="{ESCAPED}">' in drawn and "style" not in drawn


def test_an_overlay_draws_each_box_once_with_a_halo() -> None:
    marks = [Mark((10, 20, 30, 25), "c0", "Ho", title="hole"), Mark((0, 0, 100, 50), "c1", EVIL)]
    drawn = overlay((100, 50), "data:x", marks, masks="data:m", alt=EVIL)
    assert drawn.count('x="10.0" y="20.0" width="20.0" height="5.0"') == 2
    assert drawn.count('class="halo"') == drawn.count('class="line c') == 2
    assert drawn.count("<title>hole</title>") == 2 and drawn.count('class="masks"') == 1
    assert drawn.count(ESCAPED) == 2
    assert drawn.rindex('class="halo"') < drawn.index('class="line')  # a box never hides another one's line
    assert "<svg" not in overlay((100, 50), "data:x")


def test_texts_of_two_boxes_at_the_same_place_are_above_and_below() -> None:
    drawn = overlay((100, 100), "data:x", [Mark((10, 40, 30, 60), "c0", "a"), Mark((11, 41, 31, 60), "c1", "b")])
    assert re.findall(r'class="tag c\d" style="([^"]*)"', drawn) == ["left:10.0%;bottom:60.0%", "left:11.0%;top:60.0%"]


def test_looks_are_the_style_of_their_classes() -> None:
    style = render("looks.css", looks=looks([f"class {i}" for i in range(9)]))
    assert ".c0 { --c: #e69f00; --i: #000000; --d: none }" in style
    assert ".c8 { --c: #56b4e9; --i: #000000; --d: 8px 4px  }" in style


def test_within_takes_the_largest_that_fits_and_else_the_smallest() -> None:
    assert [len(one) for one in within(1000, lambda edge, _: ["x" * edge])] == [800]
    assert [len(one) for one in within(10, lambda edge, _: ["x" * edge])] == [240]
