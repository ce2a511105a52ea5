"""Normalize bytes to the floats that a backbone expects. Kept in one place: the saved image processor must repeat it
exactly."""

from __future__ import annotations

import torch

# ImageNet's mean and deviation of the red, green and blue plane, pixels scaled to 0..1; timm's default for most
# backbones.
IMAGENET_MEAN: tuple[float, float, float] = (0.485, 0.456, 0.406)
IMAGENET_STD: tuple[float, float, float] = (0.229, 0.224, 0.225)
# The same for gray images in a network that takes three equal planes: the means of the three. With equal numbers, a
# gray batch is one plane in memory, viewed as three.
GRAY_MEAN: tuple[float, float, float] = (0.449, 0.449, 0.449)
GRAY_STD: tuple[float, float, float] = (0.226, 0.226, 0.226)


def scale_and_shift(
    mean: tuple[float, ...], std: tuple[float, ...], *, one_plane: bool
) -> tuple[list[float], list[float]]:
    """Return `value * scale + shift` for gray levels 0..255, of each plane.

    Args:
        one_plane: the images are gray. If `mean` and `std` are the same for all planes, one of each suffices then.
    """
    scale = [1 / (255 * s) for s in std]
    shift = [-m / s for m, s in zip(mean, std, strict=True)]
    if one_plane and len(set(mean)) == len(set(std)) == 1:
        return scale[:1], shift[:1]
    return scale, shift


def normalize(
    images: torch.Tensor, mean: tuple[float, ...], std: tuple[float, ...], *, in_place: bool = False
) -> torch.Tensor:
    """Convert gray levels 0..255 (B, 1 or 3, H, W) to float32 (B, 3, H, W), `(x / 255 - mean) / std`, on their device.

    A gray plane is repeated here and not earlier, so that only one plane is transferred to the device; if all planes
    would be equal, it is not copied at all, but viewed three times (`expand`).

    Args:
        in_place: float images may be overwritten; they are if each of their planes stays one.
    """
    scale, shift = scale_and_shift(mean, std, one_plane=images.shape[1] == 1)
    shape = (1, len(scale), 1, 1)
    scales, shifts = (torch.tensor(values, device=images.device).view(shape) for values in (scale, shift))
    floats = images.float()
    out = floats if in_place and len(scale) == images.shape[1] else None
    normal = torch.addcmul(shifts, floats, scales, out=out)
    return normal.expand(-1, len(mean), -1, -1)
