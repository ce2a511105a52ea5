"""What happens to a training image, by torchvision's transforms v2: boxes move with the pixels."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

# A sample on its way: image uint8 (C, H, W), boxes (N, 4) xyxy in the image's pixels, labels int64 (N,).
Sample = tuple[tv_tensors.Image, tv_tensors.BoundingBoxes, torch.Tensor]


@dataclass(frozen=True)
class Augmentation:
    """How strongly to change training images. All zero: nothing but the resize.

    Flips are true to every source here: an X-ray, a steel strip or a board has no fixed left or top once it is cut out.

    Attributes:
        flip_horizontal, flip_vertical: probability of each.
        scale: largest zoom, in both directions: 0.5 shows between 1/1.5 and 1.5 times the size. Zooming in crops at
            random, zooming out pads with the image's mean.
        brightness, contrast: largest relative change.
        noise: largest deviation of additive Gaussian noise, in gray levels of 0..1.
        min_visible: a box of which less than this part of its area is left by a crop goes, with its label.
    """

    flip_horizontal: float = 0.5
    flip_vertical: float = 0.5
    scale: float = 0.3
    brightness: float = 0.2
    contrast: float = 0.2
    noise: float = 0.02
    min_visible: float = 0.25

    def __call__(self, sample: Sample, image_size: tuple[int, int]) -> Sample:
        """Change and resize one sample to (height, width). Draws from torch's global generator only."""
        image: Any
        boxes: Any
        image, boxes, labels = sample
        image, boxes = v2.RandomHorizontalFlip(self.flip_horizontal)(image, boxes)
        image, boxes = v2.RandomVerticalFlip(self.flip_vertical)(image, boxes)
        if self.brightness or self.contrast:
            image = v2.ColorJitter(brightness=self.brightness, contrast=self.contrast)(image)
        if self.scale:
            image, boxes, labels = self._rescale(image, boxes, labels)
        image, boxes = v2.functional.resize(image, list(image_size)), v2.functional.resize(boxes, list(image_size))
        if self.noise:
            sigma = float(torch.rand(())) * self.noise * 255
            noisy = image.float() + torch.randn(image.shape) * sigma
            image = tv_tensors.Image(noisy.round_().clamp_(0, 255).to(torch.uint8))
        return image, boxes, labels

    def _rescale(self, image: Any, boxes: Any, labels: torch.Tensor) -> Sample:
        """Zoom by a factor drawn evenly on a log scale; what the crop cuts too far is dropped."""
        height, width = image.shape[-2:]
        factor = math.exp((float(torch.rand(())) * 2 - 1) * math.log1p(self.scale))
        new_height, new_width = max(1, round(height / factor)), max(1, round(width / factor))
        # How far the old frame sticks out of the new one; negative where the new frame lies around the old one.
        top = math.floor(float(torch.rand(())) * (height - new_height))
        left = math.floor(float(torch.rand(())) * (width - new_width))
        if factor >= 1:
            image = v2.functional.crop(image, top, left, new_height, new_width)
        else:
            padding = [-left, -top, new_width - width + left, new_height - height + top]
            image = v2.functional.pad(image, padding, fill=[float(image.float().mean())] * image.shape[0])
        shift = torch.tensor([left, top, left, top], dtype=boxes.dtype)
        moved = tv_tensors.BoundingBoxes(boxes - shift, format="XYXY", canvas_size=(new_height, new_width))  # type: ignore[call-overload]
        clamped = v2.functional.clamp_bounding_boxes(moved)
        keep = _area(clamped) >= self.min_visible * _area(moved)
        kept = tv_tensors.BoundingBoxes(clamped[keep], format="XYXY", canvas_size=(new_height, new_width))  # type: ignore[call-overload]
        return image, kept, labels[keep]


def resize(sample: Sample, image_size: tuple[int, int]) -> Sample:
    """No augmentation: the same anti-aliased bilinear resize that the saved image processor applies."""
    image: Any
    boxes: Any
    image, boxes = (v2.functional.resize(part, list(image_size)) for part in sample[:2])
    return image, boxes, sample[2]


def drop_without_area(boxes: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Boxes (N, 4) xyxy that have no area left, and their labels (N,), taken out."""
    keep = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    return boxes[keep], labels[keep]


def _area(boxes: torch.Tensor) -> torch.Tensor:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


Augment = Callable[[Sample, tuple[int, int]], Sample]
