"""Synthetic flaws: blobs that are seen, inside the content, clear of the boxes there, each with its own box."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from loaders.augmentation.batch import Batch
from loaders.augmentation.flaws import flaws
from tests.loaders.augmentation_batches import seeded


def gray(seed: int, count: int = 3, level: float = 120.0) -> Batch:
    """Even gray images, the second padded, each with one box."""
    random = seeded(seed)
    images = (torch.rand((count, 1, 96, 128), generator=random) - 0.5) * 4 + level
    content = torch.tensor([[96, 128], [70, 90], [96, 128]])[:count]
    boxes = torch.tensor([[10.0, 10, 40, 40]]).repeat(count, 1)
    return Batch(images, content, boxes, torch.ones(count, dtype=torch.int64), torch.arange(count), None)


def overlap(one: torch.Tensor, other: torch.Tensor) -> float:
    low, high = torch.maximum(one[:2], other[:2]), torch.minimum(one[2:], other[2:])
    return float((high - low).clamp_min(0).prod())


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_flaws_are_seen_inside_the_content_and_clear_of_other_boxes(seed):
    before = gray(seed)
    given_images = before.images.clone()
    after = flaws(before, 1.0, 0, seeded(seed))
    assert torch.equal(before.images, given_images)  # the given batch is not written to
    assert bool((after.owners[1:] >= after.owners[:-1]).all())
    for number in range(3):
        height, width = after.content[number].tolist()
        own = after.owners == number
        boxes, labels = after.boxes[own], after.labels[own]
        assert int((labels == 1).sum()) == 1 and len(boxes) <= 4
        change = (after.images[number] - before.images[number])[0]
        assert float(change[height:].abs().sum() + change[:, width:].abs().sum()) == 0 and float(change.min()) >= 0
        for i, box in enumerate(boxes):
            assert 0 <= box[0] < box[2] <= width and 0 <= box[1] < box[3] <= height
            assert all(overlap(box, other) == 0 for j, other in enumerate(boxes) if i != j)
            if labels[i] == 0:
                x0, y0, x1, y1 = box.int().tolist()
                assert float(change[y0:y1, x0:x1].max()) >= 2
        # Outside of all new boxes only the soft rims remain.
        for box in boxes[labels == 0].int().tolist():
            change[box[1] : box[3], box[0] : box[2]] = 0
        assert float(change.max()) < 0.35 * 0.6 * 125


def test_most_images_get_one_and_the_same_seed_gives_the_same():
    one, two = (flaws(gray(1), 1.0, 0, seeded(7)) for _ in range(2))
    assert torch.equal(one.images, two.images) and torch.equal(one.boxes, two.boxes)
    drawn = [len(flaws(gray(seed), 1.0, 0, seeded(seed)).boxes) - 3 for seed in range(20)]
    assert sum(drawn) >= 20


@pytest.mark.parametrize("level", [5.0, 250.0])
def test_nothing_is_drawn_on_black_or_white(level):
    assert len(flaws(gray(0, level=level), 1.0, 0, seeded(0)).boxes) == 3


@pytest.mark.parametrize("probability", [0.0, 0.5])
def test_the_probability_is_that_of_an_image(probability):
    hit = [len(flaws(gray(seed, 1), probability, 0, seeded(seed)).boxes) > 1 for seed in range(60)]
    assert (sum(hit) == 0) if probability == 0 else (12 <= sum(hit) <= 45)


def test_masks_are_refused():
    batch = replace(gray(0), masks=torch.zeros((3, 96, 128), dtype=torch.bool))
    with pytest.raises(ValueError, match="Synthetic flaws have no masks"):
        flaws(batch, 1.0, 0, seeded(0))
