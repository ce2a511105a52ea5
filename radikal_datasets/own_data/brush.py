"""Label Studio's code for brush masks: run lengths of bits, of which the opacity is the mask."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import MalformedAnnotationError

_REMEDY = "Export the task again; its image is left out until then."
_CHANNELS = 4


class _Bits:
    """Reads numbers of any width from bytes."""

    def __init__(self, data: bytes) -> None:
        self._bits = np.unpackbits(np.frombuffer(data, np.uint8))
        self._at = 0

    def read(self, count: int) -> int:
        """Return the next `count` bits as a number."""
        if self._at + count > len(self._bits):
            raise ValueError("it ends early")
        found = 0
        for bit in self._bits[self._at : self._at + count]:
            found = found << 1 | int(bit)
        self._at += count
        return found


def brush_mask(code: Any, width: int, height: int, path: str, line: Callable[[], int | None]) -> np.ndarray:
    """Decode a brush mask.

    Args:
        code: the bytes of `value.rle`.
        width, height: of the image, in pixels.
        path, line: for messages.

    Returns:
        Boolean array of shape (height, width).

    Raises:
        MalformedAnnotationError: the code is damaged, or of another size.
    """
    try:
        data = bytes(code) if isinstance(code, Sequence) and not isinstance(code, str) else b""
        values = _decode(_Bits(data))
    except (ValueError, TypeError) as error:
        raise MalformedAnnotationError(path, f"the brush mask is damaged: {error}", _REMEDY, line()) from None
    if len(values) != width * height * _CHANNELS:
        found = f"the brush mask has {len(values) // _CHANNELS:,} pixels, its image {width}x{height}"
        raise MalformedAnnotationError(path, found, _REMEDY, line())
    return values.reshape(height, width, _CHANNELS)[..., 3] > 0


def _decode(bits: _Bits) -> np.ndarray:
    count = bits.read(32)
    if count > 4 * 200_000_000:
        raise ValueError("it claims too many pixels")
    word = bits.read(5) + 1
    sizes = [bits.read(4) + 1 for _ in range(4)]
    values = np.zeros(count, np.uint8)
    at = 0
    while at < count:
        run = bits.read(1)
        end = at + 1 + bits.read(sizes[bits.read(2)])
        if end > count:
            raise ValueError("a run is too long")
        if run:
            values[at:end] = bits.read(word) & 255
        else:
            for position in range(at, end):
                values[position] = bits.read(word) & 255
        at = end
    return values
