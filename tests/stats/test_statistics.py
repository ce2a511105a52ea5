"""What `statistics` counts, compared with counting by hand."""

from __future__ import annotations

import io
import itertools
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset, DatasetDict
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from radikal_datasets import load_dataset
from radikal_datasets.errors import LayoutError
from radikal_datasets.schema import features
from radikal_datasets.stats.split_statistics import GRID
from radikal_datasets.stats.statistics import Statistics, statistics

CLASSES = ["crack", "pore", "spot"]


def encoded(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


_NUMBERS = itertools.count()
GRAY = encoded(Image.new("L", (4, 4), 100))


def row(
    boxes: Sequence[Sequence[float]] = (),
    labels: Sequence[int] = (),
    *,
    size: tuple[int, int] = (64, 64),
    data: bytes | None = GRAY,
    annotated: bool = True,
) -> dict[str, Any]:
    """A row; `size` is what the columns say, whatever the image in `data` has."""
    return {
        "image_id": f"x{next(_NUMBERS)}",
        "image": {"bytes": data, "path": "x.png"},
        "width": size[0],
        "height": size[1],
        "boxes": [list(box) for box in boxes],
        "labels": list(labels),
        "masks": [],
        "reference": None,
        "annotated": annotated,
        "group": "x",
    }


def split_of(rows: Sequence[dict[str, Any]], classes: Sequence[str] = CLASSES) -> Dataset:
    columns = {name: [one[name] for one in rows] for name in row()}
    return Dataset.from_dict(columns, features=features(classes))


def of(classes: Any = CLASSES, **splits: Any) -> Statistics:
    return statistics({name: split_of(rows, classes) for name, rows in splits.items()})


@st.composite
def tables(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Rows of 32 x 64 pixel images with boxes at integer pixels."""
    rows = []
    for _ in range(draw(st.integers(1, 6))):
        boxes, labels = [], []
        for _ in range(draw(st.integers(0, 4))):
            x, y = (
                sorted(draw(st.sets(st.integers(0, 32), min_size=2, max_size=2))),
                sorted(draw(st.sets(st.integers(0, 64), min_size=2, max_size=2))),
            )
            boxes.append([x[0], y[0], x[1], y[1]])
            labels.append(draw(st.integers(0, 2)))
        annotated = bool(boxes) or draw(st.booleans())
        rows.append(row(boxes, labels, size=(32, 64), annotated=annotated))
    return rows


@settings(max_examples=40)
@given(tables())
def test_counts_equal_those_by_hand(rows: list[dict[str, Any]]) -> None:
    found = of(train=rows).overall
    annotated = [one for one in rows if one["annotated"]]
    assert found.images == {
        "all": len(rows),
        "annotated": len(annotated),
        "defect_free": sum(not one["boxes"] for one in annotated),
        "unannotated": len(rows) - len(annotated),
    }
    held = Counter(len(one["boxes"]) for one in annotated)
    assert {n: int(images) for n, images in enumerate(found.boxes_per_image) if images} == held
    for i in range(3):
        assert found.class_boxes[i] == sum(one["labels"].count(i) for one in rows)
        for j in range(3):
            assert found.together[i, j] == sum({i, j} <= set(one["labels"]) for one in rows)


@settings(max_examples=40)
@given(tables())
def test_position_maps_count_the_pixels_that_boxes_cover(rows: list[dict[str, Any]]) -> None:
    expected = np.zeros((3, 64, 32))
    for one in rows:
        for (x0, y0, x1, y1), label in zip(one["boxes"], one["labels"], strict=True):
            expected[label, y0:y1, x0:x1] += 1
    # A cell is one pixel wide and two high.
    cells = expected.reshape(3, GRID, 2, GRID).mean(axis=2) / max(1, sum(one["annotated"] for one in rows))
    np.testing.assert_allclose(of(train=rows).overall.places, cells, atol=1e-12)


@settings(max_examples=25)
@given(tables(), tables())
def test_the_total_is_the_sum_of_its_splits(train: list[dict[str, Any]], test: list[dict[str, Any]]) -> None:
    found = of(train=train, test=test)
    parts = list(found.splits.values())
    for name in ("class_boxes", "class_images", "together"):
        np.testing.assert_array_equal(getattr(found.overall, name), sum(getattr(part, name) for part in parts))
    assert found.overall.images == {key: sum(part.images[key] for part in parts) for key in found.overall.images}
    weighted = sum(part.places * part.images["annotated"] for part in parts)
    np.testing.assert_allclose(found.overall.places * found.overall.images["annotated"], weighted, atol=1e-9)
    json.dumps(found.to_dict(), allow_nan=False)


def test_box_sizes_at_their_limits() -> None:
    boxes = [(0, 0, 32, 31.5), (0, 0, 32, 32), (0, 0, 96, 95), (0, 0, 96, 96), (0, 0, 100, 5), (0, 0, 100, 4)]
    found = of(train=[row(boxes, [0] * 6, size=(800, 320))]).overall.box_sizes
    # 5 and 4 of 320 pixels high are 10 and 8 at 640; 100 of 800 wide 80. Only what is below 8 is tiny.
    assert found.coco == {"small": 3, "medium": 2, "large": 1}
    assert found.tiny == 0
    np.testing.assert_allclose(found.share[1], 32 * 32 / (800 * 320))
    assert of(train=[row([(0, 0, 9, 100), (0, 0, 10, 100)], [0, 0], size=(800, 320))]).overall.box_sizes.tiny == 1


def test_image_sizes_and_files() -> None:
    jpeg = encoded(Image.new("RGB", (4, 4)), "JPEG")
    rows = [row(size=(64, 32)), row(size=(8, 8), data=jpeg), row(size=(64, 32), data=None), row(data=b"what is this?")]
    found = of(train=rows).overall
    assert found.image_sizes[0] == (64, 32, 2)
    assert set(found.image_sizes) == {(64, 32, 2), (8, 8, 1), (64, 64, 1)}
    assert found.files == {
        "JPEG": (1, len(jpeg)),
        "PNG": (1, len(GRAY)),
        "other": (1, 13),
        "not embedded": (1, 0),
    }
    assert found.undecodable == 2
    assert len(found.columns.gray) == 2


@pytest.mark.parametrize(
    ("data", "level"),
    [
        (encoded(Image.new("L", (5, 3), 77)), 77),
        (encoded(Image.new("RGB", (5, 3), (90, 90, 90))), 90),
        (encoded(Image.new("RGB", (16, 16), (60, 60, 60)), "JPEG", quality=95), 60),
        (encoded(Image.fromarray(np.full((3, 5), 163 * 64 + 50, np.uint16))), 163),  # 14 bits
        (encoded(Image.new("1", (5, 3), 1)), 255),
    ],
)
def test_gray_levels_of_every_kind_of_image(data: bytes, level: int) -> None:
    found = of(train=[row(data=data)]).overall
    assert found.gray_histogram is not None
    assert found.gray_histogram[level] == pytest.approx(1)
    np.testing.assert_allclose(found.brightness, [level], rtol=1e-5)
    np.testing.assert_allclose(found.contrast, [0], atol=0.05)


def test_every_image_counts_the_same_in_the_mean_histogram() -> None:
    large, small = Image.new("L", (100, 100), 10), Image.fromarray(np.array([[200, 220]], np.uint8))
    found = of(train=[row(data=encoded(large)), row(data=encoded(small))]).overall
    assert found.gray_histogram is not None
    assert found.gray_histogram[[10, 200, 220]].tolist() == [0.5, 0.25, 0.25]
    np.testing.assert_allclose(found.contrast, [0, 10], atol=0.01)


@pytest.mark.parametrize("most", [1, 7, 64, 1000])
def test_decoded_images_are_few_and_spread_evenly(most: int) -> None:
    files = [encoded(Image.new("L", (1, 1), level)) for level in range(200)]
    splits = {
        "train": split_of([row(data=d) for d in files[:150]]),
        "test": split_of([row(data=d) for d in files[150:]]),
    }
    found = statistics(splits, most_decoded=most)
    levels = found.overall.brightness
    assert len(levels) == min(most, 200)
    gaps = np.diff([*levels, 200])
    assert gaps.max() - gaps.min() <= 1.001
    assert (found.splits["train"].brightness < 149.5).all()
    assert (found.splits["test"].brightness > 149.5).all()


def test_empty_and_unannotated_splits() -> None:
    found = of(unlabeled=[row(annotated=False)]).overall
    assert found.defect_free_share is None
    assert found.images["defect_free"] == 0
    assert found.to_dict()["boxes_an_image"] == {"mean": None, "histogram": []}
    assert list(of(train=[], test=[row()]).splits) == ["test"]


def test_indexed_rows_are_read_in_their_order() -> None:
    dataset = split_of([row([(0, 0, 8, 8)] * n, [0] * n) for n in range(5)]).select([4, 0, 2])
    assert statistics({"train": dataset}).overall.columns.counts.tolist() == [4, 0, 2]


def test_sets_of_another_schema_are_refused() -> None:
    with pytest.raises(LayoutError, match="lacks the columns image"):
        statistics({"train": split_of([row()]).remove_columns("image")})
    with pytest.raises(LayoutError, match="but split train has"):
        statistics({"train": split_of([row()]), "test": split_of([row()], ["crack"])})
    with pytest.raises(LayoutError, match=r"Split train: x\d+: 0 boxes, but 1 labels"):
        statistics({"train": split_of([row(), row(labels=[1])])})
    with pytest.raises(LayoutError, match="must be a list of ClassLabel"):
        plain = Dataset.from_dict({name: [value] for name, value in row([(0, 0, 1, 1)], [0]).items()})
        statistics({"train": plain})
    for empty in (DatasetDict(), DatasetDict({"train": split_of([])})):
        with pytest.raises(LayoutError, match="No split holds an image"):
            statistics(empty)


@pytest.mark.realdata
def test_neu_det(real_data: Callable[[str], Path]) -> None:
    found = statistics(load_dataset("radikal_datasets/neu_det", data_dir=str(real_data("neu_det"))))
    assert found.overall.images == {"all": 1800, "annotated": 1800, "defect_free": 0, "unannotated": 0}
    boxes = dict(zip(found.classes, found.overall.class_boxes.tolist(), strict=True))
    assert boxes == {
        "crazing": 688,
        "inclusion": 1010,
        "patches": 880,
        "pitted_surface": 432,
        "rolled-in_scale": 628,
        "scratches": 548,
    }
    assert found.overall.image_sizes == [(200, 200, 1800)]
    assert found.overall.undecodable == 0
    assert [notice.kind for notice in found.notices] == ["no_defect_free"]
