from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from radikal_datasets import cli, errors, load_dataset, verify
from radikal_datasets.samples import make_sample
from radikal_datasets.sources import builder_class
from radikal_datasets.sources.deeppcb import SOURCE, SPLIT_OF_BOARD
from radikal_datasets.verification_tables import print_verification

CLASSES = ("open", "short", "mousebite", "spur", "spurious_copper", "pin_hole")


def build(root, tmp_path, **options):
    return builder_class("deeppcb")(data_dir=str(root), cache_dir=str(tmp_path / "cache"), **options)


def examples(builder):
    return {example.image_id: (split, example) for split, found in builder.index().splits.items() for example in found}


def write_pair(root: Path, key: str, truth: str | None = "1 2 11 12 1\n", side: int = 32) -> None:
    """A gray pair; `key` is like group20085/20085/20085000."""
    for kind in ("test", "temp"):
        path = root / f"{key}_{kind}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.new("L", (side, side), 200).save(path)
    if truth is not None:
        path = root / truth_of(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(truth, newline="")


def truth_of(key: str) -> str:
    return f"{key[:16]}_not/{key[17:]}.txt"


def write_list(root: Path, name: str, *keys: str) -> None:
    (root / name).write_text("\n".join(f"{key}.jpg {truth_of(key)}" for key in keys))


@pytest.fixture
def two_boards(tmp_path):
    """Two pairs of a training board, one of a validation board, one tested: PCBData/."""
    root = tmp_path / "PCBData"
    train = ["group20085/20085/20085000", "group20085/20085/20085001", "group44000/44000/44000011"]
    test = ["group20085/20085/20085002"]
    for key in train + test:
        write_pair(root, key)
    write_list(root, "trainval.txt", *train)
    write_list(root, "test.txt", *test)
    return root


def test_example_of_a_pair(two_boards, tmp_path):
    split, example = examples(build(two_boards, tmp_path))["deeppcb/group20085/20085/20085000"]
    assert split == "train"
    assert example.image == "group20085/20085/20085000_test.jpg"
    assert example.reference == "group20085/20085/20085000_temp.jpg"
    assert example.group == "deeppcb/group20085"
    assert (example.width, example.height) == (32, 32)
    assert [(i.label, i.box, i.mask) for i in example.instances] == [("open", (1, 2, 11, 12), None)]


def test_types_are_classes_in_their_order(two_boards, tmp_path):
    assert SOURCE.config(None).classes == CLASSES
    truth = "".join(f"1 2 11 {12 + kind} {kind}\n" for kind in range(1, 7))
    (two_boards / truth_of("group20085/20085/20085000")).write_text(truth)
    _, example = examples(build(two_boards, tmp_path))["deeppcb/group20085/20085/20085000"]
    assert tuple(instance.label for instance in example.instances) == CLASSES


@pytest.mark.parametrize(
    ("protocol", "expected"),
    [
        ("recommended", {"20085000": "train", "20085001": "train", "44000011": "validation", "20085002": "test"}),
        ("official", {"20085000": "train", "20085001": "train", "44000011": "train", "20085002": "test"}),
        ("70-15-15", {"20085000": "train", "20085001": "train", "44000011": "validation", "20085002": "train"}),
    ],
)
def test_protocols(two_boards, tmp_path, protocol, expected):
    found = examples(build(two_boards, tmp_path, protocol=protocol))
    assert {image_id.rpartition("/")[2]: split for image_id, (split, _) in found.items()} == expected


def test_every_board_is_assigned_by_every_protocol():
    numbers = (41, 12000, 12100, 12300, 13000, 20085, 44000, 50600, 77000, 90100, 92000)
    boards = {f"deeppcb/group{number:05d}" for number in numbers}
    assert set(SPLIT_OF_BOARD) == set(SOURCE.protocols) - {"official"}
    for table in SPLIT_OF_BOARD.values():
        assert set(table) == boards
    assert set(SPLIT_OF_BOARD["70-15-15"].values()) == {"train", "validation", "test"}
    # The publisher's test split is kept, so no board may be assigned to it.
    assert set(SPLIT_OF_BOARD["recommended"].values()) == {"train", "validation"}


@pytest.mark.parametrize("layout", ["parent", "tar", "zip", "tar.xz"])
def test_same_ids_and_splits_from_every_layout(two_boards, tmp_path, layout):
    expected = {i: (s, e.instances, e.group) for i, (s, e) in examples(build(two_boards, tmp_path)).items()}
    if layout == "parent":
        place = tmp_path / "DeepPCB-master"
        shutil.copytree(two_boards, place / "PCBData")
    elif layout == "tar":
        place = tmp_path / "deeppcb.tar"
        with tarfile.open(place, "w") as tar:
            tar.add(two_boards, "DeepPCB-master/PCBData")
    else:
        form = {"zip": "zip", "tar.xz": "xztar"}[layout]
        place = Path(shutil.make_archive(str(tmp_path / "deeppcb"), form, two_boards.parent, "PCBData"))
    found = {i: (s, e.instances, e.group) for i, (s, e) in examples(build(place, tmp_path)).items()}
    assert found == expected


def test_crlf_commas_and_a_missing_final_newline_are_no_problem(two_boards, tmp_path):
    (two_boards / truth_of("group20085/20085/20085000")).write_bytes(b"1,2,11,12,1\r\n3,4,13,14,2")
    builder = build(two_boards, tmp_path)
    _, example = examples(builder)["deeppcb/group20085/20085/20085000"]
    assert [instance.box for instance in example.instances] == [(1, 2, 11, 12), (3, 4, 13, 14)]
    assert builder.report().counts() == {}


def test_extensions_in_upper_case(two_boards, tmp_path):
    (two_boards / "trainval.txt").write_text((two_boards / "trainval.txt").read_text().replace(".jpg", ".JPG"))
    before = {i: (s, e.instances, e.group) for i, (s, e) in examples(build(two_boards, tmp_path)).items()}
    for path in [*two_boards.rglob("*.jpg"), *two_boards.glob("group*/*/*.txt")]:
        path.rename(path.with_suffix(path.suffix.upper()))
    builder = build(two_boards, tmp_path)
    found = examples(builder)
    assert {i: (s, e.instances, e.group) for i, (s, e) in found.items()} == before
    assert all(e.reference == e.image.replace("_test", "_temp") for _, e in found.values())
    assert builder.report().counts() == {}


def test_type_of_thousands_of_digits_affects_its_image_only(two_boards, tmp_path):
    (two_boards / truth_of("group20085/20085/20085000")).write_text("1 2 11 12 " + "1" * 5000)
    builder = build(two_boards, tmp_path)
    assert len(examples(builder)) == 3
    assert builder.report().counts() == {"malformed_annotation": 1}


def test_orphan_template_is_noted_and_nothing_lost(two_boards, tmp_path):
    shutil.copy(two_boards / "group20085/20085/20085000_temp.jpg", two_boards / "group20085/20085/20085034_temp.jpg")
    report = build(two_boards, tmp_path).report()
    assert report.counts() == {"orphan_template": 1}
    assert not report.loses_something


def test_pair_in_no_list_is_in_train(two_boards, tmp_path):
    write_pair(two_boards, "group20085/20085/20085009")
    builder = build(two_boards, tmp_path)
    assert examples(builder)["deeppcb/group20085/20085/20085009"][0] == "train"
    assert builder.report().counts() == {"unlisted_pair": 1}


def test_pair_in_both_lists_is_in_test_alone(two_boards, tmp_path):
    write_list(two_boards, "test.txt", "group20085/20085/20085002", "group20085/20085/20085001")
    builder = build(two_boards, tmp_path)
    assert examples(builder)["deeppcb/group20085/20085/20085001"][0] == "test"
    assert builder.report().counts() == {"listed_twice": 1}


def test_missing_lists_are_counted_pair_by_pair(two_boards, tmp_path):
    for name in ("trainval.txt", "test.txt"):
        (two_boards / name).unlink()
    builder = build(two_boards, tmp_path)
    assert set(builder.index().splits) == {"train", "validation"}
    assert builder.report().counts() == {"unlisted_pair": 4}


@pytest.mark.parametrize("truth", [None, "", "\r\n"])
def test_image_without_annotation_is_not_clean(two_boards, tmp_path, truth):
    path = two_boards / truth_of("group20085/20085/20085000")
    path.unlink() if truth is None else path.write_text(truth)
    builder = build(two_boards, tmp_path)
    split, example = examples(builder)["deeppcb/group20085/20085/20085000"]
    assert (split, example.annotated, example.instances) == ("unlabeled", False, [])
    assert builder.report().counts() == {"missing_truth": 1}


def spoil_template(root, key):
    path = root / f"{key}_temp.jpg"
    path.write_bytes(path.read_bytes()[:-2])


def remove_template(root, key):
    (root / f"{key}_temp.jpg").unlink()


def shrink_template(root, key):
    PIL.Image.new("L", (31, 32)).save(root / f"{key}_temp.jpg")


@pytest.mark.parametrize("spoil", [spoil_template, remove_template, shrink_template])
def test_image_is_kept_without_a_template_that_cannot_be_used(two_boards, tmp_path, spoil):
    spoil(two_boards, "group20085/20085/20085000")
    builder = build(two_boards, tmp_path)
    split, example = examples(builder)["deeppcb/group20085/20085/20085000"]
    assert (split, example.reference, len(example.instances)) == ("train", None, 1)
    assert builder.report().counts() == {"unreadable_reference": 1}
    assert builder.report().files("unreadable_reference") == ["group20085/20085/20085000_temp.jpg"]
    with pytest.raises(errors.UnreadableImageError, match="20085000_temp"):
        build(two_boards, tmp_path, strict=True).index()


def test_verify_and_load_dataset_agree_on_an_unreadable_template(two_boards, capsys):
    key = "group20085/20085/20085000"
    spoil_template(two_boards, key)
    result = verify("deeppcb", data_dir=two_boards)
    assert (result.exit_code, result.found("default")) == (0, (4, 4))
    assert not result.reports["default"].loses_something and result.reports["default"].loses_reference
    loaded = load_dataset("radikal_datasets/deeppcb", data_dir=str(two_boards))
    references = {row["image_id"]: row["reference"] for split in loaded.values() for row in split}
    assert len(references) == 4
    assert [image_id for image_id, reference in references.items() if reference is None] == [f"deeppcb/{key}"]
    print_verification(cli.console, result)
    reported = " ".join(capsys.readouterr().out.split())
    kept = "No image or box of this tree would be lost. 1 image would be kept without a reference, see above."
    assert kept in reported


def test_an_unreadable_template_is_not_an_unreadable_image(two_boards):
    file = two_boards / "group20085/20085/20085000_temp.jpg"
    out = io.BytesIO()
    PIL.Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32), np.uint8)).save(out, "PNG")
    data = bytearray(out.getvalue())
    data[60:600] = bytes(540)  # header and end marker remain
    file.write_bytes(data)
    assert verify("deeppcb", data_dir=two_boards).reports["default"].counts() == {}
    result = verify("deeppcb", data_dir=two_boards, deep=True)
    (problem,) = result.reports["default"].problems
    assert (problem.kind, problem.path) == ("unreadable_reference", "group20085/20085/20085000_temp.jpg")
    assert problem.found.startswith("cannot be decoded: ")
    assert result.exit_code == 0


def spoil_line(root, key):
    (root / truth_of(key)).write_text("1 2 11 12 1\n1 2 11 1\n")


def spoil_type(root, key):
    (root / truth_of(key)).write_text("1 2 11 12 1\n1 2 11 12 7\n")


def background_type(root, key):
    (root / truth_of(key)).write_text("1 2 11 12 1\n1 2 11 12 0\n")


def spoil_image(root, key):
    path = root / f"{key}_test.jpg"
    path.write_bytes(path.read_bytes()[:-2])


def remove_image(root, key):
    (root / f"{key}_test.jpg").unlink()


@pytest.mark.parametrize(
    ("spoil", "error", "where"),
    [
        (spoil_line, errors.MalformedAnnotationError, r"20085_not/20085000\.txt, line 2"),
        (spoil_type, errors.UnknownClassError, r"20085_not/20085000\.txt, line 2: type 7"),
        (background_type, errors.UnknownClassError, r"20085_not/20085000\.txt, line 2: type 0"),
        (spoil_image, errors.UnreadableImageError, r"20085/20085000_test\.jpg: truncated"),
        (
            remove_image,
            errors.MissingImageError,
            r"trainval\.txt, line 1: there is no image group20085/20085/20085000_test\.jpg",
        ),
    ],
)
def test_one_bad_file_affects_one_image(two_boards, tmp_path, spoil, error, where):
    whole = set(examples(build(two_boards, tmp_path)))
    spoil(two_boards, "group20085/20085/20085000")
    builder = build(two_boards, tmp_path)
    assert set(examples(builder)) == whole - {"deeppcb/group20085/20085/20085000"}
    assert builder.report().counts() == {error.kind: 1}
    assert builder.report().loses_something
    with pytest.raises(error, match=where):
        build(two_boards, tmp_path, strict=True).index()


def test_annotation_of_an_absent_image_in_no_list_is_counted_once(two_boards, tmp_path):
    path = two_boards / "group20085/20085_not/20085077.txt"
    path.write_text("1 2 11 12 1\n")
    shutil.copy(two_boards / "group20085/20085/20085000_temp.jpg", two_boards / "group20085/20085/20085077_temp.jpg")
    report = build(two_boards, tmp_path).report()
    assert report.counts() == {"missing_image": 1}
    assert report.files("missing_image") == ["group20085/20085_not/20085077.txt"]


def test_bad_line_in_a_list_is_named(two_boards, tmp_path):
    with (two_boards / "trainval.txt").open("a") as file:
        file.write("\nnonsense\n")
    report = build(two_boards, tmp_path).report()
    assert [(p.kind, p.path, p.line) for p in report.problems] == [("malformed_annotation", "trainval.txt", 4)]


def test_duplicates_and_boxes_outside_are_dropped_and_counted(two_boards, tmp_path):
    truth = "1 2 11 12 1\n1 2 11 12 1\n1 2 11 12 2\n12 20 40 24 3\n40 2 50 12 1\n12 24 5 28 4\n"
    (two_boards / truth_of("group20085/20085/20085000")).write_text(truth)
    builder = build(two_boards, tmp_path)
    _, example = examples(builder)["deeppcb/group20085/20085/20085000"]
    assert [(i.label, i.box) for i in example.instances] == [
        ("open", (1, 2, 11, 12)),
        ("short", (1, 2, 11, 12)),
        ("mousebite", (12, 20, 32, 24)),
        ("spur", (5, 24, 12, 28)),
    ]
    assert builder.report().counts() == {"duplicate_box": 1, "clipped_box": 1, "empty_box": 1, "swapped_corners": 1}


@pytest.mark.parametrize("broken", [False, True])
def test_sample_has_exactly_what_was_planted(sample_tree, tmp_path, broken):
    root = sample_tree("deeppcb", broken=broken)
    planted: Counter[str] = Counter()
    for trap in json.loads(root.with_name("deeppcb.traps.json").read_text())["traps"]:
        planted[trap["kind"]] += trap["count"]
    for protocol in SOURCE.protocols:
        builder = build(root, tmp_path, protocol=protocol)
        assert builder.report().counts() == planted
        assert builder.report().loses_something == broken
        found = builder.index().splits
        assert sum(map(len, found.values())) == 12
        expected = {"train", "test"} if protocol == "official" else {"train", "validation", "test"}
        assert set(found) - {"unlabeled"} == expected


def test_same_seed_same_bytes(tmp_path):
    for name in ("a", "b"):
        make_sample("deeppcb", tmp_path / name, images=12, seed=3, broken=True)
    files = [sorted(p.relative_to(tmp_path / name) for p in (tmp_path / name).rglob("*")) for name in ("a", "b")]
    assert files[0] == files[1]
    for path in files[0]:
        if (tmp_path / "a" / path).is_file():
            assert (tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes()


def test_sample_boxes_hold_what_differs_from_the_template(sample_tree):
    """Nothing is drawn outside the boxes, and every box contains a change."""
    root = sample_tree("deeppcb")
    for path in sorted(root.glob("group*/*/*_test.jpg")):
        key = path.relative_to(root).as_posix().removesuffix("_test.jpg")
        test, template = (
            np.asarray(PIL.Image.open(root / f"{key}_{kind}.jpg").convert("L")) for kind in ("test", "temp")
        )
        changed = (test > 128) != (template > 128)
        for line in (root / truth_of(key)).read_text().replace(",", " ").splitlines():
            x1, y1, x2, y2, _ = map(int, line.split())
            rows, columns = slice(min(y1, y2), max(y1, y2)), slice(min(x1, x2), max(x1, x2))
            assert ((test > 128) != (template > 128))[rows, columns].any()
            changed[rows, columns] = False
        assert not changed.any()


def test_images_keep_their_bytes(sample_tree, tmp_path):
    root = sample_tree("deeppcb")
    builder = build(root, tmp_path)
    builder.download_and_prepare()
    dataset = builder.as_dataset()
    assert {split: len(rows) for split, rows in dataset.items()} == {"train": 7, "validation": 2, "test": 3}
    for rows in dataset.values():
        assert rows.features["labels"].feature.names == list(CLASSES)
        for row in rows.with_format("arrow"):
            (row,) = row.to_pylist()
            for column, kind in (("image", "test"), ("reference", "temp")):
                path = f"{row['image_id'].removeprefix('deeppcb/')}_{kind}.jpg"
                assert row[column] == {"path": path, "bytes": (root / path).read_bytes()}
            assert row["masks"] == []
            assert row["annotated"]
            assert row["group"] == row["image_id"][: len("deeppcb/group20085")]
            assert len(row["boxes"]) == len(row["labels"]) > 0
    assert dataset["train"][0]["reference"].size == dataset["train"][0]["image"].size


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("protocol", "splits"),
    [
        ("recommended", {"train": (200, 1535), "validation": (50, 378), "test": (159, 1052)}),
        ("official", {"train": (250, 1913), "test": (159, 1052)}),
    ],
)
def test_real_boards(real_data, tmp_path, protocol, splits):
    builder = build(real_data("deeppcb"), tmp_path, protocol=protocol)
    report = builder.report()
    assert {split: (t["images"], t["boxes"]) for split, t in report.totals.items()} == splits
    assert report.counts() == {"orphan_template": 1}
    assert report.files("orphan_template") == ["group90100/90100/90100034_temp.jpg"]
    for _, example in examples(builder).values():
        assert example.reference == example.image.replace("_test", "_temp")
        assert (example.width, example.height) == (640, 640)
