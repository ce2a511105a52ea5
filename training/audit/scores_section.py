"""The parts of the page about the scores, the operating point, and the worst cases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from radikal_datasets.view.overlay import Mark, overlay
from radikal_datasets.view.pages import table
from training.audit.facts import RunFacts
from training.audit.rates import INTERVAL
from training.audit.run_section import given_settings
from training.scoring.report import PUBLISHER_SCORES
from training.using.described_model import SCORES

_CLASSIFIER_SCORES = {"accuracy": "accuracy", "f1": "F1", "auroc": "AUROC, good or defective"}
_MOST_LINES = 40


def scores_section(facts: RunFacts) -> dict[str, Any]:
    """Return tables of the scores, the operating point, and the classes."""
    return {
        "splits": facts.scored,
        "scores": _scores(facts),
        "parts": _parts(facts),
        "per_class": _per_class(facts),
        "again": [_again(one) for one in facts.scored_again[-_MOST_LINES:]],
        "times_on_test": sum(one["times"] for one in facts.scored_again if one["split"] == "test"),
    }


def _scores(facts: RunFacts) -> Any:
    names = SCORES if facts.task == "detection" else _CLASSIFIER_SCORES
    rows = [[title, *(_score(facts.metrics[split].get(key)) for split in facts.scored)] for key, title in names.items()]
    reports = facts.metrics.get("report") or {}
    level = [(reports.get(split) or {}).get("image_level") or {} for split in facts.scored]
    if facts.task == "detection" and any(level):
        rows.append(["AUROC, good or defective", *(_score(one.get("auroc")) for one in level)])
    for key, own in PUBLISHER_SCORES.items():
        found = [(reports.get(split) or {}).get(key) for split in facts.scored]
        if any(found):
            for name, title in (("ap", "AP"), ("f_score", "F-score")):
                rows.append([f"{own.title}: {title}", *(_score((one or {}).get(name)) for one in found)])
    return table(["score", *facts.scored], rows) if facts.scored else None


def _score(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, int | float) and value >= 0 else "undefined"


def _parts(facts: RunFacts) -> Any:
    rows = []
    for split in facts.scored:
        point = facts.point(split)
        rates = {
            "defective parts that pass (escapes)": facts.escapes(split),
            "defective parts with a missed defect": facts.incomplete(split),
            "good parts that are rejected (false alarms)": facts.false_alarms(split),
        }
        threshold = f"{point.get('threshold', 0):.3f}"
        for name, rate in rates.items():
            if rate is not None:
                rows.append([name, split, _unbroken(rate.counts), rate.number, _unbroken(rate.between), threshold])
    header = ["parts", "split", "counted", "per 100", INTERVAL, "score at least"]
    return table(header, rows) if rows else None


def _unbroken(text: str) -> str:
    """Return a short text that stays in one line of a table."""
    return text.replace(" ", "\u00a0")


def _per_class(facts: RunFacts) -> dict[str, Any] | None:
    split = facts.scored[-1] if facts.scored else None
    matrix = ((facts.metrics.get("report") or {}).get(split) or {}).get("confusion_matrix") if split else None
    if split is None or matrix is None or not matrix["counts"]:
        return None
    counts, names = matrix["counts"], matrix["classes"]
    detection = facts.task == "detection"
    scores, report = facts.metrics[split], (facts.metrics.get("report") or {}).get(split) or {}
    ap, ap50 = scores.get("map_per_class") or {}, report.get("map_50_per_class") or {}
    rows = []
    for i, name in enumerate(names[:-1] if detection else names):
        total, right, called = sum(counts[i]), counts[i][i], sum(row[i] for row in counts)
        row = [name, total, right, total - right, called - right]
        rows.append([*row, _score(ap.get(name)), _score(ap50.get(name))] if detection else row)
    if detection:
        header = ["class", "defects", "found", "missed", "false positives", "AP", "AP50"]
    else:
        header = ["class", "images", "correct", "taken for another", "others taken for it"]
    return {"split": split, "table": table(header, rows[:_MOST_LINES]), "left_out": max(0, len(rows) - _MOST_LINES)}


def _again(one: Mapping[str, Any]) -> str:
    names = SCORES if "map" in one["scores"] else _CLASSIFIER_SCORES
    scores = ", ".join(f"{title} {_score(one['scores'].get(key))}" for key, title in names.items())
    given = given_settings(one["overrides"])
    data = f"with {given}" if given else "with the data of the run"
    times = f", {one['times']} times" if one["times"] > 1 else ""
    return f"{one['split']}, {data}{times}: {scores}"


def worst_section(facts: RunFacts) -> dict[str, Any] | None:
    """Return the worst missed defects and false alarms of the split of the verdict, as drawn images."""
    split = facts.scored[-1] if facts.scored else None
    cases = facts.worst_cases(split) if split else {}
    if not cases:
        return None
    kinds = []
    false = "False positives" if facts.task == "detection" else "False alarms"
    for kind, title in (("missed", "Missed defects"), ("false", false)):
        found = cases[kind]
        kinds.append({"title": title, "images": found["images"], "figures": [_figure(one) for one in found["shown"]]})
    return {"split": split, "kinds": kinds}


def _figure(one: Mapping[str, Any]) -> dict[str, Any]:
    marks = [Mark(**mark) for mark in one["marks"]]
    image = overlay((one["width"], one["height"]), one["image"], marks, alt=f"{one['image_id']}: {one['text']}")
    return {"image": image, "name": one["image_id"], "text": one["text"]}
