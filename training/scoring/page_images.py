"""The image files that a page of predictions shows, and the error that keeps a page from being written."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import datasets

#: Images on a page, and bytes of all of them together.
SHOWN, MAX_BYTES = 24, 3_000_000


def image_files(dataset: Any, image_ids: Sequence[str]) -> list[tuple[bytes, int, int]]:
    """Return the file, width and height in pixels of each of these images.

    Args:
        dataset: a split with the columns image_id, image, width and height.
    """
    columns = ["image_id", "image", "width", "height"]
    table = dataset.with_format(None).select_columns(columns).cast_column("image", datasets.Image(decode=False))
    rows = {image_id: i for i, image_id in enumerate(table["image_id"])}
    return [
        (row["image"]["bytes"] or Path(row["image"]["path"]).read_bytes(), row["width"], row["height"])
        for row in table.select([rows[image_id] for image_id in image_ids])
    ]


def try_to_write(file: Path, write: Callable[[Path], None]) -> bool:
    """Write a page, or print a warning: a page that can't be drawn must not cost a run its scores.

    Returns:
        Whether it was written. If not, an older one is removed, which would belong to other scores.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write(file)
    except Exception as error:  # whatever an image library, a template or the disk raises
        file.unlink(missing_ok=True)
        print(f"warning: cannot write {file}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return False
    return True
