"""The results of each method of explanation, whether it passes the tests, and the table that says so.

Imports none of the methods: pages of runs use it where they are not installed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from radikal_datasets.view import palette
from radikal_datasets.view.pages import render
from training.explaining.baselines import BASELINES
from training.run.arguments import METHODS

if TYPE_CHECKING:
    from markupsafe import Markup

#: Energy inside the true box; deletion and insertion compared with `summary.RIVALS`; correlation with re-initialized
#: models.
TESTS = ("energy", "curves", "redrawn")
#: Names of the maps on pages and in tables.
TITLES = {
    **METHODS,
    "consensus": "consensus",
    "random": "random noise",
    "smooth": "smooth noise",
    "center": "blob at the center",
    "box": "blob in the detected box",
}

_PACKAGE = "training.explaining"  # of the templates


@dataclass(frozen=True)
class MethodSummary:
    """Means over detections for one method, the consensus or a baseline.

    Attributes:
        energy, pointing: inside the true box, over correct detections; None if there is none.
        ratio: mean energy divided by the random map's, over correct detections whose box covers at most half of the
            image.
        energy_in_call, deletion, insertion: over all detections.
        curves_won: fraction of the detections with lower deletion and higher insertion than both RIVALS.
        redrawn: correlation with the maps of re-initialized models, by part, over the images it was computed for.
        seconds: per image.
        passes: results of TESTS; None if a test was not possible, empty for baselines.
    """

    name: str
    energy: float | None
    ratio: float | None
    pointing: float | None
    energy_in_call: float | None
    deletion: float | None
    insertion: float | None
    curves_won: float | None
    redrawn: dict[str, float]
    seconds: float | None
    passes: dict[str, bool | None]

    @property
    def fails(self) -> list[str]:
        """Names of the failed tests."""
        return [test for test, passed in self.passes.items() if passed is False]


def passing(methods: Sequence[MethodSummary]) -> list[str]:
    """Return the names of the methods that pass all tests."""
    return [one.name for one in methods if all(one.passes.get(test) for test in TESTS)]


def verdict_table(methods: Sequence[MethodSummary]) -> Markup:
    """Return a table: a method per row, and whether it passes each test. Needs `verdicts.css` in the page's style."""
    shown = [one for one in methods if one.name not in BASELINES]
    rows = [(TITLES[one.name], [_verdict(one, test) for test in TESTS]) for one in shown]
    return render("verdicts.html", _PACKAGE, tests=TESTS, verdicts=rows)


def verdict_style() -> Markup:
    """Return the style of `verdict_table`."""
    return render("verdicts.css", _PACKAGE, palette=palette)


def _verdict(one: MethodSummary, test: str) -> dict[str, Any]:
    """Return whether a method passes a test, None if it was not tested, and the value that decided."""
    outcome = one.passes.get(test)
    value = {
        "energy": f"{_number(one.ratio)} times",
        "curves": f"{100 * (one.curves_won or 0):.0f} % won",
        "redrawn": ", ".join(_number(value) for value in one.redrawn.values()),
    }[test]
    return {"passes": outcome, "value": value}


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
