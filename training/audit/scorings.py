"""Keep a record of every scoring of a run after its training, so that the page can say how often test was looked at."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from radikal_datasets.files import write_atomically
from training.audit.facts import SCORED_AGAIN, record_of


def record_scoring(run: Path, split: str, overrides: Sequence[str], scores: dict[str, Any]) -> None:
    """Add a scoring to `report/scored_again.json`; an equal one is counted.

    Args:
        overrides: settings that replaced those of the run.
    """
    file = run / "report" / SCORED_AGAIN
    scorings = json.loads(file.read_text(encoding="utf-8"))["scorings"] if file.is_file() else []
    entry = {"split": split, "scores": scores, **record_of(run, overrides)}
    for one in scorings:
        if {name: one[name] for name in entry} == entry:
            one["times"] += 1
            break
    else:
        scorings.append({**entry, "times": 1})
    write_atomically(file, json.dumps({"scorings": scorings}, indent=2) + "\n")
