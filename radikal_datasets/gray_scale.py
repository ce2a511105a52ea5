"""One gray scale per dataset: how gray levels of more than 8 bits become the 256 levels that people and models see.

Images of 8 bits are not affected. Everything that decodes deeper ones (loaders, previews, statistics, prediction) uses
the scale of their dataset, which is stored in the `Image` feature of its column `image`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL.Image

from .errors import GrayScaleError
from .raw.images import is_deep

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset

#: Images that are decoded to find the scale of a dataset, spread evenly over it.
SAMPLED = 64
#: A dataset must reach the model with at least this many gray levels.
LEAST_LEVELS = 32

BIT_DEPTHS = (8, 10, 12, 14, 16)
_PIXELS_PER_IMAGE = 1 << 16  # of a sampled image, spread evenly over it
# Levels with a smaller share of the sampled pixels are hot pixels, and do not count.
_RARE = 1e-5
_PROPOSED = (0.05, 99.95)  # percentiles
_FEATURE_ID = "gray scale "
_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"


@dataclass(frozen=True)
class PixelSettings:
    """How gray levels are scaled: bits is "auto", 8 to 16 or "float"; window is "full", (low, high) or percentiles."""

    bits: str | int = "auto"
    window: str | tuple[float, float] | tuple[str, float, float] = "full"


@dataclass(frozen=True)
class GrayScale:
    """A range of gray levels that is divided into 256 equal steps; what is below becomes 0, what is above 255.

    Attributes:
        low, high: the first and last gray level of the range, as in the files.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.low) and np.isfinite(self.high) and self.low < self.high):
            raise GrayScaleError(
                f"A gray scale from {self.low:g} to {self.high:g} is impossible: low must be below high."
            )

    def to_bytes(self, pixels: np.ndarray) -> np.ndarray:
        """Return uint8 of the same shape. Of 12-bit pixels on a scale from 0 to 4095 these are the upper 8 bits."""
        if pixels.dtype.kind == "u" and pixels.dtype.itemsize <= 2:
            return np.take(_table(self), pixels)  # several times as fast
        return self.scaled(pixels)

    def scaled(self, pixels: np.ndarray) -> np.ndarray:
        """Do what `to_bytes` does, pixel by pixel."""
        # Level k of an integer stands for [k, k + 1), so that 2^b levels fill 256 steps evenly.
        width = self.high - self.low + (pixels.dtype.kind in "ui")
        with np.errstate(invalid="ignore", over="ignore"):
            steps = np.floor((pixels.astype(np.float64) - self.low) * (256 / width))
        return np.clip(np.nan_to_num(steps, nan=0.0), 0, 255).astype(np.uint8)

    def image_to_bytes(self, image: PIL.Image.Image) -> PIL.Image.Image:
        """Return a deep image in mode L; any other image as it is."""
        return PIL.Image.fromarray(self.to_bytes(np.asarray(image))) if is_deep(image) else image

    def to_list(self) -> list[float]:
        """Return [low, high], for JSON: integers where they are."""
        return [int(value) if float(value).is_integer() else float(value) for value in (self.low, self.high)]

    @property
    def feature_id(self) -> str:
        """The scale as the `id` of an `Image` feature."""
        return _FEATURE_ID + json.dumps(self.to_list())

    @classmethod
    def parse(cls, value: Any) -> GrayScale | None:
        """Return the scale that `to_list` or `feature_id` gave; None for anything else."""
        if isinstance(value, str) and value.startswith(_FEATURE_ID):
            try:
                value = json.loads(value.removeprefix(_FEATURE_ID))
            except ValueError:
                return None
        numbers = isinstance(value, Sequence) and all(isinstance(one, int | float) for one in value)
        return cls(*map(float, value)) if numbers and len(value) == 2 and value[0] < value[1] else None

    @classmethod
    def of_bits(cls, bits: int) -> GrayScale:
        """Return the scale of all levels of that many bits."""
        return cls(0.0, float((1 << bits) - 1))

    @classmethod
    def stated_by(cls, dataset: Dataset | IterableDataset) -> GrayScale | None:
        """Return the scale that is stored with a dataset; None if there is none."""
        from datasets import Image

        feature = (dataset.features or {}).get("image")
        return cls.parse(feature.id) if isinstance(feature, Image) else None


@lru_cache(4)
def _table(scale: GrayScale) -> np.ndarray:
    """Return the byte of every 16-bit level."""
    return scale.scaled(np.arange(1 << 16))


@dataclass(frozen=True)
class GrayLevels:
    """The gray levels of a sample of deep images.

    Attributes:
        images: of each, some of its pixels.
        low, high: used range, of all pixels.
        integer: whether all are integers.
    """

    images: Sequence[np.ndarray]
    low: float
    high: float
    integer: bool

    @cached_property
    def pixels(self) -> np.ndarray:
        """Return the pixels of all images."""
        return np.concatenate(self.images)

    @property
    def bits(self) -> int | None:
        """Return the smallest of `BIT_DEPTHS` that holds the range; None for floats, negative or larger levels."""
        held = [bits for bits in BIT_DEPTHS if self.integer and self.low >= 0 and self.high < 1 << bits]
        return held[0] if held else None

    def __str__(self) -> str:
        depth = "floats" if not self.integer else f"{self.bits} bits" if self.bits else "integers"
        return f"{depth}, used from {self.low:,g} to {self.high:,g}"

    def scale(self, settings: PixelSettings | None = None) -> GrayScale:
        """Return the scale that the settings describe for these levels."""
        bits, window = (settings.bits, settings.window) if settings else ("auto", "full")
        if isinstance(window, tuple) and isinstance(window[0], str):
            low, high = np.percentile(self.pixels, window[1:])
            return _not_empty(low, high)
        if isinstance(window, tuple):
            return GrayScale(float(window[0]), float(window[1]))
        depth = bits if isinstance(bits, int) else self.bits if bits == "auto" else None
        if depth is not None:
            return GrayScale.of_bits(depth)
        return GrayScale(0.0, 1.0) if self.low >= 0 and self.high <= 1 else _not_empty(self.low, self.high)

    def problem(self, scale: GrayScale) -> str:
        """Return what is wrong with a scale, and a remedy: it leaves too few levels, and a window more; or ""."""
        shown, window = _levels(self.pixels, scale), _window(self.pixels)
        if shown >= LEAST_LEVELS or _levels(self.pixels, window) < LEAST_LEVELS:
            return ""
        low, high = window.to_list()
        return (
            f"{len(self.images):,} images of more than 8 bits ({self}) would reach a model with {shown} of 256 gray "
            f"levels, because they are scaled from {scale.low:,g} to {scale.high:,g}. It needs {LEAST_LEVELS}. Write "
            f"`pixels: {{window: [{low}, {high}]}}` into radikal.yaml, or pass gray_scale=GrayScale({low}, {high})."
        )

    def too_dark(self, scale: GrayScale) -> int:
        """Return how many of the images would keep too few levels, although they have enough: of other bit depths."""
        return sum(_levels(pixels, scale) < LEAST_LEVELS <= _levels(pixels, _window(pixels)) for pixels in self.images)


def _levels(pixels: np.ndarray, scale: GrayScale) -> int:
    """Return the number of different levels on a scale, without those that only hot pixels have."""
    found = np.bincount(scale.to_bytes(pixels), minlength=256)
    return int((found > _RARE * len(pixels)).sum())


def _window(pixels: np.ndarray) -> GrayScale:
    """Return a window with nearly all pixels."""
    low, high = np.percentile(pixels, _PROPOSED)
    return _not_empty(np.floor(low), np.ceil(high)) if pixels.dtype.kind in "ui" else _not_empty(low, high)


def _not_empty(low: float, high: float) -> GrayScale:
    return GrayScale(float(low), float(high) if high > low else float(low) + 1)


def has_deep_pixels(data: bytes | memoryview | str | None) -> bool:
    """Return whether an encoded image, or the file of that path, is deep; False if it cannot be read."""
    if data is None:
        return False
    if not isinstance(data, str):
        if data[:3] == _JPEG:
            return False
        if data[:8] == _PNG:
            return bytes(data[24:26]) == b"\x10\x00"  # bit depth and color type
    try:
        with PIL.Image.open(data if isinstance(data, str) else BytesIO(data)) as image:
            return is_deep(image)
    except Exception:  # reported when it is decoded
        return False


def levels_of(images: Iterable[bytes | memoryview | str]) -> GrayLevels | None:
    """Return the gray levels of the deep ones among encoded images, or paths; None if there is none."""
    parts, lows, highs, integer = [], [], [], True
    for data in images:
        if not has_deep_pixels(data):
            continue
        try:
            with PIL.Image.open(data if isinstance(data, str) else BytesIO(data)) as image:
                pixels = np.asarray(image)
        except Exception:  # a damaged image does not decide, and is reported when its turn comes
            continue
        pixels = pixels[np.isfinite(pixels)]
        if pixels.size:
            integer &= pixels.dtype.kind in "ui"
            lows.append(float(pixels.min()))
            highs.append(float(pixels.max()))
            parts.append(pixels[:: -(-pixels.size // _PIXELS_PER_IMAGE)])
    if not parts:
        return None
    kind = np.int64 if integer else np.float64
    return GrayLevels([part.astype(kind) for part in parts], min(lows), max(highs), integer)


def spread(count: int, most: int = SAMPLED) -> list[int]:
    """Return up to `most` indices spread evenly over `count`."""
    return np.unique(np.linspace(0, max(0, count - 1), min(most, count)).astype(np.int64)).tolist()


def scale_of(splits: Mapping[Any, Dataset]) -> GrayScale | None:
    """Return the scale of a dataset: the one stored with it, else found in a sample; None without deep images.

    Raises:
        GrayScaleError: its splits state different scales.
    """
    stated = {GrayScale.stated_by(dataset) for dataset in splits.values() if len(dataset)} - {None}
    if len(stated) > 1:
        raise GrayScaleError(
            f"The splits state different gray scales: {', '.join(str(one.to_list()) for one in stated if one)}. "
            "Prepare the dataset again."
        )
    if stated:
        return stated.pop()
    datasets = [dataset for dataset in splits.values() if len(dataset)]
    ends = np.cumsum([len(dataset) for dataset in datasets])
    chosen = np.array(spread(int(ends[-1]) if datasets else 0))
    images: list[bytes] = []
    for dataset, start, end in zip(datasets, [0, *ends[:-1]], ends, strict=True):
        rows = chosen[(chosen >= start) & (chosen < end)] - start
        table: Any = dataset.select_columns(["image"]).select(rows).with_format("arrow")[:]
        images += [cell["bytes"] for cell in table["image"].to_pylist() if cell and cell["bytes"]]
    found = levels_of(images)
    return None if found is None else found.scale()
