"""Explain one image: compute its maps, and the scores of each map."""

from __future__ import annotations

import dataclasses
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from training.explaining.baselines import BASELINES, baseline_map, blurred
from training.explaining.cases import Box, Case
from training.explaining.consensus import agreement, consensus_map, spearman
from training.explaining.methods import Effort, maps_of
from training.explaining.targets import Detection, Detector, Similarity, best_query
from training.explaining.trust import area_of, deletion_and_insertion, energy_inside, pointing_hit


@dataclass(frozen=True)
class MapScores:
    """Scores of one map.

    Attributes:
        energy, pointing: inside the true box of the defect; None for a false positive, which has none.
        energy_in_call: inside the detected box.
        deletion, insertion: areas under the curves, 0 to 1, that is, the mean score along them; None if no curves
            were requested.
        redrawn: Spearman's correlation with the map of the model whose decoder, or backbone, was re-initialized.
    """

    energy: float | None
    pointing: float | None
    energy_in_call: float
    deletion: float | None
    insertion: float | None
    redrawn: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Explanation:
    """One detection with its maps, each (H, W), float32, 0 to 1, and their scores, including consensus and baselines.

    Attributes:
        partner: the matched true box; None: a false positive.
        area: fraction of the image that `partner` covers.
        hidden_score: remaining score of the detection on the blurred image, with which every curve starts or ends.
        agreement: mean Spearman correlation over all pairs of the methods' maps; None with fewer than two.
    """

    detection: Detection
    partner: Box | None
    area: float | None
    hidden_score: float
    agreement: float | None
    maps: dict[str, np.ndarray]
    scores: dict[str, MapScores]


@dataclass(frozen=True)
class Explained:
    """One explained image; `seconds` per method, for `scoring` and, if it was done, `redrawing`."""

    case: Case
    explanations: list[Explanation]
    seconds: dict[str, float]

    @property
    def total_seconds(self) -> float:
        """Total time of all methods and scores, in seconds."""
        return sum(self.seconds.values())


def explain(
    detector: Detector, case: Case, methods: Sequence[str], effort: Effort, others: Mapping[str, Detector]
) -> Explained:
    """Compute maps and scores of every detection in one image.

    Args:
        methods: keys of METHODS.
        others: models with re-initialized weights, to compare the maps with; may be empty.
    """
    hidden = blurred(case.pixels)
    maps, seconds = maps_of(detector, case.pixels, hidden, case.detections, methods, effort)
    started = time.perf_counter()
    redrawn = _redrawn(others, case, hidden, effort, maps)
    if others:
        seconds["redrawing"] = time.perf_counter() - started
    started = time.perf_counter()
    explanations = [_scored(detector, case, hidden, effort, i, mine, redrawn[i]) for i, mine in enumerate(maps)]
    seconds["scoring"] = time.perf_counter() - started
    return Explained(case, explanations, seconds)


def _redrawn(
    others: Mapping[str, Detector],
    case: Case,
    hidden: torch.Tensor,
    effort: Effort,
    maps: Sequence[Mapping[str, np.ndarray]],
) -> list[dict[str, dict[str, float]]]:
    """Return for each detection: method -> part -> correlation.

    Of the other model, the query most similar to the detection is used, so that both maps concern the same position.
    """
    found: list[dict[str, dict[str, float]]] = [{method: {} for method in mine} for mine in maps]
    for part, other in others.items():
        moved = [dataclasses.replace(one, query=best_query(other, case.pixels, one)) for one in case.detections]
        theirs, _ = maps_of(other, case.pixels, hidden, moved, list(maps[0]) if maps else [], effort)
        for mine, others_map, result in zip(maps, theirs, found, strict=True):
            for method, values in mine.items():
                result[method][part] = spearman(values, others_map[method])
    return found


def _scored(
    detector: Detector,
    case: Case,
    hidden: torch.Tensor,
    effort: Effort,
    index: int,
    maps: Mapping[str, np.ndarray],
    redrawn: Mapping[str, Any],
) -> Explanation:
    detection, partner = case.detections[index], case.partners[index]
    shape = (case.pixels.shape[-2], case.pixels.shape[-1])
    generator = np.random.default_rng([effort.seed, zlib.crc32(case.name.encode()), index])
    every = dict(maps)
    if len(maps) > 1:
        every["consensus"] = consensus_map(maps)
    every |= {name: baseline_map(name, shape, detection.box, generator) for name in BASELINES}
    score = Similarity(detector, detection)
    scores = {}
    for name, values in every.items():
        curves = (
            deletion_and_insertion(score, case.pixels, hidden, values, effort.curve_steps, effort.batch, generator)
            if effort.curve_steps
            else None
        )
        scores[name] = MapScores(
            energy=None if partner is None else energy_inside(values, partner),
            pointing=None if partner is None else pointing_hit(values, partner),
            energy_in_call=energy_inside(values, detection.box),
            deletion=curves and curves.deletion_area,
            insertion=curves and curves.insertion_area,
            redrawn=redrawn.get(name, {}),
        )
    with torch.no_grad():
        hidden_score = float(score(hidden)[0])
    area = None if partner is None else area_of(partner, shape)
    return Explanation(detection, partner, area, hidden_score, agreement(maps), every, scores)
