"""Parquet with the columns of transformers' object detection example: `datasets.load_dataset(folder)` reads it."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar

import numpy as np
import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import ClassLabel, Features, Image, List, Value

from .shared import About, Record

# A row group: what streaming reads at once.
_GROUP_BYTES = 16 * 2**20


def objects_features(classes: Sequence[str]) -> Features:
    """Return the columns: boxes are x_min, y_min, width, height in pixels, 0-based; areas are square pixels."""
    objects = {
        "id": List(Value("int64")),
        "area": List(Value("float32")),
        "bbox": List(List(Value("float32"), length=4)),
        "category": List(ClassLabel(names=list(classes))),
    }
    return Features(
        {
            "image_id": Value("int64"),
            "image": Image(),
            "width": Value("int32"),
            "height": Value("int32"),
            "objects": objects,
        }
    )


class ObjectsWriter:
    """Write one Parquet file per split, and a card. The image's `path` holds image_id and extension."""

    HOLDS_MASKS: ClassVar[bool] = False
    REMARK: ClassVar[str] = "category numbers start at 0; the path of an image is its image_id"

    def __init__(self, folder: Path, classes: Sequence[str], about: About) -> None:
        self._folder, self._about = folder, about
        self._schema = objects_features(classes).arrow_schema
        self._files: dict[str, pq.ParquetWriter] = {}
        self._rows: list[dict[str, Any]] = []
        self._bytes = self._objects = 0
        self._split = ""

    def __enter__(self) -> ObjectsWriter:
        return self

    def add(self, record: Record) -> None:
        """Add a row; the rows of a split must be consecutive."""
        if record.split != self._split or self._bytes >= _GROUP_BYTES:
            self._flush()
        self._split = record.split
        ids = list(range(self._objects + 1, self._objects + 1 + len(record.boxes)))
        self._objects += len(ids)
        self._rows.append(_row(record, ids))
        self._bytes += len(record.data)

    def _flush(self) -> None:
        if not self._rows:
            return
        if self._split not in self._files:
            (self._folder / "data").mkdir(exist_ok=True)
            path = self._folder / "data" / f"{self._split}-00000-of-00001.parquet"
            # As in prepared/shards.py: images are already compressed, and statistics would put them into the footer.
            self._files[self._split] = pq.ParquetWriter(
                path, self._schema, compression="none", use_dictionary=False, write_statistics=False
            )
        self._files[self._split].write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
        self._rows, self._bytes = [], 0

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        try:
            if kind is None:
                self._flush()
        finally:
            for file in self._files.values():
                file.close()
        if kind is None:
            (self._folder / "README.md").write_text(self._card(), encoding="utf-8")

    def _card(self) -> str:
        files = "".join(f"  - split: {split}\n    path: data/{split}-00000-of-00001.parquet\n" for split in self._files)
        license = f"\nLicense: {self._about.license}\n" if self._about.license else ""
        return f"---\nconfigs:\n- config_name: default\n  data_files:\n{files}---\n\n# {self._about.title}\n{license}"

    def not_held(self) -> list[str]:
        """Return the column `group`, and missing splits without which the example stops."""
        missing = [name for name in ("train", "test") if name not in self._files]
        phrases = [f"no {name} split, which transformers' example needs" for name in missing]
        return ["group (which images must stay in one split)", *phrases]


def _row(record: Record, ids: list[int]) -> dict[str, Any]:
    sizes = [(x_max - x_min, y_max - y_min) for x_min, y_min, x_max, y_max in record.boxes]
    areas = [_mask_area(mask) for mask in record.masks] or [width * height for width, height in sizes]
    return {
        "image_id": record.number,
        "image": {"bytes": record.data, "path": record.image_id + record.extension},
        "width": record.width,
        "height": record.height,
        "objects": {
            "id": ids,
            "area": areas,
            "bbox": [[box[0], box[1], *size] for box, size in zip(record.boxes, sizes, strict=True)],
            "category": record.labels,
        },
    }


def _mask_area(png: bytes) -> float:
    with PIL.Image.open(BytesIO(png)) as mask:
        return float(np.count_nonzero(np.asarray(mask)))
