"""Batches for the tests of augmentation, and what must hold for every batch."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import torch
from hypothesis import strategies as st

from loaders.augmentation import Augmentation, Batch
from loaders.augmentation import boxes as boxes_

DARK, BRIGHT = 20.0, 235.0
FIELDS = [field.name for field in fields(Augmentation)]
CHANGES = [name for name in FIELDS if name != "min_visible"]
#: No augmentation; tests switch on what they test.
NOTHING = Augmentation(**dict.fromkeys(CHANGES, 0.0))
EXACT = {"flip_horizontal": 1.0, "flip_vertical": 1.0, "turn": 1.0}
MOVING = {**EXACT, "rotation": 40.0, "translate": 0.3, "scale": 0.6, "shear": 20.0}
LIGHT = {"brightness": 0.3, "contrast": 0.3, "gamma": 0.3, "noise": 0.02, "blur": 1.0}
STRONG = {**MOVING, **LIGHT, "mosaic": 1.0, "erase": 1.0, "copy_paste": 1.0}
# Each by itself, flips and turns mixed, all geometric transforms at once, and everything.
CASES = {name: {name: value} for name, value in STRONG.items()}
CASES |= {
    "flips_and_turns": dict.fromkeys(EXACT, 0.5),
    "geometry": {**MOVING, "flip_vertical": 0.5},
    "everything": STRONG,
}
#: Those that do not interpolate.
WHOLE_PIXELS = (*EXACT, "flips_and_turns")

seeds = st.integers(0, 2**31)


def make_batch(
    seed: int,
    count: int = 3,
    canvas: tuple[int, int] = (72, 90),
    masks: bool = True,
    padding: bool = True,
    per_image: int = 1,
    planes: int = 1,
    margin: int = 3,
) -> Batch:
    """Dark images with bright rectangles that don't touch; labels are numbered consecutively; padding is noise."""
    rng = np.random.default_rng(seed)
    images = rng.uniform(0, 255, (count, planes, *canvas)).astype(np.float32)
    content, boxes, owners, drawn = [], [], [], []
    for index in range(count):
        height, width = [int(rng.integers(edge * 2 // 3, edge + 1)) if padding else edge for edge in canvas]
        images[index, :, :height, :width] = DARK
        taken = np.zeros(canvas, bool)
        for _ in range(int(rng.integers(0, per_image + 1)) if index else per_image):
            h, w = int(rng.integers(8, 20)), int(rng.integers(8, 20))
            y, x = int(rng.integers(margin, height - h - margin + 1)), int(rng.integers(margin, width - w - margin + 1))
            if taken[y - margin : y + h + margin, x - margin : x + w + margin].any():
                continue
            taken[y : y + h, x : x + w] = True
            mask = np.zeros(canvas, bool)
            mask[y : y + h, x : x + w] = True
            images[index][:, mask] = BRIGHT
            boxes.append([x, y, x + w, y + h])
            owners.append(index)
            drawn.append(mask)
        content.append([height, width])
    return Batch(
        torch.from_numpy(images),
        torch.tensor(content),
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        torch.arange(len(boxes)),
        torch.tensor(owners, dtype=torch.int64),
        torch.from_numpy(np.stack(drawn) if drawn else np.zeros((0, *canvas), bool)) if masks else None,
    )


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def padding_of(batch: Batch) -> torch.Tensor:
    """Bool (B, C, H, W)."""
    inside = batch.inside()
    return torch.zeros_like(batch.images, dtype=torch.bool) if inside is None else ~inside.expand_as(batch.images)


def bright_pixels(batch: Batch, index: int) -> np.ndarray:
    """Bool (H, W): closer to the brightest than to the darkest content, whatever the gray-level changes did to both."""
    height, width = batch.content[index].tolist()
    plane = batch.images[index, 0].numpy()
    content = plane[:height, :width]
    found = np.zeros(plane.shape, bool)
    if np.ptp(content) > 60:
        found[:height, :width] = content > (content.min() + content.max()) / 2
    return found


def bounds(pixels: np.ndarray) -> torch.Tensor:
    ys, xs = np.nonzero(pixels)
    return torch.tensor([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], dtype=torch.float32)


def pixels_in_boxes(batch: Batch, own: torch.Tensor) -> np.ndarray:
    """(H, W): how many of the boxes `own` cover each pixel."""
    counts = np.zeros(batch.canvas, int)
    for x, y, x_end, y_end in batch.boxes[own].long().tolist():
        counts[y:y_end, x:x_end] += 1
    return counts


def assert_sound(batch: Batch) -> None:
    """Check what holds for every batch, whatever was applied."""
    count = len(batch.boxes)
    assert batch.boxes.shape == (count, 4) and batch.boxes.dtype == torch.float32
    assert batch.labels.shape == batch.owners.shape == (count,)
    assert batch.labels.dtype == batch.owners.dtype == batch.content.dtype == torch.int64
    assert batch.images.dtype == torch.float32 and batch.images.min() >= 0 and batch.images.max() <= 255
    assert (batch.owners.diff() >= 0).all()
    limits = batch.content[batch.owners][:, [1, 0]]
    assert (batch.boxes >= 0).all() and (batch.boxes[:, 2:] <= limits).all()
    assert (batch.boxes[:, 2:] > batch.boxes[:, :2]).all()
    if batch.masks is not None:
        assert batch.masks.dtype == torch.bool and batch.masks.shape == (count, *batch.canvas)
        assert not (batch.masks & padding_of(batch)[batch.owners, 0]).any()
        if count:
            assert (boxes_.around_masks(batch.masks) - batch.boxes).abs().max() <= 1.5
