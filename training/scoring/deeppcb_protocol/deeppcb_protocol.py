"""DeepPCB's own detection scores, as an `evaluate` module that needs no network.

`evaluate.load("training/scoring/deeppcb_protocol")`. It computes the same as the publisher's script
(tangsanli5201/DeepPCB, evaluation/script.py at 08e98c4, taken from the ICDAR 2015 text challenge), and was compared
with it on its own ground truth:

- An image's true boxes, in their order, each take the free detection with the highest score and IoU > 0.33, of any
  class; the pair is correct if the classes are equal. So a confident detection of the wrong class costs the box it
  overlaps.
- AP is pooled over images and classes: the precision at the rank of each correct detection, summed, divided by the
  number of true boxes. It is not interpolated and not a mean over classes.
- Precision, recall and F-score are those of all submitted detections; the threshold is the submitter's choice.
- Box coordinates are integers, as in its files.
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
Scores of the DeepPCB benchmark: AP pooled over classes and images, and F-score at a threshold. A detection is correct
at IoU > 0.33 with a true box of its class.
"""
_CITATION = """\
@article{tang2019deeppcb, title={Online PCB Defect Detector On A New PCB Defect Dataset}, author={Tang, Sanli and He,
Fan and Huang, Xiaolin and Yang, Jie}, journal={arXiv preprint arXiv:1902.06197}, year={2019}}
"""
_INPUTS = """\
Args:
    predictions: one dict per image: `boxes` (N, 4) x_min, y_min, x_max, y_max in pixels of the original image,
        `scores` (N,), `labels` (N,) class indices.
    references: one dict per image in the same order: `boxes` (M, 4), `labels` (M,).
    score_threshold: precision, recall and f_score count detections with at least this score; 0: all. ap always counts
        all.
Returns:
    ap, f_score, precision and recall, fractions from 0 to 1, or -1 if there is no true box; and score_threshold.
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
        # float64; otherwise a score could be rounded below the threshold chosen from it.
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
    """Compute the metric without `evaluate`; for arguments and result see the module's description."""
    total = sum(len(reference["labels"]) for reference in references)
    scores, correct = _pooled(predictions, references)
    if not total:
        undefined = dict.fromkeys(("ap", "f_score", "precision", "recall"), -1.0)
        return {**undefined, "score_threshold": score_threshold}
    found = np.cumsum(correct)
    precisions = found / np.arange(1, len(correct) + 1)
    detected = int((scores >= score_threshold).sum())
    hits = int(correct[:detected].sum())
    return {
        "ap": float(precisions[correct].sum() / total),
        "f_score": 2 * hits / (detected + total),
        "precision": hits / detected if detected else 0.0,
        "recall": hits / total,
        "score_threshold": score_threshold,
    }


def best_threshold(predictions: Sequence[dict[str, Any]], references: Sequence[dict[str, Any]]) -> float:
    """Return the score with the highest F-score by this protocol, to be used on validation; 1 if nothing is correct."""
    total = sum(len(reference["labels"]) for reference in references)
    scores, correct = _pooled(predictions, references)
    if not correct.any():
        return 1.0
    f_scores = 2 * np.cumsum(correct) / (np.arange(1, len(correct) + 1) + total)
    # A threshold includes every detection with its score.
    last_of_score = np.append(scores[1:] < scores[:-1], True)
    return float(scores[np.where(last_of_score, f_scores, 0).argmax()])


def _pooled(
    predictions: Sequence[dict[str, Any]], references: Sequence[dict[str, Any]]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores of all detections of all images, highest first (equal ones in their order), and whether each is
    correct."""
    scores, correct = [np.zeros(0)], [np.zeros(0, dtype=bool)]
    for prediction, reference in zip(predictions, references, strict=True):
        order = np.argsort(-np.asarray(prediction["scores"], dtype=float), kind="stable")
        scores.append(np.asarray(prediction["scores"], dtype=float)[order])
        correct.append(_correct(prediction, reference, order))
    together = np.concatenate(scores)
    order = np.argsort(-together, kind="stable")
    return together[order], np.concatenate(correct)[order]


def _correct(prediction: dict[str, Any], reference: dict[str, Any], order: np.ndarray) -> np.ndarray:
    """Return whether each detection, in `order` (N,), is matched with a true box of its class."""
    overlaps = box_iou(_rounded_boxes(prediction)[order], _rounded_boxes(reference)).numpy() > IOU
    labels = np.asarray(prediction["labels"], dtype=int)[order]
    correct = np.zeros(len(order), dtype=bool)
    free = np.ones(len(order), dtype=bool)
    for box, label in enumerate(reference["labels"]):
        candidates = np.flatnonzero(free & overlaps[:, box])
        if len(candidates):
            free[candidates[0]] = False
            correct[candidates[0]] = labels[candidates[0]] == label
    return correct


def _rounded_boxes(item: dict[str, Any]) -> torch.Tensor:
    return torch.tensor(np.rint(np.asarray(item["boxes"], dtype=float))).reshape(-1, 4)
