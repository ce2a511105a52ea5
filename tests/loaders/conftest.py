"""Small splits with radikal_datasets' columns, made in memory."""

from __future__ import annotations

import io

import datasets
import numpy as np
import pytest
import torch
from PIL import Image

CLASSES = ["hole", "scratch"]


def encode(array: np.ndarray, form: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.fromarray(array).save(out, form)
    return out.getvalue()


def make_split(rows: list[dict]) -> datasets.Dataset:
    """Rows need image_id, bytes, width, height, boxes, labels; the other columns are filled in."""
    features = datasets.Features(
        {
            "image_id": datasets.Value("string"),
            "image": datasets.Image(),
            "width": datasets.Value("int32"),
            "height": datasets.Value("int32"),
            "boxes": datasets.List(datasets.List(datasets.Value("float32"), 4)),
            "labels": datasets.List(datasets.ClassLabel(names=CLASSES)),
            "masks": datasets.List(datasets.Image()),
            "reference": datasets.Image(),
            "annotated": datasets.Value("bool"),
            "group": datasets.Value("string"),
        }
    )
    full = [
        {
            "image_id": row["image_id"],
            "image": {"bytes": row["bytes"], "path": f"{row['image_id']}.png"},
            "width": row["width"],
            "height": row["height"],
            "boxes": row["boxes"],
            "labels": row["labels"],
            "masks": [],
            "reference": row.get("reference"),
            "annotated": row.get("annotated", True),
            "group": row["image_id"],
        }
        for row in rows
    ]
    columns = {name: [row[name] for row in full] for name in features}
    return datasets.Dataset.from_dict(columns, features=features)


def drawn_row(index: int, seed: int = 0, **changes) -> dict:
    """A dark image with one white rectangle, and its box; every third image is defect-free."""
    rng = np.random.default_rng(seed * 1000 + index)
    width, height = int(rng.integers(60, 130)), int(rng.integers(60, 130))
    array = np.full((height, width), 20, np.uint8)
    boxes, labels = [], []
    if index % 3:
        w, h = int(rng.integers(12, 30)), int(rng.integers(12, 30))
        x, y = int(rng.integers(0, width - w)), int(rng.integers(0, height - h))
        array[y : y + h, x : x + w] = 235
        boxes, labels = [[x, y, x + w, y + h]], [index % 2]
    row = {"image_id": f"made/{index}", "bytes": encode(array), "width": width, "height": height}
    return {**row, "boxes": boxes, "labels": labels, **changes}


def take(loader, count: int) -> list[dict]:
    """Return the next `count` batches, across epochs."""
    taken: list[dict] = []
    while len(taken) < count:
        for batch in loader:
            taken.append(batch)
            if len(taken) == count:
                break
    return taken


@pytest.fixture(scope="session")
def drawn_split() -> datasets.Dataset:
    return make_split([drawn_row(i) for i in range(11)])


@pytest.fixture(scope="module")
def one_thread():
    """The images are so small that threads cost more than they save, especially beside other tests."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
