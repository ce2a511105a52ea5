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


def scores_and_points(
    reports: dict[str, dict[str, Any]], threshold: float | None, validation: dict[str, Any] | None
) -> dict[str, Any]:
    """Return `validation`, `test`, `operating_point` and `report` of metrics.json; takes the scores out of the reports.

    Args:
        reports, threshold: the result of `final_reports`.
        validation: scores of the best model, from the time when it was chosen.
    """
    scores = {split: report.pop("scores") for split, report in reports.items() if "scores" in report}
    return {
        "validation": validation,
        "test": scores.get("test"),
        "operating_point": {"threshold": threshold, **{k: v.get("operating_point") for k, v in reports.items()}},
        "report": reports,
    }
