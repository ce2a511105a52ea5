"""Pictures: an image as the model sees it, boxes on it, and maps laid over it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from matplotlib import colormaps
from PIL import Image, ImageDraw

from radikal_datasets.view.palette import HALO, PAPER, SKY
from training.explaining.cases import Box, Case

#: Longer edge of every picture, in pixels.
EDGE = 448
#: Both can be told from the map's colors, which go from black over red to yellow, and from each other by the dashes.
TRUTH, CALL = SKY, PAPER


def picture(case: Case, mean: Any, std: Any) -> Image.Image:
    """The model's input, its normalisation undone, in the proportions of the file."""
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
    image: Image.Image, shape: tuple[int, int], truth: Iterable[Box], calls: Iterable[Box]
) -> Image.Image:  # fmt: skip
    """A copy with true boxes dashed and detected ones drawn through.

    Args:
        shape: (height, width) of the pixels the boxes are in.
    """
    drawn = image.convert("RGB")
    pen = ImageDraw.Draw(drawn)
    scale = np.array([image.width / shape[1], image.height / shape[0]] * 2)
    for box in calls:
        place = tuple(np.array(box) * scale)
        pen.rectangle(place, outline=HALO, width=4)
        inner = (place[0] + 1, place[1] + 1, place[2] - 1, place[3] - 1)
        pen.rectangle(inner if _wide(place) else place, outline=CALL, width=2)
    for box in truth:
        _dashed(pen, tuple(np.array(box) * scale))
    return drawn


def _wide(box: tuple[float, ...]) -> bool:
    return box[2] - box[0] > 4 and box[3] - box[1] > 4


def _dashed(pen: ImageDraw.ImageDraw, box: tuple[float, ...], dash: float = 7) -> None:
    x0, y0, x1, y1 = box
    for along in np.arange(0, max(x1 - x0, y1 - y0), 2 * dash):
        for y in (y0, y1):
            if x0 + along < x1:
                pen.line((x0 + along, y, min(x0 + along + dash, x1), y), fill=TRUTH, width=3)
        for x in (x0, x1):
            if y0 + along < y1:
                pen.line((x, y0 + along, x, min(y0 + along + dash, y1)), fill=TRUTH, width=3)
