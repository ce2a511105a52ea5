"""Reusable memory for batches, and how images are written to it."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import cv2
import numpy as np
import torch

from loaders.canvas import Canvas
from loaders.decoding import Decoder
from radikal_datasets.gray_scale import GrayScale


class Batches(Protocol):
    """Memory for batches, and how images are written to it.

    Attributes:
        together: number of images that a thread takes at a time.
    """

    canvas: Canvas
    together: int

    def take(self) -> np.ndarray:
        """Return a batch that is not in use."""
        ...

    def give_back(self, array: np.ndarray) -> None:
        """Return a batch to the pool once the user of the ring is done with it."""
        ...

    def targets(self, worker: Worker, array: np.ndarray, group: range) -> Iterable[np.ndarray]:
        """Return where to paint the images of `group`, positions in the batch; may be more places than images."""
        ...

    def painted(self, worker: Worker, array: np.ndarray, group: range) -> None:
        """Transfer the images of `group`, now painted, to `array`."""
        ...


class Worker:
    """The private memory of a thread: a decoder, and room for a group of images."""

    def __init__(self, gray_scale: GrayScale | None = None) -> None:
        self.decoder = Decoder(gray_scale)
        self._room = np.empty(0, np.uint8)
        self._images: list[np.ndarray] = []

    def room(self, shape: tuple[int, ...]) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return uint8 memory of that shape, the same each time; and the images along its first axis."""
        if self._room.shape != shape:
            self._room = np.empty(shape, np.uint8)
            self._images = list(self._room)
        return self._room, self._images


class ByteBatches:
    """uint8 batches in the canvas's layout; pinned if they are copied to a GPU."""

    def __init__(self, canvas: Canvas, batch_size: int, pinned: bool) -> None:
        self.canvas, self._shape, self._pinned = canvas, (batch_size, *canvas.shape), pinned
        self.together = _together(canvas)
        self._free: list[np.ndarray] = []

    def take(self) -> np.ndarray:
        """See `Batches`."""
        if self._free:
            return self._free.pop()
        if self._pinned:
            return torch.empty(self._shape, dtype=torch.uint8, pin_memory=True).numpy()
        return np.empty(self._shape, np.uint8)

    def give_back(self, array: np.ndarray) -> None:
        """See `Batches`."""
        self._free.append(array)

    def targets(self, worker: Worker, array: np.ndarray, group: range) -> Iterable[np.ndarray]:
        """See `Batches`."""
        return array[group.start : group.stop]

    def painted(self, worker: Worker, array: np.ndarray, group: range) -> None:
        """See `Batches`; the images are already in place."""


class FloatBatches:
    """float32 batches (B, planes, H, W), normalized by the thread that has just decoded: the image is still in cache.

    A batch is reused once nothing refers to it; batches that the caller keeps are not overwritten.
    Touching new memory for every batch instead was measured at 1.7 times the time of writing it.

    Args:
        scale, shift: of each plane, `value * scale + shift`; one number of each for one plane.
    """

    def __init__(self, canvas: Canvas, batch_size: int, scale: list[float], shift: list[float]) -> None:
        self.canvas, self._scale, self._shift = canvas, scale, shift
        self._shape = (batch_size, len(scale), *canvas.size)
        self._one_plane = len(scale) == 1
        self.together = _together(canvas)
        self._group = (self.together, *canvas.shape)
        self._all: list[np.ndarray] = []

    def take(self) -> np.ndarray:
        """See `Batches`."""
        for number in range(len(self._all)):
            # A tensor made by torch.from_numpy holds its array as long as any view of the tensor exists.
            if _holders(self._all, number) == _LIST_ALONE:
                return self._all[number]
        fresh = np.empty(self._shape, np.float32)
        self._all.append(fresh)
        return fresh

    def give_back(self, array: np.ndarray) -> None:
        """See `Batches`; `take` finds free batches itself."""
        # Batches that others kept no longer belong to the pool.
        if len(self._all) > _MOST_KEPT:
            self._all = self._all[-_MOST_KEPT:]

    def targets(self, worker: Worker, array: np.ndarray, group: range) -> Iterable[np.ndarray]:
        """See `Batches`."""
        return worker.room(self._group)[1]

    def painted(self, worker: Worker, array: np.ndarray, group: range) -> None:
        """See `Batches`."""
        pixels, floats = worker.room(self._group)[0][: len(group)], array[group.start : group.stop]
        if self._one_plane:
            width = floats.shape[-1]
            pixels, floats = pixels.reshape(-1, width), floats.reshape(-1, width)
            cv2.addWeighted(pixels, self._scale[0], pixels, 0.0, self._shift[0], floats, cv2.CV_32F)
            return
        for image, planes in zip(pixels, floats, strict=True):
            for plane, channel, scale, shift in zip(
                planes, self._channels(image), self._scale, self._shift, strict=True
            ):
                cv2.addWeighted(channel, scale, channel, 0.0, shift, plane, cv2.CV_32F)

    def _channels(self, pixels: np.ndarray) -> Sequence[np.ndarray]:
        """Return what goes into each plane."""
        if pixels.ndim == 2:
            return [pixels] * len(self._scale)
        return list(pixels) if self.canvas.channels == "pair" else cv2.split(pixels)


def _holders(arrays: list[Any], number: int) -> int:
    return sys.getrefcount(arrays[number])


# What getrefcount returns for an object that only a list holds; versions of Python differ in what they add.
_LIST_ALONE = _holders([object()], 0)
#: Number of float batches that are remembered for reuse; the ring holds a few, and the user one or two.
_MOST_KEPT = 16


def _together(canvas: Canvas) -> int:
    """Return how many images a thread decodes before normalizing them in one call: those that stay in its core's cache.

    Python's overhead around the decoding of a small image is a twentieth of the time; this saves a part of it.
    """
    return max(1, min(8, 128 * 1024 // math.prod(canvas.shape)))
