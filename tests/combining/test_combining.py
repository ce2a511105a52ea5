"""`combine` on sample trees of several sources, and on small in-memory datasets where a case needs one."""

from __future__ import annotations

import io
import json
import pickle
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pytest
from datasets import Dataset, DatasetDict
from PIL import Image

from radikal_datasets import build_hub_folder, combine, load_dataset
from radikal_datasets.combining.label_spaces import label_space
from radikal_datasets.errors import CombiningError
from radikal_datasets.schema import features
from radikal_datasets.sources import source_info

NEU, PCB, SEVERSTAL = "radikal_datasets/neu_det", "radikal_datasets/deeppcb", "radikal_datasets/severstal"
PLAIN = ("image_id", "image", "width", "height", "boxes", "labels", "annotated")


@pytest.fixture(scope="module")
def loaded(sample_tree: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], DatasetDict]:
    cache = tmp_path_factory.mktemp("cache")

    def get(path: str, config: str | None = None) -> DatasetDict:
        return load_dataset(path, config, data_dir=sample_tree(path.rpartition("/")[2]), cache_dir=cache)

    return get


def picture(shade: int, size: int = 8) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.full((size, size), shade, np.uint8)).save(out, "PNG", compress_level=0)
    return out.getvalue()


def made(name: str, rows: list[dict], classes: list[str]) -> Dataset:
    """Rows may give id, shade, boxes, labels, masks, annotated and group; all images have the same number of bytes."""
    full = []
    for number, row in enumerate(rows):
        image_id = f"{name}/{row.get('id', number)}"
        values = {
            "image_id": image_id,
            "image": {"bytes": picture(row.get("shade", number)), "path": f"{number}.png"},
            "width": 8,
            "height": 8,
            "boxes": [[0, 0, 2, 2]] * len(row.get("labels", [])),
            "labels": [],
            "masks": [],
            "reference": None,
            "annotated": True,
            "group": image_id,
        }
        full.append(values | {key: value for key, value in row.items() if key not in ("id", "shade")})
    columns = {key: [row[key] for row in full] for key in features(classes)}
    return Dataset.from_dict(columns, features=features(classes))


def undecoded(dataset: Dataset) -> list[dict]:
    return dataset.with_format("arrow")[:].to_pylist()


def by_id(splits: DatasetDict) -> dict[str, tuple[str, dict]]:
    return {row["image_id"]: (split, row) for split, rows in splits.items() for row in undecoded(rows)}


def truth(splits: DatasetDict) -> dict[str, tuple]:
    """Map each image_id to its annotations in the dataset, with class names."""
    return {
        image_id: (split, row["boxes"], [names[n] for n in row["labels"]], row["masks"], row["image"], row["group"])
        for image_id, (split, row) in by_id(splits).items()
        if (names := splits[split].features["labels"].feature.names)
    }


def test_union_keeps_every_row_and_split_of_every_source(loaded: Callable[..., DatasetDict]) -> None:
    sets = [loaded(NEU), loaded(SEVERSTAL), loaded(PCB)]
    combined = combine(sets)
    names = [name for source in ("neu_det", "severstal", "deeppcb") for name in source_info(source).configs[0].classes]
    assert list(combined) == ["train", "validation", "test"] or list(combined)[-1] == "unlabeled"
    for split, dataset in combined.items():
        assert dataset.features == features(names)
        assert dataset.column_names == list(features(names))
        assert dataset.split == split
        assert dataset._indices is None  # nothing was dropped, so no mapping either
    assert truth(combined) == truth(sets[0]) | truth(sets[1]) | truth(sets[2])
    row = next(row for row in combined["train"] if row["masks"])
    assert row["image"].size == row["masks"][0].size == (row["width"], row["height"])


def test_image_bytes_stay_in_the_mapped_files(loaded: Callable[..., DatasetDict]) -> None:
    sets = [loaded(NEU), loaded(SEVERSTAL)]
    before = pa.total_allocated_bytes()
    combined = combine(sets, labels="source")
    assert pa.total_allocated_bytes() - before < 300_000
    addresses = {
        chunk.field("bytes").buffers()[2].address for one in sets for chunk in one["train"].data.column("image").chunks
    }
    new = {chunk.field("bytes").buffers()[2].address for chunk in combined["train"].data.column("image").chunks}
    assert new == addresses
    sent = pickle.dumps(combined["train"])
    assert len(sent) < 300_000  # as for a DataLoader worker
    assert undecoded(pickle.loads(sent)) == undecoded(combined["train"])
    assert pickle.loads(sent).column_names == combined["train"].column_names


def test_the_same_call_gives_the_same_fingerprint(loaded: Callable[..., DatasetDict]) -> None:
    sets = [loaded(NEU), loaded(SEVERSTAL)]
    prints = [combine(sets, labels=labels)["train"]._fingerprint for labels in ("union", "union", "source", "defect")]
    assert prints[0] == prints[1] and len(set(prints)) == 3


def test_source_prefixes_every_class(loaded: Callable[..., DatasetDict]) -> None:
    names = combine([loaded(NEU), loaded(PCB)], labels="source")["test"].features["labels"].feature.names
    assert names[0].startswith("neu_det_") and "deeppcb_open" in names and len(names) == 12
    named = combine({"steel": loaded(NEU), "board": loaded(PCB)}, labels="source")
    assert "board_open" in named["test"].features["labels"].feature.names


def test_defect_is_one_class(loaded: Callable[..., DatasetDict]) -> None:
    combined = combine([loaded(NEU), loaded(SEVERSTAL)], labels="defect")
    assert combined["train"].features["labels"].feature.names == ["defect"]
    assert {label for labels in combined["train"]["labels"] for label in labels} == {0}


def test_equal_boxes_of_classes_that_became_one_are_one_box() -> None:
    box, other, classes = [0, 0, 2, 2], [1, 1, 3, 3], ["a", "b"]
    white = {"bytes": b"white", "path": None}
    black = {"bytes": b"black", "path": None}
    train = made(
        "own",
        [
            {"boxes": [box, other, box], "labels": [0, 0, 1]},
            {"boxes": [box, box], "labels": [0, 1]},
            {"boxes": [box, box, box], "labels": [0, 1, 1], "masks": [white, black, white]},
            {},
            {"boxes": [box], "labels": [1], "masks": [black]},
        ],
        classes,
    )
    rows = undecoded(combine([DatasetDict({"train": train})], labels="defect")["train"])
    assert [len(row["labels"]) for row in rows] == [2, 1, 2, 0, 1]
    assert rows[0]["boxes"] == [box, other]
    assert [mask["bytes"] for mask in rows[2]["masks"]] == [b"white", b"black"]
    assert [mask["bytes"] for mask in rows[4]["masks"]] == [b"black"]
    kept = undecoded(combine([DatasetDict({"train": train})])["train"])
    assert [len(row["labels"]) for row in kept] == [3, 2, 3, 0, 1]


def test_mapping_with_and_without_source(loaded: Callable[..., DatasetDict]) -> None:
    mapping = {"scratches": "scratch", "deeppcb/open": "open", "*": "other"}
    combined = combine([loaded(NEU), loaded(PCB)], labels=mapping)
    assert combined["train"].features["labels"].feature.names == ["scratch", "open", "other"]
    old = truth(loaded(NEU)) | truth(loaded(PCB))
    new_name = {"scratches": "scratch", "open": "open"}
    for image_id, (_, boxes, names, *_) in truth(combined).items():
        expected = [(tuple(box), new_name.get(name, "other")) for box, name in zip(*old[image_id][1:3], strict=True)]
        assert set(expected) == {(tuple(box), name) for box, name in zip(boxes, names, strict=True)}


def test_an_image_that_loses_a_box_is_no_longer_annotated(
    loaded: Callable[..., DatasetDict], caplog: pytest.LogCaptureFixture
) -> None:
    classes = ["a", "b"]
    rows = [{"labels": [0]}, {"labels": [1]}, {"labels": [0, 1]}, {}]
    combined = combine(
        [DatasetDict({"train": made("own", rows, classes)}), loaded(NEU)], labels={"own/b": None, "*": "x"}
    )
    found = by_id(combined)
    assert [found[f"own/{n}"][0] for n in range(4)] == ["train", "unlabeled", "unlabeled", "train"]
    for number in (1, 2):
        row = found[f"own/{number}"][1]
        assert (row["boxes"], row["labels"], row["masks"], row["annotated"]) == ([], [], [], False)
    assert found["own/3"][1]["annotated"]
    assert "2 images of train hold a class that labels drops" in caplog.text


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"a": "x"}, "does not name one/b, two/c"),
        ({"a": "x", "typo": "y", "*": "z"}, "typo, which no dataset has"),
        ({"*": None}, "No class is left"),
        ({"*": 3}, "neither a class name nor None"),
        ("defects", "is neither 'union'"),
    ],
)
def test_labels_that_do_not_fit(labels: object, message: str) -> None:
    with pytest.raises(CombiningError, match=message):
        label_space([("one", ["a", "b"]), ("two", ["a", "c"])], labels)  # type: ignore[arg-type]


def test_label_spaces() -> None:
    sources = [("one", ["a", "b"]), ("two", ["c", "a"])]
    assert label_space(sources, "union") == (["a", "b", "c"], [{"a": 0, "b": 1}, {"c": 2, "a": 0}])
    assert label_space(sources, "source")[0] == ["one_a", "one_b", "two_c", "two_a"]
    names, lookups = label_space(sources, {"c": "z", "a": None, "two/a": "y", "*": "y"})
    assert (names, lookups) == (["z", "y"], [{"a": -1, "b": 1}, {"c": 0, "a": 1}])
    with pytest.raises(CombiningError, match="mapping"):
        label_space([(None, ["a"])], "source")


@pytest.mark.parametrize("how", ["shuffled", "sliced", "flattened", "filtered"])
def test_hidden_rows_stay_hidden(loaded: Callable[..., DatasetDict], how: str) -> None:
    some, other = DatasetDict(), loaded("radikal_datasets/gdxray", "castings")
    for split, rows in loaded(NEU).items():
        some[split] = {
            "shuffled": rows.shuffle(seed=1).select(range(1, len(rows))),
            "sliced": rows.select(range(1, len(rows))),
            "flattened": rows.shuffle(seed=1).flatten_indices(),
            "filtered": rows.filter(lambda image_id: image_id[-1] in "123", input_columns="image_id"),
        }[how]
    combined = combine([some, other], labels="source")
    count = len(some["train"])
    assert combined["train"]["image_id"][:count] == some["train"]["image_id"][:]
    assert {key: value[1] for key, value in truth(combined).items()} == {
        key: value[1] for key, value in (truth(some) | truth(other)).items()
    }
    assert combined["train"][1]["image"].tobytes() == some["train"][1]["image"].tobytes()
    # The same image under another name is found by its bytes among sliced and mapped rows.
    counts = Counter(row["group"] for row in undecoded(some["train"]))
    row = next(row for row in undecoded(some["train"]) if counts[row["group"]] == 1)  # not NEU's own duplicates
    copy = Dataset.from_list([row | {"image_id": "copy/0", "group": "copy/0"}], features=some["train"].features)
    found = set(by_id(combine([some, DatasetDict(test=copy)])))
    assert found == set(by_id(some)) - {row["image_id"]} | {"copy/0"}


def test_own_set_with_seven_columns_and_other_number_types(loaded: Callable[..., DatasetDict]) -> None:
    own = made("line1", [{"id": "0", "labels": [1]}, {"id": "1"}], ["dent", "stain"])
    extra = own.select_columns(list(PLAIN)).add_column("camera", ["left", "right"])
    extra = extra.cast_column("width", datasets.Value("int64"))
    extra = extra.cast_column("boxes", datasets.List(datasets.List(datasets.Value("float64"))))
    combined = combine({"own": DatasetDict(train=extra), "steel": loaded(NEU)})
    rows = undecoded(combined["train"])[:2]
    assert combined["train"].column_names == list(features([]))
    assert [row["masks"] for row in rows] == [[], []] and rows[0]["reference"] is None
    assert [row["group"] for row in rows] == ["line1/0", "line1/1"]
    assert rows[0]["boxes"] == [[0, 0, 2, 2]] and rows[0]["labels"] == [1]


def test_weighted_mix_shows_everything_and_copies_nothing(loaded: Callable[..., DatasetDict]) -> None:
    neu, pcb = loaded(NEU), loaded(PCB)
    plain, mixed = combine([neu, pcb]), combine([neu, pcb], weights=[3, 1])
    assert mixed["train"]._indices is not None
    assert mixed["train"].data.nbytes == plain["train"].data.nbytes
    drawn = Counter(mixed["train"]["image_id"])
    assert set(drawn) == set(plain["train"]["image_id"])
    share = sum(n for image_id, n in drawn.items() if image_id.startswith("neu_det/")) / len(mixed["train"])
    assert 0.6 < share < 0.9
    assert mixed["test"]["image_id"][:] == plain["test"]["image_id"][:]
    named = combine({"a": neu, "b": pcb}, weights={"b": 1, "a": 3})
    assert named["train"]["image_id"][:] == mixed["train"]["image_id"][:]
    other = combine([neu, pcb], weights=[3, 1], seed=1)
    assert other["train"]["image_id"][:] != mixed["train"]["image_id"][:]


def test_combined_sets_concatenate(loaded: Callable[..., DatasetDict]) -> None:
    a, b = combine([loaded(NEU)], labels="defect"), combine([loaded(SEVERSTAL)], labels="defect")
    both = datasets.concatenate_datasets([a["train"], b["train"]])
    assert both.features == features(["defect"])
    assert undecoded(both) == undecoded(combine([loaded(NEU), loaded(SEVERSTAL)], labels="defect")["train"])


def test_prepared_folder_beside_a_raw_tree(
    sample_tree: Callable[..., Path], loaded: Callable[..., DatasetDict], tmp_path: Path
) -> None:
    build_hub_folder("gdxray", "castings", data_dir=sample_tree("gdxray"), output_dir=tmp_path / "hub")
    raw = {"path": NEU, "data_dir": sample_tree("neu_det"), "protocol": "70-15-15", "cache_dir": tmp_path}
    combined = combine([(str(tmp_path / "hub"), "castings"), raw], labels="source")
    assert combined["train"].features["labels"].feature.names[0] == "gdxray_defect"
    expected = truth(loaded("radikal_datasets/gdxray", "castings"))
    assert {key: value[1] for key, value in truth(combined).items() if key.startswith("gdxray/")} == {
        key: value[1] for key, value in expected.items()
    }


def test_saved_as_parquet_it_is_the_same_set(loaded: Callable[..., DatasetDict], tmp_path: Path) -> None:
    combined = combine([loaded(NEU), loaded("radikal_datasets/gdxray", "castings")])
    for split, rows in combined.items():
        rows.to_parquet(tmp_path / "both" / "data" / f"{split}-00000-of-00001.parquet")
    again = datasets.load_dataset(str(tmp_path / "both"), cache_dir=str(tmp_path / "cache"))
    assert list(again) == list(combined)
    for split in again:
        assert again[split].features == combined[split].features
        assert undecoded(again[split]) == undecoded(combined[split])


def test_what_is_refused(loaded: Callable[..., DatasetDict], sample_tree: Callable[..., Path]) -> None:
    neu = loaded(NEU)
    raw = {"path": NEU, "data_dir": sample_tree("neu_det")}
    plain = made("own", [{"labels": [0]}], ["x"])
    broken = made("own", [{"labels": [0], "boxes": []}], ["x"])
    twice = DatasetDict(train=made("own", [{"id": "a"}, {"id": "a"}], ["x"]))
    cases: list[tuple[object, dict, str]] = [
        ([], {}, "at least one dataset"),
        (neu, {}, "Put the one you gave into a list"),
        (neu["train"].to_iterable_dataset(), {}, "combine takes a list"),
        (NEU, {}, "Put the one you gave into a list"),
        (raw, {}, "Put the one you gave into a list"),
        ([plain], {}, r"dataset 1 is a Dataset\..*DatasetDict\(\{"),
        ([raw | {"streaming": True}], {}, "IterableDatasetDict.*Omit streaming="),
        ([raw | {"split": "train"}], {}, "loaded as Dataset"),
        ([DatasetDict(val=plain)], {}, "split 'val'. Rename"),
        ([DatasetDict(train=plain.remove_columns("boxes"))], {}, "dataset 1, split train, lacks the columns boxes"),
        ([DatasetDict(train=plain.cast_column("labels", datasets.List(datasets.Value("int64"))))], {}, "ClassLabel"),
        ([DatasetDict(train=plain.select([]))], {}, "holds no image"),
        ([DatasetDict(train=broken)], {}, r"dataset 1 \(own\), split train: own/0: 0 boxes, but 1 labels"),
        (
            [neu, neu],
            {},
            r"image_id neu_det/\S+ is in dataset 1 \(neu_det\), split train, and in dataset 2 \(neu_det\)",
        ),
        ([twice], {}, r"own/a is in dataset 1 \(own\), split train, and in dataset 1"),
        ([neu], {"weights": [1, 2]}, "one positive number for each of dataset 1"),
        ([neu], {"weights": [0]}, "one positive number"),
        ([neu], {"weights": {"neu": 1}}, r"must name each dataset once: \['neu_det'\]"),
        ([neu, DatasetDict(test=plain)], {"weights": [1, 1]}, r"dataset 2 \(own\) has no train images"),
    ]
    for sets, arguments, message in cases:
        with pytest.raises(CombiningError, match=message):
            combine(sets, **arguments)  # type: ignore[arg-type]


def test_documented_exports() -> None:
    import radikal_datasets

    assert "combine" in radikal_datasets.__all__ and json.dumps(radikal_datasets.__all__)
