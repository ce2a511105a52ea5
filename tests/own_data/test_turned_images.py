"""EXIF x boxes: whatever the orientation, format and frame of the annotation, a box lies where its defect is shown."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loaders import DetectionLoader
from radikal_datasets import load_dataset
from radikal_datasets.preview.chosen_images import choose
from radikal_datasets.raw.orientation import turned, turned_points


def write_turned(root: Path, form: str, orientation: int, box: tuple[int, int, int, int], frame: str) -> None:
    """One image, stored so that its displayed form is 64 x 40 or 40 x 64, with a bright defect."""
    stored = np.full((40, 64), 60, np.uint8)
    x1, y1, x2, y2 = box
    stored[y1:y2, x1:x2] = 240
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    ending, options = {"JPEG": ("jpg", {"quality": 100}), "PNG": ("png", {}), "TIFF": ("tif", {})}[form]
    PIL.Image.fromarray(stored).save(root / f"a.{ending}", form, exif=exif, **options)
    height, width = turned(stored, orientation).shape if frame == "displayed" else stored.shape
    if frame == "displayed":
        (xa, ya), (xb, yb) = turned_points(((x1, y1), (x2, y2)), orientation, (64, 40))
        x1, y1, x2, y2 = (int(v) for v in (min(xa, xb), min(ya, yb), max(xa, xb), max(ya, yb)))
    data = {
        "images": [{"id": 1, "file_name": f"a.{ending}", "width": width, "height": height}],
        "categories": [{"id": 1, "name": "dent"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [x1, y1, x2 - x1, y2 - y1]}],
    }
    (root / "coco.json").write_text(json.dumps(data))


@pytest.mark.parametrize("orientation", range(1, 9))
@settings(max_examples=6, deadline=None)
@given(
    form=st.sampled_from(["JPEG", "PNG", "TIFF"]),
    corner=st.tuples(st.integers(0, 50), st.integers(0, 28)),
    size=st.tuples(st.integers(8, 14), st.integers(8, 12)),
)
def test_a_box_lies_on_its_defect(orientation: int, form: str, corner: tuple[int, int], size: tuple[int, int]) -> None:
    box = (*corner, corner[0] + size[0], corner[1] + size[1])
    # A square turn changes the size, which distinguishes the frames; otherwise tools show what is displayed.
    frames = ("displayed", "stored") if orientation in (1, 5, 6, 7, 8) else ("displayed",)
    for frame in frames:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder, "set")
            root.mkdir()
            write_turned(root, form, orientation, box, frame)
            splits = load_dataset(str(root), cache_dir=Path(folder, "cache"))
            (row,) = [row for split in splits.values() for row in split]
            size_ = row["width"], row["height"]
            assert size_ == ((40, 64) if orientation in (5, 6, 7, 8) else (64, 40)) == row["image"].size
            (split,) = splits.values()
            batch = next(DetectionLoader(split, 1, size_[::-1], shuffle=False).raw())
            (shown,) = choose([("set", splits)], images=1).images()
            x1, y1, x2, y2 = (round(value) for value in row["boxes"][0])
            inside = np.zeros(size_[::-1], bool)
            inside[y1:y2, x1:x2] = True
            gallery, column = (np.asarray(image.convert("L")) for image in (shown.image, row["image"]))
            for pixels in (gallery, column, batch.pixels[0, 0].numpy()):
                assert pixels[inside].mean() > 225 and pixels[~inside].mean() < 75
