"""The page and the command, as a user meets them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from test_statistics import of, row

from radikal_datasets import build_hub_folder
from radikal_datasets.errors import OutputError
from radikal_datasets.loading.sets import open_sets
from radikal_datasets.sources import source_names
from radikal_datasets.stats.page import check_place, write_statistics_page
from radikal_datasets.stats.statistics import Statistics, statistics
from radikal_datasets.stats.tables import print_sets
from radikal_datasets.view.plots import heat


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "radikal_datasets.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=180)


def page_of(folder: Path, **sets: Statistics) -> str:
    write_statistics_page(folder / "page.html", "made_up", sets)
    return (folder / "page.html").read_text("utf-8")


def check(page: str) -> None:
    """Check that nothing is loaded from elsewhere, and that every plot is complete and has its text alternative."""
    assert not re.search(r"https?://|url\(|@import|<script|<link|<img|src=", page)
    plots = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(plots) == page.count("<svg") > 0
    for plot in plots:
        root = ET.fromstring(plot)
        assert root.get("aria-label") or root.get("aria-hidden") == "true"
        assert "nan" not in plot
        assert "inf" not in re.sub(r">[^<]*<|\"[^\"]*[a-z]{4}[^\"]*\"", "", plot)


def boxes(count: int, size: tuple[int, int] = (64, 64)) -> dict[str, Any]:
    return row([(i, i, 2 * i + 5, i + 9) for i in range(count)], [i % 3 for i in range(count)], size=size)


@pytest.mark.parametrize(
    "rows",
    [
        [row(annotated=False)],
        [row()],
        [row(data=None), row([(0, 0, 64, 64)], [1])],
        [boxes(30), boxes(2), boxes(0), row(annotated=False)],
        [boxes(1, (64 + i, 64)) for i in range(15)],
        [row([(0.2, 0.2, 0.4, 0.3)], [0])],
    ],
)
def test_a_page_of_any_dataset_is_complete(rows: Sequence[dict[str, Any]], tmp_path: Path) -> None:
    check(page_of(tmp_path, one=of(train=rows)))


def test_many_classes_and_names_that_are_markup(tmp_path: Path) -> None:
    names = [f"<b>&\"class' {i}" for i in range(40)]
    rows = [row([(0, 0, 9, 9), (20, 20, 50, 40)], [i, i + 1]) for i in range(39)]
    page = page_of(tmp_path, one=of(names, train=rows))
    check(page)
    assert "<b>" not in page
    assert "16 of 40 classes are drawn." in page
    assert "The 20 most frequent of 40 are drawn" in page


def test_more_splits_than_colors(tmp_path: Path) -> None:
    check(page_of(tmp_path, one=of(**{f"fold{i}": [row([(0, 0, 9, 9)], [0])] for i in range(9)})))


def test_names_are_not_markup_in_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_sets(Console(), {"set [x]": of(["a[/b]", "scratch [deep]"], train=[row([(0, 0, 9, 9)], [1])])})
    reported = capsys.readouterr().out
    assert "set [x]" in reported and "a[/b]" in reported and "scratch [deep]" in reported


def test_several_sets_are_folded_below_a_table(tmp_path: Path) -> None:
    page = page_of(tmp_path, first=of(train=[boxes(3)]), second=of(train=[row()]))
    check(page)
    assert page.count('<details class="set">') == 2
    assert "<h2>second</h2>" in page


def test_a_map_shows_each_value_in_its_cell() -> None:
    values = np.zeros((4, 4))
    values[1, 2:], values[3, 0] = 1, 0.55
    drawn = heat(values, 1, 1, "map")
    assert re.findall(r'class="(s\d)" d="([^"]*)"', drawn) == [
        ("s0", "M0 0H4V4H0Z"),
        ("s5", "M0 3H1v1H0Z"),
        ("s9", "M2 1H4v1H2Z"),
    ]


def test_a_page_is_not_written_into_the_raw_tree(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    with pytest.raises(OutputError, match="is inside the raw tree"):
        check_place(tmp_path / "raw" / "page.html", tmp_path / "raw")
    with pytest.raises(OutputError, match=r"ends in \.html"):
        check_place(tmp_path / "page.pdf", None)
    check_place(tmp_path / "page.html", tmp_path / "raw")


@pytest.mark.parametrize("source", source_names())
def test_every_configuration_of_every_sample(source: str, sample_tree: Callable[..., Path], tmp_path: Path) -> None:
    sets = {title: statistics(splits) for title, splits in open_sets(source, data_dir=sample_tree(source))}
    for found in (one.to_dict() for one in sets.values()):
        assert found["whole"]["images"]["all"] >= 12
        assert found["whole"]["boxes"] == sum(part["boxes"] for part in found["splits"].values()) > 0
        assert np.array(found["whole"]["places"]["all"]).shape == (32, 32)
        assert list(found["whole"]["places"]["by_class"]) == found["classes"]
    check(page_of(tmp_path, **sets))


def test_stats_of_a_prepared_folder_are_those_of_the_tree(sample_tree: Callable[..., Path], tmp_path: Path) -> None:
    tree = sample_tree("severstal")
    build_hub_folder("severstal", data_dir=str(tree), output_dir=tmp_path / "hub")
    runs = [run("stats", "severstal", "--data-dir", tree, "--json"), run("stats", tmp_path / "hub", "--json")]
    assert [done.returncode for done in runs] == [0, 0], [done.stderr for done in runs]
    of_tree, of_folder = (json.loads(done.stdout) for done in runs)
    assert of_tree["severstal"] == of_folder["hub"]


def test_stats_prints_tables_and_notices(sample_tree: Callable[..., Path], tmp_path: Path) -> None:
    done = run("stats", "deeppcb", "--data-dir", sample_tree("deeppcb"), "--html", tmp_path / "page.html")
    assert done.returncode == 0, done.stderr
    for part in (
        "defect-free",
        "mousebite",
        "Boxes per image:",
        "! Fewer than 20 boxes",
        "Wrote the same with plots to",
    ):
        assert part in done.stdout
    done = run("stats", "no_such_thing")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
