"""benchmarks/accuracy_table.py and accuracy.write: how runs are aggregated."""

from __future__ import annotations

import json
import math
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import accuracy_table
from benchmarks.accuracy_table import cell, groups, mean_and_deviation, read_runs, table


def made_run(seed: int = 0, map_50: float = 0.5, **other: Any) -> dict[str, Any]:
    scores = {"map": map_50 / 2, "map_50": map_50}
    return {
        "set": "neu_det",
        "form": "reduced",
        "form_is": "small",
        "seed": seed,
        "commit": "c" * 40,
        "dirty": False,
        "config_hash": "abcd",
        "hardware": {"cpu": "EPYC", "cores": 2, "gpu": None},
        "differences": None,
        "finished": "2026-11-24T10:00:00+00:00",
        "minutes": 3.0,
        "images_per_second": 10.0,
        "steps": 9,
        "best_step": 6,
        "validation": scores,
        "test": scores,
        "deeppcb_protocol": None,
        **other,
    }


def summary(runs: list[dict[str, Any]]) -> list[list[str]]:
    """Return the cells of the table of means, header first, without the separator row."""
    lines = table(runs)
    return [[c.strip() for c in line.strip("|").split("|")] for line in [lines[0], *lines[2 : lines.index("")]]]


@given(st.lists(st.floats(0, 1), min_size=2, max_size=6))
def test_mean_and_deviation_over_seeds(values: list[float]) -> None:
    mean, deviation = mean_and_deviation(values)
    assert mean == pytest.approx(fmean(values))
    assert deviation == pytest.approx(stdev(values))


def test_statistics_of_one_value_and_of_none() -> None:
    assert math.isnan(mean_and_deviation([0.5])[1])
    assert cell([0.5]) == "0.500"
    assert cell([None]) == ""
    assert cell([0.4, None, 0.6]) == "0.500 ± 0.141"


def test_seeds_of_other_days_and_commits_are_combined() -> None:
    runs = [
        made_run(0, 0.5),
        made_run(1, 0.7, commit="d" * 40, finished="2026-11-25T10:00:00+00:00"),
        made_run(2, 0.6, dirty=True),
    ]
    head, row = summary(runs)
    reported = dict(zip(head, row, strict=True))
    assert reported["seeds"] == "3"
    assert reported["test AP50"] == "0.600 ± 0.100"
    assert reported["test AP"] == "0.300 ± 0.050"
    assert reported["commits"] == "cccccccc, cccccccc+changes, dddddddd"


def test_notes_on_a_run_appear_in_its_line() -> None:
    *_, noted, plain = table([made_run(0, note="beside other work"), made_run(1)])
    assert noted.endswith("| the frozen | beside other work |") and plain.endswith("| the frozen |  |")


def test_only_the_newest_run_of_a_seed_counts() -> None:
    late = made_run(0, 0.9, commit="d" * 40, finished="2026-11-25T10:00:00+00:00")
    for runs in ([made_run(0, 0.5), late], [late, made_run(0, 0.5)]):
        assert [len(found) for found in groups(runs).values()] == [1]
        assert summary(runs)[1][4:6] == ["1", "0.900"]


@pytest.mark.parametrize(
    "other",
    [
        {"set": "deeppcb"},
        {"form": "full"},
        {"config_hash": "other"},
        {"hardware": {"cpu": "EPYC", "cores": 2, "gpu": "H100"}},
        {"hardware": {"cpu": "EPYC", "cores": 4, "gpu": None}},
    ],
)
def test_runs_that_cannot_be_compared_get_separate_lines(other: dict[str, Any]) -> None:
    assert len(groups([made_run(0), made_run(1, **other)])) == 2


def test_runs_on_images_other_than_the_frozen_ones_are_listed_but_not_averaged() -> None:
    runs = [made_run(0, 0.5), made_run(1, 0.9, differences="3 missing")]
    assert summary(runs)[1][4:6] == ["1", "0.500"]
    assert "NOT the frozen: 3 missing" in table(runs)[-1]


def test_a_score_that_is_undefined_is_left_out() -> None:
    assert summary([made_run(0, 0.5, validation={"map": -1.0, "map_50": -1.0})])[0][5:7] == ["test AP50", "test AP"]
    own = made_run(0, 0.5, set="deeppcb", deeppcb_protocol={"ap": 0.9, "f_score": 0.8})
    head, row = summary([own])
    assert dict(zip(head, row, strict=True))["own F"] == "0.800"


@pytest.fixture
def accuracy(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script as a module: it finds its sibling modules in benchmarks/, as when it is run."""
    pytest.importorskip("torch")
    monkeypatch.syspath_prepend(str(Path(accuracy_table.__file__).parent))
    import accuracy as module  # pyright: ignore[reportMissingImports]

    return module


def test_one_file_per_run(accuracy: Any, tmp_path: Path) -> None:
    runs = [made_run(0), made_run(1), made_run(0, commit="d" * 40), made_run(0, dirty=True)]
    runs += [made_run(0, differences="3 missing"), made_run(0, config_hash="other")]
    assert len({accuracy.write(run, tmp_path) for run in runs}) == len(runs)
    accuracy.write(made_run(1, 0.8), tmp_path)  # a repeated run replaces it
    assert len(read_runs(tmp_path)) == len(runs)
    assert [run["test"]["map_50"] for run in read_runs(tmp_path) if run["seed"] == 1] == [0.8]


def test_table_of_the_command_line(accuracy: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    accuracy.write(made_run(0), tmp_path / "accuracy")
    assert accuracy.main(["--table", "--results", str(tmp_path / "accuracy")]) == 0
    assert "| neu_det | reduced | abcd | EPYC, 2 cores | 1 | 0.500 | 0.250 |" in capsys.readouterr().out
    assert (tmp_path / "accuracy.md").read_text().startswith("# How good the detectors are")


def test_path_settings_are_ignored(accuracy: Any, tmp_path: Path) -> None:
    common = {"learning_rate": 1e-3, "model_type": "rt_detr_v2"}
    for number in range(2):
        own = {"seed": number, "output_dir": f"run{number}", "data_dir": f"/data{number}"}
        (tmp_path / "train_config.yaml").write_text(json.dumps({**common, **own}))
        assert accuracy.settings_that_count(tmp_path) == common


def test_other_images_are_refused(accuracy: Any, sample_tree: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert accuracy.main(["neu_det", "--data-dir", str(sample_tree("neu_det"))]) == 1
    assert "is not the frozen dataset: 1788 missing" in capsys.readouterr().err


@pytest.fixture
def fake_training(accuracy: Any, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, bool]]:
    """Runs that only leave their files; what was started: folder, seed, and whether it goes on with a run."""
    from training.run.settings import RUN_SETTINGS, parse, save

    started = []

    class Process:
        def __init__(self, command: list[str], **_: Any) -> None:
            settings = parse(command[2:])
            output = Path(settings.output_dir)
            started.append((output.name, settings.seed, settings.resume_from_checkpoint == "latest"))
            output.mkdir(parents=True, exist_ok=True)
            save(settings, output / RUN_SETTINGS)
            scores = {"map": 0.2, "map_50": 0.4}
            training = dict.fromkeys(("seconds", "images_per_second", "steps", "best_step", "skipped_steps"), 1)
            training |= {"parameters": 1, "processor_seconds": 90}
            metrics = {"training": training, "config": {"precision": "no"}, "validation": scores, "test": scores}
            (output / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")

        def wait(self, _: float | None = None) -> int:
            return 0

    monkeypatch.setattr(accuracy.subprocess, "Popen", Process)
    monkeypatch.setattr(accuracy, "commit_now", lambda: ("c" * 40, False))
    own = {"deeppcb_protocol": {"ap": 0.9, "f_score": 0.8}}
    monkeypatch.setattr(accuracy, "MEASURES", {"deeppcb": lambda _: own})
    monkeypatch.setattr(accuracy, "check_data", lambda *_: None)
    return started


def test_all_sets_and_seeds_in_one_command(accuracy: Any, fake_training: Any, tmp_path: Path, capsys: Any) -> None:
    command = ["all", "--data", "deeppcb=b", "neu_det=a", "--seeds", "0", "1", "--reduced"]
    command += ["--work-dir", str(tmp_path / "work"), "--results", str(tmp_path / "results")]
    assert accuracy.main(command) == 0
    names = [name for name, _, _ in fake_training]
    assert names == [f"{name}-reduced-seed{seed}" for seed in (0, 1) for name in ("neu_det", "deeppcb")]
    runs = read_runs(tmp_path / "results")
    assert len(runs) == 4 and all(1.5 <= run["processor_minutes"] < 1.7 for run in runs)
    # A recorded run is not made again, unless asked for.
    fake_training.clear()
    assert accuracy.main(command) == 0 and fake_training == []
    assert "deeppcb, seed 1: recorded on" in capsys.readouterr().out
    assert accuracy.main([*command, "--again"]) == 0 and len(fake_training) == 4
    # Other settings are another run.
    fake_training.clear()
    assert accuracy.main([*command, "--learning_rate", "1e-5"]) == 0 and len(fake_training) == 4


@pytest.mark.parametrize("changed", [False, True])
def test_an_interrupted_run_goes_on(accuracy: Any, fake_training: Any, tmp_path: Path, changed: bool) -> None:
    command = ["neu_det", "--data-dir", "a", "--seeds", "3", "--reduced"]
    command += ["--work-dir", str(tmp_path / "work"), "--results", str(tmp_path / "results")]
    assert accuracy.main(command) == 0
    run = tmp_path / "work" / "neu_det-reduced-seed3"
    (run / "metrics.json").unlink()
    (run / "checkpoint-7" / "state").mkdir(parents=True)
    more = ["--weight_decay", "0.5"] if changed else []
    assert accuracy.main([*command, "--again", *more]) == 0
    assert fake_training[-1] == (run.name, 3, not changed)


@pytest.mark.parametrize("data", [[], ["neu_det"], ["unknown=a"], ["neu_det=a", "b"]])
def test_all_needs_a_tree_for_each_set(accuracy: Any, data: list[str], capsys: Any) -> None:
    assert accuracy.main(["all", "--data", *(data or ["x"])]) == 1
    assert "all needs --data SET=DIR" in capsys.readouterr().err


def test_castings_by_series() -> None:
    def by(score: float) -> dict[str, Any]:
        return {"validation": {"C1": {"images": 3, "boxes": 7, "map_50": score, "map": score / 2}}, "test": {}}

    runs = [made_run(seed, set="gdxray_castings", by_series=by(0.2 + seed / 5)) for seed in (0, 1)]
    lines = accuracy_table.series_table([*runs, made_run(0)])
    assert lines[-2] == "| validation | C1 | 3 | 7 | 0.300 ± 0.141 | 0.150 ± 0.071 |"
    assert accuracy_table.series_table([made_run(0, by_series=by(0.1), form="leaky")]) == []
