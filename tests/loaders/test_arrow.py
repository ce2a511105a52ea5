"""Rows read directly from Arrow are the rows that `datasets` returns."""

from __future__ import annotations

import datasets
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loaders.records import Records, StreamRecords, TableRecords
from tests.loaders.conftest import drawn_row, make_split


def twelve() -> datasets.Dataset:
    rows = [drawn_row(i, annotated=i % 5 != 4) for i in range(12)]
    split = make_split(rows).to_dict()
    for i, boxes in enumerate(split["boxes"]):
        split["masks"][i] = [{"bytes": b"mask %d" % i, "path": None}] * len(boxes)
        split["reference"][i] = None if i % 4 == 3 else {"bytes": b"reference %d" % i, "path": None}
    return datasets.Dataset.from_dict(split, features=make_split(rows).features)


SPLIT = twelve()
VIEWS = {
    "as it is": SPLIT,
    "in two halves": datasets.concatenate_datasets([SPLIT.select(range(5)), SPLIT.select(range(5, 12))]),
    "shuffled": SPLIT.shuffle(seed=1),
    "selected of a half": SPLIT.select(range(3, 12)).select([4, 0, 7]),
    "columns of two tables": datasets.concatenate_datasets(
        [
            SPLIT.select_columns(["image_id", "image"]),
            datasets.concatenate_datasets([SPLIT.select(range(3)), SPLIT.select(range(3, 12))]).remove_columns(
                ["image_id", "image"]
            ),
        ],
        axis=1,
    ),
    "repeated": SPLIT.select([2, 2, 2, 11, 2]),
}


def expected(dataset, row):
    cells = dataset.cast_column("image", datasets.Image(decode=False)).select_columns(
        ["image_id", "image", "width", "height", "boxes", "labels"]
    )[row]
    return (
        cells["image_id"],
        cells["image"]["bytes"],
        (cells["height"], cells["width"]),
        cells["boxes"],
        cells["labels"],
    )


@pytest.mark.parametrize("view", VIEWS)
def test_rows_are_those_of_datasets(view):
    dataset = VIEWS[view]
    records = TableRecords(dataset, masks=True, reference=True)
    assert records.count == len(dataset)
    assert records.annotated.tolist() == [i for i, known in enumerate(dataset["annotated"]) if known]
    for row, (record, boxes, labels) in enumerate(records(np.arange(len(dataset)))):
        name = int(record.image_id.split("/")[1])
        assert (
            record.image_id,
            bytes(record.image),
            record.size,
            boxes.tolist(),
            labels.tolist(),
        ) == expected(dataset, row)
        assert [bytes(mask) for mask in record.masks] == [b"mask %d" % name] * len(boxes)
        assert record.reference is None if name % 4 == 3 else bytes(record.reference) == b"reference %d" % name
        assert boxes.shape == (len(labels), 4) and boxes.dtype == np.float32


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(st.integers(0, 11), max_size=20), view=st.sampled_from(["as it is", "in two halves", "shuffled"]))
def test_any_rows_in_any_order(rows, view):
    dataset = VIEWS[view]
    found = TableRecords(dataset, masks=False, reference=False)(np.array(rows, np.int64))
    names = dataset["image_id"]
    assert [record.image_id for record in found.rows] == [names[row] for row in rows]
    assert all(record.masks == () and record.reference is None for record in found.rows)


def test_images_are_views_and_not_copies():
    record = TableRecords(SPLIT, masks=False, reference=False)(np.array([3])).rows[0]
    again = TableRecords(SPLIT, masks=False, reference=False)(np.array([3])).rows[0]
    places = [np.frombuffer(view, np.uint8).ctypes.data for view in (record.image, again.image)]
    assert places[0] == places[1]


def test_images_that_are_paths_are_read_when_they_are_needed(tmp_path):
    rows = [drawn_row(i) for i in range(3)]
    split = make_split(rows).to_dict()
    for i, row in enumerate(rows):
        (tmp_path / f"{i}.png").write_bytes(row["bytes"])
        split["image"][i] = {"bytes": None, "path": str(tmp_path / f"{i}.png")}
    dataset = datasets.Dataset.from_dict(split, features=make_split(rows).features)
    found = TableRecords(dataset, masks=False, reference=False)(np.arange(3))
    assert [record.image for record in found.rows] == [str(tmp_path / f"{i}.png") for i in range(3)]


@pytest.mark.parametrize("apart", [False, True])
def test_boxes_of_own_folders_may_be_lists_of_any_length(apart):
    features = make_split([drawn_row(0)]).features.copy()
    features["boxes"] = datasets.List(datasets.List(datasets.Value("float64")))
    features["labels"] = datasets.List(datasets.ClassLabel(names=["a", "b"]))
    dataset = SPLIT.cast(features)
    if apart:  # each row in a table of its own, those without boxes too
        assert [] in SPLIT["boxes"]
        dataset = datasets.concatenate_datasets(
            [datasets.Dataset.from_dict(SPLIT.select([row]).to_dict(), features=features) for row in range(12)]
        )
    found = TableRecords(dataset, masks=False, reference=False)(np.arange(12))
    for marked, boxes in zip(found, SPLIT["boxes"], strict=True):
        assert marked.boxes.dtype == np.float32 and marked.boxes.tolist() == boxes


def test_a_stream_gives_the_same_records():
    stream = StreamRecords(SPLIT.to_iterable_dataset(num_shards=3), masks=True, reference=True)
    table = TableRecords(SPLIT, masks=True, reference=True)
    for (one, *truth), (other, *same) in zip(stream.epoch(0), table(table.annotated), strict=True):
        assert (one.image_id, bytes(one.image), one.size) == (other.image_id, bytes(other.image), other.size)
        assert all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(truth, same, strict=True))
        assert [bytes(m) for m in one.masks] == [bytes(m) for m in other.masks]
        assert (one.reference is None) == (other.reference is None)


def test_single_records_put_together_are_the_batch():
    batch = TableRecords(SPLIT, masks=False, reference=False)(np.array([7, 0, 3, 3]))
    again = Records.of(list(batch))
    assert again.rows == batch.rows and len(batch) == 4
    for name in ("shown", "boxes", "labels", "counts"):
        one, other = getattr(batch, name), getattr(again, name)
        assert np.array_equal(one, other) and one.dtype == other.dtype, name


@settings(max_examples=40, deadline=None)
@given(lengths=st.lists(st.integers(0, 5), min_size=1, max_size=6), data=st.data())
def test_a_long_read_equals_the_short_reads_it_contains(lengths, data):
    rows = data.draw(st.lists(st.integers(0, 11), min_size=sum(lengths), max_size=sum(lengths)))
    read = TableRecords(SPLIT, masks=False, reference=False)
    pieces = list(read(np.array(rows, np.int64)).parts(lengths))
    assert [len(piece) for piece in pieces] == lengths
    ends = np.cumsum(lengths)
    for piece, start, end in zip(pieces, ends - lengths, ends, strict=True):
        short = read(np.array(rows[start:end], np.int64))
        assert piece.rows == short.rows
        for name in ("shown", "boxes", "labels", "counts"):
            assert np.array_equal(getattr(piece, name), getattr(short, name)), name


def test_boxes_without_labels_are_an_error():
    cells = SPLIT.to_dict()
    row = next(i for i, boxes in enumerate(cells["boxes"]) if boxes)
    cells["labels"][row] = cells["labels"][row][1:]
    broken = datasets.Dataset.from_dict(cells, features=SPLIT.features)
    with pytest.raises(ValueError, match=rf"{SPLIT['image_id'][row]}: \d+ boxes, but \d+ labels"):
        TableRecords(broken, masks=False, reference=False)


def test_a_split_without_rows_has_no_records():
    records = TableRecords(SPLIT.select([]), masks=True, reference=True)
    empty = TableRecords(
        datasets.Dataset.from_dict({name: [] for name in SPLIT.features}, features=SPLIT.features),
        masks=True,
        reference=True,
    )
    assert records.count == empty.count == len(empty.annotated) == 0


def test_missing_columns_are_named():
    with pytest.raises(ValueError, match=r"lacks the columns boxes, masks\."):
        TableRecords(SPLIT.remove_columns(["boxes", "masks"]), masks=True, reference=False)
    with pytest.raises(ValueError, match=r"lacks the columns reference\."):
        StreamRecords(SPLIT.remove_columns(["reference"]).to_iterable_dataset(), masks=False, reference=True)
