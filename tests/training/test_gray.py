"""Gray images take one plane during training, and the saved model takes three."""

from __future__ import annotations

import copy

import pytest
import torch
from transformers import AutoModelForObjectDetection

from loaders import GRAY_MEAN, GRAY_STD, IMAGENET_MEAN, IMAGENET_STD
from training.models import build_model, fold_gray, image_processor, is_folded
from training.models.backbones import timm_module
from training.run.checkpoints import save_model


def built(backbone: str = "test_resnet", size: int = 64):
    torch.manual_seed(0)
    options = {"size": "nano", "num_queries": 12, "num_denoising": 0}
    return build_model("rt_detr_v2", ["a"], backbone=backbone, image_size=(size, size), **options).eval()


def first_maps(model, pixels):
    stem = next(m for m in timm_module(model).modules() if isinstance(m, torch.nn.Conv2d))
    return stem(pixels)


@pytest.mark.parametrize(("backbone", "size"), [("test_resnet", 64), ("test_vit", 160), ("test_efficientnet", 64)])
def test_a_folded_model_is_saved_as_the_same_function_of_three_planes(tmp_path, backbone, size):
    model = built(backbone, size)
    assert fold_gray(model, IMAGENET_MEAN, IMAGENET_STD) and is_folded(model) and is_folded(copy.deepcopy(model))
    plane = torch.randn(2, 1, size, size)
    save_model(model, image_processor("rt_detr_v2", (size, size), gray=True), tmp_path / "best")
    again = AutoModelForObjectDetection.from_pretrained(tmp_path / "best").eval()
    assert not is_folded(again)
    with torch.no_grad():
        mine, theirs = model(pixel_values=plane), again(pixel_values=plane.expand(-1, 3, -1, -1))
    torch.testing.assert_close(mine.logits, theirs.logits, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(mine.pred_boxes, theirs.pred_boxes, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("biased", [False, True])
def test_folding_keeps_what_the_stem_saw_in_gray_images(biased):
    """ImageNet's three means and deviations go into the sum, and with a bias their shift too; borders excluded."""
    model = built()
    stem = next(m for m in timm_module(model).modules() if isinstance(m, torch.nn.Conv2d))
    if biased:
        stem.bias = torch.nn.Parameter(torch.randn(stem.out_channels))
    gray = torch.rand(1, 1, 32, 32)
    mean, std = torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), torch.tensor(IMAGENET_STD).view(1, 3, 1, 1)
    with torch.no_grad():
        before = first_maps(model, (gray - mean) / std)[..., 3:-3, 3:-3]
        fold_gray(model, IMAGENET_MEAN, IMAGENET_STD)
        after = first_maps(model, (gray - GRAY_MEAN[0]) / GRAY_STD[0])[..., 3:-3, 3:-3]
    difference = after - before
    if not biased:  # a constant for each channel, which the batch norm cancels
        difference = difference - difference.mean((2, 3), keepdim=True)
    assert difference.abs().max() < 1e-4


def test_a_backbone_that_cannot_be_folded_stays_as_it_is():
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3))
    assert not fold_gray(model, IMAGENET_MEAN, IMAGENET_STD) and model[0].in_channels == 3


@pytest.mark.parametrize("gray", [True, False])
def test_a_batch_of_one_image_has_the_gradients_of_that_image_twice(gray):
    """On a CPU PyTorch 2.14.1 misses them by more than their size, but with channels last, as train.py has it."""
    model = built(size=128)
    if gray:
        assert fold_gray(model, IMAGENET_MEAN, IMAGENET_STD)
    model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    pixels = torch.rand(1, 1 if gray else 3, 128, 128)
    labels = [{"class_labels": torch.tensor([0]), "boxes": torch.tensor([[0.5, 0.4, 0.2, 0.3]])}]

    def gradients(times: int) -> dict[str, torch.Tensor]:
        model.zero_grad()
        model.train()  # for the auxiliary losses
        for module in model.modules():
            if isinstance(module, (torch.nn.BatchNorm2d, torch.nn.Dropout)):
                module.eval()
        model(pixel_values=pixels.repeat(times, 1, 1, 1), labels=labels * times).loss.backward()
        return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}

    once, twice = gradients(1), gradients(2)
    largest = max(float(gradient.norm()) for gradient in twice.values())
    for name, gradient in once.items():
        assert float((gradient - twice[name]).norm()) < 1e-3 * float(twice[name].norm()) + 1e-6 * largest, name
