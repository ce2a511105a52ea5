"""Summary over all images: the results of each method, and the tests it fails."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from training.explaining.baselines import BASELINES
from training.explaining.explained import Explained, Explanation
from training.explaining.verdicts import TESTS, TITLES, MethodSummary

#: What deletion and insertion are compared with.
RIVALS = ("random", "center")
#: A map's energy inside the true box must be this many times that of the random map.
LEAST_RATIO = 2.0
#: Boxes that cover more of the image than this are left out of the ratio: no map could reach LEAST_RATIO for them.
LARGEST_AREA = 1 / LEAST_RATIO
#: Fraction of the detections in which a map must have better deletion and insertion than both RIVALS.
LEAST_WON = 0.75
#: Above this mean correlation a map hardly depends on what the re-initialized part has learned.
HIGHEST_CORRELATION = 0.5


@dataclass(frozen=True)
class Summary:
    """Summary of all images.

    Attributes:
        right, false_calls: numbers of explained detections that are true and false positives.
        tested: correct detections whose box covers at most half of the image; `ratio` is computed on these.
        reachable: the ratio of a map with all its energy in the true box.
        redrawn: number of detections compared with re-initialized models.
        agreement: mean over detections.
        hidden_score: mean remaining score on the blurred images.
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
        """Return a dict for JSON."""
        return asdict(self)


def summarize(explained: Sequence[Explained]) -> Summary:
    """Compute the numbers of the index page."""
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
    # A mean of ranks covers the entire image: even a perfect one has hardly more than twice the energy.
    energy = None if ratio is None or name == "consensus" else ratio >= LEAST_RATIO
    changes = all(value <= HIGHEST_CORRELATION for value in redrawn.values()) if redrawn else None
    return dict(zip(TESTS, (energy, None if won is None else won >= LEAST_WON, changes), strict=True))


def _curves_won(one: Explanation, name: str) -> float | None:
    """Return 1 if deletion and insertion of the map are better than both rivals', else 0; None without curves."""
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
