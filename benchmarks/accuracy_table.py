"""Tables of the runs of benchmarks/accuracy.py: mean and standard deviation over seeds, and one line per run."""

from __future__ import annotations

import json
import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

Run = dict[str, Any]
Score = Callable[[Run], float | None]

SCORES: dict[str, Score] = {
    "test AP50": lambda run: _of(run["test"], "map_50"),
    "test AP": lambda run: _of(run["test"], "map"),
    "validation AP50": lambda run: _of(run["validation"], "map_50"),
    "validation AP": lambda run: _of(run["validation"], "map"),
    "own AP": lambda run: _of(run.get("deeppcb_protocol"), "ap"),
    "own F": lambda run: _of(run.get("deeppcb_protocol"), "f_score"),
}

#: Processor minutes are those of all threads; runs before 2026-11-27 did not record them.
TIMES = ("minutes", "processor_minutes", "images_per_second")


def _of(scores: dict[str, Any] | None, key: str) -> float | None:
    """Return a score, or None if it is missing or undefined (-1: no ground truth)."""
    value = (scores or {}).get(key)
    return None if value is None or value < 0 else float(value)


def read_runs(folder: Path) -> list[Run]:
    """Return all recorded runs, oldest first."""
    runs = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.glob("*.json"))]
    return sorted(runs, key=lambda run: (run["set"], run["form"], run["finished"]))


def hardware_name(hardware: dict[str, Any]) -> str:
    """Return the GPU's name if there is one, else such as `AMD EPYC, 2 cores`."""
    return hardware["gpu"] or f"{hardware['cpu']}, {hardware['cores']} cores"


def commit_name(run: Run) -> str:
    """Return the commit's first digits, and whether there were uncommitted changes."""
    return run["commit"][:8] + ("+changes" if run["dirty"] else "")


def is_counted(run: Run) -> bool:
    """Return whether a run used the frozen splits: others are listed, but enter no mean."""
    return run["differences"] is None


def groups(runs: Iterable[Run]) -> dict[tuple[str, str, str, str], list[Run]]:
    """Group comparable runs: (dataset, setting, hash of the settings, hardware) -> one run per seed.

    If a seed ran more than once, the newest run counts. Commits may differ: the table names them.
    """
    newest: dict[tuple[str, str, str, str], dict[int, Run]] = defaultdict(dict)
    for run in sorted(filter(is_counted, runs), key=lambda run: run["finished"]):
        key = (run["set"], run["form"], run["config_hash"], hardware_name(run["hardware"]))
        newest[key][run["seed"]] = run
    return {key: [by_seed[seed] for seed in sorted(by_seed)] for key, by_seed in sorted(newest.items())}


def mean_and_deviation(values: Iterable[float | None]) -> tuple[float, float]:
    """Return the mean (nan for no value) and the sample standard deviation (n - 1; nan for fewer than two)."""
    there = [value for value in values if value is not None]
    mean = statistics.fmean(there) if there else math.nan
    return mean, statistics.stdev(there) if len(there) > 1 else math.nan


def cell(values: Iterable[float | None], digits: int = 3) -> str:
    """Return such as `0.781 ± 0.004`; one value has no deviation, and no value gives a blank."""
    mean, deviation = mean_and_deviation(values)
    text = "" if math.isnan(mean) else f"{mean:.{digits}f}"
    return text if math.isnan(deviation) else f"{text} ± {deviation:.{digits}f}"


def table(runs: list[Run]) -> list[str]:
    """Return Markdown: one line per group with means over its seeds, then one line per run."""
    names = [name for name, score in SCORES.items() if any(score(run) is not None for run in runs)]
    head = [
        "set",
        "form",
        "settings",
        "hardware",
        "seeds",
        *names,
        "minutes",
        "processor minutes",
        "images/s",
        "commits",
    ]
    lines = [*_head(head, numbers=4)]
    for (name, form, settings, hardware), found in groups(runs).items():
        cells = [name, form, settings, hardware, str(len(found))]
        cells += [cell(SCORES[score](run) for run in found) for score in names]
        cells += [cell((run.get(key) for run in found), digits=1) for key in TIMES]
        lines.append(_row([*cells, ", ".join(sorted({commit_name(run) for run in found}))]))
    head = [
        "set",
        "form",
        "settings",
        "seed",
        *names,
        "best step of",
        "minutes",
        "processor minutes",
        "commit",
        "hardware",
        "finished",
        "images",
        "note",
    ]
    lines += ["", "Every run:", "", *_head(head, numbers=3)]
    for run in runs:
        cells = [run["set"], run["form"], run["config_hash"], str(run["seed"])]
        cells += [cell([SCORES[score](run)]) for score in names]
        cells += [f"{run['best_step']:,} of {run['steps']:,}", f"{run['minutes']:.1f}"]
        cells += [cell([run.get("processor_minutes")], digits=1), commit_name(run)]
        cells += [hardware_name(run["hardware"]), run["finished"][:10]]
        cells += ["the frozen" if is_counted(run) else f"NOT the frozen: {run['differences']}"]
        lines.append(_row([*cells, run.get("note") or ""]))
    return lines


def series_table(runs: list[Run]) -> list[str]:
    """Return Markdown: for castings, AP50 and AP of each series of validation and test, means over seeds."""
    lines = []
    for (name, form, settings, hardware), found in groups(runs).items():
        known = [run["by_series"] for run in found if run.get("by_series") and form.rstrip("+") != "leaky"]
        if not known:
            continue
        lines += [f"{name}, {form}, {settings}, {hardware}, by series (validation and test have their own):", ""]
        lines += _head(["split", "series", "images", "boxes", "AP50", "AP"], numbers=2)
        for split in ("validation", "test"):
            for series, one in known[0].get(split, {}).items():
                cells = [split, series, str(one["images"]), str(one["boxes"])]
                each = [by[split][series] for by in known if series in by.get(split, {})]
                lines.append(_row([*cells, *(cell(run[key] for run in each) for key in ("map_50", "map"))]))
        lines.append("")
    return lines


def reductions(runs: list[Run]) -> list[str]:
    """Return one line per benchmark setting that ran, with its description."""
    descriptions = {(run["set"], run["form"], run["config_hash"]): run["form_is"] for run in runs}
    return [f"- {name}, {form}, {settings}: {text}" for (name, form, settings), text in sorted(descriptions.items())]


def _head(names: list[str], numbers: int) -> list[str]:
    """Return the header of a table whose first `numbers` columns are text."""
    return [_row(names), "| " + " | ".join("---" if i < numbers else "---:" for i in range(len(names))) + " |"]


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
