"""Changes of gray levels: each image with its own drawn strength, several images at once. Boxes are not affected."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812

WHITE = 255.0


@dataclass(frozen=True)
class Light:
    """The changes to the gray levels of each image of a batch; None if there are none. On the images' device.

    Attributes:
        gain, spread: float32 (B,), factors of the gray level, and of its distance from the image's mean.
        exponents: float32 (B,), of gray levels as fractions of white.
        blur: float32 (B,), deviation of a Gaussian, pixels; it is cut off at `blur_radius`.
        noise: float32 (B,), deviation of Gaussian noise, gray levels, drawn from `pixels`.
    """

    gain: torch.Tensor | None = None
    spread: torch.Tensor | None = None
    exponents: torch.Tensor | None = None
    blur: torch.Tensor | None = None
    blur_radius: int = 0
    noise: torch.Tensor | None = None
    pixels: torch.Generator | None = None


def draw_light(
    count: int,
    device: torch.device,
    brightness: float,
    contrast: float,
    gamma: float,
    blur: float,
    noise: float,
    generator: torch.Generator,
) -> Light:
    """Draw changes for `count` images; strengths as in `Augmentation`, 0: no change."""
    drawn: dict[str, torch.Tensor] = {}
    if brightness or contrast:
        drawn["gain"] = draw_factors(count, brightness, generator)
        spread = draw_factors(count, contrast, generator)
        if contrast:
            drawn["spread"] = spread
    if gamma:
        drawn["exponents"] = torch.exp((2 * torch.rand(count, generator=generator) - 1) * math.log1p(gamma))
    if blur:
        # A deviation of 0 would divide by zero; at a hundredth of a pixel the neighbors' weights are 0 already.
        drawn["blur"] = (blur * torch.rand(count, generator=generator)).clamp_min(0.01)
    pixels = None
    if noise:
        drawn["noise"] = noise * WHITE * torch.rand(count, generator=generator)
        seed = int(torch.randint(2**62, (), generator=generator))
        pixels = torch.Generator(device).manual_seed(seed)
    on_device = {name: values.to(device, non_blocking=True) for name, values in drawn.items()}
    return Light(**on_device, blur_radius=math.ceil(3 * blur), pixels=pixels)


def draw_factors(count: int, strength: float, generator: torch.Generator) -> torch.Tensor:
    """Return float32 (count,), uniform between 1 - strength and 1 + strength, never below 0."""
    return (1 + strength * (2 * torch.rand(count, generator=generator) - 1)).clamp_min(0)


def relight(
    images: torch.Tensor, mean: torch.Tensor | None, content: torch.Tensor, light: Light, some: slice
) -> torch.Tensor:
    """Return the images `some` of a batch under other light, as a new tensor.

    Args:
        images: float32 (n, C, H, W), only these images.
        mean: float32 (B, 1, 1, 1), of every image of the batch before, over all planes; None if no spread is drawn.
        content: int64 (B, 2), CPU, (height, width).
        light: of the batch.
        some: the slice of these images. Noise has to be drawn for one slice after the other.
    """
    images = images.clone() if light.gain is None else _brightness_contrast(images, mean, light, some)
    if light.exponents is not None:
        images = images.div_(WHITE).clamp_(0, 1).pow_(light.exponents[some].view(-1, 1, 1, 1)).mul_(WHITE)
    if light.blur is not None:
        images = blur(images, content[some], light.blur[some], light.blur_radius)
    if light.noise is not None:
        drawn = torch.randn(images.shape, generator=light.pixels, device=images.device)
        images.addcmul_(drawn, light.noise[some].view(-1, 1, 1, 1))
    return images.clamp_(0, WHITE)


def _brightness_contrast(images: torch.Tensor, mean: torch.Tensor | None, light: Light, some: slice) -> torch.Tensor:
    """Multiply images by a factor, then scale their distance from the mean gray level by another."""
    assert light.gain is not None
    gain = light.gain[some].view(-1, 1, 1, 1)
    if light.spread is None or mean is None:
        return images * gain
    spread = light.spread[some].view(-1, 1, 1, 1)
    # One mean for all planes, so that colors keep their balance, and an image and its template their difference.
    return torch.addcmul(mean[some] * gain * (1 - spread), images, gain * spread)


def blur(images: torch.Tensor, content: torch.Tensor, sigma: torch.Tensor, radius: int) -> torch.Tensor:
    """Apply a Gaussian blur. Only content is averaged: at its edge, the weights of what lies beyond are omitted, and
    the rest sums to 1.

    Args:
        images: float32 (n, C, H, W).
        content: int64 (n, 2), CPU, (height, width).
        sigma: float32 (n,), deviations in pixels, on the images' device.
        radius: number of pixels on either side that count.
    """
    count, planes, height, width = images.shape
    device = images.device
    distance = torch.arange(-radius, radius + 1, device=device)
    kernel = torch.exp(-(distance**2) / (2 * sigma[:, None] ** 2))
    rows, columns = (
        (torch.arange(size) < content[:, axis, None]).float().to(device, non_blocking=True)
        for axis, size in enumerate((height, width))
    )
    inside = rows[:, None, :, None] * columns[:, None, None, :]
    blurred = images * inside
    for line, shape, view in ((columns, (1, -1), (1, 1, width)), (rows, (-1, 1), (1, height, 1))):
        # Groups: every image has its own kernel, and for conv2d each image is a plane of one large image.
        per_plane = kernel.repeat_interleave(planes, 0).view(count * planes, 1, *shape)
        padding = [radius if side == -1 else 0 for side in shape]
        blurred = F.conv2d(
            blurred.reshape(1, count * planes, height, width), per_plane, padding=padding, groups=count * planes
        ).view(count, planes, height, width)
        weights = F.conv1d(line[None], kernel[:, None], padding=radius, groups=count)[0]
        # Weights are 0 only if no content is near: then there is nothing to divide either.
        blurred /= weights.clamp_min(1e-6).view(count, *view)
    return blurred
