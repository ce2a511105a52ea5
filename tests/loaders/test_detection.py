from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from loaders import IMAGENET_MEAN, IMAGENET_STD, Augmentation, DetectionLoader
from loaders.ordering import permutation, shares
from radikal_datasets.errors import UnreadableImageError
from tests.loaders.conftest import drawn_row, encode, make_split, take

STRONG = Augmentation(scale=0.6, noise=0.05)


def same(left: dict, right: dict) -> bool:
    return (
        left["image_id"] == right["image_id"]
        and torch.equal(left["pixel_values"], right["pixel_values"])
        and all(
            torch.equal(a["boxes"], b["boxes"]) and torch.equal(a["class_labels"], b["class_labels"])
            for a, b in zip(left["labels"], right["labels"], strict=True)
        )
    )


def bright_box(plane: torch.Tensor) -> list[int]:
    """Return x_min, y_min, x_max, y_max of what is closer to white than to black in (H, W) gray levels 0..1."""
    ys, xs = torch.nonzero(plane > 0.5, as_tuple=True)
    return [int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1]


def gray_levels(pixels: torch.Tensor) -> torch.Tensor:
    return pixels[0] * IMAGENET_STD[0] + IMAGENET_MEAN[0]


def corners(boxes: torch.Tensor, size: int) -> torch.Tensor:
    return torch.cat([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], 1) * size


def test_batch_has_what_a_detector_takes(drawn_split):
    batches = list(DetectionLoader(drawn_split, 4, (64, 96), shuffle=False))
    assert [len(b["image_id"]) for b in batches] == [4, 4, 3]
    batch = batches[0]
    assert batch["pixel_values"].shape == (4, 3, 64, 96) and batch["pixel_values"].dtype == torch.float32
    assert "pixel_mask" not in batch
    assert batch["labels"][0]["boxes"].shape == (0, 4) and batch["labels"][1]["boxes"].shape == (1, 4)
    assert batch["labels"][1]["class_labels"].dtype == torch.int64
    assert batch["orig_size"][1].tolist() == [drawn_split[1]["height"], drawn_split[1]["width"]]
    assert torch.equal(batch["canvas_size"], batch["orig_size"].float())
    assert not batch["repeated"].any()


def test_gray_becomes_three_normalized_planes():
    row = drawn_row(0, bytes=encode(np.full((40, 40), 128, np.uint8)), width=40, height=40)
    color = np.zeros((40, 40, 3), np.uint8)
    color[..., 0] = 255
    rows = [row, drawn_row(1, bytes=encode(color), width=40, height=40, boxes=[], labels=[])]
    (batch,) = DetectionLoader(make_split(rows), 2, 32, shuffle=False)
    for plane, (mean, std) in enumerate(zip(IMAGENET_MEAN, IMAGENET_STD, strict=True)):
        torch.testing.assert_close(batch["pixel_values"][0, plane], torch.full((32, 32), (128 / 255 - mean) / std))
    assert batch["pixel_values"][1, 0].min() > 2 and batch["pixel_values"][1, 1].max() < 0


@pytest.mark.parametrize("mode", ["I;16", "P", "RGBA", "CMYK", "1"])
def test_other_modes_are_read(mode):
    import io

    from PIL import Image

    out = io.BytesIO()
    if mode == "I;16":
        Image.fromarray(np.full((32, 32), 40000, np.uint16)).save(out, "PNG")
    else:
        Image.new("RGB", (32, 32), "white").convert(mode).save(out, "TIFF" if mode == "CMYK" else "PNG")
    split = make_split([drawn_row(0, bytes=out.getvalue(), width=32, height=32)])
    (batch,) = DetectionLoader(split, 1, 32)
    value = float(gray_levels(batch["pixel_values"][0]).mean()) * 255
    assert value == pytest.approx(40000 >> 8 if mode == "I;16" else 255, abs=2)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), epoch=st.integers(0, 5), scale=st.sampled_from([0.0, 0.3, 0.8]))
def test_boxes_move_with_the_pixels(seed, epoch, scale):
    """Whatever was flipped, cropped or padded, the box still surrounds the white rectangle."""
    split = make_split([drawn_row(1, seed)])
    augment = Augmentation(scale=scale, brightness=0, contrast=0, noise=0)
    loader = DetectionLoader(split, 1, 128, augment=augment, seed=seed)
    loader.set_epoch(epoch)
    (batch,) = loader
    target = batch["labels"][0]
    assert len(target["boxes"]) == len(target["class_labels"])
    assert ((target["boxes"] >= 0) & (target["boxes"] <= 1)).all() and (target["boxes"][:, 2:] > 0).all()
    if len(target["boxes"]):
        found = torch.tensor(bright_box(gray_levels(batch["pixel_values"][0])), dtype=torch.float32)
        # A pixel of the small original covers up to three of the canvas, so its blurred edge up to two either way.
        assert (corners(target["boxes"], 128)[0] - found).abs().max() <= 2.5


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_zero_strength_is_the_plain_resize(seed):
    split = make_split([drawn_row(i, seed) for i in range(3)])
    nothing = Augmentation(flip_horizontal=0, flip_vertical=0, scale=0, brightness=0, contrast=0, noise=0)
    (plain,) = DetectionLoader(split, 3, 64, seed=seed)
    (augmented,) = DetectionLoader(split, 3, 64, augment=nothing, seed=seed)
    assert plain["image_id"] == augmented["image_id"]
    # The two are normalized by different libraries, which may round the last bit differently.
    torch.testing.assert_close(plain["pixel_values"], augmented["pixel_values"], rtol=1e-6, atol=1e-6)
    for one, other in zip(plain["labels"], augmented["labels"], strict=True):
        assert torch.equal(one["boxes"], other["boxes"]) and torch.equal(one["class_labels"], other["class_labels"])


def test_box_that_is_cropped_away_goes_with_its_label():
    rows = [drawn_row(i, boxes=[[0, 0, 4, 4], [20, 20, 50, 50]], labels=[0, 1]) for i in range(1, 30)]
    counts = [
        (len(t["boxes"]), len(t["class_labels"]))
        for batch in DetectionLoader(make_split(rows), 8, 64, augment=Augmentation(scale=1.0))
        for t in batch["labels"]
    ]
    assert all(a == b for a, b in counts) and any(a < 2 for a, _ in counts)


def test_unannotated_images_are_left_out():
    split = make_split([drawn_row(i, annotated=i % 2 == 0) for i in range(6)])
    loader = DetectionLoader(split, 2, 32)
    assert loader.num_images == 3
    assert {i for b in loader for i in b["image_id"]} == {"made/0", "made/2", "made/4"}


def test_selected_and_shuffled_splits_keep_their_rows(drawn_split):
    picked = drawn_split.select([7, 2, 5])
    assert [i for b in DetectionLoader(picked, 2, 32, shuffle=False) for i in b["image_id"]] == [
        "made/7",
        "made/2",
        "made/5",
    ]


def test_keep_aspect_pads_and_masks():
    row = drawn_row(1, bytes=encode(np.full((20, 40), 255, np.uint8)), width=40, height=20, boxes=[[0, 0, 40, 20]])
    (batch,) = DetectionLoader(make_split([row]), 1, 64, keep_aspect=True)
    assert batch["pixel_mask"][0, :32].all() and not batch["pixel_mask"][0, 32:].any()
    assert (batch["pixel_values"][0, :, 32:] == 0).all()
    assert corners(batch["labels"][0]["boxes"], 64)[0].tolist() == [0, 0, 64, 32]
    # Predicted boxes times the canvas size are again pixels of the file.
    box = batch["labels"][0]["boxes"][0]
    assert (box[3] * batch["canvas_size"][0, 0]).item() == 20 and (box[2] * batch["canvas_size"][0, 1]).item() == 40


def test_epochs_differ_and_repeat_exactly(drawn_split):
    def epoch(number: int, **options) -> list[dict]:
        loader = DetectionLoader(drawn_split, 4, 48, augment=STRONG, seed=3, **options)
        loader.set_epoch(number)
        return list(loader)

    first, again, second = epoch(0), epoch(0), epoch(1)
    assert all(same(a, b) for a, b in zip(first, again, strict=True))
    assert [b["image_id"] for b in first] != [b["image_id"] for b in second]


def test_iterating_advances_the_epoch_and_leaves_the_random_state(drawn_split):
    loader = DetectionLoader(drawn_split, 4, 48, augment=STRONG)
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first = [i for b in loader for i in b["image_id"]]
    assert torch.equal(torch.rand(3), expected)
    assert loader.epoch == 1
    assert [i for b in loader for i in b["image_id"]] != first


@pytest.mark.parametrize("augment", [None, STRONG], ids=["plain", "augmented"])
@pytest.mark.parametrize("prefetch", [1, 3])
def test_same_batches_with_any_number_of_threads(drawn_split, augment, prefetch):
    def epochs(threads):
        loader = DetectionLoader(drawn_split, 4, 48, augment=augment, seed=1, threads=threads, prefetch=prefetch)
        return [batch for _ in range(2) for batch in loader]

    alone = epochs(1)
    for threads in (2, 8):
        assert all(same(a, b) for a, b in zip(alone, epochs(threads), strict=True))


@settings(max_examples=50, deadline=None)
@given(stop=st.integers(0, 9), seed=st.integers(0, 99), threads=st.sampled_from([1, 2, 8]))
def test_resume_in_mid_epoch_neither_repeats_nor_loses(drawn_split, stop, seed, threads):
    def fresh():
        return DetectionLoader(drawn_split, 3, 40, augment=STRONG, seed=seed, threads=threads)

    whole = take(fresh(), 10)
    first = fresh()
    head = take(first, stop)
    second = fresh()
    second.load_state_dict(first.state_dict())
    tail = take(second, 10 - stop)
    assert all(same(a, b) for a, b in zip(whole, head + tail, strict=True))


def test_resume_with_other_settings_is_refused(drawn_split):
    state = DetectionLoader(drawn_split, 3, 40).state_dict()
    with pytest.raises(ValueError, match="batch_size=3, this one has 4"):
        DetectionLoader(drawn_split, 4, 40).load_state_dict(state)


@settings(max_examples=200, deadline=None)
@given(
    count=st.integers(0, 60),
    batch=st.integers(1, 9),
    world=st.integers(1, 5),
    drop_last=st.booleans(),
)
def test_ranks_share_an_epoch(count, batch, world, drop_last):
    ranks = [shares(count, batch, drop_last=drop_last, world_size=world, rank=r) for r in range(world)]
    alone = shares(count, batch, drop_last=drop_last, world_size=1, rank=0)
    assert len({len(r) for r in ranks}) == 1
    once = [share for rank in ranks for share in rank if not share.repeated]
    assert sorted(once, key=lambda share: share.number) == alone
    kept = [i for share in alone for i in range(share.start, share.stop)]
    assert kept == list(range(len(kept))) and count - len(kept) < (batch if drop_last else 1)
    assert sum(share.repeated for rank in ranks for share in rank) <= world - 1


@settings(max_examples=50, deadline=None)
@given(count=st.integers(0, 300), seed=st.integers(0, 9), epoch=st.integers(0, 9))
def test_order_is_a_permutation(count, seed, epoch):
    assert sorted(permutation(count, seed, epoch).tolist()) == list(range(count))


def test_three_ranks_see_what_one_sees_augmentation_included(drawn_split):
    def epoch(world, rank):
        return list(DetectionLoader(drawn_split, 2, 48, augment=STRONG, seed=4, rank=rank, world_size=world))

    alone = {batch["image_id"][0]: batch for batch in epoch(1, 0)}
    ranks = [epoch(3, rank) for rank in range(3)]
    assert {len(rank) for rank in ranks} == {2}
    seen = [
        i for rank in ranks for b in rank for i, again in zip(b["image_id"], b["repeated"], strict=True) if not again
    ]
    assert sorted(seen) == sorted(drawn_split["image_id"])
    assert all(same(batch, alone[batch["image_id"][0]]) for rank in ranks for batch in rank)


def test_repeated_images_are_marked(drawn_split):
    ranks = [list(DetectionLoader(drawn_split, 4, 32, rank=r, world_size=2)) for r in range(2)]
    flags = [bool(flag) for rank in ranks for b in rank for flag in b["repeated"]]
    assert [len(r) for r in ranks] == [2, 2] and sum(flags) == 4 and len(flags) - sum(flags) == 11


def test_drop_last_keeps_a_single_short_batch(drawn_split):
    assert [len(b["image_id"]) for b in DetectionLoader(drawn_split, 4, 32, drop_last=True)] == [4, 4]
    assert [len(b["image_id"]) for b in DetectionLoader(drawn_split, 40, 32, drop_last=True)] == [11]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("how", ["truncated", "foreign", "size"])
def test_bad_image_is_named(how, threads):
    rows = [drawn_row(i) for i in range(4)]
    noise = np.random.default_rng(0).integers(0, 255, (rows[2]["height"], rows[2]["width"]), dtype=np.uint8)
    bad = {"truncated": encode(noise)[:500], "foreign": b"not an image", "size": encode(noise[:-1])}
    rows[2]["bytes"] = bad[how]
    with pytest.raises(UnreadableImageError, match="made/2"):
        list(DetectionLoader(make_split(rows), 2, 32, threads=threads))


def test_wrong_arguments_are_refused(drawn_split):
    with pytest.raises(ValueError, match="lacks the columns"):
        DetectionLoader(drawn_split.remove_columns(["boxes"]), 2, 32)
    with pytest.raises(ValueError, match="must be positive"):
        DetectionLoader(drawn_split, 0, 32)
    with pytest.raises(ValueError, match="channels is 'greenish' and must be auto, gray, rgb or pair"):
        DetectionLoader(drawn_split, 1, 32, channels="greenish")
    with pytest.raises(ValueError, match="lacks the columns masks\\."):
        DetectionLoader(drawn_split.remove_columns(["masks"]), 1, 32, masks=True)
    with pytest.raises(ValueError, match="rank is 2"):
        DetectionLoader(drawn_split, 1, 32, rank=2, world_size=2)
