"""Explain a saved run's detections: saliency maps, scores of how far to trust each map, and HTML pages.

python training/explain.py outputs/neu_det          12 images of the test split, into outputs/neu_det/explanations
python training/explain.py outputs/neu_det --images crazing_10 patches_3 --methods gradcam attention
"""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # as in train.py
    from training.run.arguments import exit_early

    exit_early("explain")

import torch
from accelerate import Accelerator
from tqdm import tqdm
from transformers.utils import logging as transformers_logging

from radikal_datasets.errors import ModelError, OutputError, RadikalError, TrainingDataError
from training import models
from training.audit.facts import record_of
from training.audit.page import write_audit
from training.explaining.baselines import BASELINES
from training.explaining.calibration import calibration
from training.explaining.cases import DetectorRun, ImageResult, cases, choose, predict_images
from training.explaining.explained import Explained, explain
from training.explaining.index_page import Entry, write_index
from training.explaining.methods import METHODS, Effort, available_methods
from training.explaining.redrawing import PARTS, redrawn
from training.explaining.report import annotated_image, numbers_of_image, write_image
from training.explaining.summary import Summary, summarize
from training.explaining.targets import Detector
from training.run.arguments import explain_parser
from training.run.data import class_names, load_splits
from training.scoring.matching import match
from training.scoring.operating_point import best_operating_point
from training.using.saved_run import checked_classes, open_run

#: File in the output folder with all numbers; it also marks a folder that may be replaced.
NUMBERS = "explanations.json"
#: Detections with a lower score are left out of the calibration.
SCORE_FLOOR = 0.05


@dataclass(frozen=True)
class Options:
    """What to explain, and how; `--help` describes each option."""

    split: str = "test"
    images: int | list[str] = 12
    detections: int = 3
    threshold: float | None = None
    methods: list[str] = field(default_factory=lambda: list(METHODS))
    redrawn_images: int = 2
    effort: Effort = field(default_factory=Effort)


def explain_run(run: Path, output: Path, options: Options, overrides: list[str]) -> Summary:
    """Explain `run/best` on images of its dataset, and write pages, overlays, arrays and numbers to `output`.

    Args:
        overrides: `--key value` pairs that replace settings of the run, such as data_dir.

    Raises:
        RunNotFoundError: there is no run in this folder.
        ModelError: the run's task is not detection, or its model has none of these maps.
        TrainingDataError: there is no such split, or none of its images is annotated.
        ClassNamesError: the data's classes differ from the model's.
        SettingsError: there is no such image.
        OutputError: the output folder holds something other than explanations.
    """
    _check_room(output)
    detector_run = _open_detector(run, options.split, overrides)
    options = dataclasses.replace(options, methods=available_methods(detector_run.detector.model, options.methods))
    found = predict_images(detector_run, options.split)
    if not found:
        raise TrainingDataError(
            f"No image of split {options.split!r} is annotated, so there is nothing to explain. Choose another --split."
        )
    threshold, origin = _threshold(detector_run, found, options)
    chosen = choose(found, options.images, threshold)
    _make_room(output)  # after all checks, so that a mistake removes nothing
    print(f"{len(found)} images in the {options.split} split, {len(chosen)} to explain. {origin}", flush=True)
    entries, images = _explain_images(detector_run, output, options, chosen, threshold)
    summary = summarize([one.explained for one in entries])
    matches = [pair for one in found for pair in match(one.prediction, one.ground_truth)]
    calibrations = {
        f"all detections with a score of at least {SCORE_FLOOR:g}": calibration(matches, SCORE_FLOOR),
        f"those above the threshold, {threshold:.2f}": calibration(matches, threshold),
    }
    write_index(
        output / "index.html",
        title=f"Explanations of {run.resolve().name}",
        threshold=origin,
        split=options.split,
        summary=summary,
        calibrations=calibrations,
        entries=entries,
    )
    numbers = {
        "run": str(run),
        "threshold": threshold,
        "threshold_from": origin,
        "options": dataclasses.asdict(options),
        **record_of(run, overrides),
        "device": str(detector_run.accelerator.device),
        "summary": summary.to_dict(),
        "calibration": {name: one.to_dict() for name, one in calibrations.items()},
        "images": images,
    }
    (output / NUMBERS).write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")
    if output.resolve() == (run / "explanations").resolve():
        write_audit(run)
    return summary


def _open_detector(run: Path, split: str, overrides: list[str]) -> DetectorRun:
    """Open the run's best model and its data."""
    settings, model, processor = open_run(run, overrides)
    if settings.task != "detection":
        raise ModelError(f"{run} is a {settings.task} run. Only detectors can be explained so far.")
    splits: Any = load_splits(settings)
    checked_classes(settings, splits, split, model)
    if settings.num_threads:
        torch.set_num_threads(settings.num_threads)
    accelerator = Accelerator(mixed_precision="no")
    return DetectorRun(Detector(model.to(accelerator.device)), processor, splits, settings, accelerator)


def _explain_images(
    detector_run: DetectorRun, output: Path, options: Options, chosen: Sequence[str], threshold: float
) -> tuple[list[Entry], list[dict[str, Any]]]:
    """Explain each image and write its files; return the entries of the index, and the numbers for the JSON file."""
    names = class_names(detector_run.splits[options.split])
    normalization = models.normalization(detector_run.processor)
    effort = options.effort
    others = {part: redrawn(detector_run.detector, part, effort.seed) for part in PARTS if options.redrawn_images}
    stems = _stems(chosen)
    entries, images = [], []
    some = cases(detector_run, options.split, chosen, threshold, options.detections)
    for i, case in enumerate(tqdm(some, total=len(chosen), unit="image", disable=None)):
        done = explain(
            detector_run.detector, case, options.methods, effort, others if i < options.redrawn_images else {}
        )
        neighbors = (stems[i - 1] if i else None, stems[i + 1] if i + 1 < len(stems) else None)
        files = write_image(output, stems[i], done, names, normalization, neighbors)
        images.append(numbers_of_image(done, files, names))
        # The maps are on disk; for hundreds of images neither maps nor pixels should stay in memory.
        kept = dataclasses.replace(
            done,
            explanations=[dataclasses.replace(one, maps={}) for one in done.explanations],
            case=dataclasses.replace(case, pixels=case.pixels.new_empty(0)),
        )
        entries.append(Entry(kept, files.page, annotated_image(done, normalization)))
        tqdm.write(_line(done))
    return entries, images


def _check_room(output: Path) -> None:
    """Refuse a folder that holds something other than explanations."""
    if output.exists() and (not output.is_dir() or (any(output.iterdir()) and not (output / NUMBERS).is_file())):
        raise OutputError(f"{output} holds something other than explanations. Choose another --output.")


def _make_room(output: Path) -> None:
    """Remove an older explanation, complete or not, and mark the folder as explanations; touch nothing else."""
    for folder in ("images", "overlays", "maps"):
        shutil.rmtree(output / folder, ignore_errors=True)
    (output / "index.html").unlink(missing_ok=True)
    output.mkdir(parents=True, exist_ok=True)
    (output / NUMBERS).write_text('{"unfinished": true}\n', encoding="utf-8")


def _threshold(detector_run: DetectorRun, found: Sequence[ImageResult], options: Options) -> tuple[float, str]:
    """Return the operating point and a sentence on its origin. It is chosen on validation, never on another split.

    Args:
        found: the predictions on the split that is explained.
    """
    if options.threshold is not None:
        return options.threshold, f"Detections with a score of at least {options.threshold:.2f} (from --threshold)."
    split = options.split
    validation = found if split == "validation" else predict_images(detector_run, "validation")
    if not validation:
        return 0.5, "Detections with a score of at least 0.50 (there is no annotated validation split to choose on)."
    point = best_operating_point([one.prediction for one in validation], [one.ground_truth for one in validation])
    text = f"Detections with a score of at least {point.threshold:.2f} (highest F1, {point.f1:.2f}, on validation"
    return point.threshold, text + (", the very images explained here)." if split == "validation" else ").")


def _stems(chosen: Sequence[str]) -> list[str]:
    """Return file names for images, whose ids may contain slashes."""
    return [f"{i:03d}_{re.sub(r'[^A-Za-z0-9.-]+', '_', name)[-100:]}" for i, name in enumerate(chosen, start=1)]


def _line(done: Explained) -> str:
    parts = ", ".join(f"{name} {seconds:.1f}" for name, seconds in done.seconds.items())
    return f"{done.case.name}: {len(done.explanations)} detections, {done.total_seconds:.1f} s ({parts})"


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    known, overrides = explain_parser().parse_known_args(arguments)
    transformers_logging.disable_progress_bar()
    effort = Effort(
        known.layer, known.masks, known.gradient_steps, known.curve_steps, known.batch_size, known.random_seed
    )
    images = int(known.images[0]) if len(known.images) == 1 and known.images[0].isdigit() else known.images
    options = Options(
        known.split, images, known.detections, known.threshold, known.methods, known.redrawn_images, effort
    )
    output = known.output or known.run / "explanations"
    started = time.perf_counter()
    try:
        summary = explain_run(known.run, output, options, overrides)
    except RadikalError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    _print(summary)
    seconds = time.perf_counter() - started
    print(f"{seconds:.0f} s on {torch.get_num_threads()} threads; {output.resolve() / 'index.html'}")
    return 0


def _print(summary: Summary) -> None:
    """Print one line per method."""
    for one in summary.methods:
        if one.name not in BASELINES:
            ratio = "no true positive" if one.ratio is None else f"energy {one.ratio:.2f} times random"
            outcome = ", ".join(
                f"{test} {'not tested' if passed is None else 'passes' if passed else 'FAILS'}"
                for test, passed in one.passes.items()
            )
            print(f"{one.name:21} {ratio:26} {outcome}")


if __name__ == "__main__":
    sys.exit(main())
