"""Atomic writes of checkpoints and models: a SIGKILL at any moment leaves nothing incomplete for resume to read."""

from __future__ import annotations

import difflib
import json
import math
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from transformers import AutoModelForImageClassification, AutoModelForObjectDetection, PreTrainedModel

from radikal_datasets.errors import OutputError, RunNotFoundError
from radikal_datasets.files import UNFINISHED, write_atomically
from training.models import is_folded, unfolded_weights
from training.models.families import family_of
from training.run.settings import RUN_SETTINGS

#: Files of `report/` about a complete run.
_REPORTS = ("index.html", "scored_again.json", "data_check.json")
#: Of the times that a run records.
TIME = "%Y-%m-%d %H:%M UTC"


@dataclass
class Progress:
    """Progress of a run; saved in every checkpoint.

    `worse_in_a_row` counts validation scores since the best one; `wait_seconds` is the time the loop spent waiting for
    batches. `skipped` counts steps skipped for a non-finite loss or gradients, `scaler_skips` those that fp16's
    GradScaler skipped while it searched for its scale; either kind adds to `skipped_in_a_row`. `processor_seconds` is
    the processor time of the processes before this one that the run was resumed from; `scoring_processor_seconds` is
    what validations took of it, and `scored_after` the rest at each entry of `history`.
    """

    step: int = 0
    images: int = 0
    seconds: float = 0.0
    skipped: int = 0
    skipped_in_a_row: int = 0
    scaler_skips: int = 0
    worse_in_a_row: int = 0
    wait_seconds: float = 0.0
    processor_seconds: float = 0.0
    scoring_processor_seconds: float = 0.0
    best_step: int = 0
    best: dict[str, Any] | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    scored_after: list[float] = field(default_factory=list)

    def state_dict(self) -> dict[str, Any]:
        """Return the state, for accelerate's `register_for_checkpointing`."""
        return {**asdict(self), "processor_seconds": self.all_processor_seconds()}

    def all_processor_seconds(self) -> float:
        """Return the processor time of the run since its start, over all threads, this rank's."""
        return self.processor_seconds + time.process_time()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        for name, value in state.items():
            setattr(self, name, value)

    def record(self, scores: dict[str, Any] | None, key: str, loss: float) -> bool:
        """Add the scores of one validation; return whether they are the best so far, or cannot be compared.

        Args:
            scores: None without a validation split.
            key: the score that decides.
            loss: NaN before the first step that counted.
        """
        self.history.append({"step": self.step, "loss": None if math.isnan(loss) else loss, "scores": scores})
        self.scored_after.append(round(self.all_processor_seconds() - self.scoring_processor_seconds, 1))
        better = scores is None or self.best is None or scores[key] > self.best[key]
        self.worse_in_a_row = 0 if better else self.worse_in_a_row + 1
        if better:
            self.best, self.best_step = scores, self.step
        return better

    def should_stop_early(self, patience: int | None) -> bool:
        """Return whether validation has not improved for `patience` scores; never if that is None."""
        return patience is not None and self.worse_in_a_row >= patience

    def counts_and_rates(self) -> dict[str, Any]:
        """Return what metrics.json says about the steps of the run and their speed."""
        return {
            "finished": datetime.now(UTC).strftime(TIME),
            "steps": self.step,
            "best_step": self.best_step,
            "seconds": round(self.seconds, 1),
            "processor_seconds": round(self.all_processor_seconds(), 1),
            "images_per_second": round(self.images / max(self.seconds, 1e-9), 2),
            "skipped_steps": self.skipped,
            "scaler_skips": self.scaler_skips,
            "wait_share": round(self.wait_seconds / max(self.seconds, 1e-9), 4),
            "history": self.history,
        }


def prepare_output(output_dir: Path, resume: str | None, overwrite: bool) -> Path | None:
    """Prepare the folder and find the checkpoint to resume from. Main process only.

    Args:
        resume: a `checkpoint-*` folder, `latest`, or None to start from scratch.
        overwrite: whether starting from scratch may remove an existing run.

    Returns:
        The checkpoint's `state` folder; None to start from scratch.

    Raises:
        RunNotFoundError: there is no such checkpoint.
        OutputError: the folder already holds a run.
    """
    for leftover in (*output_dir.glob(f".*{UNFINISHED}"), *output_dir.glob(".*.tmp")):  # .tmp: as 0.1 called them
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    for old in output_dir.glob(".*.old"):  # killed between the two renames of save_model
        name = output_dir / old.name.removeprefix(".").removesuffix(".old")
        shutil.rmtree(old) if name.exists() else old.rename(name)
    there = _checkpoints(output_dir)
    if resume is not None:
        return _state(output_dir, resume, there)
    if there or (output_dir / "metrics.json").exists():
        if not overwrite:
            raise OutputError(
                f"{output_dir} already holds a run. Continue it with --resume_from_checkpoint latest, choose another "
                "--output_dir, or replace it with --overwrite_output_dir true."
            )
        for folder in [*there, output_dir / "best", output_dir / "last", output_dir / "logs"]:
            shutil.rmtree(folder, ignore_errors=True)
        for file in ("metrics.json", "recipe.yaml", *(f"report/{name}" for name in _REPORTS)):
            (output_dir / file).unlink(missing_ok=True)
    output_dir.mkdir(parents=True, exist_ok=True)
    return None


def _state(output_dir: Path, resume: str, there: list[Path]) -> Path:
    asked = f"--resume_from_checkpoint {resume}"
    if resume == "latest":
        if there:
            return there[-1] / "state"
        if (output_dir / RUN_SETTINGS).is_file():
            raise RunNotFoundError(
                f"{asked}: {output_dir} has no checkpoint-* folder, because the run was stopped before its first "
                "checkpoint. Start it again without --resume_from_checkpoint."
            )
        raise RunNotFoundError(
            f"{asked}: {output_dir} has no checkpoint-* folder, because no run was started there. Pass the "
            "--output_dir of the run to continue, or omit --resume_from_checkpoint."
        )
    for folder in (Path(resume), output_dir / resume):
        state = folder if folder.name == "state" else folder / "state"
        if state.is_dir():
            return state
    near = " Did you mean latest?" if difflib.get_close_matches(resume.lower(), ["latest"]) else ""
    has = ", ".join(path.name for path in there) or "no checkpoint"
    raise RunNotFoundError(f"{asked}: there is no folder {Path(resume) / 'state'}.{near} {output_dir} has {has}.")


def save_checkpoint(accelerator: Accelerator, output_dir: Path, step: int, keep: int) -> None:
    """Write `checkpoint-<step>/state` with all that resume needs, and remove the oldest beyond `keep`. On all ranks."""
    final = output_dir / f"checkpoint-{step}"
    if final.exists():
        return
    temporary = output_dir / f".checkpoint-{step}{UNFINISHED}"  # one name on all ranks
    accelerator.save_state(str(temporary / "state"), safe_serialization=False)
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        temporary.rename(final)
        for old in _checkpoints(output_dir)[:-keep]:
            # Renamed first: an interrupted removal must not leave a checkpoint that looks complete.
            shutil.rmtree(old.rename(output_dir / f".{old.name}{UNFINISHED}"))
    accelerator.wait_for_everyone()


def save_model(model: PreTrainedModel, processor: Any, folder: Path) -> None:
    """Write a `from_pretrained` folder with its image processor, replacing an existing one. Main process only."""
    temporary, old = (folder.parent / f".{folder.name}{ending}" for ending in (UNFINISHED, ".old"))
    for leftover in (temporary, old):
        shutil.rmtree(leftover, ignore_errors=True)
    weights = unfolded_weights(model) if is_folded(model) else dict[str, Any](model.state_dict())
    family = family_of(model)
    if family is not None and family.frozen_norms:  # frozen batch norms have no counters
        weights = {k: v for k, v in weights.items() if not k.endswith("num_batches_tracked")}
    model.save_pretrained(temporary, state_dict=weights)
    if model.config.model_type != "timm_wrapper":  # its processor is part of the model's own config.json
        processor.save_pretrained(temporary)
    if folder.exists():
        folder.rename(old)
    temporary.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def keep_threshold(folder: Path, threshold: float) -> None:
    """Write the operating point into a saved model's config.json, as `radikal_threshold`, so that it stays with it."""
    file = folder / "config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    write_atomically(file, json.dumps(config | {"radikal_threshold": threshold}, indent=2) + "\n")


def load_model(folder: Path | str) -> PreTrainedModel:
    """Load a saved run's detector, in eval mode."""
    return AutoModelForObjectDetection.from_pretrained(folder).eval()


def load_classifier(folder: Path | str) -> PreTrainedModel:
    """Load a saved run's classifier, in eval mode."""
    return AutoModelForImageClassification.from_pretrained(folder).eval()


def _checkpoints(output_dir: Path) -> list[Path]:
    """Return the complete checkpoints, oldest first."""
    complete = [path for path in output_dir.glob("checkpoint-*") if (path / "state").is_dir()]
    return sorted(
        (path for path in complete if path.name.split("-")[-1].isdigit()), key=lambda p: int(p.name.split("-")[-1])
    )
