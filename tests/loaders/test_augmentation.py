"""Bright rectangles on dark images: after any change the truth still lies around what is bright."""

from __future__ import annotations

import math
import re
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from loaders.augmentation import Augmentation, Batch, geometry, mixing, photometry
from loaders.augmentation import boxes as boxes_
from loaders.augmentation.augmentation import MILD
from radikal_datasets.sources import list_sources, source_info, source_names

DARK, BRIGHT = 20.0, 235.0
FIELDS = [field.name for field in fields(Augmentation)]
CHANGES = [name for name in FIELDS if name != "min_visible"]
#: Nothing at all; tests switch on what they look at.
NOTHING = Augmentation(**dict.fromkeys(CHANGES, 0.0))
EXACT = {"flip_horizontal": 1.0, "flip_vertical": 1.0, "turn": 1.0}
MOVING = {**EXACT, "rotation": 40.0, "translate": 0.3, "scale": 0.6, "shear": 20.0}
LIGHT = {"brightness": 0.3, "contrast": 0.3, "gamma": 0.3, "noise": 0.02, "blur": 1.0}
STRONG = {**MOVING, **LIGHT, "mosaic": 1.0, "erase": 1.0, "copy_paste": 1.0}
# Each by itself, flips and turns mixed, all geometry at once, and everything there is.
CASES = {name: {name: value} for name, value in STRONG.items()}
CASES |= {
    "flips_and_turns": dict.fromkeys(EXACT, 0.5),
    "geometry": {**MOVING, "flip_vertical": 0.5},
    "everything": STRONG,
}
#: Those that do not interpolate.
WHOLE_PIXELS = (*EXACT, "flips_and_turns")

seeds = st.integers(0, 2**31)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Images are so small that threads cost more than they save, most of all where other tests run beside."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def make_batch(
    seed: int, count: int = 3, canvas: tuple[int, int] = (72, 90), masks: bool = True, padding: bool = True,
    per_image: int = 1, planes: int = 1, margin: int = 3,
) -> Batch:  # fmt: skip
    """Dark images with bright rectangles that don't touch; labels count through; padding is noise."""
    rng = np.random.default_rng(seed)
    images = rng.uniform(0, 255, (count, planes, *canvas)).astype(np.float32)
    content, boxes, owners, drawn = [], [], [], []
    for index in range(count):
        height, width = [int(rng.integers(edge * 2 // 3, edge + 1)) if padding else edge for edge in canvas]
        images[index, :, :height, :width] = DARK
        taken = np.zeros(canvas, bool)
        for _ in range(int(rng.integers(0, per_image + 1)) if index else per_image):
            h, w = int(rng.integers(8, 20)), int(rng.integers(8, 20))
            y, x = int(rng.integers(margin, height - h - margin + 1)), int(rng.integers(margin, width - w - margin + 1))
            if taken[y - margin : y + h + margin, x - margin : x + w + margin].any():
                continue
            taken[y : y + h, x : x + w] = True
            mask = np.zeros(canvas, bool)
            mask[y : y + h, x : x + w] = True
            images[index][:, mask] = BRIGHT
            boxes.append([x, y, x + w, y + h])
            owners.append(index)
            drawn.append(mask)
        content.append([height, width])
    return Batch(
        torch.from_numpy(images),
        torch.tensor(content),
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        torch.arange(len(boxes)),
        torch.tensor(owners, dtype=torch.int64),
        torch.from_numpy(np.stack(drawn) if drawn else np.zeros((0, *canvas), bool)) if masks else None,
    )


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def padding_of(batch: Batch) -> torch.Tensor:
    """Bool (B, C, H, W)."""
    inside = batch.inside()
    return torch.zeros_like(batch.images, dtype=torch.bool) if inside is None else ~inside.expand_as(batch.images)


def bright_pixels(batch: Batch, index: int) -> np.ndarray:
    """Bool (H, W): nearer to the brightest than to the darkest of the content, whatever the light did to both."""
    height, width = batch.content[index].tolist()
    plane = batch.images[index, 0].numpy()
    content = plane[:height, :width]
    found = np.zeros(plane.shape, bool)
    if np.ptp(content) > 60:
        found[:height, :width] = content > (content.min() + content.max()) / 2
    return found


def bounds(pixels: np.ndarray) -> torch.Tensor:
    ys, xs = np.nonzero(pixels)
    return torch.tensor([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], dtype=torch.float32)


def pixels_in_boxes(batch: Batch, own: torch.Tensor) -> np.ndarray:
    """(H, W): how many of the boxes `own` cover each pixel."""
    counts = np.zeros(batch.canvas, int)
    for x, y, x_end, y_end in batch.boxes[own].long().tolist():
        counts[y:y_end, x:x_end] += 1
    return counts


def assert_sound(batch: Batch) -> None:
    """What holds of every batch, whatever was done."""
    count = len(batch.boxes)
    assert batch.boxes.shape == (count, 4) and batch.boxes.dtype == torch.float32
    assert batch.labels.shape == batch.owners.shape == (count,)
    assert batch.labels.dtype == batch.owners.dtype == batch.content.dtype == torch.int64
    assert batch.images.dtype == torch.float32 and batch.images.min() >= 0 and batch.images.max() <= 255
    assert (batch.owners.diff() >= 0).all()
    limits = batch.content[batch.owners][:, [1, 0]]
    assert (batch.boxes >= 0).all() and (batch.boxes[:, 2:] <= limits).all()
    assert (batch.boxes[:, 2:] > batch.boxes[:, :2]).all()
    if batch.masks is not None:
        assert batch.masks.dtype == torch.bool and batch.masks.shape == (count, *batch.canvas)
        assert not (batch.masks & padding_of(batch)[batch.owners, 0]).any()
        if count:
            assert (boxes_.around_masks(batch.masks) - batch.boxes).abs().max() <= 1.5


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=40, deadline=None)
@given(
    seed=seeds, count=st.integers(1, 5), padding=st.booleans(),
    canvas=st.sampled_from([(72, 72), (72, 90), (81, 64)]), per_image=st.integers(0, 3), planes=st.sampled_from([1, 3]),
)  # fmt: skip
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
        # One object an image, which erasing may cut in two; a mosaic has four that do not touch.
        components, found = ndimage.label(bright) if "mosaic" in CASES[case] else (bright, int(bright.any()))
        boxes = after.boxes[after.owners == index]
        assert len(boxes) <= found
        for box in boxes:
            around = torch.stack([bounds(components == number + 1) for number in range(found)])
            nearest = around[(around - box).abs().amax(1).argmin()]
            if turned and not masks:
                # The enclosing box of the corners: of an object cut by the edge it holds more than what is left.
                assert (box[:2] <= nearest[:2] + 1.5).all() and (box[2:] >= nearest[2:] - 1.5).all()
            else:
                tolerance = 0 if case in WHOLE_PIXELS else 1.5
                assert (box - nearest).abs().max() <= tolerance


@pytest.mark.parametrize("case", [*MOVING, "geometry"])
@settings(max_examples=40, deadline=None)
@given(seed=seeds, padding=st.booleans())
def test_pixels_move_as_far_as_boxes_to_a_fifth_of_a_pixel(case, seed, padding):
    """The centre of gravity of a whole rectangle is its box's centre: half a pixel off would show."""
    batch = make_batch(seed, 6, masks=False, padding=padding, margin=1)
    # Of a much reduced image whole columns are skipped, and edges move with them.
    strengths = {name: min(value, 0.2) if name == "scale" else value for name, value in CASES[case].items()}
    after = replace(NOTHING, **strengths)(batch, seeded(seed))
    ys, xs = torch.meshgrid(*(torch.arange(size) + 0.5 for size in after.canvas), indexing="ij")
    for box, owner in zip(after.boxes, after.owners, strict=True):
        height, width = after.content[owner].tolist()
        if box.min() < 1 or box[2] > width - 1 or box[3] > height - 1:
            continue
        weight = (after.images[owner, 0] - 60).clamp(0, BRIGHT - 60)
        weight = weight * ~padding_of(after)[owner, 0]
        centre = torch.stack([(weight * xs).sum(), (weight * ys).sum()]) / weight.sum()
        assert (centre - (box[:2] + box[2:]) / 2).abs().max() < 0.2


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
    # Nor does it matter how the planes lie in memory.
    elsewhere = replace(batch, images=batch.images.contiguous(memory_format=torch.channels_last))
    for again in (augment(original, seeded(seed)), augment(elsewhere, seeded(seed))):
        torch.testing.assert_close(again.images, first.images, rtol=0, atol=1e-2)
        for name in ("content", "boxes", "labels", "owners", "masks"):
            assert torch.equal(getattr(again, name), getattr(first, name))
    if case not in (*WHOLE_PIXELS, "mosaic", "copy_paste", "erase"):
        assert not torch.equal(first.images, second.images)


@settings(max_examples=10, deadline=None)
@given(seed=seeds, masks=st.booleans())
def test_all_zero_returns_the_very_same(seed, masks):
    batch = make_batch(seed, masks=masks)
    generator = seeded(seed)
    after = NOTHING(batch, generator)
    assert after.images is batch.images and after.boxes is batch.boxes and after.masks is batch.masks
    assert torch.equal(generator.get_state(), seeded(seed).get_state())


@pytest.mark.parametrize("name", [name for name in STRONG if name not in EXACT])
def test_next_to_no_strength_is_next_to_no_change(name):
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


def test_flips_and_turns_are_exact_and_all_occur():
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
    assert torch.equal(flipped.boxes, torch.stack([30 - batch.boxes[:, 2], batch.boxes[:, 1],
                                                   30 - batch.boxes[:, 0], batch.boxes[:, 3]], 1))  # fmt: skip
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


def test_what_comes_from_outside_is_the_mean():
    batch = make_batch(4, 2, planes=3)
    left = torch.eye(3, dtype=torch.float64).repeat(2, 1, 1)
    left[:, 0, 2] = -20
    after = geometry.resample(batch, left, 0.25)
    for index, (height, width) in enumerate(batch.content.tolist()):
        mean = batch.images[index, :, :height, :width].mean((1, 2))
        new = after.images[index, :, :height, width - 20 : width]
        torch.testing.assert_close(new, mean[:, None, None].expand_as(new))


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
            # Masks draw a box in to whole pixels.
            assert min((offset - torch.tensor(corner)).abs().max() for corner in
                       [(0, 0), (width, 0), (0, height), (width, height)]) <= 0.5  # fmt: skip
            assert (box[2:] - box[:2] - sizes[label]).abs().max() <= 1
        assert len(boxes) == len(np.unique(boxes, axis=0)) <= 4
    if count == chance == 1:
        assert len(after.boxes) == 4


def test_thin_masks_live_through_halving():
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
    # Below a box that fills its image nothing is pasted.
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
    """Of a batch with masks some sources have none: the boxes live on."""
    batch = make_batch(6, 4, per_image=2)
    empty = replace(batch, masks=torch.zeros_like(batch.masks))
    after, plain = (replace(NOTHING, **{name: STRONG[name]})(b, seeded(1)) for b in (empty, replace(batch, masks=None)))
    assert len(plain.boxes) and torch.equal(after.boxes, plain.boxes) and not after.masks.any()


rectangles = st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(1, 6), st.integers(1, 6)).map(
    lambda r: (r[0], r[1], r[0] + r[2], r[1] + r[3])
)


@settings(max_examples=300, deadline=None)
@given(box=rectangles, hole=rectangles)
def test_box_without_a_hole_is_what_pixels_say(box, hole):
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


def test_brightness_and_contrast_scale_gray_levels():
    level = torch.tensor([100.0, 60.0]).repeat_interleave(2)
    images = level.view(1, 1, 2, 2).expand(2000, 1, 2, 2)
    batch = replace(make_batch(0, 1, (2, 2), per_image=0, padding=False), images=images)
    batch = replace(batch, content=torch.tensor([[2, 2]]).expand(2000, 2))
    gain = replace(NOTHING, brightness=0.2)(batch, seeded(0)).images[:, 0, 0, 0] / 100
    assert 0.8 <= gain.min() < 0.81 and 1.19 < gain.max() <= 1.2001 and abs(gain.mean() - 1) < 0.02
    spread = replace(NOTHING, contrast=0.2)(batch, seeded(0)).images
    torch.testing.assert_close(spread.mean((1, 2, 3)), torch.full((2000,), 80.0))
    ratio = (spread[:, 0, 0, 0] - spread[:, 0, 1, 0]) / 40
    assert 0.8 - 1e-4 <= ratio.min() < 0.81 and 1.19 < ratio.max() <= 1.2001


def test_gamma_keeps_black_and_white():
    images = torch.tensor([0.0, 255.0, 127.5]).view(1, 1, 1, 3).expand(2000, 1, 1, 3)
    after = photometry.gamma(images, 0.5, seeded(0))[:, 0, 0]
    assert (after[:, 0] == 0).all() and torch.allclose(after[:, 1], torch.tensor(255.0))
    exponent = (after[:, 2] / 255).log() / math.log(0.5)
    assert 1 / 1.5 - 1e-4 <= exponent.min() < 0.67 and 1.49 < exponent.max() <= 1.5001
    assert abs(exponent.log().mean()) < 0.02


def test_noise_has_its_deviation_and_differs_from_image_to_image():
    after = photometry.noise(torch.full((300, 1, 40, 40), 128.0), 0.1, seeded(0))
    deviation = after.std((1, 2, 3)) / 255
    assert deviation.min() < 0.01 and 0.09 < deviation.max() < 0.105 and abs(float(after.mean()) - 128) < 0.2
    assert len({float(image[0, 0, 0]) for image in after}) == 300


def test_blur_is_gaussian_and_stays_within_the_content():
    images, content = torch.zeros(40, 2, 41, 41), torch.tensor([[41, 41]]).expand(40, 2)
    images[:, 0, 20, 20] = 1
    images[:, 1] = 50
    after = photometry.blur(images, content, 2.0, seeded(0))
    assert torch.allclose(after[:, 1], torch.tensor(50.0)) and torch.allclose(after[:, 0].sum((1, 2)), torch.ones(40))
    ys = torch.arange(41) - 20
    sigma = (after[:, 0].sum(2) * ys**2).sum(1).sqrt()
    assert sigma.min() < 0.3 and 1.8 < sigma.max() < 2.0
    torch.testing.assert_close(after[:, 0], after[:, 0].transpose(1, 2))
    drawn = (2.0 * torch.rand(40, generator=seeded(0))).clamp_min(0.01)
    torch.testing.assert_close(sigma[drawn > 0.5], drawn[drawn > 0.5], rtol=0.02, atol=0.02)


def test_planes_of_a_gray_image_stay_one_and_colours_keep_their_hue():
    batch = make_batch(0, 3)
    seen_as_three = replace(batch, images=batch.images.expand(-1, 3, -1, -1))
    augment = replace(NOTHING, **STRONG)
    three, one = augment(seen_as_three, seeded(0)), augment(batch, seeded(0))
    assert three.images.stride(1) == 0 and torch.equal(three.images, one.images.expand(-1, 3, -1, -1))
    gray = replace(batch, images=batch.images.repeat(1, 3, 1, 1))
    after = replace(augment, noise=0.0)(gray, seeded(0)).images
    torch.testing.assert_close(after[:, 0], after[:, 2])


def test_light_falls_on_an_image_and_its_template_alike():
    batch = make_batch(0, 3, padding=False, planes=2)
    batch.images[:, 1] = batch.images[:, 1].flip(2)
    alone = replace(NOTHING, brightness=0.1, contrast=0.2, gamma=0.5, blur=1.0)(batch, seeded(0)).images
    mirrored = replace(batch, images=batch.images.flip(1))
    turned = replace(NOTHING, brightness=0.1, contrast=0.2, gamma=0.5, blur=1.0)(mirrored, seeded(0)).images
    torch.testing.assert_close(turned, alone.flip(1))
    assert abs(float((alone[:, 0] - alone[:, 1].flip(2)).mean())) < 1e-3


@pytest.mark.parametrize("source", source_names())
def test_for_source_has_what_is_true_to_it_and_nothing_else(source):
    true_to_it = source_info(source).augmentations
    assert true_to_it and set(true_to_it) <= set(CHANGES)
    augment = Augmentation.for_source(source)
    for name in CHANGES:
        default = getattr(Augmentation, name)
        expected = default or MILD.get(name, 0.0) if name in true_to_it else 0.0
        assert getattr(augment, name) == expected
    assert augment.min_visible == Augmentation.min_visible
    given_ = Augmentation.for_source(source, **{true_to_it[0]: 0.125}, min_visible=0.5)
    assert getattr(given_, true_to_it[0]) == 0.125 and given_.min_visible == 0.5


def test_for_source_refuses_what_is_not_true_to_it():
    with pytest.raises(ValueError, match=r"turn: not true to severstal.*flip_horizontal, flip_vertical, translate"):
        Augmentation.for_source("severstal", turn=0.5)
    with pytest.raises(ValueError, match="no_such_field: not true to neu_det"):
        Augmentation.for_source("neu_det", no_such_field=1)
    assert Augmentation.for_source("severstal").copy_paste == 0
    assert Augmentation.for_source("severstal", copy_paste=0.3).copy_paste == 0.3


def test_pages_of_the_sources_name_the_same_augmentations():
    docs = Path(__file__).parents[2] / "docs"
    overview = (docs / "augmentation.md").read_text(encoding="utf-8")
    assert all(f"| `{name}` |" in overview for name in FIELDS)
    for source in list_sources():
        page = (docs / "sources" / f"{source.name}.md").read_text(encoding="utf-8")
        (line,) = re.findall(r"^Augmentations true to it .*?: (.*?)\.$", page, re.MULTILINE | re.DOTALL)
        assert tuple(re.findall(r"`(\w+)`", line)) == source.augmentations
        (row,) = re.findall(rf"^\| `{source.name}` \| (.*?) \|", overview, re.MULTILINE)
        assert tuple(re.findall(r"`(\w+)`", row)) == source.augmentations


@pytest.mark.parametrize("field", FIELDS)
def test_strengths_that_make_no_sense_are_refused(field):
    for value in (-0.1, math.nan, math.inf):
        with pytest.raises(ValueError, match=f"{field}={value}"):
            Augmentation(**{field: value})
    if field in ("flip_horizontal", "flip_vertical", "turn", "mosaic", "erase", "copy_paste", "min_visible"):
        with pytest.raises(ValueError, match=rf"{field}=1.5 is not within 0..1"):
            Augmentation(**{field: 1.5})
    with pytest.raises(ValueError, match="shear=90"):
        Augmentation(shear=90)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("case", [name for name in CASES if "noise" not in CASES[name]])
def test_device_makes_no_difference(case):
    batch = make_batch(0, 6, per_image=3)
    on_gpu = replace(batch, images=batch.images.cuda(), masks=batch.masks.cuda())
    augment = replace(NOTHING, **CASES[case])
    here, there = augment(batch, seeded(0)), augment(on_gpu, seeded(0))
    torch.testing.assert_close(there.images.cpu(), here.images, rtol=0, atol=0.3)
    assert there.boxes.device.type == "cpu" and torch.equal(there.labels, here.labels)
    torch.testing.assert_close(there.boxes, here.boxes, rtol=0, atol=1.0)
