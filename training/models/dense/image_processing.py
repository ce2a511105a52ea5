"""Image processor of the dense detector: RT-DETR's preprocessing, and outputs without duplicates."""

from __future__ import annotations

from typing import Any

import torch
from torchvision.ops import batched_nms, box_convert
from transformers import RTDetrImageProcessor

#: Predictions with the highest scores that are looked at, boxes that remain at most, and the overlap (IoU) of two boxes
#: of a class from which on the one with the lower score is a duplicate.
CANDIDATES, DETECTIONS, DUPLICATE = 600, 300, 0.6
#: A chain of suppressed boxes can be this long in `without_duplicates` before its result differs from exact NMS.
_ROUNDS = 16


class DenseDetectorImageProcessor(RTDetrImageProcessor):
    """RT-DETR's preprocessing; `post_process_object_detection` suppresses duplicates."""

    def post_process_object_detection(  # pyright: ignore[reportIncompatibleMethodOverride]  # RT-DETR's has use_focal_loss, which every DETR lacks
        self, outputs: Any, threshold: float = 0.5, target_sizes: Any = None
    ) -> list[dict[str, torch.Tensor]]:
        """Return `scores`, `labels` and `boxes` of every image, highest score first, at most `DETECTIONS`.

        Boxes are x_min, y_min, x_max, y_max in pixels of `target_sizes`, (N, 2), height and width; fractions without.
        """
        scores, labels, boxes = best_predictions(outputs.logits, outputs.pred_boxes)
        scale = None
        if target_sizes is not None:
            sizes = torch.as_tensor(target_sizes, device=boxes.device)
            scale = sizes.flip(1).repeat(1, 2).to(boxes.dtype)
        results = []
        for i in range(len(scores)):
            enough = scores[i] > threshold
            score, label, box = scores[i][enough], labels[i][enough], boxes[i][enough]
            keep = batched_nms(box, score, label, DUPLICATE)[:DETECTIONS]
            box = box[keep] if scale is None else box[keep] * scale[i]
            results.append({"scores": score[keep], "labels": label[keep], "boxes": box})
        return results


def best_predictions(
    logits: torch.Tensor, boxes: torch.Tensor, count: int = CANDIDATES
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return scores (N, K), labels (N, K) and boxes (N, K, 4), x_min y_min x_max y_max, highest score first.

    K is at most `count`; a place may be there with several classes.
    """
    classes = logits.shape[-1]
    every = logits.sigmoid().flatten(1)
    scores, index = every.topk(min(count, every.shape[1]))
    place = torch.div(index, classes, rounding_mode="floor")
    corners = box_convert(boxes, "cxcywh", "xyxy").gather(1, place[..., None].expand(-1, -1, 4))
    return scores, index % classes, corners


def without_duplicates(
    scores: torch.Tensor, labels: torch.Tensor, boxes: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Set the scores of duplicates to 0 and sort again; of the result of `best_predictions`, in the same shapes.

    The same as `batched_nms`, in operations that ONNX has for any batch: a box is suppressed by a better one that is
    not suppressed itself, which is evaluated `_ROUNDS` times.
    """
    low_x, low_y, high_x, high_y = boxes.unbind(-1)
    # One axis at a time: with x and y as the last axis, onnxruntime takes ten times as long.
    across, down = (
        (torch.minimum(high[:, :, None], high[:, None]) - torch.maximum(low[:, :, None], low[:, None])).clamp_min(0)
        for low, high in ((low_x, high_x), (low_y, high_y))
    )
    shared, areas = across * down, (high_x - low_x) * (high_y - low_y)
    overlap = shared / (areas[:, :, None] + areas[:, None] - shared).clamp_min(1e-12)
    count = boxes.shape[1]
    better = torch.ones(count, count, device=boxes.device).triu(1)
    rivals = ((overlap > DUPLICATE) & (labels[:, :, None] == labels[:, None])).float() * better
    kept = torch.ones_like(scores)
    for _ in range(_ROUNDS):
        kept = (torch.matmul(kept[:, None], rivals)[:, 0] < 0.5).float()  # the number of better boxes that are kept
    scores, order = (scores * kept).topk(min(DETECTIONS, count))
    return scores, labels.gather(1, order), boxes.gather(1, order[..., None].expand(-1, -1, 4))
