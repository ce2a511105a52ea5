"""Changes of gray levels: each image by its own drawn strength, the whole batch at once. Boxes stay as they are."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812

from loaders.augmentation.batch import Batch

WHITE = 255.0


def draw_factors(count: int, strength: float, generator: torch.Generator) -> torch.Tensor:
    """Float32 (count,), even between 1 - strength and 1 + strength, never below 0."""
    return (1 + strength * (2 * torch.rand(count, generator=generator) - 1)).clamp_min(0)


def brightness_contrast(batch: Batch, brightness: float, contrast: float, generator: torch.Generator) -> torch.Tensor:
    """Images times a factor, then drawn towards or away from their mean gray level by another."""
    count, device = len(batch.images), batch.images.device
    gain = draw_factors(count, brightness, generator)
    spread = draw_factors(count, contrast, generator)
    gain, spread = torch.stack([gain, spread]).to(device, non_blocking=True).view(2, -1, 1, 1, 1)
    if not contrast:
        return batch.images * gain
    # One mean for all planes, so that colours keep their balance, and an image and its template their difference.
    mean = batch.mean().mean(1, keepdim=True) * gain
    return torch.addcmul(mean * (1 - spread), batch.images, gain * spread)


def gamma(images: torch.Tensor, strength: float, generator: torch.Generator) -> torch.Tensor:
    """Gray levels as fractions of white to a power between 1 / (1 + strength) and 1 + strength, even on a log scale."""
    draws = 2 * torch.rand(len(images), generator=generator) - 1
    exponents = torch.exp(draws * math.log1p(strength)).to(images.device, non_blocking=True)
    return (images / WHITE).clamp_(0, 1).pow_(exponents.view(-1, 1, 1, 1)).mul_(WHITE)


def blur(images: torch.Tensor, content: torch.Tensor, strength: float, generator: torch.Generator) -> torch.Tensor:
    """Gaussian blur with a deviation between 0 and `strength` pixels.

    Only content is averaged: at its edge the weights of what lies beyond are left out, and the rest sums up to 1.

    Args:
        images: float32 (B, C, H, W).
        content: int64 (B, 2), CPU, (height, width).
        strength: largest deviation.
        generator: on the CPU.
    """
    count, planes, height, width = images.shape
    device = images.device
    # A deviation of 0 would divide by zero; at a hundredth of a pixel the neighbours' weights are 0 already.
    sigma = (strength * torch.rand(count, generator=generator)).clamp_min(0.01)
    radius = math.ceil(3 * strength)
    distance = torch.arange(-radius, radius + 1)
    kernel = torch.exp(-(distance**2) / (2 * sigma[:, None] ** 2)).to(device, non_blocking=True)
    rows, columns = (
        (torch.arange(size) < content[:, axis, None]).float().to(device, non_blocking=True)
        for axis, size in enumerate((height, width))
    )
    inside = rows[:, None, :, None] * columns[:, None, None, :]
    blurred = images * inside
    for line, shape, view in ((columns, (1, -1), (1, 1, width)), (rows, (-1, 1), (1, height, 1))):
        # Groups: every image has a kernel of its own, and an image is a plane of one large picture for conv2d.
        per_plane = kernel.repeat_interleave(planes, 0).view(count * planes, 1, *shape)
        padding = [radius if side == -1 else 0 for side in shape]
        blurred = F.conv2d(
            blurred.reshape(1, count * planes, height, width), per_plane, padding=padding, groups=count * planes
        ).view(count, planes, height, width)
        weights = F.conv1d(line[None], kernel[:, None], padding=radius, groups=count)[0]
        # Weights are 0 only where no content is near: there is nothing to divide either.
        blurred /= weights.clamp_min(1e-6).view(count, *view)
    return blurred


def noise(images: torch.Tensor, strength: float, generator: torch.Generator) -> torch.Tensor:
    """Gaussian noise added, each pixel on its own, with a deviation between 0 and `strength` times white."""
    device = images.device
    sigma = (strength * WHITE * torch.rand(len(images), generator=generator)).to(device, non_blocking=True)
    seed = int(torch.randint(2**62, (), generator=generator))
    pixels = torch.Generator(device).manual_seed(seed)
    drawn = torch.randn(images.shape, generator=pixels, device=device)
    return torch.addcmul(images, drawn, sigma.view(-1, 1, 1, 1))
