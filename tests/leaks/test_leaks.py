"""What `verify --deep` finds: in constructed datasets, every sample and real images, and through the command line."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from test_near_duplicates import image, surface

from radikal_datasets import build_hub_folder
from radikal_datasets.errors import LayoutError
from radikal_datasets.leaks import Leaks, find_leaks, without_leaks
from radikal_datasets.leaks.mistakes import iou
from radikal_datasets.leaks.page import write_leaks_page
from radikal_datasets.leaks.tables import pair_counts, summary
from radikal_datasets.schema import features
from radikal_datasets.sources import source_names
from radikal_datasets.verification import verify

CLASSES = ["crack", "pore"]


def encoded(picture: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    picture.save(out, form, **options)
    return out.getvalue()


FILES = [encoded(image(surface(seed))) for seed in range(6)]


def row(
    name: str,
    data: bytes | None,
    boxes: Sequence[Sequence[float]] = ((10, 10, 50, 40),),
    labels: Sequence[int] = (0,),
    *,
    group: str | None = None,
    annotated: bool = True,
) -> dict[str, Any]:
    return {
        "image_id": name,
        "image": {"bytes": data, "path": f"{name}.png"},
        "width": 240,
        "height": 240,
        "boxes": [list(box) for box in boxes],
        "labels": list(labels),
        "masks": [],
        "reference": None,
        "annotated": annotated,
        "group": group or name,
    }


def datasets_of(**splits: list[dict[str, Any]]) -> dict[str, Dataset]:
    return {
        split: Dataset.from_dict({name: [one[name] for one in rows] for name in rows[0]}, features=features(CLASSES))
        for split, rows in splits.items()
    }


def found_in(**splits: list[dict[str, Any]]) -> Leaks:
    return find_leaks(datasets_of(**splits))


def pairs(found: Leaks) -> list[tuple[str, str, str, bool]]:
    return [(pair.kind, pair.first.image_id, pair.second.image_id, pair.leaks) for pair in found.pairs]


# ---- pairs ----


def test_identical_files():
    found = found_in(train=[row("a", FILES[0]), row("b", FILES[1])], test=[row("c", FILES[0])])
    assert pairs(found) == [("identical_file", "a", "c", True)]
    assert not found.conflicts
    assert summary(found) == ["1 pair of images across splits: 1 in train and test."]


def test_the_same_pixels_in_other_files():
    picture = image(surface(0))
    others = [encoded(picture, "BMP"), encoded(picture.convert("RGB")), encoded(picture, "PNG", compress_level=0)]
    rows = [row(f"a{i}", data) for i, data in enumerate(others)]
    found = found_in(train=[row("a", FILES[0]), row("b", FILES[1])], test=rows)
    assert {kind for kind, *_ in pairs(found)} == {"identical_pixels"}
    assert sum(pair.leaks for pair in found.pairs) == 3


def test_palettes_are_compared_as_colors():
    indices = np.asarray(image(surface(0))) // 128
    files = []
    for colors in ([0, 0, 0, 255, 255, 255], [255, 255, 255, 0, 0, 0]):
        picture = Image.fromarray(indices.astype(np.uint8), "P")
        picture.putpalette(colors + [0] * 762)
        files.append(encoded(picture))
    same = encoded(Image.fromarray((indices * 255).astype(np.uint8)))
    found = found_in(train=[row("a", files[0]), row("b", files[1])], test=[row("c", same)])
    identical = [pair for pair in pairs(found) if pair[0] == "identical_pixels"]
    assert identical == [("identical_pixels", "a", "c", True)]


def test_colors_are_not_compared_by_red_alone():
    gray = np.asarray(image(surface(0)))
    colored = Image.fromarray(np.stack([gray, 255 - gray, gray], 2))
    found = found_in(train=[row("a", FILES[0])], test=[row("b", encoded(colored))])
    assert "identical_pixels" not in {pair.kind for pair in found.pairs}


def test_a_near_duplicate_of_two_exact_duplicates_leaks_by_either():
    changed = encoded(image(surface(0) * 1.1), "JPEG", quality=70)
    rows = [row("same", FILES[0]), *(row(f"o{i}", FILES[i]) for i in range(2, 6))]
    found = found_in(train=[row("changed", changed), *rows], test=[row("first", FILES[0])])
    assert pairs(found) == [("identical_file", "same", "first", True), ("near_identical", "changed", "first", True)]


def test_unlabeled_splits_do_not_leak():
    found = found_in(train=[row("a", FILES[0])], unlabeled=[row("b", FILES[0], (), (), annotated=False)])
    assert pairs(found) == [("identical_file", "a", "b", False)]
    assert pair_counts(found)["identical_file"] == (0, 1, 0)
    assert not found.conflicts


def test_many_exact_duplicates_are_reported_once_each():
    found = found_in(train=[row(f"a{i:02}", FILES[0]) for i in range(12)])
    assert len(found.pairs) == 11
    assert {pair.first.image_id for pair in found.pairs} == {"a00"}


def test_without_leaks_keeps_shared_images_only_in_held_out_splits():
    changed = encoded(image(surface(0) * 1.1), "JPEG", quality=70)
    sets = {
        "train": [row("a", FILES[0]), row("b", FILES[1]), row("changed", changed), row("c", FILES[2])],
        "validation": [row("d", FILES[1]), row("e", FILES[2]), row("f", FILES[3])],
        "test": [*(row(f"copy{i}", FILES[0]) for i in range(8)), row("g", FILES[2]), row("h", FILES[4])],
        "unlabeled": [row("i", FILES[4], (), (), annotated=False)],
    }
    kept = without_leaks(datasets_of(**sets))
    ids = {split: rows["image_id"][:] for split, rows in kept.items()}
    held_out = [one["image_id"] for one in sets["test"]]
    assert ids == {"validation": ["d", "f"], "test": held_out, "unlabeled": ["i"]}  # nothing is left of train
    assert not find_leaks(kept).across


def test_copies_leak_even_if_the_first_is_unlabeled():
    sets = {
        "unlabeled": [row("a", FILES[0], (), (), annotated=False)],
        "train": [row(f"b{i}", FILES[0]) for i in range(6)],
        "test": [row("c", FILES[0])],
    }
    assert len(find_leaks(datasets_of(**sets)).across) >= 1
    assert set(without_leaks(datasets_of(**sets))) == {"unlabeled", "test"}  # nothing is left of train


def test_without_leaks_does_not_guess_which_split_is_held_out():
    with pytest.raises(LayoutError, match="is in train and val, and neither"):
        without_leaks(datasets_of(train=[row("a", FILES[0])], val=[row("b", FILES[0])]))


def test_annotations_that_differ_in_one_direction_are_reported():
    first = row("a", FILES[0], [(10, 10, 50, 40), (60, 60, 90, 90)], (0, 1))
    exchanged = row("b", FILES[0], [(10, 10, 50, 40), (60, 60, 90, 90)], (1, 0))
    doubled = [
        row(name, FILES[1], boxes, (0, 0))
        for name, boxes in (("c", [(10, 10, 50, 40), (10, 10, 50, 39)]), ("d", [(10, 10, 50, 40), (90, 90, 99, 99)]))
    ]
    reported = [pair.conflict for pair in found_in(train=[first, exchanged, *doubled]).conflicts]
    assert len(reported) == 2 and all("lowest IoU 0.00" in conflict for conflict in reported)


@pytest.mark.parametrize(
    ("boxes", "labels", "reported"),
    [
        ([(10, 10, 50, 40)], [0], ""),
        ([(10, 10, 50, 40)], [1], "1 crack against 1 pore"),
        ([(10, 10, 50, 40), (60, 60, 80, 80)], [0, 1], "1 crack against 1 crack, 1 pore"),
        ([], [], "1 crack against no defect"),
        ([(10, 10, 50, 70)], [0], "1 crack against 1 crack, at different positions (lowest IoU 0.50)"),
    ],
)
def test_annotations_of_identical_images(boxes, labels, reported):
    found = found_in(train=[row("a", FILES[0]), row("b", FILES[0], boxes, labels)])
    assert [pair.conflict for pair in found.pairs] == [reported]


def test_the_order_of_boxes_is_not_a_conflict():
    boxes = [(10, 10, 50, 40), (60, 60, 80, 80)]
    found = found_in(train=[row("a", FILES[0], boxes, (0, 1)), row("b", FILES[0], boxes[::-1], (1, 0))])
    assert not found.conflicts


def test_groups_that_splits_separate():
    found = found_in(
        train=[row("a", FILES[0], group="board"), row("b", FILES[1], group="board"), row("c", FILES[2], group="other")],
        test=[row("d", FILES[3], group="board")],
        unlabeled=[row("e", FILES[4], (), (), group="other", annotated=False)],
    )
    assert [(group.group, group.images) for group in found.groups] == [("board", {"train": 2, "test": 1})]


def test_images_that_do_not_decode_are_reported():
    found = found_in(train=[row("a", FILES[0][:500]), row("b", None), row("c", FILES[0]), row("d", FILES[0])])
    assert [item.image_id for item, _ in found.undecodable] == ["a", "b"]
    assert pairs(found) == [("identical_file", "c", "d", False)]


def test_other_columns_are_an_error():
    with pytest.raises(LayoutError, match="image_id"):
        find_leaks({"train": Dataset.from_dict({"image": [None]})})


# ---- boxes ----


@pytest.mark.parametrize(
    ("boxes", "labels", "kinds"),
    [
        ([(0, 0, 240, 215)], [0], []),
        ([(0, 0, 240, 217)], [0], ["large_box"]),
        ([(5, 5, 7, 30)], [0], []),
        ([(5, 5, 6.5, 30)], [0], ["tiny_box"]),
        ([(10, 10, 110, 110), (10, 10, 110, 109)], [0, 0], ["doubled_box"]),
        ([(10, 10, 110, 110), (10, 10, 110, 109)], [0, 1], []),
        ([(10, 10, 110, 110), (10, 10, 110, 99)], [0, 0], []),
    ],
)
def test_boxes_to_look_at(boxes, labels, kinds):
    found = found_in(train=[row("a", FILES[0], boxes, labels)])
    assert [mistake.kind for mistake in found.mistakes] == kinds


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("set/crack_12", 1), ("set/crack/12", 1), ("set/pore/crack_1", 0), ("set/12", 0), ("set/cracks_1", 0)],
)
def test_labels_against_names(name, wrong):
    found = found_in(train=[row(name, FILES[0], [(1, 1, 9, 9), (20, 20, 40, 40)], [0, 1])])
    assert [(m.kind, m.boxes) for m in found.mistakes] == [("class_not_name", (1,))] * wrong


corner = st.integers(0, 30)
box = st.tuples(corner, corner, st.integers(1, 20), st.integers(1, 20)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)


@given(box, box)
def test_iou_is_that_of_counted_pixels(one, other):
    drawn = np.zeros((2, 60, 60), bool)
    for mask, (x_min, y_min, x_max, y_max) in zip(drawn, (one, other), strict=True):
        mask[y_min:y_max, x_min:x_max] = True
    expected = (drawn[0] & drawn[1]).sum() / (drawn[0] | drawn[1]).sum()
    assert iou(np.array([one], float), np.array([other], float))[0, 0] == pytest.approx(expected)


# ---- samples: all that was planted, no false pair ----


@pytest.mark.parametrize("broken", [False, True])
@pytest.mark.parametrize("source", source_names())
def test_samples(sample_tree, source, broken):
    tree = sample_tree(source, broken=broken)
    traps = Counter[str]()
    for trap in json.loads(tree.with_name(f"{tree.name}.traps.json").read_text())["traps"]:
        traps[trap["kind"]] += trap["count"]
    result = verify(source, data_dir=tree, deep=True)
    found = [leaks for name, leaks in result.leaks.items() if name != "all"]
    reported = [pair for leaks in found for pair in leaks.pairs]
    assert {pair.kind for pair in reported} <= {"identical_file"}
    assert len({item.image_id for pair in reported for item in (pair.first, pair.second)}) == traps["identical_images"]
    assert not any(leaks.across for leaks in found)
    named = [m for leaks in found for m in leaks.mistakes if m.kind == "class_not_name"]
    assert sum(len(mistake.boxes) for mistake in named) == traps["class_not_file_name"]
    assert {m.kind for leaks in found for m in leaks.mistakes} <= {"class_not_name", "tiny_box"}
    # DeepPCB's sample has, as the real one, a board in both of the publisher's lists.
    assert [g.group for leaks in found for g in leaks.groups] == ["deeppcb/group20085"] * (source == "deeppcb")
    assert bool(result.exit_code) == broken


# ---- the command, and its page ----


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "radikal_datasets.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=180)


def test_the_command_on_a_source(sample_tree, tmp_path):
    page = tmp_path / "page.html"
    done = run("verify", "neu_det", "--data-dir", sample_tree("neu_det"), "--deep", "--html", page)
    assert done.returncode == 0, done.stderr
    assert "neu_det: leaks and mistakes" in done.stdout
    assert "annotations differ" in " ".join(done.stdout.split())
    assert str(page) in done.stdout.replace("\n", "")
    text = page.read_text("utf-8")
    assert not re.search(r"https?://|url\(|@import|<script|<link|src=\"(?!data:)", text)
    assert "Identical images with different annotations (1)" in text
    assert text.count("<img") >= 2


def test_the_command_on_a_prepared_folder(sample_tree, tmp_path):
    build_hub_folder("neu_det", data_dir=sample_tree("neu_det"), output_dir=tmp_path / "hub")
    done = run("verify", tmp_path / "hub", "--deep", "--json")
    assert done.returncode == 0, done.stderr
    (reported,) = json.loads(done.stdout).values()
    (pair,) = reported["pairs"]
    assert pair["kind"] == "identical_file"
    assert pair["conflict"]


@pytest.mark.parametrize(
    ("arguments", "reported"),
    [
        (("neu_det", "--deep"), "--data-dir"),
        (("neu_det", "--data-dir", "raw", "--html", "x.html"), "--deep"),
        (("no_such_thing", "--deep"), "neither a folder nor a source"),
        ((".",), "--deep"),
    ],
)
def test_invalid_calls(arguments, reported):
    done = run("verify", *arguments)
    assert done.returncode == 2
    assert reported in " ".join(done.stderr.replace("│", " ").split())


def test_page_of_everything(tmp_path):
    boxes = [(0, 0, 240, 239), (5, 5, 6, 30)]
    found = found_in(
        train=[row("<a>", FILES[0], boxes, (0, 1), group="g"), row("b", FILES[1]), row("broken", b"no image")],
        test=[row("c", FILES[0], group="g"), row("d", encoded(image(surface(1) * 0.8)))],
    )
    write_leaks_page(tmp_path / "page.html", "sample", {"one": found, "other": found_in(train=[row("x", FILES[5])])})
    page = (tmp_path / "page.html").read_text("utf-8")
    for part in (
        "Across splits (2)",
        "different annotations (1)",
        "g (1 train, 1 test)",
        "a box that covers over 90%",
        "Without pixels (1)",
    ):
        assert part in page
    assert "<a>" not in page
    assert "No leaks found." in page
