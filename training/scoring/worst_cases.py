"""`worst_cases.json`: the worst missed defects and the worst false alarms of a split, with small images, for pages.

Written while the predictions are at hand: a page that is written later needs neither the model nor the images.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from radikal_datasets.files import write_atomically
from radikal_datasets.gray_scale import GrayScale
from radikal_datasets.view.overlay import Mark
from radikal_datasets.view.pages import embedded_within
from training.scoring.matching import by_falling_score, detections_at
from training.scoring.page_images import image_files, try_to_write

#: File in the folder of a split.
WORST_CASES = "worst_cases.json"
#: Images of each kind, and bytes of one of them.
MOST, MAX_BYTES = 8, 40_000
#: False positives drawn on one image, those with the highest scores: dozens would cover it.
MOST_FALSE = 3


@dataclass(frozen=True)
class Case:
    """An image with an error: its boxes as `Mark`s have them, and the error in words."""

    image_id: str
    marks: list[Mark]
    text: str


def write_worst_detections(
    folder: Path,
    dataset: Any,
    found: tuple[Sequence[str], Sequence[dict[str, Any]], Sequence[dict[str, Any]]],
    class_names: Sequence[str],
    threshold: float,
    gray_scale: GrayScale | None = None,
) -> bool:
    """Write the worst images of a detector; a failure is a warning.

    A missed defect is worse if nothing at all was detected on the part, then the more there are on it, then the larger
    it is. A false alarm is worse on a defect-free part, then the higher its score is.

    Args:
        dataset, found, threshold, gray_scale: as for `prediction_page.write_split_page`.
    """
    missed: list[tuple[tuple[float, ...], Case]] = []
    false: list[tuple[tuple[float, ...], Case]] = []
    for image_id, prediction, target in zip(*found, strict=True):
        detections, matched = detections_at(prediction, target, threshold)
        marks, areas, scores = _marks(detections, matched, target, class_names)
        if areas:
            passed = len(matched) == 0
            text = f"{len(areas)} of {len(target['labels'])} defects missed" + (": the part passes" if passed else "")
            missed.append(((passed, len(areas), max(areas)), Case(image_id, marks, text)))
        if scores:
            good = not len(target["labels"])
            text = f"{len(scores)} on a {'defect-free' if good else 'defective'} part, highest score {max(scores):.2f}"
            text += f", {MOST_FALSE} drawn" if len(scores) > MOST_FALSE else ""
            false.append(((good, max(scores)), Case(image_id, marks, text)))
    return _write(folder, dataset, {"missed": _worst(missed), "false": _worst(false)}, gray_scale)


def write_worst_classified(
    folder: Path,
    dataset: Any,
    predictions: Sequence[tuple[str, int, Sequence[float]]],
    class_names: Sequence[str],
    threshold: float,
    gray_scale: GrayScale | None = None,
) -> bool:
    """Write the worst images of a classifier: by the probability of a defect, on the wrong side of the threshold.

    Args:
        predictions: image id, true class and the probability of each class, per image; class 0 is defect-free.
    """
    missed, false = [], []
    for image_id, true, probabilities in predictions:
        score = 1 - probabilities[0]
        text = f"{class_names[true]}; probability of a defect {score:.2f}"
        if true > 0 and score < threshold:
            missed.append(((-score,), Case(image_id, [], text)))
        elif true == 0 and score >= threshold:
            false.append(((score,), Case(image_id, [], text)))
    return _write(folder, dataset, {"missed": _worst(missed), "false": _worst(false)}, gray_scale)


def _worst(ranked: Iterable[tuple[tuple[float, ...], Case]]) -> tuple[list[Case], int]:
    """Return the worst, and how many there are in all; equal ones stay in their order."""
    ordered = sorted(ranked, key=lambda pair: pair[0], reverse=True)
    return [case for _, case in ordered[:MOST]], len(ordered)


def _marks(
    detections: dict[str, Any], matched: np.ndarray, target: dict[str, Any], class_names: Sequence[str]
) -> tuple[list[Mark], list[float], list[float]]:
    """Return the boxes to draw, the areas of the missed defects, and the scores of the false positives."""
    taken = {int(i) for i in matched}
    marks, areas, scores = list[Mark](), list[float](), list[float]()
    for i, (box, label) in enumerate(zip(target["boxes"], target["labels"], strict=True)):
        name, corners = class_names[int(label)], [float(value) for value in box]
        if i in taken:
            marks.append(Mark(corners, "found", "", f"{name}: found"))
        else:
            areas.append((corners[2] - corners[0]) * (corners[3] - corners[1]))
            marks.append(Mark(corners, "missed", name, f"{name}: missed"))
    for i in by_falling_score(detections["scores"]):
        if matched[i] < 0:
            score = float(detections["scores"][i])
            if len(scores) < MOST_FALSE:
                name = f"{class_names[int(detections['labels'][i])]} {score:.2f}"
                corners = [float(value) for value in detections["boxes"][i]]
                marks.append(Mark(corners, "false", name, f"{name}: false positive"))
            scores.append(score)
    return marks, areas, scores


def _write(folder: Path, dataset: Any, kinds: dict[str, tuple[list[Case], int]], gray_scale: GrayScale | None) -> bool:
    def write(file: Path) -> None:
        content: dict[str, Any] = {}
        for kind, (cases, images) in kinds.items():
            files = image_files(dataset, [case.image_id for case in cases])
            shown = [
                {
                    **asdict(case),
                    "width": width,
                    "height": height,
                    "image": embedded_within(data, MAX_BYTES, gray_scale),
                }
                for case, (data, width, height) in zip(cases, files, strict=True)
            ]
            content[kind] = {"images": images, "shown": shown}
        write_atomically(file, json.dumps(content) + "\n")

    return try_to_write(folder / WORST_CASES, write)
