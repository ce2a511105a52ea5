"""Samplers: epochs of equal length, no unannotated images, the documented shares; determined by seed and epoch."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, List, Value
from hypothesis import assume, given
from hypothesis import strategies as st

from loaders.sampling import ClassBalancedSampler, DefectFreeRatioSampler, RepeatFactorSampler, Sampler

CLASSES = ["a", "b", "c", "d"]
Rows = list[tuple[list[int], bool]]


def made(rows: Rows) -> Dataset:
    features = Features({"labels": List(ClassLabel(names=CLASSES)), "annotated": Value("bool")})
    labels, annotated = [row[0] for row in rows], [row[1] for row in rows]
    return Dataset.from_dict({"labels": labels, "annotated": annotated}, features=features)


def image() -> st.SearchStrategy[tuple[list[int], bool]]:
    annotated = st.lists(st.sampled_from([0, 0, 0, 1, 1, 2, 3]), max_size=4).map(lambda labels: (labels, True))
    return st.one_of(annotated, annotated, annotated, st.just(([], False)))


sets = st.lists(image(), min_size=1, max_size=60).filter(lambda rows: any(annotated for _, annotated in rows))
seeds = st.integers(0, 1000)


def samplers(rows: Rows, ratio: float = 0.5) -> list[Sampler]:
    dataset = made(rows)
    found: list[Sampler] = [ClassBalancedSampler(dataset), RepeatFactorSampler(dataset, 0.6)]
    held = [bool(labels) for labels, annotated in rows if annotated]
    if any(held):
        found.append(DefectFreeRatioSampler(dataset, ratio if not all(held) else 0.0))
    return found


@given(rows=sets, seed=seeds, ratio=st.floats(0, 0.9))
def test_what_holds_for_all(rows: Rows, seed: int, ratio: float) -> None:
    for sampler in samplers(rows, ratio):
        epochs = [sampler.rows(seed, epoch) for epoch in range(5)]
        assert len({len(drawn) for drawn in epochs}) == 1
        assert all(drawn.dtype == np.int64 and rows[row][1] for drawn in epochs for row in drawn)
        state = torch.get_rng_state()
        np.random.seed(seed)
        assert np.array_equal(sampler.rows(seed, 3), epochs[3])
        assert torch.equal(torch.get_rng_state(), state)


@given(rows=sets, seed=seeds, num_samples=st.one_of(st.none(), st.integers(1, 200)))
def test_class_balanced(rows: Rows, seed: int, num_samples: int | None) -> None:
    """Each row is drawn for one of its classes; with single-class images the draws can be counted."""
    rows = [(labels[:1], annotated) for labels, annotated in rows]
    drawn = ClassBalancedSampler(made(rows), num_samples).rows(seed, 0)
    assert len(drawn) == (num_samples or sum(annotated for _, annotated in rows))
    by_class: dict[object, Counter[int]] = {}
    kinds = {tuple(labels) for labels, annotated in rows if annotated}
    for kind in kinds:
        images = {row: 0 for row, (labels, annotated) in enumerate(rows) if annotated and tuple(labels) == kind}
        by_class[kind] = Counter(images)
    for row in drawn.tolist():
        by_class[tuple(rows[row][0])][row] += 1
    totals = [sum(counts.values()) for counts in by_class.values()]
    assert max(totals) - min(totals) <= 1
    for counts in by_class.values():
        assert max(counts.values()) - min(counts.values()) <= 1


def test_class_balanced_with_several_classes_per_image() -> None:
    rows: Rows = [([0, 0, 1], True), ([0], True), ([], True), ([], False)]
    drawn = Counter(ClassBalancedSampler(made(rows), 300).rows(0, 0).tolist())
    assert drawn == {0: 150, 1: 50, 2: 100}  # class 0: 100 over rows 0 and 1; class 1: 100 of row 0; defect-free: 100


@given(rows=sets, seed=seeds, threshold=st.floats(0.01, 1))
def test_repeat_factors(rows: Rows, seed: int, threshold: float) -> None:
    sampler = RepeatFactorSampler(made(rows), threshold)
    annotated = [row for row, (_, known) in enumerate(rows) if known]
    expected = []
    for row in annotated:
        shares = [sum(label in rows[other][0] for other in annotated) / len(annotated) for label in set(rows[row][0])]
        expected.append(max([1.0, *((threshold / share) ** 0.5 for label, share in enumerate(shares))]))
    assert np.allclose(sampler.factors, expected)
    for epoch in range(3):
        drawn = sampler.rows(seed, epoch)
        assert sum(expected) - 1 - 1e-3 <= len(drawn) <= sum(expected) + 1e-3
        counts = Counter(drawn.tolist())
        for row, factor in zip(annotated, expected, strict=True):
            assert np.floor(factor + 1e-9) <= counts[row] + 1e-9 and counts[row] <= np.ceil(factor - 1e-9)


def test_fractions_hold_over_many_epochs() -> None:
    """One rare class, 20 images: factor sqrt(0.45 / 0.2) = 1.5 for four of them, so two more in every epoch."""
    rows: Rows = [([0], True)] * 4 + [([1], True)] * 16
    sampler = RepeatFactorSampler(made(rows), 0.45)
    counts = Counter(row for epoch in range(400) for row in sampler.rows(1, epoch).tolist())
    assert len(sampler.rows(1, 0)) == 22
    assert all(560 <= counts[row] <= 640 for row in range(4))
    assert all(counts[row] == 400 for row in range(4, 20))


@given(rows=sets, seed=seeds, ratio=st.floats(0, 0.95))
def test_defect_free_ratio(rows: Rows, seed: int, ratio: float) -> None:
    defective = {row for row, (labels, known) in enumerate(rows) if known and labels}
    free = {row for row, (labels, known) in enumerate(rows) if known and not labels}
    assume(defective and free)
    sampler = DefectFreeRatioSampler(made(rows), ratio)
    for epoch in range(3):
        counts = Counter(sampler.rows(seed, epoch).tolist())
        assert all(counts[row] == 1 for row in defective)
        drawn = [counts[row] for row in free]
        assert max(drawn) - min(drawn) <= 1
        assert abs(sum(drawn) - ratio * counts.total()) <= 0.5
    count = sum(drawn)
    run = len(free) // count if count else 0
    shown = Counter(row for epoch in range(run) for row in sampler.rows(seed, epoch).tolist() if row in free)
    assert all(number == 1 for number in shown.values())


def test_epochs_and_seeds_differ() -> None:
    rows: Rows = [([n % 3], True) for n in range(40)] + [([3], True)] * 3 + [([], True)] * 60
    for sampler in samplers(rows, 0.3):
        orders = [tuple(sampler.rows(seed, epoch)) for seed in range(3) for epoch in range(4)]
        assert len(set(orders)) == 12
        shown = [frozenset(order) for order in orders]
        if not isinstance(sampler, RepeatFactorSampler):  # which includes every image in every epoch
            assert len(set(shown)) > 1


def test_same_rows_on_every_machine() -> None:
    """Recorded once: another machine, numpy or torch version must not change the epochs."""
    rows: Rows = [
        ([0], True),
        ([0], True),
        ([1], True),
        ([], True),
        ([], False),
        ([0, 1], True),
        ([], True),
        ([2], True),
    ]
    found = [sampler.rows(7, 2).tolist() for sampler in samplers(rows, 0.3)]
    assert found == [[0, 7, 7, 2, 6, 1, 3], [1, 5, 7, 7, 6, 0, 2, 3, 5], [7, 6, 3, 0, 2, 5, 1]]


def test_a_selected_dataset_has_its_own_row_numbers() -> None:
    whole = made([([0], True), ([], False), ([1], True), ([], True)])
    some = whole.select([3, 1, 2])
    assert set(ClassBalancedSampler(some).rows(0, 0).tolist()) == {0, 2}


def test_what_is_refused() -> None:
    defects, mixed = made([([0], True), ([], False)]), made([([0], True), ([], True)])
    with pytest.raises(ValueError, match="None of the 1 images is annotated"):
        ClassBalancedSampler(made([([], False)]))
    with pytest.raises(ValueError, match="None of the 0 images is annotated"):
        RepeatFactorSampler(made([]))
    with pytest.raises(ValueError, match=r"lacks the columns annotated\. It needs labels, annotated, but has labels"):
        RepeatFactorSampler(mixed.remove_columns("annotated"))
    with pytest.raises(ValueError, match="got a IterableDataset"):
        ClassBalancedSampler(mixed.to_iterable_dataset())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="num_samples is 0"):
        ClassBalancedSampler(mixed, 0)
    for threshold in (0, -1, 1.5, float("nan")):
        with pytest.raises(ValueError, match="threshold is"):
            RepeatFactorSampler(mixed, threshold)
    for ratio in (-0.1, 1, float("nan")):
        with pytest.raises(ValueError, match="ratio is"):
            DefectFreeRatioSampler(mixed, ratio)
    with pytest.raises(ValueError, match=r"all 1 annotated images have a defect\. Set ratio=0"):
        DefectFreeRatioSampler(defects, 0.5)
    assert DefectFreeRatioSampler(defects, 0).rows(0, 0).tolist() == [0]
    with pytest.raises(ValueError, match="None of the 1 annotated images has a defect"):
        DefectFreeRatioSampler(made([([], True)]), 0.5)
