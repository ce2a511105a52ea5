"""On a GPU: the same batches as on the CPU, whatever runs at the same time."""

from __future__ import annotations

import pytest
import torch

from loaders import Augmentation, DetectionLoader
from tests.loaders.test_loader import many, masked_split, pair_split

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]
NO_NOISE = Augmentation(scale=0.3, turn=0.5, mosaic=0.3, noise=0.0)


def busy() -> None:
    """Keep the current stream busy, so that a missing wait for a copy would show."""
    matrix = torch.randn(3000, 3000, device="cuda")
    for _ in range(20):
        matrix = matrix @ matrix * 1e-3


@pytest.mark.parametrize(
    "options", [{}, {"keep_aspect": True}, {"augment": NO_NOISE}, {"mean": (0.4,) * 3, "std": (0.2,) * 3}]
)
def test_batches_are_those_of_the_cpu(options):
    split = many(200)
    for _ in range(2):
        cpu = DetectionLoader(split, 8, 128, seed=3, **options)
        gpu = DetectionLoader(split, 8, 128, seed=3, device="cuda", **options)
        for one, other in zip(cpu, gpu, strict=True):
            busy()
            assert other["pixel_values"].is_cuda and one["image_id"] == other["image_id"]
            torch.testing.assert_close(one["pixel_values"], other["pixel_values"].cpu(), atol=2e-3, rtol=1e-3)
            for a, b in zip(one["labels"], other["labels"], strict=True):
                assert b["boxes"].is_cuda and torch.equal(a["class_labels"], b["class_labels"].cpu())
                torch.testing.assert_close(a["boxes"], b["boxes"].cpu())


def test_masks_and_pairs_travel_too():
    for split, options in [(masked_split(), {"masks": True}), (pair_split(), {"channels": "pair"})]:
        cpu, gpu = (
            DetectionLoader(split, 4, 64, device=device, shuffle=False, **options) for device in ("cpu", "cuda")
        )
        for one, other in zip(cpu, gpu, strict=True):
            torch.testing.assert_close(one["pixel_values"], other["pixel_values"].cpu(), atol=1e-4, rtol=1e-4)
            if "masks" in options:
                for a, b in zip(one["labels"], other["labels"], strict=True):
                    assert b["masks"].is_cuda and torch.equal(a["masks"], b["masks"].cpu())


def test_bytes_are_in_pinned_memory():
    loader = DetectionLoader(many(), 8, 128, device="cuda")
    for _ in loader:
        pass
    array = loader._memory[False].take()
    assert torch.from_numpy(array).is_pinned()
