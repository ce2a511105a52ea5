"""Score a saved run on one split, and write a page of its predictions, OUTPUT_DIR/report/SPLIT/index.html.

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
    from training.run.arguments import exit_early

    exit_early("score")

from accelerate import Accelerator
from transformers.utils import logging as transformers_logging

from radikal_datasets.errors import RadikalError, TrainingDataError
from training import models
from training.audit.page import write_audit
from training.audit.scorings import record_scoring
from training.models.classifiers import classifier_normalization
from training.run.arguments import DEFAULT_THRESHOLD, FIXED_THRESHOLD, score_parser
from training.run.data import eval_loader, load_splits
from training.scoring.class_page import write_class_page
from training.scoring.detections import coco_scores, predictions_and_ground_truth
from training.scoring.operating_point import best_operating_point
from training.scoring.prediction_page import write_split_page
from training.scoring.worst_cases import write_worst_classified, write_worst_detections
from training.tasks.classification import predict_classes, scores_of
from training.using.saved_run import checked_classes, open_run
from training.using.trained_model import stored_threshold


def score_run(run: Path, split: str, overrides: list[str]) -> dict[str, Any]:
    """Score `run/best` on `split` of the run's dataset; write `run/report/SPLIT/index.html` and the audit page.

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
        scale = models.gray_scale_of(model)
        options = {"target": settings.target, "gray_scale": scale, **classifier_normalization(model)}
    else:
        options = models.loader_options(model, processor)
    loader = eval_loader(splits, split, settings, accelerator, **options)
    if loader is None:
        raise TrainingDataError(
            f"No image of split {split!r} is annotated, so it cannot be scored. Choose another --split."
        )
    model.to(accelerator.device)
    page = run / "report" / split
    if settings.task == "classification":
        classes = predict_classes(model, loader, accelerator)
        if accelerator.is_main_process:
            write_class_page(page, split, loader.dataset, classes, names, loader.gray_scale)
            if not overrides:
                at = stored_threshold(run / "metrics.json")
                at = DEFAULT_THRESHOLD if at is None else at
                write_worst_classified(page, loader.dataset, classes, names, at, loader.gray_scale)
        scores = scores_of(classes, loader.target)
        return _recorded(run, split, overrides, scores, accelerator)
    found = predictions_and_ground_truth(model, processor, loader, accelerator)
    _, predictions, targets = found
    threshold, chosen_on = stored_threshold(run / "metrics.json"), "validation"
    if threshold is None and split == "validation":
        threshold, chosen_on = best_operating_point(predictions, targets).threshold, "these images (highest F1)"
    elif threshold is None:  # nothing is chosen on test
        threshold, chosen_on = DEFAULT_THRESHOLD, FIXED_THRESHOLD
    if accelerator.is_main_process:
        write_split_page(page, split, loader.dataset, found, names, threshold, chosen_on, loader.gray_scale)
        if not overrides:  # the audit page shows the data of the run
            write_worst_detections(page, loader.dataset, found, names, threshold, loader.gray_scale)
    return _recorded(run, split, overrides, coco_scores(predictions, targets, names), accelerator)


def _recorded(
    run: Path, split: str, overrides: list[str], scores: dict[str, Any], accelerator: Accelerator
) -> dict[str, Any]:
    """Add the scores to the run's record and its audit page, and return them."""
    if accelerator.is_main_process:
        record_scoring(run, split, overrides, scores)
        write_audit(run)
    return scores


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
