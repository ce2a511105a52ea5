"""Assign images to splits: a pure function of the images' identities, groups and classes, and a fixed seed.

The result does not depend on file order, root, layout, machine, process count or time, and adding or removing one image
moves at most two other groups.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

TRAIN, VALIDATION, TEST, UNLABELED = "train", "validation", "test", "unlabeled"
#: The order in which a DatasetDict lists them.
SPLITS = (TRAIN, VALIDATION, TEST, UNLABELED)

RECOMMENDED, OFFICIAL, BY_SHARE = "recommended", "official", "70-15-15"
PROTOCOLS = (RECOMMENDED, OFFICIAL, BY_SHARE)

#: Chosen once, on NEU-DET (benchmarks/choose_seed.py), so that each of its six classes, counted in images that
#: hold it, is within two points of 70/15/15. Never changed: that would change everybody's test set.
SEED = 0

#: The share of all images in the test set and in the validation set.
TEST_SHARE = VALIDATION_SHARE = 0.15

# Rounding in a stratum is carried by a fixed phase instead of a running remainder. A running remainder makes the
# split of a stratum depend on the sizes of all strata before it, so that one additional image can move many
# (tests/test_splits.py counts them). Successive multiples of the golden ratio spread over [0, 1), so that the
# rounding errors of the strata cancel.
_GOLDEN = 0.6180339887498949
_NO_DEFECT = "none"


@dataclass(frozen=True)
class Unit:
    """Images that stay together.

    Attributes:
        group: their common name.
        places: the names whose hashes determine its position in its stratum, sorted: the group's own name for a
            series or a board; for byte-identical duplicates the `image_id` of each, which is where each would stand
            alone.
        images: how many images it counts for when splitting: all of a series, but one for a set of duplicates.
            Otherwise the loss of a duplicate would move as many others as the loss of an image, in addition to those
            that its name moves.
        classes: every defect class in any of its images; empty if all are defect-free.
    """

    group: str
    places: tuple[str, ...]
    images: int
    classes: frozenset[str]


def units(images: Iterable[tuple[str, str, Iterable[str]]]) -> list[Unit]:
    """Collect `(group, place, classes)` of single images into units, sorted by group."""
    places: dict[str, Counter[str]] = defaultdict(Counter)
    classes: dict[str, set[str]] = defaultdict(set)
    for group, place, held in images:
        places[group][place] += 1
        classes[group].update(held)
    return [
        Unit(group, tuple(sorted(places[group])), max(places[group].values()), frozenset(classes[group]))
        for group in sorted(places)
    ]


def cut(
    source: str,
    all_units: Sequence[Unit],
    rarest_first: Sequence[str],
    *,
    test_share: float = TEST_SHARE,
    validation_share: float = VALIDATION_SHARE,
    seed: int = SEED,
) -> dict[str, str]:
    """Assign every unit to train, validation or test.

    A unit's stratum is the rarest class it holds. Rarity is a fact of the source (its published counts) and is not
    counted here: if it were, one image could swap the order of two classes and move every image that holds both.
    Within a stratum, units are sorted by the hash of their place and split at the shares, counted in images; a unit
    goes to the split in which its middle falls.

    Duplicates have a place each. They are in test only if their last place is before the edge of test, and in train
    only if their first one is after the edge of validation; else in validation. So when one duplicate is removed, at
    most the others of its group change sides, plus one more unit at one edge.

    Args:
        source: name of the source, part of the hash.
        all_units: the units to split; groups are unique.
        rarest_first: the class names, rarest first. Others count as the most frequent, in alphabetical order.
        test_share: share of each stratum's images; 0 if the publisher's test set is kept.
        validation_share: share of each stratum's images.
        seed: part of the hash.

    Returns:
        group -> split. With at least 3 units in a stratum (2 if `test_share` is 0), no split is empty.
    """
    rank = {name: number for number, name in enumerate(rarest_first)}
    strata: dict[str, list[Unit]] = defaultdict(list)
    for unit in all_units:
        rarest = min(unit.classes, key=lambda name: (rank.get(name, len(rank)), name), default=_NO_DEFECT)
        strata[rarest].append(unit)
    places = {
        unit.group: sorted(hashlib.sha256(f"{seed}|{source}|{place}".encode()).digest() for place in unit.places)
        for unit in all_units
    }
    assigned: dict[str, str] = {}
    for name, members in strata.items():
        phase = ((rank.get(name, len(rank)) + 1) * _GOLDEN) % 1 - 0.5
        total = sum(unit.images for unit in members)
        by_first = sorted(members, key=lambda unit: places[unit.group][0])
        by_last = sorted(members, key=lambda unit: places[unit.group][-1])
        tests = _before(by_last, test_share * total + phase) if test_share else 0
        held_out = _before(by_first, (test_share + validation_share) * total + phase) if validation_share else tests
        tests, held_out = _none_empty(tests, held_out, len(members), test_share > 0, validation_share > 0)
        test = {unit.group for unit in by_last[:tests]}
        others = [unit.group for unit in by_first if unit.group not in test]
        validation = {unit.group for unit in by_first[:held_out]} - test
        if len(validation) == len(others) > 1:  # three units, two of them duplicates with places on both sides
            validation.remove(others[-1])
        for unit in members:
            group = unit.group
            assigned[group] = TEST if group in test else VALIDATION if group in validation else TRAIN
    return assigned


def _before(ordered: Sequence[Unit], edge: float) -> int:
    """Return how many units have their middle, counted in images, before the edge."""
    before = 0
    for number, unit in enumerate(ordered):
        if before + unit.images / 2 > edge:
            return number
        before += unit.images
    return len(ordered)


def _none_empty(tests: int, held_out: int, count: int, has_test: bool, has_validation: bool) -> tuple[int, int]:
    """Move the two edges so that each requested split, and train, gets one of `count` units, if there are enough."""
    if count <= has_test + has_validation:
        return tests, held_out
    tests = min(max(tests, int(has_test)), count - 1 - has_validation)
    return tests, min(max(held_out, tests + has_validation), count - 1)
