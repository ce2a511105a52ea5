"""Compare the sources side by side: facts about each, and the duration and score of a training on it."""

from __future__ import annotations

from dataclasses import dataclass

from .source import Source
from .sources import list_sources

NOT_MEASURED = "not measured yet"
#: This fact is a sentence and reads better below a table than in it.
BEST_USE = "best use"


@dataclass(frozen=True)
class Measured:
    """A training that was run and timed, with one seed or several, in the benchmark setting of docs/benchmark.md.

    Attributes:
        config: the file in training/configs that the benchmark setting is based on.
        seeds: number of seeds; the figures are their means.
        minutes: from start to end, including scoring and saving.
        map_50: on the source's test split (protocol recommended), a fraction.
        hardware: where it ran.
        commits: of this repository.
    """

    config: str
    seeds: int
    minutes: float
    map_50: float
    hardware: str
    commits: tuple[str, ...]


_CPU = "2 CPU cores (AMD EPYC, shared with other work)"
#: One per source. Copied by hand from benchmarks/results/accuracy.md, since the wheel has no benchmarks folder;
#: update this table and docs/choosing.md after a new measurement.
MEASURED: dict[str, Measured] = {
    "deeppcb": Measured("deeppcb.yaml", 2, 32.8, 0.711, _CPU, ("f6f55e6", "f991153")),
    "gdxray": Measured("gdxray_castings.yaml", 3, 25.3, 0.093, _CPU, ("b57276f", "f991153")),
    "neu_det": Measured("neu_det.yaml", 3, 27.9, 0.364, _CPU, ("9f6f1e4", "b57276f")),
}

# Pixels, as in docs/sources; (S) and (R) as there: reported by a third party, from memory.
_SIZES = {
    "gdxray": "castings 768x572, 768x574, 256x256",
    "mvtec_ad": "square, 700 to 1024 (S)",  # the paper of 2019
    "severstal": "1600x256",
    "neu_det": "200x200",
    "deeppcb": "640x640",
    "dagm2007": "512x512",
}

# Annotated images without a defect.
_DEFECT_FREE = {
    "gdxray": "462 of 1,352 annotated castings",
    "mvtec_ad": "4,096 (S)",
    "severstal": "5,902 of 12,568 annotated",
    "neu_det": "none",
    "deeppcb": "none; a template each",
    "dagm2007": "14,000 (R)",
}


def decision_matrix() -> dict[str, dict[str, str]]:
    """Return source -> fact -> value, in words; the same facts in the same order for every source."""
    return {source.name: _facts(source) for source in list_sources()}


def footnotes() -> list[str]:
    """Return where and how the trainings of the matrix ran, and what the marks mean."""
    runs = [
        f"{name}: benchmark setting of training/configs/{run.config}, {_seeds(run.seeds)}, {run.hardware}, "
        f"commit{'s' * (len(run.commits) > 1)} {' and '.join(run.commits)}; mAP50 of the test split."
        for name, run in MEASURED.items()
    ]
    return [
        *runs,
        "(S) reported by a third party; (R) from memory, unverified. "
        "See docs/choosing.md for how each number was obtained.",
    ]


def _seeds(count: int) -> str:
    return "one seed" if count == 1 else f"mean of {count} seeds"


def _facts(source: Source) -> dict[str, str]:
    run = MEASURED.get(source.name)
    return {
        "images": _images(source),
        "real or synthetic": "real" if source.real else "synthetic",
        "annotations": source.annotations.partition(";")[0] + ("" if ";" not in source.annotations else ", some masks"),
        "classes": _classes(source),
        "image size": _SIZES.get(source.name, "?"),
        "clean images": _DEFECT_FREE.get(source.name, "?"),
        "may be passed on": "yes" if source.license.redistributable else "no",
        "license": source.license.name,
        "training minutes": NOT_MEASURED if run is None else f"{run.minutes:g}",
        "score (test mAP50)": NOT_MEASURED if run is None else f"{run.map_50:.3f}",
        BEST_USE: source.best_use,
    }


def _images(source: Source) -> str:
    """Return the size of the complete set, or of those configurations that were counted."""
    single = [config for config in source.configs if not config.parts]
    counted = [config for config in single if config.images is not None]
    total = f"{sum(config.images or 0 for config in counted):,}"
    return total if len(counted) == len(single) else f"{total} {', '.join(config.name for config in counted)}"


def _classes(source: Source) -> str:
    """Return the number of class names a box may have."""
    joined = [config for config in source.configs if config.parts]
    if joined:
        return f"{len(joined[0].classes)} in {len(joined[0].parts)} configs"
    if len(source.configs) > 1 and all(len(config.classes) == 1 for config in source.configs):
        return "1 per config"
    return str(len({name for config in source.configs for name in config.classes}))
