"""Place one image in a batch: decode, crop the tile, resize, fill the planes."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from PIL import Image

from loaders.arrow import Encoded
from loaders.decoding import Decoder, Resize, resize_into, unreadable
from loaders.pairing import aligned
from loaders.records import Record, Window
from radikal_datasets.errors import ChoiceError, GrayScaleError, UnreadableImageError
from radikal_datasets.gray_scale import GrayScale

#: What the planes of a batch are: luminance; red, green and blue; or image, template and their absolute difference.
Channels = Literal["gray", "rgb", "pair"]
_BROKEN = (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError, cv2.error)


class Canvas:
    """The frame in which images of all sizes become planes of one size.

    Args:
        size: (height, width) of the canvas in pixels.
        channels: what its planes are.
        keep_aspect: resize to fit and pad right and below, instead of stretching.
        resize: see `decoding.Resize`.
        gray_scale: of images of more than 8 bits.
    """

    def __init__(
        self,
        size: tuple[int, int],
        channels: Channels,
        keep_aspect: bool,
        resize: Resize,
        gray_scale: GrayScale | None = None,
    ) -> None:
        self.size, self.keep_aspect = size, keep_aspect
        self.channels: Channels = channels
        self.resize: Resize = resize
        self.gray_scale = gray_scale
        self._plain = channels != "pair" and not keep_aspect

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one image in memory: (H, W) gray, (H, W, 3) RGB as in files, (3, H, W) pair."""
        return {"gray": self.size, "rgb": (*self.size, 3), "pair": (3, *self.size)}[self.channels]

    def content(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the (height, width) on the canvas of an image of `size`, anchored top left."""
        if not self.keep_aspect:
            return self.size
        ratio = min(self.size[0] / size[0], self.size[1] / size[1])
        return max(1, min(self.size[0], round(size[0] * ratio))), max(1, min(self.size[1], round(size[1] * ratio)))

    def paint(self, decoder: Decoder, record: Record, target: np.ndarray) -> None:
        """Write a record into `target`, uint8 of `shape`; padding becomes 0.

        Raises:
            UnreadableImageError: a file is missing, damaged, or of another size than the record states.
            ChoiceError: a pair without a template.
        """
        if (
            self._plain
            and record.window is None
            and decoder.decode_onto(record.image, record.size, target, self.resize)
        ):
            return
        content = self.content(record.shown)
        height, width = content
        if self.channels != "pair":
            area = target if content == self.size else target[:height, :width]
            self._show(decoder, record, record.image, area)
            if area is not target:
                target[height:], target[:, width:] = 0, 0
            return
        if record.reference is None:
            raise ChoiceError(
                f"Image {record.image_id!r} has no reference, but channels='pair' needs a template for every image. "
                "Use channels='auto', or leave out the images without one."
            )
        planes = target[:, :height, :width]
        self._show(decoder, record, record.image, planes[0])
        self._show(decoder, record, record.reference, planes[1], template=True)
        template = aligned(planes[0], planes[1])
        if template is not planes[1]:
            planes[1] = template
        cv2.absdiff(planes[0], planes[1], dst=planes[2])
        if content != self.size:
            target[:, height:], target[:, :, width:] = 0, 0

    def masks(self, decoder: Decoder, record: Record) -> np.ndarray:
        """Return bool (n, H, W): the record's masks on the canvas, thresholded at half of each pixel.

        A mask that is smaller than that everywhere keeps the pixels it covers most, so that none vanishes.
        """
        height, width = self.content(record.shown)
        found = np.zeros((len(record.masks), *self.size), bool)
        gray = np.empty((height, width), np.uint8)
        for mask, encoded in zip(found, record.masks, strict=True):
            pixels = self._decoded(decoder, record, encoded, record.size, color=False)
            resize_into(gray, _cut(pixels, record.window), "fast")
            mask[:height, :width] = gray >= max(1, min(128, int(gray.max())))
        return found

    def _show(
        self, decoder: Decoder, record: Record, encoded: Encoded | None, target: np.ndarray, template: bool = False
    ) -> None:
        """Decode one file onto `target`, uint8 (h, w) or (h, w, 3)."""
        window, expected = record.window, None if template else record.size
        at_least = target.shape[:2] if window is None and self.resize == "fast" else (0, 0)
        pixels = self._decoded(decoder, record, encoded, expected, target.ndim == 3, at_least, target)
        if window is not None:
            if pixels.shape[:2] != record.size:  # a template of a different size
                pixels = cv2.resize(pixels, record.size[::-1], interpolation=cv2.INTER_LINEAR)
            pixels = _cut(pixels, window)
        if pixels is not target:
            resize_into(target, pixels, self.resize)

    @staticmethod
    def _decoded(
        decoder: Decoder,
        record: Record,
        encoded: Encoded | None,
        expected: tuple[int, int] | None,
        color: bool,
        at_least: tuple[int, int] = (0, 0),
        out: np.ndarray | None = None,
    ) -> np.ndarray:
        if encoded is None:
            raise unreadable(record.image_id, None, "the row holds neither bytes nor a path")
        try:
            pixels, found = decoder(encoded, color=color, at_least=at_least, out=out)
        except GrayScaleError as error:
            where = f"image {record.image_id!r}"
            remedy = "Convert all images of the dataset in one way, or state `pixels` in radikal.yaml."
            raise UnreadableImageError(where, str(error), remedy) from error
        except _BROKEN as error:
            raise unreadable(record.image_id, encoded, f"{type(error).__name__}: {error}") from error
        if expected is not None and found != expected:
            found = f"it is {found[1]}x{found[0]} pixels, but its row states {expected[1]}x{expected[0]}"
            raise unreadable(record.image_id, encoded, found)
        return pixels


def _cut(pixels: np.ndarray, window: Window | None) -> np.ndarray:
    if window is None:
        return pixels
    top, left, height, width = window
    return pixels[top : top + height, left : left + width]
