"""Mosaic, copy-paste and erasing: what they add and remove, and the resulting labels."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from loaders.augmentation import Batch, mixing
from loaders.augmentation import boxes as boxes_
from tests.loaders.augmentation_batches import (
    BRIGHT,
    MOVING,
    NOTHING,
    STRONG,
    bounds,
    make_batch,
    pixels_in_boxes,
    seeded,
    seeds,
)

pytestmark = pytest.mark.usefixtures("one_thread")


@settings(max_examples=15, deadline=None)
@given(
    seed=seeds,
    count=st.integers(1, 6),
    canvas=st.sampled_from([(72, 90), (71, 89)]),
    chance=st.sampled_from([0.5, 1.0]),
)
def test_mosaic_holds_its_own_image_and_three_of_the_batch(seed, count, canvas, chance):
    batch = make_batch(seed, count, canvas)
    after = replace(NOTHING, mosaic=chance)(batch, seeded(seed))
    height, width = (math.ceil(edge / 2) for edge in canvas)
    sizes = (batch.boxes[:, 2:] - batch.boxes[:, :2]) / 2
    for index in range(count):
        labels, boxes = after.labels[after.owners == index], after.boxes[after.owners == index]
        if chance < 1 and torch.equal(after.images[index], batch.images[index]):
            assert torch.equal(boxes, batch.boxes[batch.owners == index])
            continue
        assert set(batch.labels[batch.owners == index].tolist()) <= set(labels.tolist())
        for label, box in zip(labels, boxes, strict=True):
            offset = box[:2] - batch.boxes[label, :2] / 2
            # Masks shrink a box to integer pixels.
            corners = torch.tensor([(0, 0), (width, 0), (0, height), (width, height)])
            assert (offset - corners).abs().amax(1).min() <= 0.5
            assert (box[2:] - box[:2] - sizes[label]).abs().max() <= 1
        assert len(boxes) == len(np.unique(boxes, axis=0)) <= 4
    if count == chance == 1:
        assert len(after.boxes) == 4


def test_thin_masks_survive_halving():
    line = torch.zeros(1, 21, 30, dtype=torch.bool)
    line[0, 7, 4:20] = True
    ys, xs = mixing._half_size_masks(line, torch.tensor([[15, 11]]))[0].nonzero(as_tuple=True)
    assert set(ys.tolist()) == {11 + 3} and xs.tolist() == list(range(15 + 2, 15 + 10))


@settings(max_examples=40, deadline=None)
@given(seed=seeds, count=st.integers(2, 4))
def test_copy_paste_brings_pixels_mask_and_label_of_another_image(seed, count):
    batch = make_batch(seed, count, per_image=3)
    shade = torch.arange(len(batch.boxes), dtype=torch.float32) + 200  # every instance has a gray level of its own
    for owner, mask, level in zip(batch.owners, batch.masks, shade, strict=True):
        batch.images[owner, 0][mask] = level
        mask[mask.nonzero()[0, 0], mask.nonzero()[0, 1]] = False  # no mask fills its box
    after = replace(NOTHING, copy_paste=1.0)(batch, seeded(seed))
    for index in range(count):
        own = after.owners == index
        before = batch.labels[batch.owners == index].tolist()
        assert after.labels[own].tolist()[: len(before)] == before
        new = after.labels[own].tolist()[len(before) :]
        assert not set(new) & set(before) and len({int(batch.owners[label]) for label in new}) <= 1
        assert (pixels_in_boxes(after, own) <= 1).all(), "boxes overlap"
        for label, mask in zip(after.labels[own], after.masks[own], strict=True):
            assert (after.images[index, 0][mask] == shade[label]).all() and mask.sum() == batch.masks[label].sum()
        outside = ~after.masks[own].any(0)
        assert torch.equal(after.images[index, 0][outside], batch.images[index, 0][outside])


def test_copy_paste_pastes_where_there_is_room():
    pasted = [replace(NOTHING, copy_paste=1.0)(make_batch(seed, 3), seeded(seed)) for seed in range(10)]
    assert sum(len(after.boxes) for after in pasted) > 1.5 * sum(len(make_batch(seed, 3).boxes) for seed in range(10))
    # Nothing is pasted under a box that fills its image.
    full = make_batch(0, 2, padding=False)
    full.boxes[full.owners == 0] = torch.tensor([0.0, 0, 90, 72])
    after = replace(NOTHING, copy_paste=1.0)(full, seeded(0))
    assert (after.owners == 0).sum() == 1 and torch.equal(after.images[0], full.images[0])


def test_copy_paste_needs_masks():
    with pytest.raises(ValueError, match="copy_paste needs instance masks"):
        replace(NOTHING, copy_paste=0.1)(make_batch(0, masks=False), seeded(0))
    unmasked = make_batch(0)
    unmasked.masks[:] = False  # masks were asked for, and the source has none
    assert len(replace(NOTHING, copy_paste=1.0)(unmasked, seeded(0)).boxes) == len(unmasked.boxes)


@pytest.mark.parametrize("name", [*MOVING, "mosaic", "erase"])
def test_instances_without_mask_are_treated_by_their_box(name):
    """In a batch with masks some sources have none: their boxes are kept."""
    batch = make_batch(6, 4, per_image=2)
    empty = replace(batch, masks=torch.zeros_like(batch.masks))
    after, plain = (replace(NOTHING, **{name: STRONG[name]})(b, seeded(1)) for b in (empty, replace(batch, masks=None)))
    assert len(plain.boxes) and torch.equal(after.boxes, plain.boxes) and not after.masks.any()


rectangles = st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(1, 6), st.integers(1, 6)).map(
    lambda r: (r[0], r[1], r[0] + r[2], r[1] + r[3])
)


@settings(max_examples=300, deadline=None)
@given(box=rectangles, hole=rectangles)
def test_box_after_erasing_equals_the_extent_of_remaining_pixels(box, hole):
    pixels = np.zeros((16, 16), bool)
    pixels[box[1] : box[3], box[0] : box[2]] = True
    whole = pixels.sum()
    pixels[hole[1] : hole[3], hole[0] : hole[2]] = False
    left, share = boxes_.without(torch.tensor([box]).float(), torch.tensor([hole]).float())
    assert float(share) == pytest.approx(pixels.sum() / whole, abs=1e-6)
    if pixels.any():
        assert torch.equal(left[0], bounds(pixels))
    else:
        assert boxes_.area(left) == 0


@settings(max_examples=30, deadline=None)
@given(seed=seeds, masks=st.booleans())
def test_erasing_drops_what_it_covers(seed, masks):
    batch = make_batch(seed, 6, masks=masks, padding=False, per_image=2)
    after = replace(NOTHING, erase=1.0, min_visible=0.5)(batch, seeded(seed))
    kept = dict(zip(after.labels.tolist(), after.boxes, strict=True))
    for label, (box, owner) in enumerate(zip(batch.boxes, batch.owners, strict=True)):
        x, y, x_end, y_end = box.long().tolist()
        bright = np.zeros(batch.canvas, bool)
        bright[y:y_end, x:x_end] = after.images[owner, 0, y:y_end, x:x_end] == BRIGHT
        assert (label in kept) == (bright.sum() >= 0.5 * float(boxes_.area(box[None])))
        if label in kept:
            assert torch.equal(kept[label], bounds(bright))


def test_erasing_looks_at_what_is_left_of_the_mask(monkeypatch):
    monkeypatch.setattr(mixing, "_draw_holes", lambda *_: torch.tensor([[8, 8, 26, 14]]))
    mask = torch.zeros(1, 40, 40, dtype=torch.bool)
    mask[0, 10:14, 10:30] = mask[0, 29, 10] = True  # 81 pixels, of which the hole leaves 17
    content, box = torch.tensor([[40, 40]]), torch.tensor([[10.0, 10, 30, 30]])
    batch = Batch(torch.zeros(1, 1, 40, 40), content, box, torch.tensor([0]), torch.tensor([0]), mask)
    for share, masks, left in ((0.2, mask, 1), (0.25, mask, 0), (0.25, None, 1)):
        assert len(mixing.erase(replace(batch, masks=masks), 1.0, share, seeded(0)).boxes) == left


def test_erased_rectangles_have_their_share_and_lie_within_the_content():
    content = torch.tensor([[256, 1600], [100, 100], [300, 40]]).repeat(500, 1)
    holes = mixing._draw_holes(content, 1.0, seeded(0))
    share = boxes_.area(holes.float()) / content.prod(1)
    assert 0.018 < share.min() < 0.03 and 0.19 < share.max() < 0.205
    assert (share.view(500, 3).mean(0) - 0.11).abs().max() < 0.008, "narrow content gets as much as any"
    assert (holes >= 0).all() and (holes[:, 2:] <= content.flip(1)).all()
    assert (mixing._draw_holes(content, 0.5, seeded(0)).any(1).float().mean() - 0.5).abs() < 0.06
    assert not mixing._draw_holes(content, 0.0, seeded(0)).any()
