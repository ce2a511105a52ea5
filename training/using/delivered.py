"""Images as a program delivers them, prepared for a model: decoded, split into tiles, resized."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from loaders.canvas import Canvas
from loaders.decoding import Decoder, planes_of
from loaders.records import Record, Window
from radikal_datasets.errors import GrayScaleError, ImageFileError, RadikalError, UnreadableImageError
from radikal_datasets.gray_scale import GrayLevels, GrayScale, levels_of
from radikal_datasets.raw.images import MAX_PIXELS, is_deep
from radikal_datasets.raw.orientation import displayed_size, upright
from training.using.prediction import ModelFacts

#: What a program may deliver.
Delivered = str | os.PathLike[str] | bytes | bytearray | memoryview | Image.Image | np.ndarray

_EIGHT_BITS = GrayScale.of_bits(16)  # a model of 8 bits gets the upper byte, see `models.gray_scale_of`
_NO_SCALE = (
    "the model was trained on images of 8 bits and has no gray scale for others. Convert the image as the training "
    "images were"
)


@dataclass(frozen=True)
class Prepared:
    """One image, prepared.

    Attributes:
        size: (height, width) in pixels as it is displayed.
        windows: the tiles; a single None for the entire image.
        planes: uint8, one array of the canvas's shape per window.
    """

    size: tuple[int, int]
    windows: list[Window | None]
    planes: list[np.ndarray]


class Preparation:
    """Prepare images for a model as its training did. Not for several threads at a time: it reuses memory."""

    def __init__(self, facts: ModelFacts) -> None:
        self._facts = facts
        scale = facts.gray_scale or _EIGHT_BITS
        self._canvas = Canvas(facts.canvas, facts.channels, keep_aspect=False, resize=facts.resize, gray_scale=scale)
        self._decoder = _AnyDecoder(scale)

    def __call__(self, image: Delivered, reference: Delivered | None = None) -> Prepared:
        """Prepare an image and its template.

        Raises:
            ImageFileError: it cannot be read, naming the file if it is one, or what it is; or a template is missing.
        """
        pair = self._facts.channels == "pair"
        if pair != (reference is not None):
            raise ImageFileError(
                f"{self._facts.where} compares each image with its defect-free template. Pass reference=."
                if pair
                else f"{self._facts.where} does not use templates. Omit reference=."
            )
        data, size = self._read(image)
        template = None if reference is None else self._read(reference, "its template, ")[0]
        tiles = self._facts.tiles
        windows: list[Window | None] = [None] if tiles is None else list(tiles.windows(size))
        if len(windows) > 1:  # decode once, not for each tile
            data = self._pixels(data, image)
            template = None if template is None else self._pixels(template, reference)
        shape, painted = self._canvas.shape, []
        for window in windows:
            target = np.empty(shape, np.uint8)
            record = Record(described(image), data, size, reference=template, window=window)  # pyright: ignore
            try:
                self._canvas.paint(self._decoder, record, target)
            except UnreadableImageError as error:
                for one, delivered, what in ((data, image, ""), (template, reference, "its template, ")):
                    if one is not None:
                        self._pixels(one, delivered, what)  # raises the short reason
                raise ImageFileError(str(error)) from error
            painted.append(target)
        return Prepared(size, windows, painted)

    def _read(self, image: Delivered, what: str = "") -> tuple[memoryview | np.ndarray, tuple[int, int]]:
        """Return the encoded bytes, or uint8 pixels of an array or opened image; and its (height, width)."""
        try:
            if isinstance(image, Image.Image):
                _check_size(displayed_size(image))
                image = upright(image)
                as_it_is = is_deep(image) or image.mode in ("L", "RGB")
                image = np.array(image if as_it_is else image.convert("L" if image.mode in ("1", "LA") else "RGB"))
            if isinstance(image, np.ndarray):
                pixels = self._as_bytes(image)
                return pixels, pixels.shape[:2]
            given = isinstance(image, bytes | bytearray | memoryview)
            data = memoryview(image if given else Path(image).read_bytes())
            with Image.open(io.BytesIO(data)) as opened:
                width, height = displayed_size(opened)
                deep = is_deep(opened)
            _check_size((width, height))
            if deep and self._facts.gray_scale is None:
                levels = levels_of([data])
                if levels is not None and levels.problem(_EIGHT_BITS):
                    raise GrayScaleError(f"gray levels of more than 8 bits ({levels}), but {_NO_SCALE}.")
            return data, (height, width)
        except RadikalError as error:
            raise ImageFileError(
                f"Cannot use {what}{described(image)}: {error}", _reason(error, what, image)
            ) from error
        except Exception as error:  # Pillow's plugins raise OSError, SyntaxError, struct.error, ValueError ...
            raise _unreadable(error, what, image) from error

    def _pixels(self, data: memoryview | np.ndarray, image: Any, what: str = "") -> np.ndarray:
        """Decode, in the planes that the model takes."""
        if isinstance(data, np.ndarray):
            return data
        try:
            return self._decoder(data, color=self._facts.channels == "rgb")[0].copy()
        except Exception as error:  # each image library raises its own kinds
            raise _unreadable(error, what, image) from error

    def _as_bytes(self, pixels: np.ndarray) -> np.ndarray:
        """Return contiguous uint8 (H, W) or (H, W, 3) of an array of gray levels of any depth.

        Floats are on the model's gray scale; for a model of 8 bits, 0 is black and 1 is white.
        """
        if pixels.ndim == 3 and pixels.shape[2] in (1, 4):
            pixels = pixels[..., 0] if pixels.shape[2] == 1 else pixels[..., :3]
        if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] != 3) or not pixels.size:
            raise ValueError(f"its shape is {pixels.shape}, but must be (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)")
        if pixels.dtype.kind not in "uif":
            raise ValueError(f"its type is {pixels.dtype}, but must be an integer or float type")
        if pixels.dtype == np.uint8:
            return np.ascontiguousarray(pixels)
        scale = self._facts.gray_scale
        if scale is None and pixels.dtype.kind == "f":
            if np.nanmin(pixels) < 0 or np.nanmax(pixels) > 1:
                raise GrayScaleError(
                    f"its floats are from {np.nanmin(pixels):g} to {np.nanmax(pixels):g}, but must be from 0 to 1: "
                    + _NO_SCALE
                )
            return GrayScale(0.0, 1.0).to_bytes(pixels)
        if scale is None or (pixels.dtype.kind == "f" and scale.high > 1):
            _check_levels(pixels, scale)
        return np.ascontiguousarray((scale or _EIGHT_BITS).to_bytes(pixels))


class _AnyDecoder(Decoder):
    """A decoder that takes decoded pixels, uint8 (H, W) or (H, W, 3), as well."""

    def __call__(self, data: Any, *, color: bool, **options: Any) -> tuple[np.ndarray, tuple[int, int]]:
        """See `Decoder`."""
        if isinstance(data, np.ndarray):
            return planes_of(data, color), data.shape[:2]
        return super().__call__(data, color=color, **options)


def described(image: Any) -> str:
    """Return a path as it is, and a few words for an image without one."""
    if isinstance(image, np.ndarray):
        return f"an array of shape {image.shape} and type {image.dtype}"
    if isinstance(image, bytes | bytearray | memoryview):
        return f"{len(image):,} bytes"
    return f"a PIL image of mode {image.mode}" if isinstance(image, Image.Image) else str(image)


def _check_size(size: tuple[int, int]) -> None:
    if size[0] * size[1] > MAX_PIXELS:
        raise ValueError(f"header claims {size[0]}x{size[1]} pixels; treated as a decompression bomb")


def _check_levels(pixels: np.ndarray, scale: GrayScale | None) -> None:
    """Reject an array that the model would see nearly black: of other gray levels than its training images."""
    finite = pixels[np.isfinite(pixels)]
    if not finite.size:
        return
    integer = pixels.dtype.kind in "ui"
    sample = finite[:: -(-finite.size // (1 << 16))].astype(np.int64 if integer else np.float64)
    levels = GrayLevels([sample], float(finite.min()), float(finite.max()), integer)
    if levels.problem(scale or _EIGHT_BITS):
        of_model = _NO_SCALE if scale is None else f"the model's gray scale is from {scale.low:g} to {scale.high:g}"
        raise GrayScaleError(f"gray levels of more than 8 bits ({levels}), but {of_model}.")


def _unreadable(error: Exception, what: str, image: Any) -> ImageFileError:
    message = f"Cannot read {what}{described(image)} as an image: {_reason(error)}"
    return ImageFileError(message, _reason(error, what, image))


def _reason(error: Exception, what: str = "", image: Any = None) -> str:
    if isinstance(error, Image.UnidentifiedImageError):
        reason = "no image header"
    elif isinstance(error, OSError) and error.strerror:
        reason = error.strerror
    else:
        reason = " ".join(str(error).split()) or type(error).__name__
    return f"its template {described(image)}: {reason}" if what else reason
