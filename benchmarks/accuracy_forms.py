"""The settings of the accuracy benchmark: a recipe for each set, and for each kind of machine."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

FULL, REDUCED, LEAKY = "full", "reduced", "leaky"


@dataclass(frozen=True)
class Form:
    """A benchmark setting: a recipe and the changes to it.

    Attributes:
        config: a file in training/configs/.
        what: description for the table.
        settings: these override the recipe's.
        limit_minutes: a run that takes longer is ended and not recorded: lower its max_train_steps.
    """

    config: str
    what: str
    settings: dict[str, Any] = field(default_factory=dict)
    limit_minutes: float | None = None


def _as_it_is(config: str, limit_minutes: float | None = None) -> Form:
    return Form(config, f"training/configs/{config} as it is", {}, limit_minutes)


FORMS: dict[str, dict[str, Form]] = {
    "neu_det": {FULL: _as_it_is("neu_det_gpu.yaml", 10), REDUCED: _as_it_is("neu_det.yaml")},
    "gdxray_castings": {
        FULL: _as_it_is("gdxray_castings.yaml", 10),
        REDUCED: _as_it_is("gdxray_castings_cpu.yaml"),
        LEAKY: Form(
            "gdxray_castings_cpu.yaml",
            "training/configs/gdxray_castings_cpu.yaml on a split by image, so that train and test show the same parts",
        ),
    },
    "deeppcb": {FULL: _as_it_is("deeppcb_pair.yaml", 10), REDUCED: _as_it_is("deeppcb_cpu.yaml")},
}
