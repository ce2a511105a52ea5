"""Brushes shared by the sample generators. Images are float arrays of shape (height, width), 0 black to 1 white."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from scipy import ndimage


def smooth_noise(rng: np.random.Generator, height: int, width: int, scale: float | tuple[float, float]) -> np.ndarray:
    """Return Gaussian noise blurred by `scale` pixels (or by (vertical, horizontal)), mean 0, standard deviation 1."""
    noise = ndimage.gaussian_filter(rng.standard_normal((height, width)), scale, mode="wrap")
    return (noise - noise.mean()) / (noise.std() + 1e-9)


def grid(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return pixel centers: (y, x), each of shape (height, width), 0-based."""
    y, x = np.mgrid[0:height, 0:width].astype(float)
    return y, x


def blob(
    rng: np.random.Generator, height: int, width: int, center: tuple[float, float], radii: tuple[float, float]
) -> np.ndarray:
    """Return a boolean, irregular round shape around `center` (y, x) with `radii` (y, x), in pixels."""
    # Only the crop that the shape can reach is computed: its radius varies by at most 3 x 0.15.
    rows, columns = (
        slice(*np.clip((c - 1.5 * r, c + 1.5 * r + 2), 0, size).astype(int))
        for c, r, size in zip(center, radii, (height, width), strict=True)
    )
    y, x = np.mgrid[rows, columns]
    dy, dx = (y - center[0]) / radii[0], (x - center[1]) / radii[1]
    angle = np.arctan2(dy, dx)
    wobble = sum(rng.uniform(-0.15, 0.15) * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in (2, 3, 5))
    mask = np.zeros((height, width), dtype=bool)
    mask[rows, columns] = np.hypot(dy, dx) <= 1 + wobble
    return mask


def box_of(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Return x_min, y_min, x_max, y_max of the true pixels, 0-based, half-open."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def to_uint8(image: np.ndarray) -> np.ndarray:
    """Map 0..1 to 0..255, clipped."""
    return np.clip(np.rint(image * 255), 0, 255).astype(np.uint8)


def save(path: Path, image: np.ndarray, *, rgb: bool = False, quality: int = 92) -> None:
    """Write a float or uint8 image in the format of the path's suffix; `rgb` writes three equal channels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = PIL.Image.fromarray(image if image.dtype == np.uint8 else to_uint8(image))
    if rgb:
        picture = picture.convert("RGB")
    options: dict[str, Any] = {"quality": quality} if path.suffix.lower() in (".jpg", ".jpeg") else {}
    picture.save(path, **options)


def save_mask(path: Path, mask: np.ndarray) -> None:
    """Write a boolean mask as single-channel 0/255."""
    save(path, np.where(mask, np.uint8(255), np.uint8(0)))


def truncate(path: Path, keep: float = 0.6) -> None:
    """Truncate a file, as an interrupted copy does."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])


def surface(
    rng: np.random.Generator, height: int, width: int, defects: int = 0, *, gray: float = 0.5
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return a textured surface and the boolean masks of its defects: dark or bright spots that do not touch."""
    image = gray + 0.05 * smooth_noise(rng, height, width, (1.0, 4.0))
    masks: list[np.ndarray] = []
    taken = np.zeros((height, width), dtype=bool)
    radius = min(height, width) / 12
    while len(masks) < defects:
        center = rng.uniform(radius, height - radius), rng.uniform(radius, width - radius)
        spot = blob(rng, height, width, center, tuple(rng.uniform(0.6, 1.0, 2) * radius))
        if not (spot & ndimage.binary_dilation(taken, iterations=3)).any():
            image[spot] += 0.3 if len(masks) % 2 else -0.3
            taken |= spot
            masks.append(spot)
    return image, masks
