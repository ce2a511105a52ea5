"""Score a saved run on one split.

python training/score.py outputs/neu_det                      the test split, with the run's own data settings
python training/score.py outputs/neu_det --split validation --data_dir /data/NEU-DET
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # as in train.py
    from training.run.arguments import answer_early

    answer_early("score")

from accelerate import Accelerator
from transformers.utils import logging as transformers_logging

from radikal_datasets.errors import RadikalError, TrainingDataError
from training import models
from training.models.classifiers import classifier_normalization
from training.run.arguments import score_parser
from training.run.data import eval_loader, load_splits
from training.scoring.detections import evaluate
from training.tasks.classification import classifier_scores
from training.using.saved_run import checked_classes, open_run


def score_run(run: Path, split: str, overrides: list[str]) -> dict[str, Any]:
    """Score `run/best` on `split` of the run's dataset.

    Args:
        overrides: `--key value` pairs that replace settings of the run, such as data_dir.

    Raises:
        RunNotFoundError: there is no run in this folder.
        TrainingDataError: there is no such split, or none of its images is annotated.
        ClassNamesError: the data's classes differ from the model's.
    """
    settings, model, processor = open_run(run, overrides)
    accelerator = Accelerator(mixed_precision="no")
    splits = load_splits(settings)
    names = checked_classes(settings, splits, split, model)
    if settings.task == "classification":
        options = {"target": settings.target, **classifier_normalization(model)}
    else:
        options = models.normalization(processor)
    loader = eval_loader(splits, split, settings, accelerator, **options)
    if loader is None:
        raise TrainingDataError(
            f"No image of split {split!r} is annotated, so it cannot be scored. Choose another --split."
        )
    model.to(accelerator.device)
    if settings.task == "classification":
        return classifier_scores(model, loader, accelerator)
    return evaluate(model, processor, loader, names, accelerator)


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    known, overrides = score_parser().parse_known_args(arguments)
    transformers_logging.disable_progress_bar()
    try:
        scores = score_run(known.run, known.split, overrides)
    except RadikalError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    text = json.dumps(scores, indent=2)
    print(text)
    if known.output:
        known.output.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
