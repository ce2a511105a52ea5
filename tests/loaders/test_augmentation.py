"""Bright rectangles on dark images: after any augmentation the boxes still surround what is bright."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from loaders.augmentation import geometry
from tests.loaders.augmentation_batches import (
    BRIGHT,
    CASES,
    EXACT,
    MOVING,
    NOTHING,
    STRONG,
    WHOLE_PIXELS,
    assert_sound,
    bounds,
    bright_pixels,
    make_batch,
    padding_of,
    seeded,
    seeds,
)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=40, deadline=None)
@given(
    seed=seeds,
    count=st.integers(1, 5),
    padding=st.booleans(),
    canvas=st.sampled_from([(72, 72), (72, 90), (81, 64)]),
    per_image=st.integers(0, 3),
    planes=st.sampled_from([1, 3]),
)
def test_masks_and_boxes_cover_what_is_bright(case, seed, count, padding, canvas, per_image, planes):
    batch = make_batch(seed, count, canvas, True, padding, per_image, planes)
    # Whatever is left of an object keeps its box: bright pixels without a mask are then an error.
    after = replace(NOTHING, **CASES[case], min_visible=0.0)(batch, seeded(seed))
    assert_sound(after)
    for index in range(count):
        own = after.masks[after.owners == index].any(0).numpy()
        wrong = bright_pixels(after, index) != own
        if case in (*WHOLE_PIXELS, "copy_paste", "erase"):
            assert not wrong.any()
        # An interpolated edge may fall to either side of it; nothing three pixels thick may be wrong.
        assert not ndimage.binary_erosion(wrong, np.ones((3, 3))).any()


@pytest.mark.parametrize("case", [name for name in CASES if name not in ("copy_paste", "everything")])
@settings(max_examples=40, deadline=None)
@given(seed=seeds, masks=st.booleans(), padding=st.booleans(), square=st.booleans())
def test_box_lies_around_the_bright_pixels(case, seed, masks, padding, square):
    batch = make_batch(seed, 4, (80, 80) if square else (72, 90), masks, padding)
    after = replace(NOTHING, **CASES[case])(batch, seeded(seed))
    assert_sound(after)
    turned = {"rotation", "shear"} & CASES[case].keys()
    for index in range(4):
        bright = bright_pixels(after, index)
        # One object per image, which erasing may cut in two; a mosaic has four that do not touch.
        components, found = ndimage.label(bright) if "mosaic" in CASES[case] else (bright, int(bright.any()))
        boxes = after.boxes[after.owners == index]
        assert len(boxes) <= found
        for box in boxes:
            around = torch.stack([bounds(components == number + 1) for number in range(found)])
            nearest = around[(around - box).abs().amax(1).argmin()]
            if turned and not masks:
                # The enclosing box of the corners: for an object cut by the edge it covers more than what is left.
                assert (box[:2] <= nearest[:2] + 1.5).all() and (box[2:] >= nearest[2:] - 1.5).all()
            else:
                tolerance = 0 if case in WHOLE_PIXELS else 1.5
                assert (box - nearest).abs().max() <= tolerance


@pytest.mark.parametrize("case", [*MOVING, "geometry"])
@settings(max_examples=40, deadline=None)
@given(seed=seeds, padding=st.booleans())
def test_pixels_move_as_far_as_boxes_to_a_fifth_of_a_pixel(case, seed, padding):
    """The center of gravity of a complete rectangle is its box's center: an offset of half a pixel would show."""
    batch = make_batch(seed, 6, masks=False, padding=padding, margin=1)
    # When an image is strongly reduced, entire columns are skipped, and edges move with them.
    strengths = {name: min(value, 0.2) if name == "scale" else value for name, value in CASES[case].items()}
    after = replace(NOTHING, **strengths)(batch, seeded(seed))
    ys, xs = torch.meshgrid(*(torch.arange(size) + 0.5 for size in after.canvas), indexing="ij")
    for box, owner in zip(after.boxes, after.owners, strict=True):
        height, width = after.content[owner].tolist()
        if box.min() < 1 or box[2] > width - 1 or box[3] > height - 1:
            continue
        weight = (after.images[owner, 0] - 60).clamp(0, BRIGHT - 60)
        weight = weight * ~padding_of(after)[owner, 0]
        center = torch.stack([(weight * xs).sum(), (weight * ys).sum()]) / weight.sum()
        assert (center - (box[:2] + box[2:]) / 2).abs().max() < 0.2


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=10, deadline=None)
@given(seed=seeds, other=seeds)
def test_padding_stays_and_nothing_leaks_from_it(case, seed, other):
    batch = make_batch(seed, 4, per_image=2)
    padding = padding_of(batch)
    noise = torch.rand(batch.images.shape, generator=seeded(other)) * 255
    elsewhere = replace(batch, images=torch.where(padding, noise, batch.images))
    augment = replace(NOTHING, **CASES[case])
    after, again = augment(batch, seeded(seed)), augment(elsewhere, seeded(seed))
    if "mosaic" in CASES[case]:
        assert (after.content == torch.tensor(after.canvas)).all()
    else:
        assert torch.equal(after.content, batch.content)
        assert torch.equal(after.images[padding], batch.images[padding])
    assert torch.equal(after.images[~padding_of(after)], again.images[~padding_of(again)])


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=8, deadline=None)
@given(seed=seeds)
def test_outcome_depends_on_batch_and_generator_alone(case, seed):
    augment, batch = replace(NOTHING, **CASES[case]), make_batch(seed, 4, per_image=3, planes=3)
    original = replace(batch, images=batch.images.clone(), masks=batch.masks.clone(), boxes=batch.boxes.clone())
    generator, state = seeded(seed), torch.random.get_rng_state()
    first, second = augment(batch, generator), augment(batch, generator)
    assert torch.equal(torch.random.get_rng_state(), state)
    for name in ("images", "content", "boxes", "labels", "owners", "masks"):
        assert torch.equal(getattr(batch, name), getattr(original, name)), "the input was written into"
    # Nor does the memory layout of the planes matter.
    elsewhere = replace(batch, images=batch.images.contiguous(memory_format=torch.channels_last))
    for again in (augment(original, seeded(seed)), augment(elsewhere, seeded(seed))):
        torch.testing.assert_close(again.images, first.images, rtol=0, atol=1e-2)
        for name in ("content", "boxes", "labels", "owners", "masks"):
            assert torch.equal(getattr(again, name), getattr(first, name))
    if case not in (*WHOLE_PIXELS, "mosaic", "copy_paste", "erase"):
        assert not torch.equal(first.images, second.images)


@settings(max_examples=10, deadline=None)
@given(seed=seeds, masks=st.booleans())
def test_zero_strengths_return_the_same_batch(seed, masks):
    batch = make_batch(seed, masks=masks)
    generator = seeded(seed)
    after = NOTHING(batch, generator)
    assert after.images is batch.images and after.boxes is batch.boxes and after.masks is batch.masks
    assert torch.equal(generator.get_state(), seeded(seed).get_state())


@pytest.mark.parametrize("name", [name for name in STRONG if name not in EXACT])
def test_tiny_strengths_change_almost_nothing(name):
    batch = make_batch(5, per_image=2)
    after = replace(NOTHING, **{name: 1e-9})(batch, seeded(0))
    torch.testing.assert_close(after.images, batch.images, rtol=0, atol=0.02)
    torch.testing.assert_close(after.boxes, batch.boxes, rtol=0, atol=1e-3)
    assert torch.equal(after.masks, batch.masks) and torch.equal(after.labels, batch.labels)


@pytest.mark.parametrize("case", CASES)
def test_batches_without_boxes_and_of_one_image(case):
    for count, masks in ((1, True), (3, True), (2, "copy_paste" in CASES[case])):
        after = replace(NOTHING, **CASES[case])(make_batch(1, count, per_image=0, masks=masks), seeded(2))
        assert_sound(after)
        assert len(after.boxes) == 0


def test_flips_and_rotations_are_exact_and_all_occur():
    batch = make_batch(3, 64, (30, 30), padding=False, margin=1, masks=False)
    image = torch.rand(30, 30) * 255
    batch = replace(batch, images=image.expand(64, 1, 30, 30))
    turned = replace(NOTHING, turn=0.8, flip_horizontal=0.5, flip_vertical=0.5)(batch, seeded(0))
    seen = {tuple(plane.flatten().tolist()) for plane in turned.images[:, 0]}
    dihedral = {tuple(torch.rot90(p, k).flatten().tolist()) for p in (image, image.flip(1)) for k in range(4)}
    assert seen == dihedral
    turned = replace(NOTHING, turn=1.0)(batch, seeded(0)).images[:, 0]
    by_turn = [int(sum(torch.equal(plane, torch.rot90(image, k)) for plane in turned)) for k in range(4)]
    assert by_turn[0] == 0 and min(by_turn[1:]) > 10
    flipped = replace(NOTHING, flip_horizontal=1.0)(batch, seeded(0))
    assert torch.equal(flipped.images[0, 0], image.flip(1))
    assert torch.equal(
        flipped.boxes,
        torch.stack([30 - batch.boxes[:, 2], batch.boxes[:, 1], 30 - batch.boxes[:, 0], batch.boxes[:, 3]], 1),
    )
    oblong = make_batch(3, 20, padding=False)
    turned = replace(NOTHING, turn=1.0)(oblong, seeded(0))
    assert torch.equal(turned.images, oblong.images.flip(2, 3))


def test_affine_draws_fill_their_ranges():
    content = torch.tensor([[200, 100]]).expand(4000, 2)
    rotated = geometry.draw_affine(content, 30, 0, 0, 0, seeded(0))
    angles = torch.rad2deg(torch.atan2(rotated[:, 0, 1], rotated[:, 0, 0]))
    assert -30 <= angles.min() < -29 and 29 < angles.max() <= 30 and abs(angles.mean()) < 1
    zoomed = geometry.draw_affine(content, 0, 0, 0.5, 0, seeded(0))
    log = zoomed[:, 0, 0].log() / math.log(1.5)
    assert -1 <= log.min() < -0.99 and 0.99 < log.max() <= 1 and abs(log.mean()) < 0.05
    # Enlarged: the frame lies within the image. Reduced: the image lies within the frame.
    left, right = zoomed[:, 0, 2], zoomed[:, 0, 2] + 100 * zoomed[:, 0, 0]
    assert torch.equal(left <= 1e-6, right >= 100 - 1e-6)
    shifted = geometry.draw_affine(content, 0, 0.1, 0, 0, seeded(0))[:, :2, 2]
    assert 9.9 < shifted[:, 0].abs().max() <= 10 and 19.9 < shifted[:, 1].abs().max() <= 20
    sheared = geometry.draw_affine(content, 0, 0, 0, 45, seeded(0))
    assert 0.98 < sheared[:, 0, 1].abs().max() <= 1 and (sheared[:, 1, :2] == torch.tensor([0.0, 1.0])).all()


def test_box_cut_by_the_edge_goes_below_min_visible():
    batch = make_batch(0, 1, (40, 40), padding=False)
    batch = replace(batch, boxes=torch.tensor([[0.0, 0, 20, 10]]), masks=None, labels=torch.tensor([7]))
    left = torch.eye(3, dtype=torch.float64)[None].clone()
    left[0, 0, 2] = -14  # 6 of 20 columns stay
    kept, dropped = (geometry.resample(batch, left, share) for share in (0.29, 0.31))
    assert kept.boxes.tolist() == [[0, 0, 6, 10]] and kept.labels.tolist() == [7]
    assert len(dropped.boxes) == len(dropped.labels) == len(dropped.owners) == 0


def test_pixels_from_outside_the_image_are_the_mean():
    batch = make_batch(4, 2, planes=3)
    left = torch.eye(3, dtype=torch.float64).repeat(2, 1, 1)
    left[:, 0, 2] = -20
    after = geometry.resample(batch, left, 0.25)
    for index, (height, width) in enumerate(batch.content.tolist()):
        mean = batch.images[index, :, :height, :width].mean((1, 2))
        new = after.images[index, :, :height, width - 20 : width]
        torch.testing.assert_close(new, mean[:, None, None].expand_as(new))
