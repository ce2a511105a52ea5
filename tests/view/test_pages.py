"""What every page shares: text stays text, and nothing is loaded from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

from radikal_datasets.view.pages import facts, table, write_page

EVIL = "<script>alert(1)</script>\"'&"


def test_text_is_never_markup(tmp_path: Path) -> None:
    body = facts({EVIL: EVIL}) + table((EVIL, "n"), [(EVIL, 1234), ("plain", 2)])
    write_page(tmp_path / "page.html", EVIL, body)
    page = (tmp_path / "page.html").read_text("utf-8")
    assert "<script" not in page and page.count("&lt;script&gt;alert(1)&lt;/script&gt;&#34;&#39;&amp;") == 6
    assert "<td class=number>1,234</td>" in page
    assert not re.search(r"https?:|url\(|@import|<link", page)


def test_script_and_style_are_kept_as_they_are(tmp_path: Path) -> None:
    write_page(tmp_path / "page.html", "t", "<p>x</p>", style='a > b { c: "d" }', script='if (1 < 2 && "x") {}')
    page = (tmp_path / "page.html").read_text("utf-8")
    assert 'a > b { c: "d" }' in page and '<script>if (1 < 2 && "x") {}</script>' in page and "<p>x</p>" in page
