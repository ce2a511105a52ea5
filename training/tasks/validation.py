"""Scores on validation in the course of a training, and the best model so far."""

from __future__ import annotations

import time
from pathlib import Path

from accelerate import Accelerator
from tqdm.auto import tqdm
from transformers import PreTrainedModel

from loaders.loader import Loader
from training.run.checkpoints import Progress, save_model
from training.tasks import Task


def score(
    model: PreTrainedModel,
    task: Task,
    validation: Loader | None,
    accelerator: Accelerator,
    progress: Progress,
    output_dir: Path,
    loss: float,
) -> None:
    """Score on validation, record the scores, and save the model as `best/` if it is the best, or cannot be scored."""
    began = time.process_time()
    scores = task.evaluate(model, validation) if validation else None
    progress.scoring_processor_seconds += time.process_time() - began
    better = progress.record(scores, task.key, loss)
    if better and accelerator.is_main_process:
        save_model(model, task.processor, output_dir / "best")
    mark = " (best so far)" if better and scores else ""
    with tqdm.external_write_mode():
        accelerator.print(f"step {progress.step}: loss {loss:.3f}, validation {task.short(scores)}{mark}", flush=True)
