"""The reports at the end of a run: validation, where the operating point is chosen, then test, once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from loaders.loader import Loader
from training.run.arguments import DEFAULT_THRESHOLD, FIXED_THRESHOLD
from training.tasks import Task


def final_reports(
    task: Task, model: PreTrainedModel, validation: Loader | None, folder: Path
) -> tuple[dict[str, dict[str, Any]], float | None]:
    """Return the report of each split that can be scored, and the operating point.

    Nothing is chosen on test: without validation the operating point is None, and the report of test is made at a
    threshold that was fixed in advance.

    Args:
        model: the one chosen on validation, or the last.
        validation: its batches; None if it can't be scored.
        folder: receives a folder of plots and pages for each split.
    """
    reports, threshold = dict[str, dict[str, Any]](), None
    if validation is not None:
        reports["validation"] = task.report(model, validation, folder / "validation", None, chosen_on="validation")
        threshold = reports["validation"].get("operating_point", {}).get("threshold")
    if (test := task.eval_loader("test")) is not None:
        at, origin = (threshold, "validation") if validation is not None else (DEFAULT_THRESHOLD, FIXED_THRESHOLD)
        reports["test"] = task.report(model, test, folder / "test", at, chosen_on=origin)
    return reports, threshold
