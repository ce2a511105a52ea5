"""All images in numbers: what each method reached, and where it fails."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from training.explaining.baselines import BASELINES
from training.explaining.explained import TITLES, Explained, Explanation

#: Energy inside the true box; deletion and insertion beside RIVALS'; correlation with redrawn models' maps.
TESTS = ("energy", "curves", "redrawn")
RIVALS = ("random", "centre")
#: A map's energy inside the true box must be this many times that of the random map.
LEAST_RATIO = 2.0
#: Boxes that cover more of the image than this are left out of the ratio: no map could reach LEAST_RATIO there.
LARGEST_AREA = 1 / LEAST_RATIO
#: A map must delete and insert better than both RIVALS in this part of the detections.
LEAST_WON = 0.75
#: Above this mean correlation a map is the same whatever the redrawn part has learnt.
HIGHEST_CORRELATION = 0.5


@dataclass(frozen=True)
class MethodSummary:
    """Means over detections of one method, the consensus or a baseline.

    Attributes:
        energy, pointing: inside the true box, over right detections; None where there is none.
        ratio: mean energy over the random map's, over right detections whose box covers at most half of the image.
        energy_in_call, deletion, insertion: over all detections.
        curves_won: the part of the detections where deletion is lower and insertion higher than both RIVALS'.
        redrawn: correlation with the redrawn models' maps, by part, over the images this was done for.
        seconds: an image.
        passes: of the tests TESTS; None where a test could not be made, empty for baselines, which are no methods.
    """

    name: str
    energy: float | None
    ratio: float | None
    pointing: float | None
    energy_in_call: float | None
    deletion: float | None
    insertion: float | None
    curves_won: float | None
    redrawn: dict[str, float]
    seconds: float | None
    passes: dict[str, bool | None]

    @property
    def fails(self) -> list[str]:
        """Names of the tests it fails."""
        return [test for test, passed in self.passes.items() if passed is False]


@dataclass(frozen=True)
class Summary:
    """Of all images.

    Attributes:
        right, false_calls: explained detections.
        tested: right ones whose box covers at most half of the image, on which `ratio` rests.
        reachable: the ratio of a map whose whole energy lies in the true box.
        redrawn: detections that were held against redrawn models.
        agreement: mean over detections.
        hidden_score: mean score left on the blurred images.
    """

    right: int
    false_calls: int
    tested: int
    reachable: float | None
    redrawn: int
    agreement: float | None
    hidden_score: float | None
    methods: list[MethodSummary]

    def to_dict(self) -> dict[str, Any]:
        """For json."""
        return asdict(self)


def summarize(explained: Sequence[Explained]) -> Summary:
    """The numbers of the index page."""
    every = [one for image in explained for one in image.explanations]
    right = [one for one in every if one.partner is not None]
    tested = [one for one in right if one.area is not None and one.area <= LARGEST_AREA]
    names = [name for name in TITLES if any(name in one.scores for one in every)]
    uniform = _mean(_energies(tested, "random"))
    checked = [one for one in every if any(scores.redrawn for scores in one.scores.values())]
    return Summary(
        right=len(right),
        false_calls=len(every) - len(right),
        tested=len(tested),
        reachable=1 / uniform if uniform else None,
        redrawn=len(checked),
        agreement=_mean(one.agreement for one in every),
        hidden_score=_mean(one.hidden_score for one in every),
        methods=[_method(name, every, right, tested, uniform, explained) for name in names],
    )


def _method(
    name: str,
    every: Sequence[Explanation],
    right: Sequence[Explanation],
    tested: Sequence[Explanation],
    uniform: float | None,
    explained: Sequence[Explained],
) -> MethodSummary:
    energy = _mean(_energies(tested, name))
    ratio = energy / uniform if energy is not None and uniform else None
    won = _mean(_curves_won(one, name) for one in every)
    redrawn: dict[str, float] = {}
    for part in sorted({part for one in every for part in one.scores[name].redrawn}):
        redrawn[part] = float(np.mean([s.redrawn[part] for one in every if part in (s := one.scores[name]).redrawn]))
    return MethodSummary(
        name=name,
        energy=_mean(_energies(right, name)),
        ratio=ratio,
        pointing=_mean(one.scores[name].pointing for one in right),
        energy_in_call=_mean(one.scores[name].energy_in_call for one in every),
        deletion=_mean(one.scores[name].deletion for one in every),
        insertion=_mean(one.scores[name].insertion for one in every),
        curves_won=won,
        redrawn=redrawn,
        seconds=_mean(image.seconds.get(name) for image in explained if image.explanations),
        passes={} if name in BASELINES else _passes(name, ratio, won, redrawn),
    )


def _passes(name: str, ratio: float | None, won: float | None, redrawn: dict[str, float]) -> dict[str, bool | None]:
    # A mean of ranks is spread over the whole image: even a perfect one has hardly more than twice the energy.
    energy = None if ratio is None or name == "consensus" else ratio >= LEAST_RATIO
    changes = all(value <= HIGHEST_CORRELATION for value in redrawn.values()) if redrawn else None
    return dict(zip(TESTS, (energy, None if won is None else won >= LEAST_WON, changes), strict=True))


def _curves_won(one: Explanation, name: str) -> float | None:
    """1 where the map deletes and inserts better than both rivals, else 0; None without curves."""
    mine = one.scores[name]
    if mine.deletion is None or mine.insertion is None:
        return None
    rivals = [one.scores[rival] for rival in RIVALS]
    lower = all(rival.deletion is not None and mine.deletion < rival.deletion for rival in rivals)
    higher = all(rival.insertion is not None and mine.insertion > rival.insertion for rival in rivals)
    return float(lower and higher)


def _energies(some: Sequence[Explanation], name: str) -> Iterable[float | None]:
    return (one.scores[name].energy for one in some)


def _mean(values: Iterable[float | None]) -> float | None:
    kept = [value for value in values if value is not None]
    return float(np.mean(kept)) if kept else None
