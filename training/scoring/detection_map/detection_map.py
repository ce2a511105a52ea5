"""COCO detection scores, as an `evaluate` module that needs no network.

`evaluate.load("training/scoring/detection_map")`
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import datasets
import evaluate
import numpy as np
from faster_coco_eval import COCO, COCOeval_faster

_DESCRIPTION = """\
Average precision of object detection as COCO defines it: interpolated at 101 recalls, averaged over IoU 0.50:0.05:0.95
and over classes, at most 100 detections per image; computed by faster-coco-eval.
"""
_CITATION = """\
@inproceedings{lin2014microsoft, title={Microsoft {COCO}: Common Objects in Context}, author={Lin, Tsung-Yi and Maire,
Michael and Belongie, Serge and Hays, James and Perona, Pietro and Ramanan, Deva and Doll{\\'a}r, Piotr and Zitnick, C.
Lawrence}, booktitle={ECCV}, year={2014}}
"""
_INPUTS = """\
Args:
    predictions: one dict per image: `boxes` (N, 4) x_min, y_min, x_max, y_max in pixels of the original image,
        `scores` (N,), `labels` (N,) class indices.
    references: one dict per image in the same order: `boxes` (M, 4), `labels` (M,).
    class_names: names of classes 0..C-1; a class without a reference box has no AP (-1) and is left out of the means.
Returns:
    map, map_50, map_75, map_small (under 32x32 pixels), map_medium (up to 96x96), map_large, mar_100, and map_per_class
    (a dict by name): fractions from 0 to 1, or -1 if there is nothing to find.
"""

_BOXES = {
    "boxes": datasets.List(datasets.List(datasets.Value("float32"))),
    "labels": datasets.List(datasets.Value("int64")),
}


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _INPUTS)
class DetectionMap(evaluate.Metric):
    """See the module's description."""

    def _info(self) -> evaluate.MetricInfo:
        features = {"predictions": {**_BOXES, "scores": datasets.List(datasets.Value("float32"))}, "references": _BOXES}
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features(features),  # pyright: ignore[reportArgumentType]
        )

    def _compute(
        self, predictions: list[dict[str, Any]], references: list[dict[str, Any]], class_names: list[str]
    ) -> dict[str, Any]:
        return scores_of(evaluate_coco(predictions, references, class_names), class_names)


def evaluate_coco(
    predictions: Sequence[dict[str, Any]], references: Sequence[dict[str, Any]], class_names: Sequence[str]
) -> COCOeval_faster | None:
    """Run COCO's evaluation; None if there is no true box. For the arguments see the module's description."""
    categories = [{"id": i, "name": name} for i, name in enumerate(class_names)]
    ground_truth: dict[str, Any] = {"images": [], "annotations": [], "categories": categories, "info": {}}
    detections: list[dict[str, Any]] = []
    for image, (prediction, reference) in enumerate(zip(predictions, references, strict=True), start=1):
        # The size is required, but used for masks only.
        ground_truth["images"].append({"id": image, "width": 1, "height": 1})
        for box, label in zip(reference["boxes"], reference["labels"], strict=True):
            size = _coco_box(box)
            ground_truth["annotations"].append(
                {
                    "id": len(ground_truth["annotations"]) + 1,
                    "image_id": image,
                    "category_id": int(label),
                    "bbox": size,
                    "area": size[2] * size[3],
                    "iscrowd": 0,
                }
            )
        for box, label, score in zip(prediction["boxes"], prediction["labels"], prediction["scores"], strict=True):
            detection = {"image_id": image, "category_id": int(label), "bbox": _coco_box(box), "score": float(score)}
            detections.append(detection)
    if not ground_truth["annotations"]:
        return None
    # Must not be None: faster-coco-eval prints through it.
    quiet = _ignore
    reference_set = COCO(ground_truth, print_function=quiet)
    evaluation = COCOeval_faster(reference_set, reference_set.loadRes(detections), "bbox", print_function=quiet)
    evaluation.run()
    return evaluation


def scores_of(evaluation: COCOeval_faster | None, class_names: Sequence[str]) -> dict[str, Any]:
    """Return the module's result."""
    if evaluation is None:
        return {**dict.fromkeys(_KEYS, -1.0), "map_per_class": dict.fromkeys(class_names, -1.0)}
    stats = evaluation.stats_as_dict
    scores: dict[str, Any] = {key: _fraction(stats[name]) for key, name in _KEYS.items()}
    means = [_mean(_precision(evaluation)[:, :, i]) for i in range(len(class_names))]
    return {**scores, "map_per_class": dict(zip(class_names, means, strict=True))}


def precision_at_50(evaluation: COCOeval_faster | None, class_names: Sequence[str]) -> dict[str, np.ndarray]:
    """Return COCO's precision at IoU 0.50 of each class with a true box, (101,), at recalls 0, 0.01, ... 1.

    Its mean is the class's AP50.
    """
    if evaluation is None:
        return {}
    curves = {name: _precision(evaluation)[0, :, i] for i, name in enumerate(class_names)}
    return {name: curve for name, curve in curves.items() if (curve > -1).any()}


def _precision(evaluation: COCOeval_faster) -> np.ndarray:
    """Return the precisions (10 IoU thresholds, 101 recalls, classes), -1 for a class without a true box."""
    # Area range 0 is "all"; the last limit on detections per image is 100.
    return evaluation.eval["precision"][:, :, :, 0, -1]


def _mean(precision: np.ndarray) -> float:
    return _fraction(float(np.mean(precision[precision > -1]))) if (precision > -1).any() else -1.0


_KEYS = {
    "map": "AP_all",
    "map_50": "AP_50",
    "map_75": "AP_75",
    "map_small": "AP_small",
    "map_medium": "AP_medium",
    "map_large": "AP_large",
    "mar_100": "AR_third",
}


def _fraction(value: float) -> float:
    return -1.0 if math.isnan(value) else float(value)


def _coco_box(box: list[float]) -> list[float]:
    """Convert corners to COCO's x, y, width, height."""
    x_min, y_min, x_max, y_max = map(float, box)
    return [x_min, y_min, x_max - x_min, y_max - y_min]


def _ignore(*_: object) -> None:
    """Replacement for faster-coco-eval's print function."""
