"""Write `report/index.html` from what a run's folder holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from radikal_datasets import __version__
from radikal_datasets.view.pages import write_page
from radikal_datasets.view.palette import CORRECT, FALSE_POSITIVE, MISSED, ink
from training.audit.data_section import data_section, may_show_images
from training.audit.facts import RunFacts
from training.audit.rates import CONFIDENCE
from training.audit.run_section import explanations_section, training_section
from training.audit.scores_section import scores_section, worst_section
from training.audit.verdict import answers, judged_split, limits, qualifications, trained_on
from training.explaining.verdicts import verdict_style
from training.scoring.page_images import try_to_write

_COLORS = {"found": CORRECT, "missed": MISSED, "false": FALSE_POSITIVE}


def write_audit(run: Path) -> bool:
    """Write the page of a complete run; the same folder gives the same page. A failure is a warning.

    Args:
        run: its output_dir.

    Returns:
        Whether it was written; False for a run that is not complete.
    """
    if not (run / "metrics.json").is_file():
        return False
    return try_to_write(run / "report" / "index.html", lambda file: _write(file, run))


def _write(file: Path, run: Path) -> None:
    facts = RunFacts.load(run)
    write_page(
        file,
        "audit.html",
        "training.audit",
        title=f"Audit report: {run.resolve().name}",
        trained_on=trained_on(facts),
        date=facts.training.get("finished"),
        judged=judged_split(facts),
        answers=answers(facts),
        qualifications=qualifications(facts),
        limits=limits(facts),
        data=data_section(facts),
        training=training_section(facts),
        scores=scores_section(facts),
        worst=worst_section(facts),
        may_show_images=may_show_images(facts),
        explanations=explanations_section(facts),
        links=_links(run),
        confidence=f"{100 * CONFIDENCE:.0f} %",
        version=__version__,
        verdict_style=verdict_style(),
        colors=_COLORS,
        inks={name: ink(color) for name, color in _COLORS.items()},
    )


def _links(run: Path) -> dict[str, str]:
    """Return the addresses, relative to the page, of what else there is, and what it is."""
    known: dict[str, Any] = {
        "validation/index.html": "the validation images with the most errors",
        "test/index.html": "the test images with the most errors",
        "../explanations/index.html": "heat maps of detections",
        "../metrics.json": "all scores, as JSON",
        "../train_config.yaml": "all settings: train starts the same run from this file",
        "../provenance.json": "code, packages and hardware of every start of the run",
        "data_check.json": "the search for images in two splits",
    }
    return {address: text for address, text in known.items() if (run / "report" / address).is_file()}
