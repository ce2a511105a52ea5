"""The decision matrix: every source has every fact, and what can be checked by reading agrees."""

from __future__ import annotations

import dataclasses
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from radikal_datasets import comparing
from radikal_datasets.cli import app
from radikal_datasets.comparing import BEST_USE, NOT_MEASURED, UNKNOWN, decision_matrix, footnotes
from radikal_datasets.sources import list_sources, source_names

ROOT = Path(__file__).parents[1]


def test_every_source_has_every_fact() -> None:
    matrix = decision_matrix()
    assert list(matrix) == list(source_names())
    facts = list(next(iter(matrix.values())))
    for values in matrix.values():
        assert list(values) == facts
        assert all(values.values())
        assert UNKNOWN not in values.values()


def test_facts_are_the_sources_own() -> None:
    matrix = decision_matrix()
    assert {source.name: source.best_use for source in list_sources()} == {n: v[BEST_USE] for n, v in matrix.items()}
    assert matrix["neu_det"]["images"] == "1,800"
    assert matrix["gdxray"]["images"] == "2,727 castings"
    assert matrix["mvtec_ad"]["classes"] == "73 in 15 configs"
    assert matrix["dagm2007"]["real or synthetic"] == "synthetic"
    for name, passed_on in (("deeppcb", "yes"), ("mvtec_ad", "yes"), ("neu_det", "no"), ("severstal", "no")):
        assert matrix[name]["may be passed on"] == passed_on


def test_only_what_was_measured_has_figures() -> None:
    measured = {source.name: source.measured for source in list_sources() if source.measured}
    assert {"deeppcb", "gdxray", "neu_det"} <= measured.keys()
    for name, values in decision_matrix().items():
        shown = {values["training minutes"], values["score (test mAP50)"]}
        assert (shown == {NOT_MEASURED}) == (name not in measured)
    for name, run in measured.items():
        assert (ROOT / "training" / "configs" / run.recipe).is_file()
        assert any(
            line.startswith(f"{name}: ") and all(commit in line for commit in run.commits) for line in footnotes()
        )


def test_what_was_measured_is_in_the_table_of_results() -> None:
    lines = (ROOT / "benchmarks" / "results" / "accuracy.md").read_text(encoding="utf-8").splitlines()
    for source in list_sources():
        if (run := source.measured) is None:
            continue
        means = lines[: lines.index("Every run:")]
        rows = [[cell.strip() for cell in line.split("|")] for line in means if line.startswith(f"| {source.name}")]
        wanted = {str(run.seeds), f"{run.map_50:.3f}", f"{run.minutes:.1f}"}
        assert any(wanted <= {cell.partition(" ")[0] for cell in row} for row in rows), rows
        assert any(all(commit in " ".join(row) for commit in run.commits) for row in rows)


def test_sources_without_a_measured_training_have_the_command_for_one() -> None:
    open_ones = [source for source in list_sources() if source.measured is None]
    (line,) = (line for line in footnotes(open_ones) if "Not measured yet" in line)
    assert all(source.name in line for source in open_ones) and "radikal-datasets train NAME" in line
    assert not any("Not measured yet" in line for line in footnotes([s for s in list_sources() if s.measured]))


def test_the_command_prints_it_all_at_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also with ten sources and longer names: no name or number is broken or cut."""
    ours = list_sources()
    others = [dataclasses.replace(one, name=f"{one.name}_and_others") for one in ours]
    ten = sorted([*ours, *others][:10], key=lambda one: one.name)
    for shown in (ours, ten):
        monkeypatch.setattr(comparing, "list_sources", lambda shown=shown: shown)
        done = CliRunner().invoke(app, ["list", "--compare"], env={"COLUMNS": "80"})
        assert done.exit_code == 0, done.output
        lines = done.output.splitlines()
        assert max(map(len, lines)) <= 80
        squeezed = "".join(done.output.split())
        for name, values in decision_matrix().items():
            rows = [line for line in lines if line.strip().startswith(f"{name} ")]
            assert len(rows) == 2, (name, rows)
            assert values["images"].partition(" ")[0] in rows[0]
            assert values["training minutes"].partition(" ")[0] in rows[1]
            assert "".join(f"{name}:{values[BEST_USE]}".split()) in squeezed
        assert "…" not in done.output


# ---- pages ----


def test_pages_show_the_facts_of_the_sources() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "source_tables.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}\nRun: make docs-tables"
    assert done.stdout.startswith("0 of 6 pages are stale")


def test_a_stale_page_is_rewritten() -> None:
    tables = runpy.run_path(str(ROOT / "docs" / "source_tables.py"))
    for name in tables["PAGES"]:
        text = (ROOT / name).read_text(encoding="utf-8")
        stale, parts = re.subn(r"(generated: \w+(?: -->)?\s)", r"\1 an older table ", text)
        assert parts and stale != text
        assert tables["rewritten"](stale) == text


def test_no_page_counts_the_sources() -> None:
    """A number would be wrong after the next source."""
    words = "four|five|six|seven|eight|nine|ten|eleven|twelve|[4-9]|1[0-9]"
    counted = re.compile(rf"\b({words}) (public |industrial-inspection |of our )*(sources|datasets)\b", re.IGNORECASE)
    names = ["README.md", "mkdocs.yml", "pyproject.toml", "CITATION.cff", "CONTRIBUTING.md"]
    pages = [ROOT / name for name in names] + sorted((ROOT / "docs").rglob("*.md"))
    for page in [*pages, *sorted((ROOT / "radikal_datasets").rglob("*.py"))]:
        found = [line for line in page.read_text(encoding="utf-8").splitlines() if counted.search(line)]
        assert not found, (page, found)
