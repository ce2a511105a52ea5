"""Gray-level changes, what is realistic for a source, strengths that are refused, and the device."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from loaders.augmentation import Augmentation, Batch
from loaders.augmentation.augmentation import MILD
from radikal_datasets.sources import list_sources, source_info, source_names
from tests.loaders.augmentation_batches import CASES, CHANGES, FIELDS, NOTHING, STRONG, make_batch, seeded

pytestmark = pytest.mark.usefixtures("one_thread")


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


def whole(images: torch.Tensor) -> Batch:
    """A batch of these images, without padding and boxes."""
    content = torch.tensor([images.shape[-2:]]).expand(len(images), 2)
    none = torch.zeros(0, dtype=torch.int64)
    return Batch(images, content, torch.zeros(0, 4), none, none, None)


def test_gamma_keeps_black_and_white():
    images = torch.tensor([0.0, 255.0, 127.5]).view(1, 1, 1, 3).expand(2000, 1, 1, 3)
    after = replace(NOTHING, gamma=0.5)(whole(images), seeded(0)).images[:, 0, 0]
    assert (after[:, 0] == 0).all() and torch.allclose(after[:, 1], torch.tensor(255.0))
    exponent = (after[:, 2] / 255).log() / math.log(0.5)
    assert 1 / 1.5 - 1e-4 <= exponent.min() < 0.67 and 1.49 < exponent.max() <= 1.5001
    assert abs(exponent.log().mean()) < 0.02


def test_noise_has_its_deviation_and_differs_from_image_to_image():
    after = replace(NOTHING, noise=0.1)(whole(torch.full((300, 1, 40, 40), 128.0)), seeded(0)).images
    deviation = after.std((1, 2, 3)) / 255
    assert deviation.min() < 0.01 and 0.09 < deviation.max() < 0.105 and abs(float(after.mean()) - 128) < 0.2
    assert len({float(image[0, 0, 0]) for image in after}) == 300


def test_blur_is_gaussian_and_stays_within_the_content():
    images = torch.zeros(40, 2, 41, 41)
    images[:, 0, 20, 20] = 1
    images[:, 1] = 50
    after = replace(NOTHING, blur=2.0)(whole(images), seeded(0)).images
    assert torch.allclose(after[:, 1], torch.tensor(50.0)) and torch.allclose(after[:, 0].sum((1, 2)), torch.ones(40))
    ys = torch.arange(41) - 20
    sigma = (after[:, 0].sum(2) * ys**2).sum(1).sqrt()
    assert sigma.min() < 0.3 and 1.8 < sigma.max() < 2.0
    torch.testing.assert_close(after[:, 0], after[:, 0].transpose(1, 2))
    drawn = (2.0 * torch.rand(40, generator=seeded(0))).clamp_min(0.01)
    torch.testing.assert_close(sigma[drawn > 0.5], drawn[drawn > 0.5], rtol=0.02, atol=0.02)


def test_planes_of_a_gray_image_stay_one_and_colors_keep_their_hue():
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
    with pytest.raises(
        ValueError, match=r"turn is not realistic for severstal.*flip_horizontal, flip_vertical, translate"
    ):
        Augmentation.for_source("severstal", turn=0.5)
    with pytest.raises(ValueError, match="no_such_field is not realistic for neu_det"):
        Augmentation.for_source("neu_det", no_such_field=1)
    assert Augmentation.for_source("severstal").copy_paste == 0
    assert Augmentation.for_source("severstal", copy_paste=0.3).copy_paste == 0.3


def test_pages_of_the_sources_name_the_same_augmentations():
    docs = Path(__file__).parents[2] / "docs"
    overview = (docs / "augmentation.md").read_text(encoding="utf-8")
    assert all(f"| `{name}` |" in overview for name in FIELDS)
    for source in list_sources():
        page = (docs / "sources" / f"{source.name}.md").read_text(encoding="utf-8")
        (line,) = re.findall(r"^Realistic augmentations .*?: (.*?)\.$", page, re.MULTILINE | re.DOTALL)
        assert tuple(re.findall(r"`(\w+)`", line)) == source.augmentations
        (row,) = re.findall(rf"^\| `{source.name}` \| (.*?) \|", overview, re.MULTILINE)
        assert tuple(re.findall(r"`(\w+)`", row)) == source.augmentations


@pytest.mark.parametrize("field", FIELDS)
def test_strengths_that_make_no_sense_are_refused(field):
    for value in (-0.1, math.nan, math.inf):
        with pytest.raises(ValueError, match=f"{field} is {value}"):
            Augmentation(**{field: value})
    if field in ("flip_horizontal", "flip_vertical", "turn", "mosaic", "erase", "copy_paste", "min_visible"):
        with pytest.raises(ValueError, match=rf"{field} is 1.5, but must be a probability from 0 to 1"):
            Augmentation(**{field: 1.5})
    with pytest.raises(ValueError, match="shear is 90"):
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
