"""Report of one split: all scores and plots that training and scoring print, write and draw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from radikal_datasets.errors import ClassNamesError
from training.scoring.deeppcb_protocol.deeppcb_protocol import protocol_scores
from training.scoring.detection_map.detection_map import evaluate_coco, precision_at_50, scores_of
from training.scoring.image_scores import highest_scores, image_scores
from training.scoring.operating_point import choose_operating_point, confusion_matrix, inspect_parts
from training.scoring.plots import draw_confusion_matrix, draw_image_roc, draw_precision_recall


@dataclass(frozen=True)
class PublisherScore:
    """Scores by a publisher's own rules: `ap` and `f_score`, of predictions and ground truth at a threshold."""

    title: str
    compute: Callable[[Sequence[dict[str, Any]], Sequence[dict[str, Any]], float], dict[str, Any]]


#: By their key in the report. A source names those that are computed for it in `Source.publisher_scores`.
PUBLISHER_SCORES = {"deeppcb_protocol": PublisherScore("DeepPCB's own protocol", protocol_scores)}


def full_report(
    predictions: Sequence[dict[str, Any]],
    targets: Sequence[dict[str, Any]],
    class_names: Sequence[str],
    folder: Path,
    validation_threshold: float | None = None,
    *,
    chosen_on: str = "validation",
    max_false_calls_per_100: float | None = None,
    min_recall: float | None = None,
    publisher_scores: Sequence[str] = (),
    pictures: bool = True,
) -> dict[str, Any]:
    """Compute every score of one split and draw the plots into `folder`.

    Call it first for validation, where the threshold is chosen; then once for test, with validation's
    `report["operating_point"]["threshold"]`.

    Args:
        predictions: `boxes` (N, 4) xyxy pixels, `scores` (N,), `labels` (N,) per image, unfiltered: scores down to 0.
        targets: ground truth, `boxes` (M, 4), `labels` (M,) per image, in the same order; annotated images only.
        class_names: names of labels 0..C-1.
        folder: created if it does not exist; its plots are replaced.
        validation_threshold: chosen before, on validation. None: choose one on these images, by F1 or by one of
            the next two rules; the scores at it are then optimistic, and `threshold_chosen_on` says so.
        chosen_on: where `validation_threshold` comes from.
        max_false_calls_per_100: see `choose_operating_point`.
        min_recall: see `choose_operating_point`.
        publisher_scores: keys of `PUBLISHER_SCORES` to add.
        pictures: draw the plots.

    Returns:
        Plain numbers, strings, lists and dicts, for JSON: `coco` (the result of `detection_map`, and
        `map_50_per_class`), `operating_point` (`Inspection.as_dict`, and `threshold_chosen_on`: `chosen_on` or "these
        images"), `image_level` (`image_scores`), `confusion_matrix` (`classes` with background last, `counts`:
        rows true, columns detected), the `publisher_scores`, and `pictures`, the names of the files in
        `folder`. There is an image_roc.png only if there are good and defective images.

    Raises:
        ClassNamesError: a label has no name, or an error of `choose_operating_point`.
    """
    _check_labels(predictions, targets, len(class_names))
    threshold = validation_threshold
    if threshold is None:
        rule = {"max_false_calls_per_100": max_false_calls_per_100, "min_recall": min_recall}
        threshold = choose_operating_point(predictions, targets, **rule).threshold
    evaluation = evaluate_coco(predictions, targets, class_names)
    curves = precision_at_50(evaluation, class_names)
    counts = confusion_matrix(predictions, targets, len(class_names), threshold)
    highest, defective = highest_scores(predictions, targets)
    ap_50 = {name: float(curves[name].mean()) if name in curves else -1.0 for name in class_names}
    report: dict[str, Any] = {
        "coco": {**scores_of(evaluation, class_names), "map_50_per_class": ap_50},
        "operating_point": {
            "threshold_chosen_on": "these images" if validation_threshold is None else chosen_on,
            **inspect_parts(predictions, targets, threshold).as_dict(),
        },
        "image_level": image_scores(highest, defective, threshold),
        "confusion_matrix": {"classes": [*class_names, "background"], "counts": counts.tolist()},
    }
    report |= {key: PUBLISHER_SCORES[key].compute(predictions, targets, threshold) for key in publisher_scores}
    drawn = _draw(folder, class_names, threshold, counts, curves, highest, defective) if pictures else []
    report["pictures"] = drawn
    return report


def _draw(
    folder: Path,
    class_names: Sequence[str],
    threshold: float,
    counts: np.ndarray,
    curves: dict[str, np.ndarray],
    highest: np.ndarray,
    defective: np.ndarray,
) -> list[str]:
    """Draw the plots and return the names of their files."""
    folder.mkdir(parents=True, exist_ok=True)
    images = f"{len(defective)} images"
    matrix, precision, roc = (
        folder / name for name in ("confusion_matrix.png", "precision_recall.png", "image_roc.png")
    )
    roc.unlink(missing_ok=True)  # one from an earlier report would stay if this one draws none
    title = f"Boxes of {images}, score >= {threshold:.2f}, IoU >= 0.5"
    draw_confusion_matrix(counts, class_names, matrix, title)
    draw_precision_recall(curves, precision, f"Precision-recall curve at IoU 0.5, {images}")
    if not defective.any() or defective.all():
        return [matrix.name, precision.name]
    draw_image_roc(highest, defective, roc, f"Good or defective, {images}", threshold)
    return [matrix.name, precision.name, roc.name]


def _check_labels(predictions: Sequence[dict[str, Any]], targets: Sequence[dict[str, Any]], classes: int) -> None:
    for what, items in (("predictions", predictions), ("targets", targets)):
        for image, item in enumerate(items):
            unknown = [int(label) for label in item["labels"] if not 0 <= label < classes]
            if unknown:
                raise ClassNamesError(
                    f"{what}[{image}] has label {unknown[0]}, but there are {classes} class names (labels 0 to "
                    f"{classes - 1}). Pass the class names that the model was trained with."
                )


def summary(report: dict[str, Any]) -> str:
    """Return a few lines for the terminal that summarize the result of `full_report`."""
    coco, point, images = report["coco"], report["operating_point"], report["image_level"]
    lines = [
        f"AP {coco['map']:.3f}  AP50 {coco['map_50']:.3f}  AP75 {coco['map_75']:.3f}",
        f"threshold {point['threshold']:.3f} (chosen on {point['threshold_chosen_on']}): F1 {point['f1']:.3f}",
        f"per 100 parts: {point['misses_per_100_parts']:.1f} missed defects, "
        f"{point['false_calls_per_100_parts']:.1f} false positives",
        f"{point['bad_parts_with_a_miss']} of {point['bad_parts']} bad parts have a missed defect, "
        f"{point['bad_parts_passed']} pass as good; {point['good_parts_called']} of "
        f"{point['parts'] - point['bad_parts']} good parts are rejected",
    ]
    if images["auroc"] >= 0:
        lines.append(f"image level (good or defective): AUROC {images['auroc']:.3f}, F1 {images['f1']:.3f}")
    for key in PUBLISHER_SCORES.keys() & report.keys():
        own = report[key]
        lines.append(f"{PUBLISHER_SCORES[key].title}: AP {own['ap']:.3f}, F-score {own['f_score']:.3f}")
    return "\n".join(lines)
