"""One undecoded image of a row to a uint8 tensor."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from radikal_datasets.errors import UnreadableImageError

_REMEDY = (
    "Run `radikal-datasets verify SOURCE --data-dir DIR --deep` on the raw tree to list every such file, mend or "
    "remove it, and load or prepare the set again."
)


def decode_image(image: dict[str, Any], image_id: str, size: tuple[int, int]) -> torch.Tensor:
    """The planes of one image.

    Args:
        image: `{"bytes": ..., "path": ...}`, an `Image(decode=False)` cell.
        image_id: names the image in errors.
        size: (height, width) in pixels that the dataset's columns promise; boxes are in this frame.

    Returns:
        uint8, (1, H, W) for gray images, else (3, H, W) in RGB order. EXIF turns are not applied: the annotations are
        in the frame of the file's own pixels.

    Raises:
        UnreadableImageError: the file is missing, broken, or of another size than `size`.
    """
    path = image.get("path")
    where = f"image {image_id!r} ({path})" if path else f"image {image_id!r}"
    data = image.get("bytes")
    if data is None and not path:
        raise UnreadableImageError(where, "the row holds neither bytes nor a path", _REMEDY)
    try:
        if data is None:
            data = Path(str(path)).read_bytes()
        with Image.open(io.BytesIO(data)) as picture:
            array = _planes(picture)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UnreadableImageError(where, f"{type(error).__name__}: {error}", _REMEDY) from error
    if array.shape[:2] != size:
        found = f"it is {array.shape[1]}x{array.shape[0]} pixels, its row says {size[1]}x{size[0]}"
        raise UnreadableImageError(where, found, _REMEDY)
    return torch.from_numpy(array).permute(2, 0, 1)


def _planes(picture: Image.Image) -> np.ndarray:
    """(H, W, 1 or 3) uint8 of a Pillow image of any mode."""
    if picture.mode.startswith("I;16"):
        # 16-bit X-rays: the upper byte. Pillow's own convert("L") would clip everything above 255 to white.
        return (np.asarray(picture).astype(np.uint16) >> 8).astype(np.uint8)[..., None]
    if picture.mode in ("1", "L", "LA"):
        return np.array(picture.convert("L"))[..., None]
    return np.array(picture.convert("RGB"))
