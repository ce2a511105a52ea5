"""Images that two sources share: `combine` finds them and puts them in one split."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
from datasets import DatasetDict
from hypothesis import given, settings
from hypothesis import strategies as st

from radikal_datasets import combine, load_dataset
from radikal_datasets.errors import CombiningError
from radikal_datasets.schema import features
from tests.combining.test_combining import NEU, PCB, by_id, made, picture, undecoded


def test_exact_duplicates_across_sources_are_found_in_raw_trees(
    sample_tree: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Copy two boards' files over NEU's: one training image over a test image, one over a training image."""
    tree = tmp_path / "neu"
    shutil.copytree(sample_tree("neu_det"), tree)
    raw = {"path": PCB, "data_dir": sample_tree("deeppcb"), "cache_dir": tmp_path}
    steel = {split: undecoded(rows) for split, rows in load_dataset(NEU, data_dir=tree, cache_dir=tmp_path).items()}
    boards = undecoded(load_dataset(**raw)["train"])
    leaking, harmless = boards[:2]
    for row, board in ((steel["test"][0], leaking), (steel["train"][0], harmless)):
        (file,) = [path for path in tree.rglob("*.jpg") if path.as_posix().endswith(row["image"]["path"])]
        file.write_bytes(board["image"]["bytes"])
    combined = combine([{"path": NEU, "data_dir": tree, "cache_dir": tmp_path}, raw])
    found = by_id(combined)
    assert leaking["image_id"] not in found
    assert found[steel["test"][0]["image_id"]][0] == "test"
    assert found[steel["train"][0]["image_id"]][0] == found[harmless["image_id"]][0] == "train"
    board = {row["image_id"] for row in boards if row["group"] == harmless["group"]} - {leaking["image_id"]}
    together = board | {steel["train"][0]["image_id"]}
    assert {found[image_id][1]["group"] for image_id in together} == {
        min(harmless["group"], steel["train"][0]["group"])
    }
    assert len(found) == sum(map(len, steel.values())) + sum(map(len, load_dataset(**raw).values())) - 1
    assert sum("1 images were left out" in line for line in caplog.messages) == 1


def test_the_most_held_out_of_exact_duplicates_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    one = DatasetDict(
        train=made("one", [{"id": "a", "shade": 1}, {"id": "b", "shade": 2}, {"id": "c", "shade": 3}], ["x"]),
        validation=made("one", [{"id": "d", "shade": 4}], ["x"]),
        unlabeled=made("one", [{"id": "e", "shade": 5, "annotated": False}], ["x"]),
    )
    two = DatasetDict(
        train=made(
            "two",
            [
                {"id": "a", "shade": 4},
                {"id": "b", "shade": 2, "group": "two/g"},
                {"id": "h", "shade": 9, "group": "two/g"},
            ],
            ["x"],
        ),
        validation=made("two", [{"id": "e", "shade": 5}], ["x"]),
        test=made("two", [{"id": "c", "shade": 3}], ["x"]),
    )
    found = by_id(combine([one, two]))
    splits = {image_id: split for image_id, (split, _) in found.items()}
    assert splits == {
        "one/a": "train",
        "one/b": "train",
        "one/d": "validation",
        "two/b": "train",
        "two/h": "train",
        "two/c": "test",
        "two/e": "validation",
    }
    groups = {image_id: row["group"] for image_id, (_, row) in found.items()}
    assert groups["one/b"] == groups["two/b"] == groups["two/h"] == "one/b"
    assert groups["two/c"] == "two/c"
    (line,) = [line for line in caplog.messages if "left out" in line]
    assert line.startswith("3 images") and "one/c (train) is two/c (test)" in line


SPLIT = st.sampled_from(["train", "train", "validation", "test", "unlabeled"])


@settings(max_examples=15)
@given(st.lists(st.tuples(st.integers(0, 2), SPLIT, st.integers(0, 9), st.integers(0, 2)), min_size=1, max_size=25))
def test_no_image_of_two_sources_is_in_two_splits(images: list[tuple[int, str, int, int]]) -> None:
    """Any (set, split, content, group in its set)."""
    rows = defaultdict(list)
    for number, (one, split, shade, group) in enumerate(images):
        row = {"id": number, "shade": shade, "group": f"{one}/g{group}", "annotated": split != "unlabeled"}
        rows[one, split].append(row)
    sets: dict[str, DatasetDict] = defaultdict(DatasetDict)
    for (one, split), members in rows.items():
        sets[str(one)][split] = made(str(one), members, ["x"])
    found = by_id(combine(list(sets.values())))
    order = ["test", "validation", "train", "unlabeled"]
    for shade in range(10):
        copies = {f"{one}/{n}": split for n, (one, split, content, _) in enumerate(images) if content == shade}
        if len({name[0] for name in copies}) > 1:
            best = min(copies.values(), key=order.index)
            copies = {name: split for name, split in copies.items() if split == best}
            assert len({found[name][1]["group"] for name in copies}) == 1
        assert {name: found[name][0] for name in copies} == copies
    for n, (one, _, _, group) in enumerate(images):  # images that shared a group still share one
        alike = [f"{one}/{m}" for m, other in enumerate(images) if (other[0], other[3]) == (one, group)]
        assert len({found[name][1]["group"] for name in [f"{one}/{n}", *alike] if name in found}) <= 1


def test_exact_duplicates_within_one_source_are_left_alone() -> None:
    one = DatasetDict(train=made("one", [{"shade": 1}], ["x"]), test=made("one", [{"id": "t", "shade": 1}], ["x"]))
    two = DatasetDict(train=made("two", [{"shade": 2}], ["x"]))
    assert set(by_id(combine([one, two]))) == {"one/0", "one/t", "two/0"}


def test_images_given_only_as_paths_are_compared_too(tmp_path: Path) -> None:
    (tmp_path / "p.png").write_bytes(picture(3))
    by_path = made("one", [{"shade": 1}], ["x"]).map(
        lambda _: {"image": {"bytes": None, "path": str(tmp_path / "p.png")}}, features=features(["x"])
    )
    stored = DatasetDict(test=made("two", [{"shade": 3}], ["x"]))
    assert set(by_id(combine([DatasetDict(train=by_path), stored]))) == {"two/0"}
    (tmp_path / "p.png").unlink()
    with pytest.raises(CombiningError, match=r"p\.png is not a local file"):
        combine([DatasetDict(train=by_path), stored])
