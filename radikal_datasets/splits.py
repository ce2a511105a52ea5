"""Which image is in which split: a pure function of the images' identities, groups and classes, and a fixed seed.

It does not depend on file order, root, layout, machine, process count or time, and adding or removing one image
moves at most two others.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

TRAIN, VALIDATION, TEST, UNLABELED = "train", "validation", "test", "unlabeled"
#: The order in which a DatasetDict lists them.
SPLITS = (TRAIN, VALIDATION, TEST, UNLABELED)

RECOMMENDED, OFFICIAL, BY_SHARE = "recommended", "official", "70-15-15"
PROTOCOLS = (RECOMMENDED, OFFICIAL, BY_SHARE)

#: Chosen once, on NEU-DET (benchmarks/choose_seed.py), so that each of its six classes, counted in images that
#: hold it, is within two points of 70/15/15. Never changed: it would change everybody's test set.
SEED = 0

#: Of all images, the share of the test and of the validation set.
TEST_SHARE = VALIDATION_SHARE = 0.15

# Rounding in a stratum is carried by a fixed phase instead of a running remainder. A running remainder makes a
# stratum's cut depend on the sizes of all strata before it, and then one image more can move many
# (tests/test_splits.py counts them). Successive multiples of the golden ratio spread over [0, 1), so that the
# roundings of the strata cancel.
_GOLDEN = 0.6180339887498949
_NO_DEFECT = "none"


@dataclass(frozen=True)
class Unit:
    """Images that stay together.

    Attributes:
        group: their name.
        images: how many there are.
        classes: every defect class that one of them holds; empty if all are defect-free.
    """

    group: str
    images: int
    classes: frozenset[str]


def units(images: Iterable[tuple[str, Iterable[str]]]) -> list[Unit]:
    """Gathers `(group, classes)` of single images into units, sorted by group."""
    count: dict[str, int] = defaultdict(int)
    classes: dict[str, set[str]] = defaultdict(set)
    for group, held in images:
        count[group] += 1
        classes[group].update(held)
    return [Unit(group, count[group], frozenset(classes[group])) for group in sorted(count)]


def cut(
    source: str,
    all_units: Sequence[Unit],
    rarest_first: Sequence[str],
    *,
    test_share: float = TEST_SHARE,
    validation_share: float = VALIDATION_SHARE,
    seed: int = SEED,
) -> dict[str, str]:
    """Assigns every unit to train, validation or test.

    A unit's stratum is the rarest class it holds. Rarity is a fact of the source (its published counts) and not counted
    here: were it counted, one image could turn the order of two classes and move every image that holds both. In a
    stratum, units are sorted by a hash and cut at the shares, counted in images; a unit goes where its middle falls.

    Args:
        source: name of the source, part of the hash.
        all_units: what to cut; groups are unique.
        rarest_first: the class names, rarest first. Others count as the most frequent, in alphabetical order.
        test_share: of each stratum's images; 0 where the publisher's test set is kept.
        validation_share: of each stratum's images.
        seed: part of the hash.

    Returns:
        group -> split. With at least 3 units in a stratum (2 where `test_share` is 0), no split is empty.
    """
    rank = {name: number for number, name in enumerate(rarest_first)}
    strata: dict[str, list[Unit]] = defaultdict(list)
    for unit in all_units:
        rarest = min(unit.classes, key=lambda name: (rank.get(name, len(rank)), name), default=_NO_DEFECT)
        strata[rarest].append(unit)
    assigned: dict[str, str] = {}
    for name, members in strata.items():
        phase = ((rank.get(name, len(rank)) + 1) * _GOLDEN) % 1 - 0.5
        members.sort(key=lambda unit: hashlib.sha256(f"{seed}|{source}|{unit.group}".encode()).digest())
        wanted = [TEST] * (test_share > 0) + [VALIDATION] * (validation_share > 0)
        total = sum(unit.images for unit in members)
        edges = {TEST: test_share * total + phase, VALIDATION: (test_share + validation_share) * total + phase}
        before = 0
        splits: list[str] = []
        for unit in members:
            middle = before + unit.images / 2
            splits.append(next((split for split in wanted if middle <= edges[split]), TRAIN))
            before += unit.images
        if len(members) > len(wanted):
            _fill_empty(splits, wanted)
        assigned.update((unit.group, split) for unit, split in zip(members, splits, strict=True))
    return assigned


def _fill_empty(splits: list[str], wanted: list[str]) -> None:
    """Gives every wanted split, and train, at least one unit of a stratum; `splits` is in the order of the cut."""
    order = [*wanted, TRAIN]
    edges = [sum(split in order[: k + 1] for split in splits) for k in range(len(wanted))]
    for k in range(len(edges)):  # at least one unit before this edge for each split up to it
        edges[k] = max(edges[k], (edges[k - 1] if k else 0) + 1)
    for k in reversed(range(len(edges))):  # and at least one after it for each split that follows
        edges[k] = min(edges[k], len(splits) - (len(edges) - k))
    for position in range(len(splits)):
        splits[position] = next((order[k] for k in range(len(edges)) if position < edges[k]), TRAIN)
