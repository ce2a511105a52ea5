"""The methods: on networks so small that the correct map is known, and on every family of detectors."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from training.explaining.attention import _deformable, attention_map
from training.explaining.cam import backbone, cam_map, tapped
from training.explaining.cases import _detections
from training.explaining.d_rise import d_rise_maps, random_masks
from training.explaining.gradients import integrated_gradients_map
from training.explaining.methods import METHODS, Effort, available_methods, maps_of
from training.explaining.redrawing import PARTS, redrawn
from training.explaining.targets import ClassLogits, Detection, Detector, QueryLogit, Similarity, best_query, similarity
from training.explaining.trust import area_of, energy_inside
from training.models import MODEL_TYPES, build_model, image_processor

NAMES = ["hole", "scratch"]
BOX = (36.0, 12.0, 56.0, 28.0)
SMALL = Effort(masks=12, gradient_steps=3, curve_steps=2, batch=5)


def detector(model_type: str = "rt_detr_v2") -> Detector:
    torch.manual_seed(0)
    return Detector(
        build_model(
            model_type,
            NAMES,
            size="nano",
            backbone="test_resnet",
            image_size=(64, 64),
            num_queries=12,
            decoder_layers=2,
        )
    )


def noise(height: int = 64, width: int = 64) -> torch.Tensor:
    return torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(1))


def in_box(images: torch.Tensor) -> torch.Tensor:
    """Return (B,): how similar the box is to that of the unmodified image (all ones)."""
    return images[:, :, 12:28, 36:56].mean((1, 2, 3))


def test_d_rise_finds_what_a_score_looks_at():
    pixels, hidden = torch.ones(1, 3, 64, 80), torch.zeros(1, 3, 64, 80)

    def scores(images):
        return torch.stack([in_box(images), images[:, :, 40:60, 4:24].mean((1, 2, 3))], 1)

    one, other = d_rise_maps(scores, pixels, hidden, masks=200, batch=32, seed=0)
    assert one.shape == (64, 80) and one.min() >= 0 and one.max() == 1
    area = area_of(BOX, one.shape)
    assert energy_inside(one, BOX) > 3 * area and energy_inside(other, BOX) < 1.5 * area
    again = d_rise_maps(scores, pixels, hidden, masks=200, batch=32, seed=0)
    assert np.array_equal(one, again[0])


def test_d_rise_of_a_score_that_never_changes_is_empty():
    (flat,) = d_rise_maps(lambda images: torch.zeros(len(images), 1), noise(), noise(), 40, 16, 0)
    assert not flat.any()


def test_random_masks():
    some = list(random_masks(50, 16, (40, 56), seed=4))
    assert [len(part) for part in some] == [16, 16, 16, 2]
    every = torch.cat(some)
    assert every.shape == (50, 1, 40, 56) and every.min() >= 0 and every.max() <= 1
    assert float(every.mean()) == pytest.approx(0.5, abs=0.05)


def test_integrated_gradients_find_what_a_score_looks_at():
    found = integrated_gradients_map(in_box, torch.ones(1, 3, 64, 80), torch.zeros(1, 3, 64, 80), 4, 2)
    assert energy_inside(found, BOX) > 0.9


class Layered(torch.nn.Module):
    """Its only feature map is the image in two channels; the output sums the first channel within the box."""

    def __init__(self):
        super().__init__()
        self.features = torch.nn.Conv2d(3, 2, 1, bias=False)
        torch.nn.init.ones_(self.features.weight)

    def forward(self, images):
        return (self.features(images)[:, 0] * torch.ones(64, 80))[:, 12:28, 36:56].sum((1, 2))[:, None]


def test_hirescam_of_a_known_network_is_the_summed_region():
    network = Layered().requires_grad_(False)
    found = cam_map("hirescam", network, [network.features], torch.rand(1, 3, 64, 80) + 0.5, lambda output: output[0])
    assert energy_inside(found, BOX) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("corner", [True, False])
def test_eigencam_highlights_salient_regions_at_any_position(corner):
    """The sign of a principal component is arbitrary: grad-cam's own shows all but a blob in the corner."""
    network = Layered().requires_grad_(False)
    pixels = 0.3 + 0.02 * torch.rand(1, 3, 64, 80, generator=torch.Generator().manual_seed(0))
    blob = (slice(0, 16), slice(0, 20)) if corner else (slice(24, 40), slice(30, 50))
    pixels[0, :, *blob] += 1
    found = cam_map("eigencam", network, [network.features], pixels, lambda output: output[0])
    assert found[blob].mean() > 0.8 and found.mean() < 0.3


def test_a_clipped_detection_is_compared_with_the_full_box_of_its_query():
    drawn = (-10.0, -10.0, 30.0, 30.0)
    cut = Detection((0.0, 0.0, 30.0, 30.0), 0, 0.9, 0, drawn)
    found = similarity(torch.tensor([[[0.9]]]), torch.tensor([[drawn]]), cut)
    assert float(found) == pytest.approx(0.9)


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_every_family_can_be_explained(model_type):
    """All methods, and each detection's query is found in the model's outputs."""
    detector_run, pixels = detector(model_type), noise()
    processor = image_processor(detector_run.model.config.model_type, (64, 64))
    with torch.no_grad():
        output = detector_run.model(pixel_values=pixels)
    result = processor.post_process_object_detection(output, threshold=0.0, target_sizes=[(64, 64)])[0]
    prediction = {name: value.tolist() for name, value in result.items()}
    found = _detections(detector_run, pixels, prediction, torch.ones(4), 0.0)
    assert [one.score for one in found] == sorted(prediction["scores"], reverse=True)
    with torch.no_grad():
        logits, boxes = detector_run(pixels)
    for one in found[:4]:
        assert float(detector_run.probabilities(logits)[0, one.query, one.label]) == pytest.approx(one.score, abs=1e-5)
        assert boxes[0, one.query].tolist() == pytest.approx(one.box, abs=1e-3)
        assert float(Similarity(detector_run, one)(pixels)[0]) >= one.score - 1e-4
    methods = available_methods(detector_run.model, list(METHODS))
    assert methods == [name for name in METHODS if (model_type, name) != ("dense", "attention")]
    maps, seconds = maps_of(detector_run, pixels, torch.zeros_like(pixels), found[:2], methods, SMALL)
    assert list(seconds) == methods == list(maps[0])
    for values in maps[0].values():
        assert values.shape == (64, 64) and values.dtype == np.float32 and values.min() >= 0 and values.max() <= 1
    assert model_type == "dense" or maps[0]["attention"].max() == 1
    assert not list(backbone(detector_run.model)._forward_hooks)  # the hooks are removed


@pytest.mark.parametrize("model_type", ["rt_detr", "rt_detr_v2", "d_fine", "deimv2", "deformable_detr"])
def test_deformable_attention_lies_where_its_points_are(model_type):
    """Without offsets every sampling point is at the center of its query's reference box."""
    detector_run = detector(model_type)
    for layer in _deformable(detector_run.model):
        torch.nn.init.zeros_(layer.sampling_offsets.weight)  # pyright: ignore
        torch.nn.init.zeros_(layer.sampling_offsets.bias)  # pyright: ignore
    # The boxes of the second-to-last layer are the last layer's references; random heads hardly move them.
    pixels = noise()
    with torch.no_grad():
        _, boxes = detector_run(pixels)
    query = int((boxes[0] - torch.tensor([22.0, 22.0, 42.0, 42.0])).abs().sum(-1).argmin())
    x0, y0, x1, y1 = boxes[0, query].tolist()
    row, column = np.unravel_index(attention_map(detector_run, pixels, query).argmax(), (64, 64))
    # One cell of the finest map is 8 pixels wide.
    assert abs(row - (y0 + y1) / 2) < 8 and abs(column - (x0 + x1) / 2) < 8


def test_gradients_pass_where_transformers_stops_them():
    """The gradient with respect to the image is that of the score, measured by a small step.

    It also fails where PyTorch's batch norm gets the gradient of a single image wrong (targets._contiguous_gradient).
    """
    detector_run = detector().double()
    pixels = noise().double()
    with torch.no_grad():
        boxes = detector_run(pixels)[1]
    # Next to the predicted box: where both coincide, IoU is not differentiable.
    x0, y0, x1, y1 = (boxes[0, 0] + torch.tensor([3.0, 2.0, 4.0, 1.0])).tolist()
    target = Similarity(detector_run, Detection((x0, y0, x1, y1), 0, 0.5, 0))
    direction = torch.randn(pixels.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    leaf = pixels.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(target(leaf).sum(), leaf)
    with torch.no_grad():
        step = 1e-6
        measured = float(target(pixels + step * direction) - target(pixels - step * direction)) / (2 * step)
    assert float((gradient * direction).sum()) == pytest.approx(measured, rel=1e-3, abs=1e-9)


@pytest.mark.parametrize("part", PARTS)
def test_a_redrawn_model_has_the_same_numbers_in_another_order_in_one_part_only(part):
    detector_run = detector()
    before = {name: value.clone() for name, value in detector_run.model.state_dict().items()}
    other = redrawn(detector_run, part, seed=0)
    assert all(torch.equal(value, before[name]) for name, value in detector_run.model.state_dict().items())
    changed = {n for n, value in other.model.named_parameters() if not torch.equal(value, before[n])}
    assert changed and all(("backbone" in name) == (part == "backbone") for name in changed)
    assert not any("encoder" in name and "decoder" not in name for name in changed)
    for name in changed:
        assert torch.equal(other.model.get_parameter(name).flatten().sort()[0], before[name].flatten().sort()[0])
    one = Detection((10, 10, 30, 30), 0, 0.5, 3)
    assert 0 <= best_query(other, noise(), one) < 12


def test_taps_give_the_maps_finest_first_and_leave_the_outputs_alone():
    detector_run, pixels = detector(), noise()
    with torch.no_grad():
        plain = detector_run(pixels)[0]
        with tapped(detector_run.model) as taps:
            shapes = []
            tapped_logits = detector_run(pixels)[0]
            for tap in taps:
                tap.register_forward_hook(lambda _m, _i, output: shapes.append(tuple(output.shape[-2:])))
            detector_run(pixels)
    assert torch.equal(plain, tapped_logits) and shapes == [(8, 8), (4, 4), (2, 2)]
    target = QueryLogit(2, 1)
    logits = ClassLogits(detector_run)(pixels)
    assert target(logits[0]) == logits[0, 2, 1]
