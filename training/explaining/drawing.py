"""Pictures: an image as the model sees it, boxes on it, and maps laid over it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from matplotlib import colormaps
from PIL import Image

from radikal_datasets.view.drawing import PATTERNS, outline
from radikal_datasets.view.palette import PAPER, SKY
from training.explaining.cases import Box, Case

#: Longer edge of every picture, in pixels.
EDGE = 448
#: Both differ from the map's colors, which go from black over red to yellow, and from each other by the dashes.
TRUE_COLOR, DETECTED_COLOR = SKY, PAPER


def picture(case: Case, mean: Any, std: Any) -> Image.Image:
    """The model's input, its normalization undone, in the proportions of the file."""
    planes = case.pixels[0].cpu() * torch.tensor(std).view(3, 1, 1) + torch.tensor(mean).view(3, 1, 1)
    if case.paired:
        planes = planes[:1].expand(3, -1, -1)
    pixels = (planes.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    height, width = case.size
    scale = EDGE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)


def overlay(image: Image.Image, values: np.ndarray) -> Image.Image:
    """The picture under a map's colors; where the map is 0 the picture shows as it is.

    Args:
        values: (H, W), 0 to 1, over the whole picture.
    """
    large = Image.fromarray(values.astype(np.float32)).resize(image.size, Image.Resampling.BILINEAR)
    amount = np.clip(np.asarray(large), 0, 1)
    colors = colormaps["inferno"](amount)[..., :3] * 255
    cover = 0.85 * amount[..., None]
    mixed = np.asarray(image.convert("RGB")) * (1 - cover) + colors * cover
    return Image.fromarray(mixed.round().astype(np.uint8))


def with_boxes(
    image: Image.Image, shape: tuple[int, int], ground_truth: Iterable[Box], detected: Iterable[Box]
) -> Image.Image:
    """A copy with true boxes dashed and detected ones drawn through.

    Args:
        shape: (height, width) of the pixels the boxes are in.
    """
    drawn = image.convert("RGB")
    scale = np.array([image.width / shape[1], image.height / shape[0]] * 2)
    outline(drawn, (np.array(box) * scale for box in detected), DETECTED_COLOR)
    # Without a halo, so that a detected box at the same place still shows between the dashes.
    outline(drawn, (np.array(box) * scale for box in ground_truth), TRUE_COLOR, pattern=PATTERNS[1], halo=False)
    return drawn
