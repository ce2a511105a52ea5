"""Scores of maps: what holds for any map and box."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from training.explaining.baselines import BASELINES, baseline_map, blurred, scaled
from training.explaining.calibration import calibration
from training.explaining.consensus import agreement, consensus_map, ranks, spearman
from training.explaining.explained import Explained, Explanation, MapScores
from training.explaining.summary import summarize
from training.explaining.targets import Detection
from training.explaining.trust import area_of, area_under, deletion_and_insertion, energy_inside, pointing_hit

SHAPE = (12, 16)


@st.composite
def boxes(draw):
    x = sorted(draw(st.tuples(*[st.floats(0, SHAPE[1])] * 2)))
    y = sorted(draw(st.tuples(*[st.floats(0, SHAPE[0])] * 2)))
    return x[0], y[0], x[1], y[1]


maps = st.integers(0, 10_000).map(lambda seed: np.random.default_rng(seed).random(SHAPE, dtype=np.float32))


@given(boxes())
def test_a_map_that_is_the_same_everywhere_has_the_boxs_area_inside(box):
    area = (box[2] - box[0]) * (box[3] - box[1]) / (SHAPE[0] * SHAPE[1])
    flat = np.full(SHAPE, 0.3, np.float32)
    assert area_of(box, SHAPE) == pytest.approx(area, abs=1e-6)
    assert energy_inside(flat, box) == pytest.approx(area, abs=1e-6) == pointing_hit(flat, box)


@given(maps, st.floats(0, SHAPE[1]))
def test_energies_left_and_right_of_a_line_add_up(values, x):
    left, right = (0.0, 0.0, x, 12.0), (x, 0.0, 16.0, 12.0)
    assert energy_inside(values, left) + energy_inside(values, right) == pytest.approx(1, abs=1e-5)


def test_energy_and_pointing_of_one_bright_pixel():
    values = np.zeros(SHAPE, np.float32)
    assert energy_inside(values, (0, 0, 16, 12)) == 0  # an empty map has nothing inside
    values[3, 5] = 1
    assert energy_inside(values, (5, 3, 6, 4)) == 1 == pointing_hit(values, (5, 3, 6, 4))
    assert energy_inside(values, (5, 3, 5.5, 4)) == pytest.approx(0.5)
    assert energy_inside(values, (6, 3, 7, 4)) == 0 == pointing_hit(values, (6, 3, 7, 4))
    values[9, 9] = 1
    assert pointing_hit(values, (5, 3, 6, 4)) == 0.5


def brightness(images: torch.Tensor) -> torch.Tensor:
    """A score that depends only on columns 4 to 8 of rows 2 to 6."""
    return images[:, 0, 2:6, 4:8].mean((1, 2))


def curves_of(values, steps=6, batch=4):
    pixels, hidden = torch.ones(1, 3, *SHAPE), torch.zeros(1, 3, *SHAPE)
    return deletion_and_insertion(brightness, pixels, hidden, values, steps, batch, np.random.default_rng(0))


@given(maps, st.integers(1, 9))
@settings(max_examples=30)
def test_curves_run_between_the_image_and_nothing_and_mirror_each_other(values, batch):
    curves, opposite = curves_of(values, batch=batch), curves_of(-values, batch=batch)
    assert curves.deletion[0] == 1 == curves.insertion[-1] and curves.deletion[-1] == 0 == curves.insertion[0]
    assert len(curves.deletion) == 7
    # What a map deletes last, its inverse inserts first: the same images in reverse order.
    assert opposite.insertion == pytest.approx(curves.deletion[::-1], abs=1e-6)
    assert all(a >= b for a, b in zip(curves.deletion, curves.deletion[1:], strict=False))


def test_a_correct_map_has_better_curves_than_noise():
    right = np.zeros(SHAPE, np.float32)
    right[2:6, 4:8] = 1
    good, noise = curves_of(right), curves_of(np.random.default_rng(3).random(SHAPE))
    assert good.deletion_area < noise.deletion_area and good.insertion_area > noise.insertion_area
    assert area_under([0.5] * 4) == 0.5 and area_under([0, 1]) == 0.5


@given(maps, maps)
def test_rank_correlation(one, other):
    assert spearman(one, one) == pytest.approx(1)
    assert spearman(one, -one) == pytest.approx(-1)
    assert spearman(one, other) == pytest.approx(spearman(other, one))
    assert spearman(one, np.zeros(SHAPE)) == 0
    assert ranks(one).mean() == pytest.approx(0.5)


@given(maps, maps)
def test_a_consensus_depends_on_ranks_and_not_on_contrast(one, other):
    plain, contrasty = {"a": one, "b": other}, {"a": one, "b": 5 * other.astype(float) ** 3}
    assert np.allclose(consensus_map(plain), consensus_map(contrasty), atol=1e-6)
    both = agreement(plain)
    assert both is not None and agreement(contrasty) == pytest.approx(both)
    assert agreement({"a": one}) is None


@given(st.sampled_from(BASELINES), boxes(), st.integers(0, 100))
def test_baselines_are_valid_and_reproducible(name, box, seed):
    one, again = (baseline_map(name, SHAPE, box, np.random.default_rng(seed)) for _ in range(2))
    assert one.shape == SHAPE and one.dtype == np.float32 and np.array_equal(one, again)
    assert one.min() >= 0 and one.max() <= 1


def test_the_box_blob_follows_the_box_and_the_center_blob_does_not():
    box = (1.0, 1.0, 5.0, 4.0)
    inside = [energy_inside(baseline_map(name, SHAPE, box, np.random.default_rng(0)), box) for name in BASELINES]
    of = dict(zip(BASELINES, inside, strict=True))
    assert of["box"] > 0.8 and of["center"] < 2 * area_of(box, SHAPE)
    assert of["random"] == pytest.approx(area_of(box, SHAPE), rel=0.4)


def test_a_map_of_nans_is_treated_as_empty():
    assert not scaled(np.array([[1.0, np.nan]])).any() and not scaled(np.ones(SHAPE)).any()
    assert scaled(np.array([[2.0, 3.0, 4.0]])).tolist() == [[0, 0.5, 1]]


def test_blurring_removes_small_details_and_keeps_a_flat_image():
    flat = torch.full((1, 3, 40, 50), 0.7)
    assert torch.allclose(blurred(flat), flat)
    dotted = flat.clone()
    dotted[:, :, 18:21, 20:23] = 2.0
    assert float((blurred(dotted) - flat).abs().max()) < 0.15


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=60), st.floats(0, 1))
def test_calibration_counts_every_detection_from_the_floor_up(marks, floor):
    found = calibration(marks, floor)
    kept = [mark for mark in marks if mark[0] >= floor]
    assert found.count == len(kept) == sum(one.count for one in found.bins)
    if kept:
        assert found.error is not None and found.bias is not None
        assert abs(found.bias) - 1e-9 <= found.error <= 1
        assert all(one.low <= one.score + 1e-9 and one.score <= one.high + 1e-9 for one in found.bins)
    else:
        assert found.error is None and found.bias is None


def test_calibration_of_honest_and_of_overconfident_scores():
    true = [(0.25, i < 1) for i in range(4)] + [(0.75, i < 3) for i in range(4)]
    assert calibration(true, 0.0).error == pytest.approx(0)
    boasting = calibration([(0.95, False), (0.95, True)], 0.0)
    assert boasting.error == pytest.approx(0.45) == boasting.bias


def explanation(name: str, energy: float, area: float, redrawn: float, deletion: float = 0.1) -> Explanation:
    scores = {
        name: MapScores(energy, 1.0, energy, deletion, 0.6, {"decoder": redrawn, "backbone": 0.1}),
        "random": MapScores(area, 0.0, area, 0.3, 0.3),
        "center": MapScores(area, 0.0, area, 0.2, 0.3),
        "box": MapScores(0.9, 1.0, 0.9, 0.01, 0.9),
    }
    return Explanation(Detection((0, 0, 4, 4), 0, 0.9, 0), (0, 0, 4, 4), area, 0.0, None, {}, scores)


@pytest.mark.parametrize(
    ("energy", "redrawn", "deletion", "passes"),
    [
        (0.21, 0.2, 0.1, {"energy": True, "curves": True, "redrawn": True}),
        (0.19, 0.2, 0.1, {"energy": False, "curves": True, "redrawn": True}),
        (0.21, 0.51, 0.1, {"energy": True, "curves": True, "redrawn": False}),
        (0.21, 0.2, 0.25, {"energy": True, "curves": False, "redrawn": True}),  # worse than the blob in the center
    ],
)
def test_what_a_method_passes(energy, redrawn, deletion, passes):
    one = explanation("gradcam", energy, 0.1, redrawn, deletion)
    summary = summarize([Explained(None, [one], {"gradcam": 2.0})])  # pyright: ignore[reportArgumentType]
    found = {method.name: method for method in summary.methods}
    assert found["gradcam"].passes == passes and found["gradcam"].seconds == 2.0
    assert found["gradcam"].ratio == pytest.approx(energy / 0.1) and found["box"].passes == {}
    assert summary.reachable == pytest.approx(10)
    assert found["gradcam"].curves_won == (1 if deletion < 0.2 else 0)


def test_boxes_over_half_of_the_image_do_not_count():
    """There no map can have twice the random map's energy."""
    large, small = explanation("gradcam", 0.7, 0.6, 0.1), explanation("gradcam", 0.5, 0.1, 0.1)
    both = summarize([Explained(None, [large, small], {})])  # pyright: ignore[reportArgumentType]
    assert (both.right, both.tested) == (2, 1) and both.methods[0].ratio == pytest.approx(5)
    alone = summarize([Explained(None, [large], {})])  # pyright: ignore[reportArgumentType]
    assert alone.methods[0].ratio is None and alone.methods[0].passes["energy"] is None
    assert summarize([]).methods == []
