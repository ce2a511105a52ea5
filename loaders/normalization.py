"""Bytes to the floats a backbone was made for. Kept in one place: the saved image processor has to repeat it
exactly."""

from __future__ import annotations

import torch

# ImageNet's mean and deviation of the red, green and blue plane, pixels scaled to 0..1; timm's default for most
# backbones.
IMAGENET_MEAN: tuple[float, float, float] = (0.485, 0.456, 0.406)
IMAGENET_STD: tuple[float, float, float] = (0.229, 0.224, 0.225)


def normalize(images: torch.Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> torch.Tensor:
    """uint8 (B, 1 or 3, H, W) to float32 (B, 3, H, W), `(x / 255 - mean) / std`, on the device the images are on.

    A gray plane is repeated here and not earlier, so that only one plane travels to the device.
    """
    shape = (1, len(mean), 1, 1)
    scale = torch.tensor([1 / (255 * s) for s in std], device=images.device).view(shape)
    shift = torch.tensor([-m / s for m, s in zip(mean, std, strict=True)], device=images.device).view(shape)
    return images.expand(-1, len(mean), -1, -1).float() * scale + shift
