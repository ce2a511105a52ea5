"""Merge the predictions of an image's tiles, in numpy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

#: (boxes, scores, labels, iou) -> the indices of the boxes that stay, best first.
Suppress = Callable[[np.ndarray, np.ndarray, np.ndarray, float], np.ndarray]

_SHIFTED = 4000  # up to this many coordinates torchvision shifts the classes apart
_AT_ONCE = 256  # cut boxes compared with all others: a large image has many thousands


class Found(NamedTuple):
    """Detections: boxes float32 (n, 4), x_min y_min x_max y_max; scores float32 (n,); labels int64 (n,)."""

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray


def suppressed(boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray, iou: float) -> np.ndarray:
    """Do what torchvision's `batched_nms` does on a CPU, rounding included: non-maximum suppression in each class."""
    if not len(boxes):
        return np.empty(0, np.int64)
    if boxes.size > _SHIFTED:
        groups = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    else:  # shifted so far apart that no box of another class overlaps
        groups = [np.arange(len(boxes))]
        boxes = boxes + (labels.astype(np.float32) * (boxes.max() + np.float32(1)))[:, None]
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept: list[int] = []
    for left in groups:
        left = left[np.argsort(-scores[left], kind="stable")]
        while len(left):
            best, left = left[0], left[1:]
            kept.append(int(best))
            edges = np.minimum(boxes[best, 2:], boxes[left, 2:]) - np.maximum(boxes[best, :2], boxes[left, :2])
            shared = edges[:, 0].clip(0) * edges[:, 1].clip(0)
            with np.errstate(invalid="ignore"):  # two boxes without an area have nothing in common
                left = left[~(shared / (areas[best] + areas[left] - shared) > iou)]
    order = np.array(kept, np.int64)
    return order[np.argsort(-scores[order], kind="stable")]


def merge_arrays(
    predictions: Iterable[dict[str, Any]], *, iou: float = 0.5, cut: float = 0.7, suppress: Suppress = suppressed
) -> dict[str, Found]:
    """Merge as `loaders.merge_tiles` does, which explains the arguments; best first."""
    gathered: dict[str, list[tuple[np.ndarray, ...]]] = {}
    for number, one in enumerate(predictions):
        boxes = np.asarray(one["boxes"], np.float32).reshape(-1, 4)
        top, left, height, width = (int(edge) for edge in one["window"])
        image_height, image_width = one["image_size"]
        inner = np.array([left > 0, top > 0, left + width < image_width, top + height < image_height])
        at_edge = np.concatenate([boxes[:, :2] <= 1, boxes[:, 2:] >= np.array([width, height], np.float32) - 1], 1)
        gathered.setdefault(str(one["image_id"]), []).append(
            (
                boxes + np.array([left, top, left, top], np.float32),
                np.asarray(one["scores"], np.float32).reshape(-1),
                np.asarray(one["labels"], np.int64).reshape(-1),
                np.asarray((at_edge & inner).any(1)),
                np.full(len(boxes), number),
            )
        )
    return {image_id: _merged(parts, iou, cut, suppress) for image_id, parts in gathered.items()}


def _merged(parts: Sequence[tuple[np.ndarray, ...]], iou: float, cut: float, suppress: Suppress) -> Found:
    boxes, scores, labels, was_cut, tiles = (np.concatenate(column) for column in zip(*parts, strict=True))
    keep = np.ones(len(boxes), bool)
    area = np.maximum((boxes[:, 2:] - boxes[:, :2]).prod(1), np.float32(1e-9))
    chosen = np.flatnonzero(was_cut)
    for some in (chosen[i : i + _AT_ONCE] for i in range(0, len(chosen), _AT_ONCE)):
        across, down = (
            (
                np.minimum(boxes[some, None, axis + 2], boxes[:, axis + 2])
                - np.maximum(boxes[some, None, axis], boxes[:, axis])
            ).clip(0)
            for axis in (0, 1)
        )
        covered = across * down > np.float32(cut) * area[some, None]
        other = (labels[some, None] == labels) & (tiles[some, None] != tiles) & (scores >= scores[some, None] / 2)
        # Of two cut boxes that cover each other, the larger one stays.
        keep[some] = ~(covered & other & (~was_cut | (area > area[some, None]))).any(1)
    kept = np.flatnonzero(keep)
    kept = kept[suppress(boxes[kept], scores[kept], labels[kept], iou)]
    return Found(boxes[kept], scores[kept], labels[kept])
