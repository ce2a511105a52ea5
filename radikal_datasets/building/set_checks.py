"""Judge a set as a whole: faults that repeat usually mean that its format was misunderstood."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..report import Effect, Kind, Report
from ..schema import Example

MOSTLY_UNLABELED = Kind(
    "mostly_unlabeled", Effect.MISREAD, "most images have no annotation: perhaps names do not match, or they are clean"
)
INVERTED_MASKS = Kind(
    "inverted_masks", Effect.MISREAD, "most masks mark more than half of their image: perhaps inverted"
)

#: A repair is for slips: it may apply to this share of the rows it could apply to, or to fewer than `LEAST` of them.
SHARE, LEAST = 0.2, 10


def check_repairs(
    examples: Sequence[Example], report: Report, expected: Mapping[str, str], hint: str = ""
) -> dict[str, str]:
    """Count each repair that applies to more than a fifth of its rows as `systematic_<repair>`.

    Args:
        examples: of the set.
        report: what was found so far; is added to.
        expected: repairs that the source's facts expect, with the reason.
        hint: what may be wrong, for the message.

    Returns:
        The repairs that are that frequent and right, by the facts or because the data prove it, with the reason.
    """
    counts = report.counts()
    totals = {
        **report.chances,
        "boxes": sum(len(one.instances) for one in examples) + counts.get("empty_box", 0),
        "images": len(examples),
    }
    accepted = {}
    for kind in [kind for kind in report.kinds.values() if kind.unit]:
        count, total = counts[kind.name], totals.get(kind.unit, 0)
        if count < LEAST or count <= SHARE * total:
            continue
        found = f"{count:,} of {total:,} {kind.unit}"
        unproven = count - report.proven[kind.name]
        if kind.name in expected:
            accepted[kind.name] = f"{found}: {expected[kind.name]}"
        elif unproven < LEAST or unproven <= SHARE * total:
            accepted[kind.name] = f"{found}: the data prove it right"
        else:
            meaning = f"{kind.name} applies to more than a fifth of all {kind.unit}: the format is probably another one"
            systematic = Kind(f"systematic_{kind.name}", Effect.MISREAD, meaning)
            report.add(systematic, report.files(kind.name)[0], f"{found}. {hint}".rstrip(), count=count)
    return accepted


def check_unlabeled(examples: Sequence[Example], report: Report, most: float = 0.5) -> None:
    """Count a set of which more than the share `most` is not annotated.

    Args:
        examples: those that should have an annotation.
        report: is added to.
        most: the share that is normal.
    """
    unlabeled = [example for example in examples if not example.annotated]
    if len(unlabeled) > most * len(examples):
        found = f"{len(unlabeled):,} of {len(examples):,} images"
        report.add(MOSTLY_UNLABELED, unlabeled[0].image, found, count=len(unlabeled))


def check_masks(examples: Sequence[Example], report: Report, shares: Sequence[float]) -> None:
    """Count masks as inverted if more than half of them mark more than half of their image.

    Args:
        shares: of every mask that is not empty, the share of its pixels that is defect.
    """
    inverted = [share for share in shares if share > 0.5]
    if shares and len(inverted) * 2 > len(shares):
        found = f"{len(inverted):,} of {len(shares):,} masks"
        report.add(INVERTED_MASKS, examples[0].image if examples else "", found, count=len(inverted))
