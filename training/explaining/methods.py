"""Compute all maps of one image with the chosen methods."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from radikal_datasets.errors import ModelError
from training.explaining.attention import attention_map
from training.explaining.cam import CAM_METHODS, cam_map, tapped
from training.explaining.d_rise import d_rise_maps
from training.explaining.gradients import integrated_gradients_map
from training.explaining.targets import ClassLogits, Detection, Detector, QueryLogit, Similarity, similarity
from training.run.arguments import METHODS

__all__ = ["METHODS", "Effort", "available_methods", "maps_of"]


@dataclass(frozen=True)
class Effort:
    """How much computation to spend on maps and their scores.

    Attributes:
        layer: which of the backbone's feature maps the CAM methods use, by their order; irrelevant if there is one.
        masks: number of D-RISE masks per image.
        gradient_steps: steps of integrated gradients per detection.
        curve_steps: points of the deletion and insertion curves after the first; 0: no curves (they take longest).
        batch: number of modified images per forward pass.
        seed: seed of masks, random maps and re-initialized weights.
    """

    layer: str = "middle"
    masks: int = 256
    gradient_steps: int = 32
    curve_steps: int = 10
    batch: int = 16
    seed: int = 0


def available_methods(model: Any, methods: Sequence[str]) -> list[str]:
    """Return those of `methods` that this model can be explained with: a model without attention has no attention map.

    Raises:
        ModelError: none of them.
    """
    has_attention = hasattr(model.config, "decoder_attention_heads")
    possible = [method for method in methods if method != "attention" or has_attention]
    if not possible:
        others = ", ".join(name for name in METHODS if name != "attention")
        raise ModelError(
            f"A {model.config.model_type} has no attention, so it has no attention map. Choose among {others}."
        )
    return possible


def maps_of(
    detector: Detector,
    pixels: torch.Tensor,
    hidden: torch.Tensor,
    detections: Sequence[Detection],
    methods: Sequence[str],
    effort: Effort,
) -> tuple[list[dict[str, np.ndarray]], dict[str, float]]:
    """Return each detection's maps by method, (H, W), float32, 0 to 1, and the seconds each method took in total.

    Args:
        pixels, hidden: one image, (1, 3, H, W), and the same image blurred.
        methods: keys of METHODS.
    """
    maps: list[dict[str, np.ndarray]] = [{} for _ in detections]
    seconds: dict[str, float] = {}
    for method in methods:
        started = time.perf_counter()
        for mine, found in zip(maps, _method(method, detector, pixels, hidden, detections, effort), strict=True):
            mine[method] = found
        seconds[method] = time.perf_counter() - started
    return maps, seconds


def _method(
    method: str,
    detector: Detector,
    pixels: torch.Tensor,
    hidden: torch.Tensor,
    detections: Sequence[Detection],
    effort: Effort,
) -> list[np.ndarray]:
    if method in CAM_METHODS:
        return _cams(method, detector, pixels, detections, effort.layer)
    if method == "attention":
        return [attention_map(detector, pixels, one.query) for one in detections]
    if method == "d_rise":
        scores = all_similarities(detector, detections)
        return d_rise_maps(scores, pixels, hidden, effort.masks, effort.batch, effort.seed) if detections else []
    return [
        integrated_gradients_map(Similarity(detector, one), pixels, hidden, effort.gradient_steps, effort.batch)
        for one in detections
    ]


def _cams(
    method: str, detector: Detector, pixels: torch.Tensor, detections: Sequence[Detection], layer: str
) -> list[np.ndarray]:
    network = ClassLogits(detector)
    with tapped(detector.model) as taps:
        with torch.no_grad():
            network(pixels)
        index = {"first": 0, "middle": len(taps) // 2, "last": len(taps) - 1}[layer]
        return [cam_map(method, network, [taps[index]], pixels, QueryLogit(one.query, one.label)) for one in detections]


def all_similarities(detector: Detector, detections: Sequence[Detection]) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return a function from images (B, 3, H, W) to the similarities (B, D) of D detections, in one forward pass."""

    def scores(images: torch.Tensor) -> torch.Tensor:
        logits, boxes = detector(images)
        probabilities = detector.probabilities(logits)
        return torch.stack([similarity(probabilities, boxes, one) for one in detections], 1)

    return scores
