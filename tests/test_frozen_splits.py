"""benchmarks/frozen_splits.py: the lists in the repository, and what a check of a user's data reports."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from benchmarks import frozen_splits
from benchmarks.frozen_splits import FrozenSplitsError, Line, compare, read, truth_digest, write
from radikal_datasets import load_dataset
from radikal_datasets.sources.deeppcb import SPLIT_OF_BOARD
from radikal_datasets.sources.gdxray import SPLIT_OF_SERIES

COUNTS = {
    "neu_det": {"train": 1260, "validation": 271, "test": 269},
    "gdxray_castings": {"train": 952, "validation": 192, "test": 208},
    "deeppcb": {"train": 839, "validation": 161, "test": 500},
}

lines = st.builds(Line, st.sampled_from(["train", "validation", "test"]), st.sampled_from("ab"), st.sampled_from("cd"))
frozen_sets = st.dictionaries(st.sampled_from([f"set/{i}" for i in range(6)]), lines)


@pytest.mark.parametrize("name", frozen_splits.SETS)
def test_lists_match_their_checksums(name: str) -> None:
    assert Counter(line.split for line in read(name).values()) == COUNTS[name]


def test_castings_are_split_by_series() -> None:
    for image_id, line in read("gdxray_castings").items():
        assert line.split == SPLIT_OF_SERIES[image_id.rpartition("/")[0]], image_id


def test_deeppcb_validation_is_split_by_board() -> None:
    table = SPLIT_OF_BOARD["recommended"]
    for image_id, line in read("deeppcb").items():
        if line.split != "test":
            assert line.split == table[image_id.rpartition("/")[0].rpartition("/")[0]], image_id


def test_write_and_read(tmp_path: Path) -> None:
    first = {"a/2": Line("train", "1", "2"), "a/1": Line("test", "3", "4")}
    write("one", first, tmp_path)
    write("two", {"b/1": Line("validation", "5", "6")}, tmp_path)
    assert read("one", tmp_path) == first
    assert (tmp_path / "one" / "train.txt").read_text() == "a/2 1 2\n"
    assert len(frozen_splits.read_sums(tmp_path)) == 6


def test_a_changed_list_is_refused(tmp_path: Path) -> None:
    write("one", {"a/1": Line("train", "1", "2")}, tmp_path)
    (tmp_path / "one" / "test.txt").write_text("a/9 1 2\n")
    with pytest.raises(FrozenSplitsError, match=r"test\.txt was changed"):
        read("one", tmp_path)
    (tmp_path / "one" / "test.txt").unlink()
    with pytest.raises(FrozenSplitsError, match="missing"):
        read("one", tmp_path)


@given(frozen_sets, frozen_sets)
def test_every_image_that_differs_is_named(before: dict[str, Line], now: dict[str, Line]) -> None:
    reported = compare(before, now)
    differ = {i for i in {*before, *now} if before.get(i) != now.get(i)}
    named = {entry.split()[0] for entries in vars(reported).values() for entry in entries}
    assert named == differ
    assert bool(reported) == bool(differ)
    assert {entry.split()[0] for entry in reported.missing} == before.keys() - now.keys()
    assert {entry.split()[0] for entry in reported.new} == now.keys() - before.keys()


@given(st.permutations([([0.0, 1.0, 2.0, 3.0], 0), ([0.0, 1.0, 2.0, 3.0], 1), ([-0.0, 1.0, 2.5, 3.0], 1)]))
def test_ground_truth_digest_ignores_order(pairs: list[tuple[list[float], int]]) -> None:
    boxes, labels = zip(*pairs, strict=True)
    assert truth_digest(boxes, labels, ["x", "y"]) == truth_digest(
        [[0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 2.5, 3]], [1, 0, 1], ["x", "y"]
    )


def test_ground_truth_digest_covers_boxes_and_class_names() -> None:
    digests = [
        truth_digest([[0, 1, 2, 3]], [0], ["x", "y"]),
        truth_digest([[0, 1, 2, 3.01]], [0], ["x", "y"]),
        truth_digest([[0, 1, 2, 3]], [0], ["y", "x"]),
        truth_digest([[0, 1, 2, 3]] * 2, [0] * 2, ["x", "y"]),
        truth_digest([], [], ["x", "y"]),
    ]
    assert len(set(digests)) == len(digests)


def test_command_line(sample_tree: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "tree"
    shutil.copytree(sample_tree("neu_det"), root)
    common = ["neu_det", "--data-dir", str(root), "--lists", str(tmp_path / "lists")]
    check = ["--check", *common]
    assert frozen_splits.main(check) == 1
    assert "train.txt is missing" in capsys.readouterr().err
    assert frozen_splits.main(["--write", *common]) == 0
    assert frozen_splits.main(check) == 0
    assert "equal to the frozen splits" in capsys.readouterr().out

    first, second = sorted(root.rglob("*.jpg"))[:2]
    with Image.open(first) as image:
        image.transpose(Image.Transpose.ROTATE_180).save(first)
    truth = next(root.rglob(f"{second.stem}.xml"))
    truth.write_text(re.sub(r"<xmin>\d+", "<xmin>2", truth.read_text(), count=1))
    assert frozen_splits.main([*check, "--most", "0"]) == 1
    said = capsys.readouterr().out
    assert "1 other bytes, 1 other truth" in said
    assert f"other bytes: neu_det/{first.stem} (" in said
    assert f"other truth: neu_det/{second.stem} (" in said


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["neu_det", "deeppcb"])
def test_todays_builder_gives_the_frozen_splits(name: str, real_data: Callable[[str], Path], tmp_path: Path) -> None:
    source, config = frozen_splits.SETS[name]
    splits = load_dataset(source, config, data_dir=str(real_data(name)), cache_dir=str(tmp_path))
    reported = compare(read(name), frozen_splits.of_splits(splits))
    # Only a part of DeepPCB is available: its images must be in their frozen splits.
    reported.missing = [] if name == "deeppcb" else reported.missing
    assert not reported, reported.lines()[:5]
