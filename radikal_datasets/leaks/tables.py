"""Print the findings of `verify --deep`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..splits import UNLABELED
from .finding import PAIRS, Leaks, Pair, SplitGroup
from .image_set import Item
from .mistakes import MEANINGS, Mistake

#: How many examples of each kind are listed.
_MOST_LEAKS, _MOST_OTHERS = 8, 3


def pair_counts(found: Leaks) -> dict[str, tuple[int, int, int]]:
    """Return kind -> pairs across splits, pairs with an image of the split unlabeled, pairs within a split."""
    counts = {}
    for kind in PAIRS:
        pairs = [pair for pair in found.pairs if pair.kind == kind]
        across, within = sum(p.leaks for p in pairs), sum(p.first.split == p.second.split for p in pairs)
        counts[kind] = (across, len(pairs) - across - within, within)
    return counts


def mistakes_by_kind(found: Leaks) -> dict[str, list[Mistake]]:
    """Return kind -> mistakes, without kinds that do not occur."""
    by_kind = {kind: [m for m in found.mistakes if m.kind == kind] for kind in MEANINGS}
    return {kind: mistakes for kind, mistakes in by_kind.items() if mistakes}


def summary(found: Leaks) -> list[str]:
    """Return sentences, the most important first; empty if there is nothing to report."""
    lines = []
    if found.across:
        places = Counter(pair.where for pair in found.across)
        counts = ", ".join(f"{count:,} in {where}" for where, count in places.most_common())
        lines.append(f"{_of(len(found.across), 'pair')} of images across splits: {counts}.")
    if found.groups:
        groups = ", ".join(map(group_text, found.groups[:_MOST_LEAKS]))
        more = " ..." if len(found.groups) > _MOST_LEAKS else "."
        lines.append(f"{_of(len(found.groups), 'group')} spread over splits: {groups}{more}")
    if found.conflicts:
        lines.append(f"{_of(len(found.conflicts), 'pair')} of identical images with different annotations.")
    if found.lookalikes:
        crossing = sum(crosses(items) for items in found.lookalikes)
        lines.append(
            f"{_of(len(found.lookalikes), 'set')} of images that all look alike, {crossing:,} of them across splits: "
            "the same scene taken many times; whether two are the same image cannot be determined."
        )
    if found.undecodable:
        lines.append(f"{_of(len(found.undecodable), 'image')} could not be decoded and were not compared.")
    return lines


def crosses(items: Sequence[Item]) -> bool:
    """Return whether lookalikes are in several splits, apart from unlabeled."""
    return len({item.split for item in items} - {UNLABELED}) > 1


def group_text(group: SplitGroup) -> str:
    """Return `deeppcb/group20085 (40 train, 3 test)`."""
    return f"{group.group} ({', '.join(f'{count:,} {split}' for split, count in group.images.items())})"


def pair_text(pair: Pair) -> str:
    """Return one line: both images with their splits, and how they are alike or differ."""
    details = PAIRS[pair.kind].partition(":")[0] + (f" ({pair.how})" if pair.how else "")
    details += f"; annotations differ: {pair.conflict}" if pair.conflict else ""
    return f"{pair.first.image_id} [{pair.first.split}] = {pair.second.image_id} [{pair.second.split}]: {details}"


def print_leaks(console: Console, title: str, found: Leaks) -> None:
    """Print counts, sentences and the first examples of each kind."""
    console.rule(f"{escape(title)}: leaks and mistakes", align="left")
    table = Table("pairs of images with", "across splits", "one unlabeled", "within a split")
    for kind, counts in pair_counts(found).items():
        table.add_row(PAIRS[kind].partition(":")[0], *(f"{count:,}" for count in counts))
    console.print(table)
    for line in summary(found):
        console.print(f"! {line}", highlight=False, markup=False)
    conflicts = [pair for pair in found.conflicts if not pair.leaks]
    for pairs, most in ((found.across, _MOST_LEAKS), (conflicts, _MOST_OTHERS)):
        for pair in pairs[:most]:
            console.print(f"  {pair_text(pair)}", highlight=False, markup=False)
        if len(pairs) > most:
            console.print(f"  ... and {len(pairs) - most:,} more: --html shows them, --json lists all", highlight=False)
    by_kind = mistakes_by_kind(found)
    if by_kind:
        table = Table("to check", "images", "what")
        for kind, mistakes in by_kind.items():
            table.add_row(kind, f"{len({m.item.number for m in mistakes}):,}", MEANINGS[kind])
        console.print(table)
    for kind, mistakes in by_kind.items():
        for mistake in mistakes[:_MOST_OTHERS]:
            console.print(f"  {kind}: {mistake.item.image_id}: {mistake.found}", highlight=False, markup=False)
    if not summary(found) and not by_kind:
        console.print("No leak and nothing suspicious found.")


def _of(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
