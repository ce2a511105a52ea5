"""Modified copies are found, and images that only resemble one another are not."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from radikal_datasets.leaks.hashes import ORIENTATIONS
from radikal_datasets.leaks.near_duplicates import CROWD, Matches, connected, near_duplicates, thumbnail
from radikal_datasets.leaks.registration import Placed, fine_structure, refined, repeats

EDGE = 240


def surface(seed: int, edge: int = EDGE) -> np.ndarray:
    """A texture with dark marks, gray levels."""
    rng = np.random.default_rng(seed)
    texture = ndimage.gaussian_filter(rng.normal(size=(edge, edge)), (1.5, 3))
    values = 120 + 12 * texture / texture.std()
    for _ in range(12):
        y, x = rng.integers(0, edge - 30, 2)
        values[y : y + rng.integers(4, 30), x : x + rng.integers(4, 30)] -= 40
    return values


def image(values: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(np.round(values), 0, 255).astype(np.uint8))


def recompressed(values: np.ndarray, quality: int) -> Image.Image:
    out = io.BytesIO()
    image(values).save(out, "JPEG", quality=quality)
    return Image.open(out)


def searched(images: list[Image.Image]) -> Matches:
    return near_duplicates(np.stack([thumbnail(one) for one in images]))


def pairs(found: Matches) -> list[tuple[int, int]]:
    return sorted((match.first, match.second) for match in found.pairs)


CHANGES: dict[str, Callable[[np.ndarray], Image.Image]] = {
    "lighter": lambda a: image(a * 1.2 + 10),
    "darker": lambda a: image(a * 0.7),
    "recompressed": lambda a: recompressed(a, 40),
    "shifted": lambda a: image(np.roll(a, (2, -1), (0, 1))),
    "cropped": lambda a: image(a[8:-4, 3:-10]),
    "smaller": lambda a: image(a).resize((150, 150), Image.Resampling.BICUBIC),
    "noisier": lambda a: image(a + np.random.default_rng(0).normal(0, 4, a.shape)),
    "all": lambda a: recompressed((np.roll(a, (1, 2), (0, 1)) * 1.1)[3:-5, 2:-4], 60),
}


@pytest.mark.parametrize("how", CHANGES)
def test_changed_copies(how):
    originals = [surface(seed) for seed in range(12)]
    found = searched([image(a) for a in originals] + [CHANGES[how](a) for a in originals[:4]])
    assert pairs(found) == [(0, 12), (1, 13), (2, 14), (3, 15)]
    assert not found.lookalikes


@pytest.mark.parametrize("turned", ORIENTATIONS)
def test_every_flip_and_rotation(turned):
    values = surface(1)
    other = np.ascontiguousarray(values)
    # `turned` is the transform that maps the second image to the first.
    back = {"turned by 90°": "turned by 270°", "turned by 270°": "turned by 90°"}.get(str(turned), str(turned))
    found = searched([image(surface(seed)) for seed in range(2, 6)] + [image(values), image(ORIENTATIONS[back](other))])
    assert [(m.first, m.second, m.turned) for m in found.pairs] == [(4, 5, turned)]


@pytest.mark.parametrize("shift", [(0, 24), (30, 0), (-24, 32)])
def test_overlapping_parts_of_one_surface(shift):
    large = surface(3, 400)
    y, x = shift
    one, other = large[60:260, 60:260], large[60 + y : 260 + y, 60 + x : 260 + x]
    (match,) = searched([image(one), image(other), *(image(surface(seed, 200)) for seed in range(4, 10))]).pairs
    assert (match.first, match.second) == (0, 1)
    assert match.shift == pytest.approx((-x / 200, -y / 200), abs=0.01)
    assert match.overlap == pytest.approx((1 - abs(x) / 200) * (1 - abs(y) / 200), abs=0.02)


def part(seed: int) -> np.ndarray:
    """The same part in the same place, photographed again: only the noise differs."""
    values = np.full((EDGE, EDGE), 60.0)
    values[40:200, 60:110] = 150
    values[90:120, 30:220] = 200
    values[150:180, 140:190] = 20
    return values + np.random.default_rng(seed).normal(0, 6, values.shape)


def test_a_part_photographed_many_times_is_one_set_and_not_pairs():
    found = searched([image(part(seed)) for seed in range(10)] + [image(surface(seed)) for seed in range(6)])
    assert not found.pairs
    assert all(set(members) <= set(range(10)) for members in found.lookalikes)


def test_few_photographs_of_one_part_are_pairs():
    found = searched([image(part(seed)) for seed in range(2)] + [image(surface(seed)) for seed in range(6)])
    assert pairs(found) == [(0, 1)]


def test_a_pair_that_stands_out_among_similar_images():
    images = [image(part(seed)) for seed in range(3 * CROWD)]
    values = np.asarray(images[4]).astype(int)
    values[0, 0] += 1
    found = searched([*images, image(values)])
    assert pairs(found) == [(4, len(images))]


@pytest.mark.parametrize("period", [12, 20])
def test_grids_do_not_match_when_shifted(period):
    y, x = np.mgrid[:EDGE, :EDGE]

    def grid(seed: int) -> Image.Image:
        rng = np.random.default_rng(seed)
        a, b = rng.integers(0, period, 2)
        lines = ((x + a) % period < 4) | ((y + b) % period < 4)
        return image(80 + 100 * lines + rng.normal(0, 5, lines.shape))

    assert not searched([grid(seed) for seed in range(4)]).pairs


def test_rings_do_not_match_flipped():
    y, x = np.mgrid[:EDGE, :EDGE] - EDGE / 2

    def ring(seed: int) -> Image.Image:
        rng = np.random.default_rng(seed)
        return image(60 + 120 * (abs(np.hypot(x, y) - 80) < 12) + rng.normal(0, 6, (EDGE, EDGE)))

    assert not searched([ring(seed) for seed in range(3)]).pairs


@pytest.mark.parametrize("others", range(4))
@pytest.mark.parametrize("how", ["lighter", "cropped"])
def test_copies_in_a_small_dataset(how, others):
    images = [*(image(surface(seed)) for seed in range(others)), image(surface(9)), CHANGES[how](surface(9))]
    assert pairs(searched(images)) == [(others, others + 1)]


def test_uniform_images_never_match():
    assert searched([Image.new("L", (50, 50), level) for level in (0, 0, 255, 128, 128)]) == Matches([], [])


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_to_compare(count):
    assert near_duplicates(np.zeros((count, 128, 128), np.uint8)) == Matches([], [])


def test_thumbnails_of_any_mode():
    gray = image(surface(0))
    for other in (gray.convert("RGB"), gray.convert("RGBA"), gray.convert("LA")):
        np.testing.assert_array_equal(thumbnail(other), thumbnail(gray))
    # Higher bit depths are stretched: the same image in different light.
    deep = Image.fromarray(np.asarray(gray).astype(np.uint16) * 100)
    assert pairs(searched([gray, deep, *(image(surface(seed)) for seed in range(1, 5))])) == [(0, 1)]
    assert thumbnail(Image.new("1", (7, 300))).shape == (128, 128)


@settings(max_examples=5)
@given(st.permutations(range(9)))
def test_the_order_of_images_does_not_matter(order):
    originals = [surface(seed) for seed in range(7)]
    images = [*map(image, originals), CHANGES["all"](originals[0]), CHANGES["cropped"](originals[3])]
    found = searched([images[i] for i in order])
    assert {frozenset((order[a], order[b])) for a, b in pairs(found)} == {frozenset((0, 7)), frozenset((3, 8))}


@settings(max_examples=20)
@given(st.floats(0.93, 1.07), st.floats(0.93, 1.07), st.floats(-6, 6), st.floats(-6, 6))
@example(0.93, 1.07, 0.0, -3.0)
@example(1.07, 0.93, 1.0, 5.0)
def test_refined_finds_scale_and_shift(down, right, y, x):
    values = np.asarray(thumbnail(image(surface(5)))).astype(float)
    center = 63.5
    offset: Any = [center - down * center + y, center - right * center + x]
    moved = ndimage.affine_transform(values, np.array([down, right]), offset, order=3, mode="reflect")
    # As close as the preceding search gets: one shift step of COARSE, and half a scale step.
    start = Placed(0, 1, 0, 1.0, 1 + 0.5 * (down + right - 2), (round(y / 2), round(x / 2)))
    fit = refined(fine_structure(values), fine_structure(moved), start)
    assert fit is not None
    assert fit.similarity > 0.9


def test_repeats_detects_self_similar_images():
    _, x = np.mgrid[:128, :128]
    stripes, noise = 50.0 * (x % 16 < 8), surface(1, 128)

    def of(values: np.ndarray) -> float:
        structure = fine_structure(values)
        return repeats(structure, [turn(structure) for turn in list(ORIENTATIONS.values())[1:]])

    assert of(stripes) > 0.95
    assert of(noise) < 0.5


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=12))
def test_connected(some):
    sets = connected(some)
    place = {number: k for k, members in enumerate(sets) for number in members}
    assert len(place) == sum(map(len, sets)) == len({number for pair in some for number in pair})
    assert all(place[a] == place[b] for a, b in some)
    assert sum(len(members) - 1 for members in sets) <= len({frozenset(pair) for pair in some if pair[0] != pair[1]})
