"""The decision matrix: every source has every fact, and what can be checked by reading agrees."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from radikal_datasets.cli import app
from radikal_datasets.comparing import BEST_USE, MEASURED, NOT_MEASURED, decision_matrix, footnotes
from radikal_datasets.sources import list_sources, source_names

ROOT = Path(__file__).parents[1]


def test_every_source_has_every_fact() -> None:
    matrix = decision_matrix()
    assert list(matrix) == list(source_names())
    facts = list(next(iter(matrix.values())))
    for values in matrix.values():
        assert list(values) == facts
        assert all(values.values())
        assert "?" not in values.values()


def test_facts_are_the_sources_own() -> None:
    matrix = decision_matrix()
    assert {source.name: source.best_use for source in list_sources()} == {n: v[BEST_USE] for n, v in matrix.items()}
    assert matrix["neu_det"]["images"] == "1,800"
    assert matrix["gdxray"]["images"] == "2,727 castings"
    assert matrix["mvtec_ad"]["classes"] == "73 in 15 configs"
    assert matrix["dagm2007"]["real or synthetic"] == "synthetic"
    assert [name for name, values in matrix.items() if values["may be passed on"] == "yes"] == ["deeppcb", "mvtec_ad"]


def test_only_what_was_measured_has_figures() -> None:
    for name, values in decision_matrix().items():
        measured = {values["training minutes"], values["score (test mAP50)"]}
        assert (measured == {NOT_MEASURED}) == (name not in MEASURED)
    for name, run in MEASURED.items():
        assert (ROOT / "training" / "configs" / run.config).is_file()
        assert any(
            line.startswith(f"{name}: ") and all(commit in line for commit in run.commits) for line in footnotes()
        )


def test_what_was_measured_is_in_the_table_of_results() -> None:
    lines = (ROOT / "benchmarks" / "results" / "accuracy.md").read_text(encoding="utf-8").splitlines()
    for name, run in MEASURED.items():
        row = next(line for line in lines if line.startswith(f"| {name}"))  # the first table has the means
        cells = [cell.strip().partition(" ")[0] for cell in row.split("|")]
        assert {str(run.seeds), f"{run.map_50:.3f}", f"{run.minutes:.1f}"} <= set(cells), row


def test_the_command_prints_it_all_at_80_columns() -> None:
    done = CliRunner().invoke(app, ["list", "--compare"], env={"COLUMNS": "80"})
    assert done.exit_code == 0, done.output
    squeezed = "".join(done.output.split())
    for name, values in decision_matrix().items():
        assert name in done.output
        assert "".join(f"{name}:{values[BEST_USE]}".split()) in squeezed
    assert "…" not in done.output


def test_the_page_shows_the_same_figures() -> None:
    page = (ROOT / "docs" / "choosing.md").read_text(encoding="utf-8")
    matrix = decision_matrix()
    for fact in next(iter(matrix.values())):
        row = " | ".join([f"| {fact}", *(values[fact] for values in matrix.values())]) + " |"
        assert row in page, row
