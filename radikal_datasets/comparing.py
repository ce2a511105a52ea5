"""The six sources side by side, for choosing one: what is known of each, and what a training on it took and reached."""

from __future__ import annotations

from dataclasses import dataclass

from .source import Source
from .sources import list_sources

NOT_MEASURED = "not measured yet"
#: The fact that is a sentence, and stands below a table better than in it.
BEST_USE = "best use"


@dataclass(frozen=True)
class Measured:
    """A training that was run and timed, with one seed or several: the reduced form of docs/benchmark.md.

    Attributes:
        config: file in training/configs that the form changes.
        seeds: how many; the figures are their means.
        minutes: from start to end, scoring and saving included.
        map_50: of the source's test split (protocol recommended), a fraction.
        hardware: where it ran.
        commits: of this repository.
    """

    config: str
    seeds: int
    minutes: float
    map_50: float
    hardware: str
    commits: tuple[str, ...]


_CPU = "2 CPU cores (AMD EPYC, shared, beside other work)"
#: One a source. Written down by hand from benchmarks/results/accuracy.md, since the wheel has no benchmarks folder;
#: whoever measures again changes the line here and docs/choosing.md.
MEASURED: dict[str, Measured] = {
    "deeppcb": Measured("deeppcb.yaml", 2, 32.8, 0.711, _CPU, ("f6f55e6", "f991153")),
    "gdxray": Measured("gdxray_castings.yaml", 3, 25.3, 0.093, _CPU, ("b57276f", "f991153")),
    "neu_det": Measured("neu_det.yaml", 3, 27.9, 0.364, _CPU, ("9f6f1e4", "b57276f")),
}

# Pixels, as docs/sources has them; (S) and (R) as there: a third party's statement, a recollection.
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
    """Source -> fact -> value, in words; the same facts in the same order for every source."""
    return {source.name: _facts(source) for source in list_sources()}


def footnotes() -> list[str]:
    """Where and how the trainings of the matrix ran, and what the marks mean."""
    told = [
        f"{name}: reduced form of training/configs/{run.config}, {_seeds(run.seeds)}, {run.hardware}, "
        f"commit{'s' * (len(run.commits) > 1)} {' and '.join(run.commits)}; mAP50 of the test split."
        for name, run in MEASURED.items()
    ]
    return [*told, "(S): stated by others; (R): a recollection. docs/choosing.md tells how each figure was had."]


def _seeds(count: int) -> str:
    return "one seed" if count == 1 else f"mean of {count} seeds"


def _facts(source: Source) -> dict[str, str]:
    run = MEASURED.get(source.name)
    return {
        "images": _images(source),
        "real or made": "real" if source.real else "made",
        "truth": source.truth.partition(";")[0] + ("" if ";" not in source.truth else ", some masks"),
        "classes": _classes(source),
        "image size": _SIZES.get(source.name, "?"),
        "clean images": _DEFECT_FREE.get(source.name, "?"),
        "may be passed on": "yes" if source.licence.redistributable else "no",
        "licence": source.licence.name,
        "training minutes": NOT_MEASURED if run is None else f"{run.minutes:g}",
        "score (test mAP50)": NOT_MEASURED if run is None else f"{run.map_50:.3f}",
        BEST_USE: source.best_use,
    }


def _images(source: Source) -> str:
    """Of the whole set; where not all configurations were counted, of those that were."""
    single = [config for config in source.configs if not config.parts]
    counted = [config for config in single if config.images is not None]
    total = f"{sum(config.images or 0 for config in counted):,}"
    return total if len(counted) == len(single) else f"{total} {', '.join(config.name for config in counted)}"


def _classes(source: Source) -> str:
    """How many names a box may have."""
    joined = [config for config in source.configs if config.parts]
    if joined:
        return f"{len(joined[0].classes)} in {len(joined[0].parts)} configs"
    if len(source.configs) > 1 and all(len(config.classes) == 1 for config in source.configs):
        return "1 a config"
    return str(len({name for config in source.configs for name in config.classes}))
