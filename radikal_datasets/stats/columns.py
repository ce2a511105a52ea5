"""Read a split once for `statistics`: flat arrays of the annotations, and sampled gray levels."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset
from PIL import Image

from ..checks.splits import check_splits
from ..errors import LayoutError
from ..gray_scale import GrayScale, is_deep

#: File formats by their first bytes; anything else is "other", and an image without bytes "not embedded".
MAGIC = {
    "JPEG": (b"\xff\xd8\xff",),
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "BMP": (b"BM",),
    "TIFF": (b"II*\0", b"MM\0*"),
    "GIF": (b"GIF8",),
    "WebP": (b"RIFF",),
}
FORMATS = (*MAGIC, "other", "not embedded")

_COLUMNS = ("image_id", "image", "width", "height", "boxes", "labels", "annotated")
_AT_ONCE = 64  # rows; the bytes of their sampled images are in memory at the same time


@dataclass(frozen=True)
class Columns:
    """N images with B boxes, S of the images decoded.

    Attributes:
        sizes: int64 (N, 2): width and height, pixels.
        annotated: bool (N,).
        counts: int64 (N,): boxes of each image; `boxes` and `labels` are in the order of the images.
        boxes: float32 (B, 4): xyxy, pixels, 0-based, half-open.
        labels: int64 (B,).
        formats: int64 (N,): index into `FORMATS`.
        file_bytes: int64 (N,).
        gray: float32 (S, 256): for each decoded image, the share of its pixels at each gray level.
        undecodable: int64 (1,): sampled images that could not be decoded.
    """

    sizes: np.ndarray
    annotated: np.ndarray
    counts: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    formats: np.ndarray
    file_bytes: np.ndarray
    gray: np.ndarray
    undecodable: np.ndarray


def joined(parts: Sequence[Columns]) -> Columns:
    """Return all images of the parts, in order."""
    names = [field.name for field in fields(Columns)]
    overall = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    overall["undecodable"] = overall["undecodable"].sum(keepdims=True)
    return Columns(**overall)


def checked_classes(splits: Mapping[str, Dataset]) -> list[str]:
    """Return the class names that all splits share.

    Raises:
        ColumnsError: a column of the schema is missing.
        AnnotationsError: the rows are unfit for training, or splits have different classes.
        LayoutError: there is no image.
    """
    classes = check_splits(splits, _COLUMNS)
    if not any(map(len, splits.values())):
        raise LayoutError("No split holds an image, so there is nothing to describe.")
    return classes


def read(
    dataset: Dataset, sampled: np.ndarray, advance: Callable[[int], object], gray_scale: GrayScale | None = None
) -> Columns:
    """Read a split once, `_AT_ONCE` rows in memory.

    Args:
        dataset: with the schema's columns.
        sampled: int64: rows whose image is decoded, sorted.
        advance: called with the number of rows read since the last call.
        gray_scale: of images of more than 8 bits.
    """
    kept: list[Columns] = []
    start = 0
    batches = cast("Iterator[pa.Table]", dataset.select_columns(list(_COLUMNS)).with_format("arrow").iter(_AT_ONCE))
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for table in batches:
            low, high = np.searchsorted(sampled, [start, start + table.num_rows])
            kept.append(_batch(table, sampled[low:high] - start, pool, gray_scale))
            start += table.num_rows
            advance(table.num_rows)
    return joined(kept)


def _batch(table: pa.Table, sampled: np.ndarray, pool: ThreadPoolExecutor, gray_scale: GrayScale | None) -> Columns:
    data = _compute("struct_field", table["image"], "bytes")
    decoded = list(pool.map(partial(_gray_shares, gray_scale=gray_scale), [data[int(row)].as_py() for row in sampled]))
    known = [shares for shares in decoded if shares is not None]
    corners = _compute("list_flatten", _compute("list_flatten", table["boxes"]))
    return Columns(
        sizes=np.stack([table[name].to_numpy() for name in ("width", "height")], axis=1).astype(np.int64),
        annotated=table["annotated"].to_numpy().astype(bool),
        counts=_lengths(table["boxes"]),
        boxes=corners.to_numpy().astype(np.float32).reshape(-1, 4),
        labels=_compute("list_flatten", table["labels"]).to_numpy().astype(np.int64),
        formats=np.array([_format(head) for head in _compute("binary_slice", data, 0, 8).to_pylist()]),
        file_bytes=_compute("fill_null", _compute("binary_length", data), 0).to_numpy().astype(np.int64),
        gray=np.array(known, np.float32).reshape(-1, 256),
        undecodable=np.array([len(decoded) - len(known)]),
    )


def _compute(name: str, *arguments: Any) -> Any:
    # pyarrow creates these functions at run time: a type checker cannot see them.
    return getattr(pc, name)(*arguments)


def _lengths(lists: Any) -> np.ndarray:
    return _compute("fill_null", _compute("list_value_length", lists), 0).to_numpy().astype(np.int64)


def _format(head: bytes | None) -> int:
    if head is None:
        return FORMATS.index("not embedded")
    for number, starts in enumerate(MAGIC.values()):
        if head.startswith(starts):
            return number
    return FORMATS.index("other")


def _gray_shares(data: bytes | None, gray_scale: GrayScale | None) -> np.ndarray | None:
    """Return float32 (256,), the share of pixels at each gray level; None if the image cannot be decoded."""
    try:
        with Image.open(io.BytesIO(data or b"")) as image:
            image.draft("L", None)  # for JPEG, only the luminance is decoded, at full size
            if is_deep(image) and gray_scale is None:
                return None
            levels = np.array((gray_scale.image_to_bytes(image) if gray_scale else image).convert("L").histogram())
    except Exception:  # Pillow's plugins raise OSError, SyntaxError, struct.error, ValueError ...
        return None
    return (levels / levels.sum()).astype(np.float32)
