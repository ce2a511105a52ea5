"""What the folder of a run holds about it; whatever is missing there is unknown."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from training.audit.rates import Rate
from training.run.run_record import recorded
from training.run.settings import RUN_SETTINGS, read_yaml
from training.scoring.worst_cases import WORST_CASES

#: In `report/`: what `leak_check` found, and the scorings after training.
DATA_CHECK, SCORED_AGAIN = "data_check.json", "scored_again.json"
_EXPLANATIONS = "explanations/explanations.json"
#: Recipes of synthetic images, as a file and as a name.
_DEMO = ("demo.yaml", "demo")
_WEIGHTS = "best/model.safetensors"


@dataclass(frozen=True)
class RunFacts:
    """A complete run.

    Attributes:
        run: its output_dir.
        metrics: content of metrics.json.
        settings: content of train_config.yaml.
        starts: see `run_record`.
    """

    run: Path
    metrics: Mapping[str, Any]
    settings: Mapping[str, Any]
    starts: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def load(cls, run: Path) -> RunFacts:
        """Read a run's folder.

        Raises:
            OSError, ValueError: the run is not complete, or a file of it is damaged.
        """
        metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
        settings = read_yaml(run / RUN_SETTINGS) if (run / RUN_SETTINGS).is_file() else {}
        return cls(run, metrics, settings, recorded(run))

    @property
    def task(self) -> str:
        """`detection` or `classification`."""
        return str(self.settings.get("task") or "detection")

    @property
    def data(self) -> Mapping[str, Any]:
        """What `data_record` recorded; {} for a run of an older version."""
        return self.metrics.get("data") or {}

    @property
    def training(self) -> Mapping[str, Any]:
        """What metrics.json says about the steps of the run."""
        return self.metrics.get("training") or {}

    @property
    def splits(self) -> Mapping[str, Mapping[str, Any]]:
        """Split -> counts, see `data_record`."""
        return self.data.get("splits") or {}

    @property
    def scored(self) -> list[str]:
        """The splits that were scored, in the order of a run."""
        return [name for name in ("validation", "test") if self.metrics.get(name)]

    @property
    def threshold(self) -> float | None:
        """The operating point; None if none was chosen."""
        return (self.metrics.get("operating_point") or {}).get("threshold")

    @property
    def synthetic(self) -> bool:
        """Whether the images are known to be synthetic: drawn by `sample` or the demo, or of a source that is."""
        sets = self.data.get("sets") or []
        drawn = any(one.get("sample") or (one.get("source") or {}).get("real") is False for one in sets)
        return bool(self.metrics.get("synthetic")) or drawn or any(one.get("recipe") in _DEMO for one in self.starts)

    def point(self, split: str) -> Mapping[str, Any]:
        """Return the counts of a split at its threshold; {} if there are none."""
        return (self.metrics.get("operating_point") or {}).get(split) or {}

    def escapes(self, split: str) -> Rate | None:
        """Return the defective parts that pass; None if they were not counted."""
        point = self.point(split)
        return Rate(point["bad_parts_passed"], point["bad_parts"]) if "bad_parts_passed" in point else None

    def false_alarms(self, split: str) -> Rate | None:
        """Return the good parts that are rejected; None if they were not counted."""
        point = self.point(split)
        if "good_parts_called" not in point:
            return None
        return Rate(point["good_parts_called"], point["parts"] - point["bad_parts"])

    def incomplete(self, split: str) -> Rate | None:
        """Return the defective parts with a defect that was not found; None for a classifier."""
        point = self.point(split)
        return Rate(point["bad_parts_with_a_miss"], point["bad_parts"]) if "bad_parts_with_a_miss" in point else None

    @cached_property
    def class_names(self) -> list[str]:
        """The classes of the model; [] if its config.json is missing."""
        config = self._json("best/config.json")
        names = config.get("id2label") or {}
        return [names[key] for key in sorted(names, key=int)] or config.get("label_names") or []  # timm's classifiers

    @cached_property
    def weights_sha256(self) -> str | None:
        """Checksum of the best model's weights."""
        return weights_sha256(self.run)

    @cached_property
    def data_check(self) -> Mapping[str, Any]:
        """What `leak_check` wrote; {} if it did not run."""
        return self._json(f"report/{DATA_CHECK}")

    @cached_property
    def explanations(self) -> Mapping[str, Any]:
        """What `explain` wrote into the run's folder; {} if it did not run, or was interrupted."""
        found = self._json(_EXPLANATIONS)
        return {} if found.get("unfinished") else found

    @property
    def scored_again(self) -> list[dict[str, Any]]:
        """The scorings after training, of the weights that are there now."""
        entries = self._json(f"report/{SCORED_AGAIN}").get("scorings") or []
        return [one for one in entries if one.get("weights_sha256") == self.weights_sha256]

    def worst_cases(self, split: str) -> Mapping[str, Any]:
        """Return the worst images of a split; {} if none were kept."""
        return self._json(f"report/{split}/{WORST_CASES}")

    def _json(self, name: str) -> dict[str, Any]:
        file = self.run / name
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def weights_sha256(run: Path) -> str | None:
    """Return the checksum of a run's best weights; None if there are none in one file."""
    file = run / _WEIGHTS
    if not file.is_file():
        return None
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def record_of(run: Path, overrides: Sequence[str]) -> dict[str, Any]:
    """Return what a result must record so that the page can tell what it belongs to.

    Args:
        overrides: settings that replaced those of the run.
    """
    return {"weights_sha256": weights_sha256(run), "overrides": list(overrides)}
