"""Decode images to uint8 planes: libjpeg-turbo for JPEG, OpenCV for PNG, Pillow for everything else."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import simplejpeg
from PIL import Image

from loaders.arrow import Encoded
from loaders.resizing import resize_bilinear
from radikal_datasets.errors import GrayScaleError, UnreadableImageError
from radikal_datasets.gray_scale import GrayScale, has_deep_pixels, is_deep
from radikal_datasets.raw.images import MAX_PIXELS
from radikal_datasets.raw.orientation import TURNED, orientation_of, turned, upright

#: How an image is resized.
#: - "fast": JPEG with even sides is decoded at half size or less; then bilinear, or the mean of the covered
#:   pixels if a side still shrinks to half or less.
#: - "exact": torchvision's anti-aliased bilinear, like transformers' image processors; several times slower.
Resize = Literal["fast", "exact"]

_REMEDY = (
    "Run `radikal-datasets verify SOURCE --data-dir DIR --deep` on the raw tree to list every such file, repair or "
    "remove it, and load or prepare the dataset again."
)
_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
# Bit depth and color type of a PNG are at fixed offsets, in the header chunk, which comes first.
_PNG_KIND, _PNG_GRAY8, _PNG_RGB8 = slice(24, 26), b"\x08\x00", b"\x08\x02"


class Decoder:
    """Decode one image at a time; each thread has its own, for the memory it reuses.

    Args:
        gray_scale: of the dataset's or model's gray levels of more than 8 bits; None: such an image is an error.
    """

    def __init__(self, gray_scale: GrayScale | None = None) -> None:
        self._gray_scale = gray_scale
        self._scratch = np.empty(0, np.uint8)

    def __call__(
        self, data: Encoded, *, color: bool, at_least: tuple[int, int] = (0, 0), out: np.ndarray | None = None
    ) -> tuple[np.ndarray, tuple[int, int]]:
        """Decode one image as it is displayed: EXIF orientation is applied, as in the columns `width` and `height`.

        Args:
            data: bytes, or the path of a file.
            color: three planes (gray ones repeated), or only the luminance.
            at_least: sufficient (height, width); a JPEG of at least twice that is decoded at a smaller size, which
                saves time. (0, 0): full size.
            out: uint8 array to decode into if it is contiguous and has the image's shape: saves a copy.

        Returns:
            uint8 (H, W, 3) in RGB order, or (H, W): `out` itself, or memory that is valid until the next call. And the
            (height, width) of the image as displayed, before it was made smaller.

        Raises:
            GrayScaleError: the image has more than 8 bits, and there is no gray scale.
            OSError, ValueError, SyntaxError, DecompressionBombError: what the libraries raise on a damaged file.
        """
        if isinstance(data, str):
            data = memoryview(Path(data).read_bytes())
        if data[:3] == _JPEG:
            if (orientation := jpeg_orientation(data)) == 1:
                return self._jpeg(data, color, at_least, out)
            if orientation in TURNED:
                at_least = at_least[1], at_least[0]
            pixels, (height, width) = self._jpeg(data, color, at_least, None)
            size = (width, height) if orientation in TURNED else (height, width)
            return np.ascontiguousarray(turned(pixels, orientation)), size
        if data[:8] == _PNG and (kind := data[_PNG_KIND]) in (_PNG_GRAY8, _PNG_RGB8):
            flag = cv2.IMREAD_GRAYSCALE if kind == _PNG_GRAY8 else cv2.IMREAD_COLOR_RGB
            pixels = None
            if not _has_exif(data):
                pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flag | cv2.IMREAD_IGNORE_ORIENTATION)
            if pixels is not None:  # otherwise Pillow reports what is wrong with it
                return planes_of(pixels, color), pixels.shape[:2]
        return self._by_pillow(data, color)

    def decode_onto(self, data: Encoded | None, size: tuple[int, int], target: np.ndarray, how: Resize) -> bool:
        """Decode onto contiguous `target`, uint8 (H, W) or (H, W, 3), if it is a common JPEG of `size`.

        This is the fast path for nearly every image of most datasets; it saves a twentieth of the time at 200x200
        pixels. False leaves the image to the general path, which handles anything unusual, including damage.
        """
        if type(data) is not memoryview or data[:3] != _JPEG or jpeg_orientation(data) != 1:
            return False
        goal, space = target.shape[:2], "GRAY" if target.ndim == 2 else "RGB"
        decoded = _shrunk(size, goal) if size != goal and how == "fast" else size
        try:
            height, width, file_space, _ = simplejpeg.decode_jpeg_header(data)  # 1 microsecond of some 340 at 640x640
            if (height, width) != size or file_space == "CMYK":
                return False
            buffer = target if decoded == goal else self._room(size, space)
            pixels = simplejpeg.decode_jpeg(data, space, buffer=buffer, **_scaling(size, decoded))
        except ValueError:
            return False
        if pixels.shape[:2] != decoded:
            return False
        if buffer is not target:
            resize_into(target, pixels if space == "RGB" else pixels[..., 0], how)
        return True

    def _jpeg(
        self, data: memoryview, color: bool, at_least: tuple[int, int], out: np.ndarray | None
    ) -> tuple[np.ndarray, tuple[int, int]]:
        header: Any = simplejpeg.decode_jpeg_header(data)
        height, width, file_space, _ = header
        if file_space == "CMYK":
            return self._by_pillow(data, color)
        if height * width > MAX_PIXELS:
            raise ValueError(f"the header claims {width}x{height} pixels; treated as a decompression bomb")
        space, decoded = "RGB" if color else "GRAY", _shrunk((height, width), at_least)
        fits = out is not None and out.shape[:2] == decoded and out.flags.c_contiguous
        buffer = out if fits else self._room(decoded, space)
        pixels = simplejpeg.decode_jpeg(data, space, buffer=buffer, **_scaling((height, width), decoded))
        if fits and out is not None:
            return out, (height, width)
        return (pixels if color else pixels[..., 0]), (height, width)

    def _by_pillow(self, data: memoryview, color: bool) -> tuple[np.ndarray, tuple[int, int]]:
        with Image.open(io.BytesIO(data)) as opened:
            pixels = _pixels_of(upright(opened), self._gray_scale)
        return planes_of(pixels, color), pixels.shape[:2]

    def _room(self, size: tuple[int, int], space: str) -> np.ndarray:
        """Return memory for an image of (height, width)."""
        count = size[0] * size[1] * (3 if space == "RGB" else 1)
        if len(self._scratch) < count:
            self._scratch = np.empty(count, np.uint8)
        return self._scratch[:count]


def jpeg_orientation(data: memoryview) -> int:
    """Return the EXIF orientation of a JPEG, 1 to 8. Of a file without EXIF data only the first segments are read."""
    at = 2
    while at + 10 <= len(data) and data[at] == 0xFF and 0xE0 <= data[at + 1] <= 0xEF:  # APP0 to APP15 come first
        if data[at + 1] == 0xE1:
            try:
                with Image.open(io.BytesIO(data)) as opened:
                    return orientation_of(opened)
            except OSError:  # the decoder says what is wrong
                return 1
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return 1


def _has_exif(png: memoryview) -> bool:
    """Return whether a PNG has EXIF data before its pixels."""
    at = 8
    while at + 8 <= len(png) and (kind := bytes(png[at + 4 : at + 8])) != b"IDAT":
        if kind == b"eXIf":
            return True
        at += 12 + int.from_bytes(png[at : at + 4], "big")
    return False


def _shrunk(size: tuple[int, int], at_least: tuple[int, int]) -> tuple[int, int]:
    """Return the size at which a JPEG of `size` is decoded if `at_least` suffices, as (height, width); (0, 0): full.

    A half, a quarter or an eighth, and only if both sides are divisible: libjpeg-turbo rounds up, and the contents of
    an image of 9 pixels that becomes 5 would be shifted by up to a pixel.
    """
    if min(at_least) > 0:
        for factor in (8, 4, 2):
            height, width = size[0] // factor, size[1] // factor
            if (height * factor, width * factor) == size and height >= at_least[0] and width >= at_least[1]:
                return height, width
    return size


def _scaling(size: tuple[int, int], decoded: tuple[int, int]) -> dict[str, Any]:
    """Return simplejpeg's arguments for decoding at that size."""
    if decoded == size:
        return {}
    return {"min_height": decoded[0], "min_width": decoded[1], "min_factor": size[0] // decoded[0]}


def is_gray(data: Encoded) -> bool:
    """Return whether an image is gray: one plane, or three equal ones (as in NEU-DET's JPEG files)."""
    if has_deep_pixels(data):
        return True
    pixels, _ = Decoder()(data, color=True)
    return bool((pixels[..., :2] == pixels[..., 1:]).all())


def resize_into(target: np.ndarray, pixels: np.ndarray, how: Resize) -> None:
    """Write `pixels`, uint8 (h, w) or (h, w, 3), into `target`, uint8 (H, W) or (H, W, 3), resized to fill it."""
    height, width = target.shape[:2]
    if pixels.shape[:2] == (height, width):
        target[...] = pixels
    elif how == "exact":
        target[...] = _exact(pixels, height, width)
    else:
        low, wide = min(pixels.shape[0], height), min(pixels.shape[1], width)
        if pixels.shape[0] < 2 * height and pixels.shape[1] < 2 * width:
            cv2.resize(pixels, (width, height), dst=target, interpolation=cv2.INTER_LINEAR)
        elif (low, wide) == (height, width):
            cv2.resize(pixels, (width, height), dst=target, interpolation=cv2.INTER_AREA)
        else:  # one side shrinks and the other grows: in one step INTER_AREA would shift the image by up to a pixel
            shrunk = cv2.resize(pixels, (wide, low), interpolation=cv2.INTER_AREA)
            cv2.resize(shrunk, (width, height), dst=target, interpolation=cv2.INTER_LINEAR)


def _exact(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize by torchvision if this program uses torch already, else by numpy, which gives the same and is slower."""
    if "torch" not in sys.modules:
        return resize_bilinear(pixels, height, width)
    import torch
    from torchvision.transforms import v2

    planes = torch.from_numpy(pixels if pixels.ndim == 3 else pixels[..., None]).permute(2, 0, 1)
    resized = v2.functional.resize(planes, [height, width], antialias=True).permute(1, 2, 0).numpy()
    return resized if pixels.ndim == 3 else resized[..., 0]


def unreadable(image_id: str, data: Encoded | None, found: str) -> UnreadableImageError:
    """Return the error for an unusable image, naming it and its file if there is one."""
    where = f"image {image_id!r} ({data})" if isinstance(data, str) else f"image {image_id!r}"
    return UnreadableImageError(where, found, _REMEDY)


def planes_of(pixels: np.ndarray, color: bool) -> np.ndarray:
    """Convert (H, W) or (H, W, 3) to the requested planes."""
    if color:
        return pixels if pixels.ndim == 3 else cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)
    return pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)


def _pixels_of(opened: Image.Image, gray_scale: GrayScale | None) -> np.ndarray:
    """Return uint8 (H, W) or (H, W, 3) of a Pillow image of any mode."""
    if is_deep(opened):
        pixels = np.asarray(opened)
        if gray_scale is None:
            raise GrayScaleError(
                f"it has gray levels of more than 8 bits, from {pixels.min():g} to {pixels.max():g}, and no gray scale "
                "says which of them are black and white. Pass one, such as gray_scale=GrayScale(0, 4095) for 12 bits"
            )
        return gray_scale.to_bytes(pixels)
    if opened.mode in ("1", "L", "LA"):
        return np.array(opened.convert("L"))
    return np.array(opened.convert("RGB"))
