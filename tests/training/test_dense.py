"""The dense detector: assignment of locations to boxes, its loss, and removal of duplicates."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import batched_nms, box_convert, box_iou

from training.models import build_model, image_processor
from training.models.dense import assignment
from training.models.dense.assignment import _ELEMENTS, assign
from training.models.dense.image_processing import best_predictions, without_duplicates
from training.run.checkpoints import save_model


def places(*grids: int) -> torch.Tensor:
    """Centers of square feature maps, as fractions."""
    levels = []
    for count in grids:
        line = (torch.arange(count) + 0.5) / count
        y, x = torch.meshgrid(line, line, indexing="ij")
        levels.append(torch.stack([x, y], -1).reshape(-1, 2))
    return torch.cat(levels)


def around(points: torch.Tensor, edge: float) -> torch.Tensor:
    """A square of this edge around every point."""
    return torch.cat([points - edge / 2, points + edge / 2], 1)


def some_boxes(rng: np.random.Generator, count: int) -> torch.Tensor:
    low = rng.uniform(0, 0.9, (count, 2))
    return torch.tensor(np.concatenate([low, np.minimum(low + rng.uniform(0.01, 0.5, (count, 2)), 1)], 1)).float()


def tiny(classes: int = 2, **more: int):
    torch.manual_seed(0)
    model = build_model(
        "dense", [f"c{i}" for i in range(classes)], size="nano", backbone="test_resnet", image_size=(64, 64)
    )
    for name, value in more.items():
        setattr(model.config, name, value)
    return model


def label(*boxes: tuple[float, float, float, float], class_: int = 0) -> dict[str, torch.Tensor]:
    return {"class_labels": torch.full((len(boxes),), class_), "boxes": torch.tensor(boxes).reshape(-1, 4)}


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 4), st.integers(0, 12), st.integers(1, 12))
def test_every_box_is_learned_by_places_inside_it_and_no_place_learns_two(seed, images, count, candidates):
    rng = np.random.default_rng(seed)
    points = places(8, 4)
    scores = torch.tensor(rng.uniform(0, 1, (images, len(points), 3))).float()
    boxes = around(points, 0.2).expand(images, -1, -1)
    wanted, of = some_boxes(rng, count), torch.tensor(rng.integers(0, images, count))
    found = assign(scores, boxes, points, wanted, torch.tensor(rng.integers(0, 3, count)), of, candidates)
    assert len({*zip(found.image.tolist(), found.place.tolist(), strict=True)}) == len(found.place)
    assert torch.equal(found.image, of[found.box])
    assert torch.bincount(found.box, minlength=1).max() <= candidates
    assert ((found.target >= 0) & (found.target <= 1 + 1e-6)).all()
    for place, box in zip(found.place.tolist(), found.box.tolist(), strict=True):
        x, y = points[place].tolist()
        left, top, right, bottom = wanted[box].tolist()
        center = (wanted[box, :2] + wanted[box, 2:]) / 2
        nearest = int((points - center).abs().sum(1).argmin())
        assert place == nearest or (left < x < right and top < y < bottom)


def test_the_best_place_has_the_overlap_as_target():
    points = places(8)
    boxes = around(points, 0.25)[None]
    wanted = torch.tensor([[0.25, 0.25, 0.5, 0.5]])
    found = assign(torch.full((1, 64, 1), 0.3), boxes, points, wanted, torch.tensor([0]), torch.tensor([0]), 4)
    assert float(found.target.max()) == pytest.approx(float(box_iou(wanted, boxes[0]).max()), abs=1e-6)


def test_of_two_boxes_at_a_place_the_one_that_overlaps_more_gets_it():
    points = places(1)
    boxes = torch.tensor([[[0.1, 0.1, 0.9, 0.9]]])
    wanted = torch.tensor([[0.4, 0.4, 0.6, 0.6], [0.1, 0.1, 0.9, 0.8]])
    found = assign(torch.full((1, 1, 1), 0.5), boxes, points, wanted, torch.zeros(2).long(), torch.zeros(2).long(), 3)
    assert found.box.tolist() == [1]


def test_two_thousand_boxes_are_assigned_in_parts_as_at_once(monkeypatch):
    rng = np.random.default_rng(0)
    points = places(64)
    boxes = around(points, 0.03)[None]
    count = 2000
    assert count * len(points) > _ELEMENTS
    wanted = some_boxes(rng, count)
    scores = torch.tensor(rng.uniform(0, 1, (1, len(points), 1))).float()
    arguments = (points, wanted, torch.zeros(count).long(), torch.zeros(count).long(), 5)
    sizes, real = [], assignment.overlaps

    def counted(one, other):
        sizes.append(len(other))
        return real(one, other)

    monkeypatch.setattr(assignment, "overlaps", counted)
    parts = assign(scores, boxes, *arguments)
    assert max(sizes) * len(points) <= _ELEMENTS and sum(sizes) == count
    monkeypatch.setattr(assignment, "_ELEMENTS", 1 << 30)
    at_once = assign(scores, boxes, *arguments)
    assert sizes[-1] == count
    assert torch.equal(parts.place, at_once.place) and torch.allclose(parts.target, at_once.target)


@pytest.mark.parametrize("bins", [0, 8])
def test_boxes_of_a_pixel_and_images_without_defects_have_a_finite_loss(bins):
    torch.manual_seed(0)
    model = build_model("dense", ["a", "b"], size="nano", backbone="test_resnet", image_size=(64, 64))
    if bins:
        config = model.config.to_dict() | {"distance_bins": bins}
        model = type(model)(type(model.config).from_dict(config))
    pixels = torch.rand(3, 3, 64, 64)
    labels = [label((0.5, 0.5, 1 / 64, 1 / 64)), label(), label((0.01, 0.99, 0.02, 0.02), (0.5, 0.5, 1.0, 1.0))]
    output = model(pixel_values=pixels, labels=labels)
    output.loss.backward()
    assert output.loss_dict.keys() >= {"loss_class", "loss_box"} and ("loss_distribution" in output.loss_dict) == bool(
        bins
    )
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert torch.isfinite(output.loss) and all(torch.isfinite(gradient).all() for gradient in gradients)
    empty = model(pixel_values=pixels, labels=[label()] * 3).loss
    assert torch.isfinite(empty) and empty > 0


def test_it_has_a_loss_under_autocast_without_our_trainer():
    model = tiny().train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(torch.rand(1, 3, 64, 64), labels=[label((0.5, 0.5, 0.2, 0.2))])
    output.loss.backward()
    assert output.loss.dtype == torch.float32 and torch.isfinite(output.loss)


def test_batches_add_up_to_one_batch():
    """The trainer weights a batch's loss by its boxes."""
    model = tiny().eval()
    pixels = torch.rand(3, 3, 64, 64)
    labels = [label((0.5, 0.5, 0.3, 0.3)), label((0.3, 0.3, 0.2, 0.4), (0.7, 0.6, 0.2, 0.2), class_=1), label()]
    whole = model(pixel_values=pixels, labels=labels).loss * 3
    parts = (
        model(pixel_values=pixels[:1], labels=labels[:1]).loss
        + model(pixel_values=pixels[1:], labels=labels[1:]).loss * 2
    )
    assert whole.item() == pytest.approx(parts.item(), rel=1e-5)


@pytest.mark.parametrize("size", [(64, 64), (48, 80), (72, 56)])
def test_boxes_are_in_the_frame_of_the_image(size):
    """The box of a location surrounds the location's center, whatever the aspect ratio of the input."""
    model = tiny().eval()
    with torch.no_grad():
        output = model(pixel_values=torch.rand(2, 3, *size))
    low_high = box_convert(output.pred_boxes, "cxcywh", "xyxy")
    finest = (-(-size[0] // 4), -(-size[1] // 4))
    y, x = torch.meshgrid(*((torch.arange(count) + 0.5) / count for count in finest), indexing="ij")
    points, count = torch.stack([x, y], -1).reshape(-1, 2), finest[0] * finest[1]
    assert ((low_high[:, :count, :2] < points) & (points < low_high[:, :count, 2:])).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 3), st.integers(1, 60))
def test_without_duplicates_is_nms(seed, classes, count):
    rng = np.random.default_rng(seed)
    boxes = box_convert(some_boxes(rng, count), "xyxy", "cxcywh")[None]
    logits = torch.tensor(rng.normal(0, 2, (1, count, classes))).float()
    scores, labels, corners = best_predictions(logits, boxes)
    keep = batched_nms(corners[0], scores[0], labels[0], 0.6)
    mine, classes_of, at = without_duplicates(scores, labels, corners)
    left = mine[0] > 0
    assert torch.equal(mine[0][left], scores[0][keep])
    assert torch.equal(classes_of[0][left], labels[0][keep]) and torch.equal(at[0][left], corners[0][keep])


def test_the_processor_returns_the_best_boxes_in_pixels_and_no_duplicates():
    model, processor = tiny().eval(), image_processor("dense_detector", (64, 64))
    with torch.no_grad():
        output = model(pixel_values=torch.rand(2, 3, 64, 64))
    fractions = processor.post_process_object_detection(output, threshold=0.0)
    results = processor.post_process_object_detection(
        output, threshold=0.0, target_sizes=torch.tensor([[64, 64], [100, 300]])
    )
    assert torch.allclose(results[1]["boxes"], fractions[1]["boxes"] * torch.tensor([300, 100, 300, 100]), rtol=1e-5)
    for result in results:
        assert 0 < len(result["scores"]) <= 300 and (result["scores"].diff() <= 0).all()
        overlap = box_iou(result["boxes"], result["boxes"]).fill_diagonal_(0)
        same = result["labels"][:, None] == result["labels"]
        assert float((overlap * same).max()) <= 0.6 + 1e-4
    assert processor.post_process_object_detection(output, threshold=0.999)[0]["scores"].tolist() == []


def test_a_saved_model_loads_by_the_auto_classes_in_a_new_process(tmp_path):
    save_model(tiny(), image_processor("dense_detector", (64, 64)), tmp_path / "best")
    code = (
        "import sys, training.models\n"
        "from transformers import AutoImageProcessor, AutoModelForObjectDetection\n"
        "model = AutoModelForObjectDetection.from_pretrained(sys.argv[1])\n"
        "processor = AutoImageProcessor.from_pretrained(sys.argv[1])\n"
        "print(type(model).__name__, type(processor).__name__, model.config.id2label)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "best")], capture_output=True, text=True, check=True
    )
    assert result.stdout.split("\n")[-2] == "DenseDetector DenseDetectorImageProcessor {0: 'c0', 1: 'c1'}"
