"""Compare the sources side by side: facts about each, and the duration and score of a training on it."""

from __future__ import annotations

from collections.abc import Sequence

from . import splits
from .source import Source
from .sources import list_sources

NOT_MEASURED = "not measured yet"
#: A source does not state this fact.
UNKNOWN = "?"
#: This fact is a sentence and reads better below a table than in it.
BEST_USE = "best use"


def decision_matrix(sources: Sequence[Source] | None = None) -> dict[str, dict[str, str]]:
    """Return source -> fact -> value, in words; the same facts in the same order for every source.

    Args:
        sources: the sources to compare; None: all, those of other packages included.
    """
    return {source.name: _facts(source) for source in (list_sources() if sources is None else sources)}


def footnotes(sources: Sequence[Source] | None = None) -> list[str]:
    """Return where and how the trainings of the matrix ran, how to make those that are missing, and the marks."""
    compared = list_sources() if sources is None else sources
    runs = [
        f"{source.name}: benchmark setting of training/configs/{run.recipe} as of commit"
        f"{'s' * (len(run.commits) > 1)} {' and '.join(run.commits)}, {_seeds(run.seeds)}, {run.hardware}; mAP50 of "
        "the test split."
        for source in compared
        if (run := source.measured) is not None
    ]
    open_ones = [source.name for source in compared if source.measured is None]
    how = (
        f"Not measured yet: {', '.join(open_ones)}. `radikal-datasets train NAME --data-dir DIR` measures one; minutes "
        "and score stand in the run's metrics.json."
    )
    return [
        *runs,
        *([how] if open_ones else []),
        "(S) reported by a third party; (R) from memory, unverified. "
        "See docs/choosing.md for how each number was obtained.",
    ]


def passing_on(source: Source) -> str:
    """Return whether copies of a source may be passed on, and under which license."""
    return f"yes, {source.license.name}" if source.license.redistributable else "no"


def annotated_with(source: Source) -> str:
    """Return what the annotations are, in a word or two."""
    return source.annotations.partition(";")[0] + ("" if ";" not in source.annotations else ", some masks")


def protocol_words(source: Source, protocol: str) -> str:
    """Return how a protocol splits a source."""
    if protocol in source.split_notes:
        return source.split_notes[protocol]
    if protocol not in source.protocols:
        return "none"
    if protocol == splits.OFFICIAL:
        return "train, test"
    if protocol == splits.RECOMMENDED:
        kept = "publisher's test; 15 % of its train is validation"
        return kept if source.keeps_publisher_test else "70/15/15"
    return "70/15/15 over all images" if source.keeps_publisher_test else "as recommended"


def _seeds(count: int) -> str:
    return "one seed" if count == 1 else f"mean of {count} seeds"


def _facts(source: Source) -> dict[str, str]:
    run = source.measured
    return {
        "images": _images(source),
        "real or synthetic": "real" if source.real else "synthetic",
        "labeled with": annotated_with(source),
        "classes": _classes(source),
        "image size": source.image_sizes or UNKNOWN,
        "clean images": source.defect_free or UNKNOWN,
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
    if not counted:
        return UNKNOWN
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
