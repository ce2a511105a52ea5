"""What `Predictor` uses where torch is missing does the same as torchvision."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from loaders.merging import merge_arrays
from loaders.resizing import resize_bilinear
from loaders.tiling import Tiling, merge_tiles

SEEDS = st.integers(0, 2**32 - 1)
SIZE = (64, 96)


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, shape=st.tuples(st.integers(1, 90), st.integers(1, 300)), color=st.booleans())
def test_resizing_without_torch_equals_torchvision(seed, shape, color):
    from torchvision.transforms import v2

    pixels = np.random.default_rng(seed).integers(0, 256, (*shape, 3) if color else shape, dtype=np.uint8)
    planes = torch.from_numpy(pixels if color else pixels[..., None]).permute(2, 0, 1)
    wanted = v2.functional.resize(planes, list(SIZE), antialias=True).permute(1, 2, 0).numpy()
    off = np.abs(resize_bilinear(pixels, *SIZE).astype(int) - (wanted if color else wanted[..., 0]))
    assert off.max() <= (torch.backends.cpu.get_cpu_capability() == "DEFAULT")  # torch has no such kernel there


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, size=st.tuples(st.integers(60, 400), st.integers(60, 400)), edge=st.integers(40, 150))
def test_merging_without_torch_equals_torchvision(seed, size, edge):
    rng, parts = np.random.default_rng(seed), []
    for window in Tiling(edge, 0.3).windows(size):
        count, limit = int(rng.integers(0, 40)), np.array([window[3], window[2]])
        low = rng.uniform(0, 0.8, (count, 2)) * limit
        boxes = np.concatenate([low, np.minimum(low + rng.uniform(2, 60, (count, 2)), limit)], 1)
        part = {"boxes": boxes.tolist(), "scores": rng.random(count), "labels": rng.integers(0, 3, count)}
        parts.append({"image_id": "one", "window": window, "image_size": size, **part})
    wanted, got = merge_tiles(parts)["one"], merge_arrays(parts)["one"]
    for name in ("boxes", "scores", "labels"):
        assert np.array_equal(wanted[name].numpy(), getattr(got, name))
