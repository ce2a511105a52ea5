"""What is exported comes back: ids, splits, groups and classes exactly, boxes as exactly as the format holds them."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radikal_datasets import export_sets, load_dataset
from tests.export.conftest import check_same

#: Format -> pixels by which an edge may differ.
HELD = {"coco": 1e-4, "roboflow": 1e-4, "yolo": 1e-3, "voc": 0.5001}
WIDTH, HEIGHT = 60, 40

edges = st.floats(0, 1, width=32)
boxes = st.tuples(edges, edges, edges, edges).map(
    lambda b: (
        round(b[0] * (WIDTH - 4), 2),
        round(b[1] * (HEIGHT - 4), 2),
        round(b[0] * (WIDTH - 4) + 2 + b[2] * (WIDTH - b[0] * (WIDTH - 4) - 2), 2),
        round(b[1] * (HEIGHT - 4) + 2 + b[3] * (HEIGHT - b[1] * (HEIGHT - 4) - 2), 2),
    )
)
classes = st.sampled_from(["Riß", "dent 1", "a&b", "7"])
truth = st.lists(st.lists(st.tuples(boxes, classes), max_size=3), min_size=4, max_size=8)


def write(root: Path, images: list) -> None:
    root.mkdir()
    (root / "radikal.yaml").write_text("name: Werk 2\ngroup: '(.*)_'\nclasses: {7: '7'}\n", encoding="utf-8")
    with (root / "boxes.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["image", "x_min", "y_min", "x_max", "y_max", "class"])
        for number, objects in enumerate(images):
            name = f"Teil {number // 2}/größe {number // 2}_{number}.png"
            (root / name).parent.mkdir(exist_ok=True)
            PIL.Image.new("L", (WIDTH, HEIGHT), number).save(root / name)
            table.writerows([name, *box, label] for box, label in objects)
            if not objects:
                table.writerow([name, "", "", "", "", ""])


def rows(splits) -> dict[str, dict]:
    found = {}
    for split, part in splits.items():
        names = part.features["labels"].feature.names
        for row in part:
            objects = sorted(zip([names[label] for label in row["labels"]], row["boxes"], strict=True))
            found[row["image_id"]] = {
                "split": split,
                "group": row["group"],
                "size": (row["width"], row["height"]),
                "objects": objects,
                "masks": [np.asarray(mask) for mask in row["masks"]],
                "pixels": np.asarray(row["image"]),
            }
    return found


def assert_equal(before: dict, after: dict, within: float) -> None:
    assert before.keys() == after.keys()
    for image_id, one in before.items():
        other = after[image_id]
        assert {k: other[k] for k in ("split", "group", "size")} == {k: one[k] for k in ("split", "group", "size")}
        assert np.array_equal(one["pixels"], other["pixels"])
    # Equal up to order: rounding may change the order of boxes of one class.
    named = {image_id: one["objects"] for image_id, one in after.items()}
    check_same(named, {image_id: SimpleNamespace(named=one["objects"]) for image_id, one in before.items()}, within)


@settings(max_examples=8)
@given(images=truth)
@pytest.mark.parametrize("format_", HELD)
def test_export_then_load_is_the_identity(format_: str, images: list) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root, out, cache = Path(folder, "own"), Path(folder, "exported"), Path(folder, "cache")
        write(root, images)
        before = rows(load_dataset(str(root), cache_dir=cache))
        export_sets(str(root), format=format_, output=out)
        assert_equal(before, rows(load_dataset(str(out), cache_dir=cache)), HELD[format_])


@pytest.mark.parametrize("format_", HELD)
@pytest.mark.parametrize("source", ["neu_det", "severstal"])
def test_a_source_comes_back(source: str, format_: str, sample_tree: Callable[..., Path], tmp_path: Path) -> None:
    before = rows(load_dataset(f"radikal_datasets/{source}", data_dir=sample_tree(source), cache_dir=tmp_path))
    before = {image_id: row for image_id, row in before.items() if row["split"] != "unlabeled"}
    export_sets(source, format=format_, output=tmp_path / "out", data_dir=sample_tree(source))
    after = load_dataset(str(tmp_path / "out"), cache_dir=tmp_path)
    found = rows(after)
    assert_equal(before, found, HELD[format_])
    if format_ in ("coco", "roboflow"):
        for image_id, row in before.items():
            assert all(any(np.array_equal(mask, other) for other in found[image_id]["masks"]) for mask in row["masks"])


@pytest.mark.parametrize("format_", HELD)
def test_an_export_of_turned_images_comes_back(format_: str, own_tree: Callable[..., Path], tmp_path: Path) -> None:
    """EXIF x format: the files keep their bytes, the boxes the displayed frame."""
    before = rows(load_dataset(str(own_tree("coco")), cache_dir=tmp_path))
    export_sets(str(own_tree("coco")), format=format_, output=tmp_path / "out")
    assert_equal(before, rows(load_dataset(str(tmp_path / "out"), cache_dir=tmp_path)), HELD[format_])
