"""Convert examples to Arrow: the image files' own bytes, and masks encoded as PNG, in tables bounded by bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO
from typing import Any

import numpy as np
import PIL.Image
import pyarrow as pa
from datasets import Features

from ..raw.tree import Tree
from ..schema import Example

#: Rows go to the Arrow writer in batches of about this many bytes: 1,000 rows of 1024 px PNG would be over 1 GB.
BATCH_BYTES = 16 * 2**20
# datasets' writer buffers single-row tables by the thousand; tables of two rows are written immediately.
_MIN_BATCH_ROWS = 2
_MAX_BATCH_ROWS = 256


def tables(
    examples: Iterable[Example], tree: Tree, class_names: Sequence[str], features: Features
) -> Iterator[tuple[str, pa.Table]]:
    """Yield tables of about `BATCH_BYTES` in the order of the examples, each with the image_id of its first row.

    Raises:
        MalformedAnnotationError: a file that existed when the annotations were parsed can no longer be read.
    """
    schema = features.arrow_schema
    rows: list[dict[str, Any]] = []
    size = 0
    for example in examples:
        row, row_size = _row(example, tree, class_names)
        rows.append(row)
        size += row_size
        if (size >= BATCH_BYTES and len(rows) >= _MIN_BATCH_ROWS) or len(rows) >= _MAX_BATCH_ROWS:
            yield rows[0]["image_id"], pa.Table.from_pylist(rows, schema=schema)
            rows, size = [], 0
    if rows:
        yield rows[0]["image_id"], pa.Table.from_pylist(rows, schema=schema)


def _row(example: Example, tree: Tree, class_names: Sequence[str]) -> tuple[dict[str, Any], int]:
    """Return an Arrow row and the number of bytes of its images."""
    image = {"bytes": tree.read(example.image), "path": example.image}
    reference = example.reference and {"bytes": tree.read(example.reference), "path": example.reference}
    masks = [{"bytes": png, "path": None} for png in _mask_pngs(example, tree)]
    row = {
        "image_id": example.image_id,
        "image": image,
        "width": example.width,
        "height": example.height,
        "boxes": [list(instance.box) for instance in example.instances],
        "labels": [class_names.index(instance.label) for instance in example.instances],
        "masks": masks,
        "reference": reference,
        "annotated": example.annotated,
        "group": example.group,
    }
    parts = [image, *masks, *([reference] if reference else [])]
    return row, sum(len(part["bytes"]) for part in parts)


def _mask_pngs(example: Example, tree: Tree) -> Iterator[bytes]:
    drawn: dict[Any, np.ndarray] = {}
    for instance in example.instances:
        if instance.mask is not None:
            source = instance.mask.source
            if source not in drawn:
                drawn[source] = source.labels(tree, example.width, example.height)
            pixels = np.where(drawn[source] == instance.mask.component, np.uint8(255), np.uint8(0))
            buffer = BytesIO()
            PIL.Image.fromarray(pixels).save(buffer, "PNG", compress_level=3)
            yield buffer.getvalue()
