"""What training refuses is refused by every command, naming split and image: at least three examples per fault."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pytest
from datasets.table import InMemoryTable
from typer.testing import CliRunner

from loaders import ClassificationLoader, DetectionLoader
from radikal_datasets import combine
from radikal_datasets.checks.splits import check_splits, faults_of
from radikal_datasets.cli import app
from radikal_datasets.errors import AnnotationsError, ColumnsError
from radikal_datasets.export import export_sets
from radikal_datasets.schema import features
from tests.loaders.conftest import CLASSES, drawn_row
from tests.loaders.conftest import make_split as make_good_split
from training import train

NAN, INF = math.nan, math.inf
#: kind -> (boxes, labels) of one image of 100 x 80 pixels.
FAULTS: dict[str, list[tuple[list[list[float]], list[int]]]] = {
    "label": [([[1, 1, 9, 9]], [2]), ([[1, 1, 9, 9]], [-1]), ([[1, 1, 9, 9]] * 2, [0, 900])],
    "count": [([[1, 1, 9, 9]], []), ([], [1]), ([[1, 1, 9, 9]], [0, 1])],
    "not_finite": [([[NAN, 1, 9, 9]], [0]), ([[1, 1, 9, INF]], [0]), ([[1, -INF, 9, 9], [1, 1, 9, 9]], [0, 1])],
    "reversed": [([[9, 1, 1, 9]], [0]), ([[1, 9, 9, 1]], [0]), ([[60, 50, 30, 20]], [1])],
    "empty": [([[9, 1, 9, 9]], [0]), ([[1, 9, 9, 9]], [0]), ([[5, 5, 5, 5]], [1])],
    "outside": [([[1, 1, 101, 9]], [0]), ([[-2, 1, 9, 9]], [0]), ([[1, 1, 9, 5000]], [1]), ([[100, 1, 110, 9]], [0])],
    "fractions": [
        ([[0.1, 0.1, 0.4, 0.4]] * 2, [0, 1]),
        ([[0, 0, 0.5, 1]] * 3, [0] * 3),
        ([[0.5, 0, 1, 0.1]] * 2, [0] * 2),
    ],
}
EXAMPLES = [(kind, *example) for kind, examples in FAULTS.items() for example in examples]


def row(name: str, boxes: list[list[float]], labels: list[int]) -> dict[str, Any]:
    made = drawn_row(0, image_id=name)
    return made | {"width": 100, "height": 80, "boxes": boxes, "labels": labels}


def make_split(rows: list[dict[str, Any]]) -> datasets.Dataset:
    """A split whose labels `datasets` itself would refuse to write, as pyarrow or pandas write them."""
    split = make_good_split([one | {"labels": [0] * len(one["labels"])} for one in rows])
    table, number = split.data.table, split.column_names.index("labels")
    labels = pa.array([one["labels"] for one in rows], table.schema.field("labels").type)
    return datasets.Dataset(InMemoryTable(table.set_column(number, table.schema.field("labels"), labels)), split.info)


def splits_with(boxes: list[list[float]], labels: list[int]) -> datasets.DatasetDict:
    good = [] if boxes and max(map(max, boxes)) <= 1 else [[1.0, 1.0, 9.0, 9.0]]
    rows = [row("good", good, [0] * len(good)), row("bad", boxes, labels)]
    return datasets.DatasetDict(train=make_split([row("fine", [[1, 2, 3, 4]], [1])]), test=make_split(rows))


def written(folder: Path, splits: datasets.DatasetDict) -> Path:
    folder.mkdir(parents=True)
    for name, split in splits.items():
        split.to_parquet(folder / f"{name}.parquet")
    return folder


def run(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})
    return done.exit_code, f"{done.output}\n{done.exception or ''}"


@pytest.mark.parametrize(("kind", "boxes", "labels"), EXAMPLES)
def test_each_fault_names_split_and_image(kind: str, boxes: Any, labels: Any) -> None:
    splits = splits_with(boxes, labels)
    (fault,) = faults_of(splits)
    assert (fault.kind, fault.split, fault.image_id) == (kind, "test", "bad")
    with pytest.raises(AnnotationsError, match=r"Split test of mine: bad: .*\. \w"):
        check_splits(splits, what="Split {split} of mine")
    for loader in (DetectionLoader, ClassificationLoader):
        with pytest.raises(AnnotationsError, match="bad: "):
            loader(splits["test"], 2, 64)


@pytest.mark.parametrize(("kind", "boxes", "labels"), EXAMPLES)
def test_a_stream_is_refused_at_the_row(kind: str, boxes: Any, labels: Any) -> None:
    stream = splits_with(boxes, labels)["test"].to_iterable_dataset()
    with pytest.raises(AnnotationsError, match="bad: "):
        list(DetectionLoader(stream, 2, 64, channels="gray", shuffle=False))


@pytest.mark.parametrize("kind", FAULTS)
def test_every_command_gives_the_error(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = written(tmp_path / "mine", splits_with(*FAULTS[kind][0]))
    for command, code in {
        ("verify", folder): 1,
        ("verify", folder, "--deep"): 1,
        ("stats", folder): 1,
        ("preview", folder, "--output", tmp_path / "x.html"): 1,
        ("export", folder, "--format", "coco", "--output", tmp_path / "out"): 1,
    }.items():
        exit_code, said = run(*command)
        assert exit_code == code and "bad: " in said and "plit test" in said, (command, said)
    with pytest.raises(AnnotationsError, match="bad: "):
        export_sets(str(folder), format="yolo", output=tmp_path / "out")
    with pytest.raises(AnnotationsError, match=r"split test: bad: "):
        combine([str(folder)])
    capsys.readouterr()
    assert train.main(["neu_det", "--dataset-name", str(folder), "--output-dir", str(tmp_path / "run")]) == 1
    said = capsys.readouterr().err
    assert "bad: " in said and "Split test of" in said and "Traceback" not in said
    exit_code, said = run("push", folder, "--repo-id", "a/b", "--dry-run")
    assert exit_code and "written by `radikal-datasets prepare`" in said


@pytest.mark.parametrize(
    "boxes",
    [
        [[60.0, 50.0, 30.0, 20.0], [10.0, 10.0, 5.0, 5.0]],
        [[5.0, 5.0, 20.0, 20.0], [50.0, 40.0, 30.0, 30.0], [20.0, 20.0, 9.0, 9.0]],
        [[90.0, 70.0, 10.0, 10.0]] * 9,
    ],
)
def test_x_y_width_height_are_recognized_by_their_look(boxes: list[list[float]]) -> None:
    (fault,) = faults_of({"train": make_split([row("bad", boxes, [0] * len(boxes))])})
    assert "x, y, width, height" in fault.remedy and fault.kind == "reversed"


def test_complete_images_as_fractions() -> None:
    rows = [row(f"i{n}", [[0.0, 0.0, 1.0, 1.0]], [0]) for n in range(8)]
    (fault,) = faults_of({"train": make_split(rows)})
    assert fault.kind == "fractions" and fault.images == 8
    assert faults_of({"train": make_split(rows[:3])}) == []  # a defect may be one pixel at the corner


@pytest.mark.parametrize("labels", [[1, 2], [2, 1, 2], [1, 1, 2, 2]])
def test_labels_counted_from_one_are_recognized(labels: list[int]) -> None:
    (fault,) = faults_of({"train": make_split([row("bad", [[1.0, 1.0, 9.0, 9.0]] * len(labels), labels)])})
    assert "counted from 1" in fault.remedy and fault.times == labels.count(2)


@pytest.mark.parametrize("names", [["scratch", "hole"], ["hole"], ["hole", "scratch", "stain"], ["Hole", "scratch"]])
def test_splits_with_different_classes(names: list[str], tmp_path: Path) -> None:
    good = make_split([row("a", [[1.0, 1.0, 9.0, 9.0]], [0])])
    other = make_split([row("b", [[1.0, 1.0, 9.0, 9.0]], [0])]).cast(features(names))
    splits = datasets.DatasetDict(train=good, validation=other)
    (fault,) = faults_of(splits)
    assert fault.kind == "classes" and fault.split == "validation"
    assert f"has the classes {', '.join(names)}, but split train has {', '.join(CLASSES)}" in fault.sentence()
    assert combine([splits]).keys() == splits.keys()  # combines classes by name


@pytest.mark.parametrize("shared", [["a"], ["b", "c"], ["a", "b", "c", "d"]])
def test_an_image_in_two_splits(shared: list[str], tmp_path: Path) -> None:
    train_split = make_split([row(name, [], []) for name in "abcd"])
    other = make_split([row(name, [], []) for name in [*shared, "x"]])
    splits = datasets.DatasetDict(train=train_split, test=other)
    (fault,) = faults_of(splits)
    assert (fault.kind, fault.split, fault.image_id, fault.times) == ("two_splits", "test", shared[0], len(shared))
    exit_code, said = run("verify", written(tmp_path / "mine", splits))
    assert exit_code == 1 and "is in split train, too" in said


@pytest.mark.parametrize("box", [[1.0, 2.0, 3.0], [1.0, 2.0, 3.0, 4.0, 5.0], []])
def test_boxes_of_another_length(box: list[float]) -> None:
    split = make_split([row("bad", [], [])]).remove_columns(["boxes", "labels"])
    kinds = datasets.List(datasets.List(datasets.Value("float64"))), features(CLASSES)["labels"]
    split = split.add_column("boxes", [[[1.0, 1.0, 2.0, 2.0], box]], feature=kinds[0])
    split = split.add_column("labels", [[0, 0]], feature=kinds[1])
    (fault,) = faults_of({"train": split})
    assert fault.kind == "numbers" and f"has {len(box)} numbers instead of 4" in fault.found


@pytest.mark.parametrize("size", [(0, 80), (100, 0), (-1, 5)])
def test_images_without_a_size(size: tuple[int, int]) -> None:
    split = make_split([row("bad", [], []) | {"width": size[0], "height": size[1]}])
    (fault,) = faults_of({"train": split})
    assert fault.kind == "size" and f"{size[0]} x {size[1]}" in fault.found


def test_what_is_good_passes_and_selected_rows_count(tmp_path: Path) -> None:
    splits = splits_with([[0.0, 0.0, 100.004, 80.0]], [1])  # an edge as float32 may round it
    assert faults_of(splits) == []
    bad = splits_with([[9, 1, 1, 9]], [0])["test"]
    assert faults_of({"test": bad.select([0])}) == [] and faults_of({"test": bad.select([1])})
    folder = written(tmp_path / "mine", splits)
    exit_code, said = run("verify", folder)
    assert exit_code == 0 and "Training would accept every box and label" in said
    exit_code, said = run("verify", folder, "--json")
    assert exit_code == 0 and '"faults": []' in said
    with pytest.raises(ColumnsError, match="Split train lacks the columns labels"):
        check_splits({"train": splits["train"].remove_columns("labels")})


def test_a_prepared_folder_is_checked_without_deep(own_sample: Path) -> None:
    exit_code, said = run("verify", own_sample)
    assert exit_code == 0 and "Add --deep" in said


@pytest.fixture
def own_sample(tmp_path: Path, sample_tree: Any) -> Path:
    run("prepare", "neu_det", "--data-dir", sample_tree("neu_det"), "--output-dir", tmp_path / "hub")
    return tmp_path / "hub"


def test_a_million_boxes_take_seconds_and_no_image_is_read() -> None:
    count, each = 100_000, 10
    corners = np.tile(np.array([1.0, 1.0, 9.0, 9.0], np.float32), (count, each, 1))
    columns = {
        name: feature for name, feature in features(CLASSES).items() if name not in ("image", "masks", "reference")
    }
    rows = {
        "image_id": [f"i{i}" for i in range(count)],
        "width": [10] * count,
        "height": [10] * count,
        "boxes": list(corners),
        "labels": [[0] * each] * count,
        "annotated": [True] * count,
        "group": [""] * count,
    }
    split = datasets.Dataset.from_dict(rows, features=datasets.Features(columns))
    started = time.process_time()
    assert faults_of({"train": split.select(range(count // 2)), "test": split.select(range(count // 2, count))}) == []
    assert time.process_time() - started < 20  # 1.1 s where it was written
