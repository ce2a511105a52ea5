"""DeepPCB's own detection scores as an `evaluate` module that needs no network.

`evaluate.load("training/deeppcb_protocol")`. What the publisher's script computes (tangsanli5201/DeepPCB, evaluation/
script.py at 08e98c4, taken from the ICDAR 2015 text challenge), read there and compared with it on its own truth:

- An image's true boxes, in their order, each take the surest free detection with IoU > 0.33, of whatever class; the
  pair is right where the classes are equal. A sure detection of the wrong class so costs the box it lies on.
- AP is pooled over images and classes: the precision at the rank of each right detection, summed, over the number of
  true boxes. It isn't interpolated and isn't a mean over classes.
- Precision, recall and F-score are those of all detections handed in; the threshold is the submitter's choice.
- Boxes are whole pixels, since its files hold no others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import datasets
import evaluate
import numpy as np
import torch
from torchvision.ops import box_iou

_DESCRIPTION = """\
Scores of the DeepPCB benchmark: AP pooled over classes and images, and F-score at a threshold. A detection is right at
IoU > 0.33 with a true box of its class.
"""
_CITATION = """\
@article{tang2019deeppcb, title={Online PCB Defect Detector On A New PCB Defect Dataset}, author={Tang, Sanli and He,
Fan and Huang, Xiaolin and Yang, Jie}, journal={arXiv preprint arXiv:1902.06197}, year={2019}}
"""
_INPUTS = """\
Args:
    predictions: one dict an image: `boxes` (N, 4) x_min, y_min, x_max, y_max in pixels of the original image,
        `scores` (N,), `labels` (N,) class indices.
    references: one dict an image in the same order: `boxes` (M, 4), `labels` (M,).
    score_threshold: precision, recall and f_score count detections from this score up; 0: all. ap always takes all.
Returns:
    ap, f_score, precision and recall, fractions from 0 to 1, or -1 where there is no true box; and score_threshold.
"""

IOU = 0.33

_BOXES = {
    "boxes": datasets.List(datasets.List(datasets.Value("float64"))),
    "labels": datasets.List(datasets.Value("int64")),
}


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _INPUTS)
class DeepPCBProtocol(evaluate.Metric):
    """See the module's description."""

    def _info(self) -> evaluate.MetricInfo:
        # float64, or a score could come back below the threshold that it set.
        features = {"predictions": {**_BOXES, "scores": datasets.List(datasets.Value("float64"))}, "references": _BOXES}
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features(features),  # pyright: ignore[reportArgumentType]
        )

    def _compute(
        self, predictions: list[dict[str, Any]], references: list[dict[str, Any]], score_threshold: float = 0.0
    ) -> dict[str, float]:
        return protocol_scores(predictions, references, score_threshold)


def protocol_scores(
    predictions: Sequence[dict[str, Any]], references: Sequence[dict[str, Any]], score_threshold: float = 0.0
) -> dict[str, float]:
    """The metric without `evaluate` around it; arguments and result as the module's description has them."""
    total = sum(len(reference["labels"]) for reference in references)
    scores, right = _pooled(predictions, references)
    if not total:
        undefined = dict.fromkeys(("ap", "f_score", "precision", "recall"), -1.0)
        return {**undefined, "score_threshold": score_threshold}
    found = np.cumsum(right)
    precisions = found / np.arange(1, len(right) + 1)
    called = int((scores >= score_threshold).sum())
    hits = int(right[:called].sum())
    return {
        "ap": float(precisions[right].sum() / total),
        "f_score": 2 * hits / (called + total),
        "precision": hits / called if called else 0.0,
        "recall": hits / total,
        "score_threshold": score_threshold,
    }


def best_threshold(predictions: Sequence[dict[str, Any]], references: Sequence[dict[str, Any]]) -> float:
    """The score with the highest F-score by this protocol, for validation to choose; 1 where nothing is right."""
    total = sum(len(reference["labels"]) for reference in references)
    scores, right = _pooled(predictions, references)
    if not right.any():
        return 1.0
    f_scores = 2 * np.cumsum(right) / (np.arange(1, len(right) + 1) + total)
    # A threshold takes every detection of its score with it.
    last_of_score = np.append(scores[1:] < scores[:-1], True)
    return float(scores[np.where(last_of_score, f_scores, 0).argmax()])


def _pooled(
    predictions: Sequence[dict[str, Any]], references: Sequence[dict[str, Any]]
) -> tuple[np.ndarray, np.ndarray]:
    """Score of every detection of every image, falling (equal ones in their order), and whether it is right."""
    scores, right = [np.zeros(0)], [np.zeros(0, dtype=bool)]
    for prediction, reference in zip(predictions, references, strict=True):
        order = np.argsort(-np.asarray(prediction["scores"], dtype=float), kind="stable")
        scores.append(np.asarray(prediction["scores"], dtype=float)[order])
        right.append(_right(prediction, reference, order))
    together = np.concatenate(scores)
    order = np.argsort(-together, kind="stable")
    return together[order], np.concatenate(right)[order]


def _right(prediction: dict[str, Any], reference: dict[str, Any], order: np.ndarray) -> np.ndarray:
    """Whether each detection, in `order` (N,), has a true box of its class."""
    overlaps = box_iou(_whole_pixels(prediction)[order], _whole_pixels(reference)).numpy() > IOU
    labels = np.asarray(prediction["labels"], dtype=int)[order]
    right = np.zeros(len(order), dtype=bool)
    free = np.ones(len(order), dtype=bool)
    for box, label in enumerate(reference["labels"]):
        candidates = np.flatnonzero(free & overlaps[:, box])
        if len(candidates):
            free[candidates[0]] = False
            right[candidates[0]] = labels[candidates[0]] == label
    return right


def _whole_pixels(item: dict[str, Any]) -> torch.Tensor:
    return torch.tensor(np.rint(np.asarray(item["boxes"], dtype=float))).reshape(-1, 4)
