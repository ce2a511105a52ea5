"""Tiles cover the image, keep its pixels and labels, and their predictions are merged again."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from loaders import ClassBalancedSampler, DetectionLoader, Tiling, merge_tiles
from tests.loaders.conftest import drawn_row, encode, make_split

SIZES = st.tuples(st.integers(1, 300), st.integers(1, 300))


@settings(max_examples=300, deadline=None)
@given(size=SIZES, tile=st.tuples(st.integers(1, 120), st.integers(1, 120)), overlap=st.floats(0, 0.9))
def test_tiles_cover_the_image_and_overlap(size, tile, overlap):
    tiling = Tiling(tile, overlap)
    covered = np.zeros(size, bool)
    windows = tiling.windows(size)
    for top, left, height, width in windows:
        assert (height, width) == (min(tile[0], size[0]), min(tile[1], size[1]))
        assert 0 <= top <= size[0] - height and 0 <= left <= size[1] - width
        covered[top : top + height, left : left + width] = True
    assert covered.all() and len(set(windows)) == len(windows)
    for axis in (0, 1):
        starts = sorted({window[axis] for window in windows})
        length = windows[0][2 + axis]
        assert all(b - a <= max(1, length * (1 - overlap)) for a, b in pairwise(starts))


@settings(max_examples=200, deadline=None)
@given(data=st.data(), tile=st.integers(20, 100), overlap=st.floats(0.1, 0.8))
def test_a_defect_no_larger_than_the_overlap_is_complete_in_some_tile(data, tile, overlap):
    size = data.draw(st.tuples(st.integers(100, 300), st.integers(100, 300)))
    edge = data.draw(st.integers(1, max(1, int(tile * overlap) - 2)))
    x, y = data.draw(st.integers(0, size[1] - edge)), data.draw(st.integers(0, size[0] - edge))
    box = np.array([[x, y, x + edge, y + edge]], np.float32)
    tiling = Tiling(tile, overlap, min_visible=1.0)
    whole = [tiling.visible(box, window)[0] for window in tiling.windows(size)]
    assert any(len(found) and (found[0, 2:] - found[0, :2] == edge).all() for found in whole)


def wide(index: int, boxes: list[list[int]], width: int = 160, height: int = 50):
    array = np.random.default_rng(index).integers(0, 60, (height, width), dtype=np.uint8)
    for x0, y0, x1, y1 in boxes:
        array[y0:y1, x0:x1] = 230 + len(boxes)
    return drawn_row(
        index, bytes=encode(array), width=width, height=height, boxes=boxes, labels=[0] * len(boxes)
    ), array


def test_tiles_keep_pixels_and_ground_truth():
    row, array = wide(1, [[62, 10, 72, 20], [150, 0, 160, 50]])
    loader = DetectionLoader(make_split([row]), 2, (50, 64), tiles=Tiling((50, 64), 0.2), shuffle=False)
    windows = []
    for batch in loader.raw():
        for plane, (record, boxes, _) in zip(batch.pixels, batch.records, strict=True):
            top, left, height, width = record.window
            windows.append(record.window)
            assert np.array_equal(plane[0].numpy(), array[top : top + height, left : left + width])
            for x0, y0, x1, y1 in boxes.astype(int):
                assert (plane[0, y0:y1, x0:x1] == 232).all()
    assert windows == [(0, 0, 50, 64), (0, 48, 50, 64), (0, 96, 50, 64)]
    batch, last = list(loader)
    assert batch["window"].tolist() == [list(w) for w in windows[:2]] and last["window"].tolist() == [list(windows[2])]
    assert batch["image_size"].tolist() == [[50, 160]] * 2 and batch["orig_size"].tolist() == [[50, 64]] * 2
    assert [len(label["boxes"]) for label in batch["labels"]] == [
        0,
        1,
    ]  # the first shows 2 of 10 columns: below a quarter


def test_a_box_mostly_outside_a_tile_is_not_in_its_ground_truth():
    boxes = np.array([[0, 0, 10, 10], [8, 0, 20, 10], [9, 0, 19, 10]], np.float32)
    shown, kept = Tiling(10, min_visible=0.15).visible(boxes, (0, 0, 10, 10))
    assert kept.tolist() == [0, 1] and shown.tolist() == [[0, 0, 10, 10], [8, 0, 10, 10]]


def test_empty_tiles_are_sampled_at_their_rate_and_others_every_epoch():
    rows = [wide(i, [[5, 5, 15, 15]] if i == 0 else [])[0] for i in range(40)]
    loader = DetectionLoader(make_split(rows), 8, 64, tiles=Tiling(64, 0.2, empty=0.3), seed=2)
    epochs = []
    for epoch in range(3):
        loader.set_epoch(epoch)
        steps, batches = len(loader), list(loader)
        assert len(batches) == steps
        shown = [(i, tuple(w)) for b in batches for i, w in zip(b["image_id"], b["window"].tolist(), strict=True)]
        assert len(shown) == len(set(shown)) and ("made/0", (0, 0, 50, 64)) in shown
        assert 20 <= len(shown) <= 55  # 119 empty tiles, three deviations around 36
        epochs.append(set(shown))
    assert epochs[0] != epochs[1] != epochs[2]


def test_shifted_tiles_stay_inside_and_differ_between_epochs():
    split = make_split([wide(i, [[5, 5, 15, 15], [90, 20, 99, 29]])[0] for i in range(9)])

    def shown(epoch: int, position: int = 0) -> list[list[int]]:
        loader = DetectionLoader(split, 4, 64, tiles=Tiling(32, jitter=0.5), seed=3)
        loader.load_state_dict({**loader.state_dict(), "epoch": epoch, "position": position})
        return [
            [*window, len(one["class_labels"])]
            for b in loader
            for window, one in zip(b["window"].tolist(), b["labels"], strict=True)
        ]

    first = shown(0)
    assert first == shown(0) and shown(0, 2) == first[8:]  # also after resuming in the middle
    fixed = Tiling(32).windows(split[0]["image"].size[::-1])
    assert {tuple(w[:4]) for w in first} - set(fixed) and first != shown(1)
    height, width = split[0]["height"], split[0]["width"]
    assert all(0 <= top <= height - h and 0 <= left <= width - w and h == w == 32 for top, left, h, w, _ in first)
    assert any(count for *_, count in first)


def test_tiles_of_a_stream_are_those_of_a_table():
    split = make_split([wide(i, [[5, 5, 15, 15]])[0] for i in range(5)])
    tiles = Tiling((50, 64), 0.2)
    table = list(DetectionLoader(split, 4, 64, tiles=tiles, shuffle=False))
    stream = list(DetectionLoader(split.to_iterable_dataset(num_shards=2), 4, 64, tiles=tiles))
    for one, other in zip(table, stream, strict=True):
        assert one["image_id"] == other["image_id"] and torch.equal(one["window"], other["window"])
        assert torch.equal(one["pixel_values"], other["pixel_values"])


def test_a_sampler_chooses_the_images_that_are_tiled():
    split = make_split([wide(i, [[5, 5, 15, 15]] if i == 0 else [])[0] for i in range(8)])
    sampler = ClassBalancedSampler(split, num_samples=8)
    loader = DetectionLoader(split, 4, 64, tiles=Tiling(64, 0.2), sampler=sampler)
    seen = [i for b in loader for i in b["image_id"]]
    assert len(seen) == 24 and seen.count("made/0") == 12


# --- merging ----------------------------------------------------------------------------------------------------------


def truth_as_predictions(size, boxes, labels, tiling, noise=0.0, seed=0):
    """Return a perfect detector's predictions for every tile."""
    rng = np.random.default_rng(seed)
    for window in tiling.windows(size):
        shown, kept = tiling.visible(boxes, window)
        yield {
            "image_id": "made",
            "window": window,
            "image_size": size,
            "boxes": shown + rng.uniform(-noise, noise, shown.shape),
            "labels": labels[kept],
            "scores": rng.uniform(0.6, 1.0, len(kept)),
        }


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_perfect_predictions_on_tiles_equal_the_ground_truth_of_the_image(data):
    """Separate boxes, no larger than the overlap: each is found complete, and once."""
    size, tiling = (128, 400), Tiling(128, 0.4, min_visible=0.1)
    cells = data.draw(st.lists(st.integers(0, 15), max_size=8, unique=True))
    boxes, labels = [], []
    for cell in cells:  # a grid of 50 pixels keeps them apart
        x, y = (cell % 8) * 50, (cell // 8) * 60
        w, h = data.draw(st.integers(4, 40)), data.draw(st.integers(4, 40))
        boxes.append([x, y, x + w, y + h])
        labels.append(data.draw(st.integers(0, 1)))
    truth = np.array(boxes, np.float32).reshape(-1, 4)
    merged = merge_tiles(truth_as_predictions(size, truth, np.array(labels, int), tiling))["made"]
    order = sorted(range(len(boxes)), key=lambda i: boxes[i])
    found = sorted(zip(merged["boxes"].tolist(), merged["labels"].tolist(), strict=True))
    assert [b for b, _ in found] == [pytest.approx(boxes[i], abs=1e-3) for i in order]
    assert [label for _, label in found] == [labels[i] for i in order]
    assert merged["scores"].tolist() == sorted(merged["scores"].tolist(), reverse=True)


def tile(left, boxes, scores, labels=None):
    return {
        "image_id": "made",
        "window": (0, left, 100, 100),
        "image_size": (100, 180),
        "boxes": boxes,
        "scores": scores,
        "labels": labels or [0] * len(boxes),
    }


def test_a_truncated_box_yields_to_the_complete_one_even_with_a_better_score():
    merged = merge_tiles([tile(0, [[85, 10, 100, 30]], [0.9]), tile(80, [[5, 10, 60, 30]], [0.7])])["made"]
    assert merged["boxes"].tolist() == [[85, 10, 140, 30]]


@pytest.mark.parametrize(
    ("second", "what"),
    [
        (tile(80, [[5, 10, 60, 30]], [0.1]), "a box nobody believes in"),
        (tile(80, [[5, 10, 60, 30]], [0.7], [1]), "another class"),
        (tile(80, [[14, 10, 60, 30]], [0.7]), "one that covers less"),
    ],
)
def test_a_truncated_box_beside_another_is_kept(second, what):
    assert len(merge_tiles([tile(0, [[85, 10, 100, 30]], [0.9]), second])["made"]["boxes"]) == 2, what


def test_a_small_box_in_a_large_one_is_kept_where_nothing_was_truncated():
    assert len(merge_tiles([tile(0, [[10, 10, 20, 20], [5, 5, 60, 60]], [0.9, 0.8])])["made"]["boxes"]) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 0}, "must be positive"),
        ({"size": 10, "overlap": 1.0}, "overlap is 1.0"),
        ({"size": 10, "empty": 1.5}, "empty is 1.5"),
        ({"size": 10, "jitter": 2}, "jitter is 2"),
    ],
)
def test_numbers_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        Tiling(**arguments)
