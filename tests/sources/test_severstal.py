from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from radikal_datasets import errors
from radikal_datasets.annotations.rle import encode
from radikal_datasets.sources import builder_class
from radikal_datasets.sources.severstal import SIZE, SOURCE

CLASSES = ("defect_1", "defect_2", "defect_3", "defect_4")
WIDTH, HEIGHT = SIZE
NEW, OLD = "ImageId,ClassId,EncodedPixels", "ImageId_ClassId,EncodedPixels"


def build(root, tmp_path, **options):
    return builder_class("severstal")(data_dir=str(root), cache_dir=str(tmp_path / "cache"), **options)


def examples(builder):
    return {
        example.image_id.removeprefix("severstal/"): (split, example)
        for split, found in builder.index().splits.items()
        for example in found
    }


def two_squares() -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[10:20, 100:130] = True
    mask[200:256, 1590:1600] = True
    return mask


def one_square() -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[50:60, 700:720] = True
    return mask


def write_csv(root: Path, header: str, *rows: str, end: str = "\n") -> None:
    (root / "train.csv").write_text(end.join([header, *rows]) + end, newline="")


def new_rows() -> list[str]:
    return [f"aaa000001.jpg,3,{encode(two_squares())}", f"aaa000001.jpg,1,{encode(one_square())}"]


def old_rows() -> list[str]:
    """Four rows per image: a defective one and a clean one."""
    codes = {1: encode(one_square()), 3: encode(two_squares())}
    rows = [f"aaa000001.jpg_{k},{codes.get(k, '')}" for k in range(1, 5)]
    return rows + [f"aaa000002.jpg_{k}," for k in range(1, 5)]


@pytest.fixture
def strips(tmp_path):
    """A defective and a clean training image, a test image, and the csv with the new header."""
    root = tmp_path / "severstal"
    for number, name in enumerate(("train_images/aaa000001", "train_images/aaa000002", "test_images/bbb000001")):
        path = root / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.new("RGB", SIZE, (40 + 60 * number,) * 3).save(path)
    write_csv(root, NEW, *new_rows())
    return root


def use_old(root: Path) -> None:
    write_csv(root, OLD, *old_rows())


def use_new(root: Path) -> None:
    write_csv(root, NEW, *new_rows())


def use_another_order(root: Path) -> None:
    write_csv(
        root, "EncodedPixels,ClassId,Note,ImageId", *(",".join([r[2], r[1], "x", r[0]]) for r in map(parts, new_rows()))
    )


def use_quotes_and_crlf(root: Path) -> None:
    write_csv(root, f"\ufeff{NEW}", *(",".join(f'"{part}"' for part in parts(row)) for row in new_rows()), end="\r\n")


def parts(row: str) -> list[str]:
    return row.split(",")


@pytest.mark.parametrize("write", [use_new, use_old, use_another_order, use_quotes_and_crlf])
def test_both_headers_read_alike_by_name(strips, tmp_path, write):
    write(strips)
    builder = build(strips, tmp_path)
    found = examples(builder)
    _, defective = found["aaa000001"]
    assert {(i.label, i.box) for i in defective.instances} == {
        ("defect_3", (100, 10, 130, 20)),
        ("defect_3", (1590, 200, 1600, 256)),
        ("defect_1", (700, 50, 720, 60)),
    }
    assert found["aaa000002"][1].annotated
    assert found["aaa000002"][1].instances == []
    split, test = found["bbb000001"]
    assert (split, test.annotated, test.image) == ("unlabeled", False, "test_images/bbb000001.jpg")
    assert builder.report().counts() == {}


def test_masks_are_the_pixels_that_were_coded(strips, tmp_path):
    builder = build(strips, tmp_path)
    _, example = examples(builder)["aaa000001"]
    union = {label: np.zeros((HEIGHT, WIDTH), dtype=bool) for label in CLASSES}
    for instance in example.instances:
        mask = instance.mask.source.labels(builder.tree, WIDTH, HEIGHT) == instance.mask.component
        x_min, y_min, x_max, y_max = map(int, instance.box)
        assert mask[y_min:y_max, x_min:x_max].all()  # they are rectangles
        assert mask.sum() == (x_max - x_min) * (y_max - y_min)
        union[instance.label] |= mask
    assert (union["defect_3"] == two_squares()).all()
    assert (union["defect_1"] == one_square()).all()


def test_image_without_a_row_is_clean_in_the_new_format_and_unknown_in_the_old(strips, tmp_path):
    write_csv(strips, OLD, *old_rows()[:4])
    builder = build(strips, tmp_path)
    assert examples(builder)["aaa000002"][0] == "unlabeled"
    assert builder.report().counts() == {"missing_truth": 1, "unnamed_images": 1}
    assert builder.report().loses_something


def remove_csv(root: Path) -> None:
    (root / "train.csv").unlink()


def empty_table(root: Path) -> None:
    write_csv(root, NEW)


@pytest.mark.parametrize("spoil", [remove_csv, empty_table])
def test_no_table_means_unannotated(strips, tmp_path, spoil):
    spoil(strips)
    builder = build(strips, tmp_path)
    assert set(builder.index().splits) == {"unlabeled"}
    assert builder.report().counts() == {"missing_truth": 2, "unnamed_images": 2}


def test_extensions_in_upper_case(strips, tmp_path):
    before = {name: (s, e.instances, e.annotated) for name, (s, e) in examples(build(strips, tmp_path)).items()}
    for path in strips.rglob("*.jpg"):
        path.rename(path.with_suffix(".JPG"))
    for rows in (new_rows(), [row.replace(".jpg", ".JPG") for row in new_rows()]):
        write_csv(strips, NEW, *rows)
        builder = build(strips, tmp_path)
        assert {name: (s, e.instances, e.annotated) for name, (s, e) in examples(builder).items()} == before
        assert builder.report().counts() == {}


# ---- train.csv ends within a line ----


def cut(root: Path, text: str) -> None:
    (root / "train.csv").write_text(text, newline="")


CUT = [
    f"{NEW}\naaa000001.jpg,3,1 5\naaa000002.jpg,3,1 9 300 2",  # half a code may be a valid code
    f"{NEW}\naaa000001.jpg,3,1 5\naaa000002.jpg,3,1 9\naaa000002.jpg,1",
    f"{NEW}\naaa000001.jpg,3,1 5\naaa000002.jpg,3,1 9\naaa0000",
    f"{OLD}\naaa000001.jpg_3,1 5\naaa000002.jpg_2,1 9",
    f"{OLD}\naaa000001.jpg_3,1 5\naaa000002.jpg_2,1 9\naaa000002.jpg_",
    f"{OLD}\naaa000001.jpg_3,1 5\naaa000002.jpg_2,1 9\naaa000002.j",
]


@pytest.mark.parametrize("text", CUT)
def test_truncated_row_affects_its_image_only(strips, tmp_path, text):
    cut(strips, text)
    builder = build(strips, tmp_path)
    assert set(examples(builder)) == {"aaa000001", "bbb000001"}
    line = len(text.splitlines())
    assert [(p.kind, p.line) for p in builder.report().problems] == [("malformed_annotation", line)]
    with pytest.raises(errors.MalformedAnnotationError, match=rf"train\.csv, line {line}: the file is truncated here"):
        build(strips, tmp_path, strict=True).index()


@pytest.mark.parametrize("last", ["aaa0000015.jpg,3,1 5", "aaa0000015", "aaa0000015.jpg,3,"])
def test_images_after_the_truncation_are_not_clean(strips, tmp_path, last):
    """The rows after it are lost. aaa000001 comes before it and is clean, aaa000002 after it."""
    cut(strips, f"{NEW}\naaa0000011.jpg,3,1 5\n{last}")
    PIL.Image.new("RGB", SIZE, (9,) * 3).save(strips / "train_images/aaa0000011.jpg")
    builder = build(strips, tmp_path)
    annotated = {name: example.annotated for name, (_, example) in examples(builder).items()}
    assert annotated == {"aaa000001": True, "aaa0000011": True, "aaa000002": False, "bbb000001": False}
    # The row's own image is missing; it is counted once.
    assert builder.report().counts() == {"malformed_annotation": 1, "missing_truth": 1}


def test_truncated_unordered_table_makes_no_image_clean(strips, tmp_path):
    cut(strips, f"{NEW}\nzzz.jpg,3,1 5\naaa000001.jpg,3,1 5\nzzz.jpg,1,9")
    builder = build(strips, tmp_path)
    assert not examples(builder)["aaa000002"][1].annotated
    assert builder.report().counts() == {"malformed_annotation": 1, "missing_truth": 1}


def test_rows_of_commas_need_no_line_end(strips, tmp_path):
    cut(strips, "\n".join([NEW, *new_rows(), ",,", ","]))
    builder = build(strips, tmp_path)
    assert len(examples(builder)) == 3
    assert builder.report().counts() == {"rows_without_image": 2}


# ---- long codes ----


def test_long_code_is_read(strips, tmp_path):
    code = " ".join(f"{start} 1" for start in range(1, 60_000, 2))
    assert len(code) > 200_000
    write_csv(strips, NEW, f"aaa000001.jpg,3,{code}")
    limit = csv.field_size_limit()
    builder = build(strips, tmp_path)
    (instance, *_) = examples(builder)["aaa000001"][1].instances
    assert (instance.mask.source.text, instance.box[:2]) == (code, (0, 0))
    assert builder.report().counts() == {}
    assert csv.field_size_limit() == limit


def test_overlong_field_affects_its_image_only(strips, tmp_path):
    write_csv(strips, NEW, *new_rows(), f"aaa000002.jpg,3,{'9' * 200_000}")
    builder = build(strips, tmp_path)
    assert set(examples(builder)) == {"aaa000001", "bbb000001"}
    assert builder.report().counts() == {"malformed_annotation": 1}


def spoil_header(root: Path) -> None:
    write_csv(root, "image,class,rle", *new_rows())


def empty_file(root: Path) -> None:
    (root / "train.csv").write_bytes(b"")


def open_quote(root: Path) -> None:
    write_csv(root, NEW, 'aaa000002.jpg,3,"1 5', *new_rows())


def quotes_around_rows(root: Path) -> None:
    write_csv(root, NEW, 'aaa000001.jpg,3,"1 5', 'aaa000002.jpg,3,1 5"')


@pytest.mark.parametrize("spoil", [spoil_header, empty_file, open_quote, quotes_around_rows])
def test_table_that_cannot_be_read_makes_no_image_clean(strips, tmp_path, spoil):
    spoil(strips)
    builder = build(strips, tmp_path)
    assert set(builder.index().splits) == {"unlabeled"}
    assert builder.report().counts() == {"malformed_annotation": 1, "missing_truth": 2}
    with pytest.raises(errors.MalformedAnnotationError, match=r"train\.csv, line \d+"):
        build(strips, tmp_path, strict=True).index()


@pytest.mark.parametrize(("header", "blank"), [(NEW, ",,"), (NEW, ","), (NEW, " , , "), (OLD, ",")])
def test_rows_of_commas_are_skipped_and_counted_once_each(strips, tmp_path, header, blank):
    rows = new_rows() if header == NEW else old_rows()
    write_csv(strips, header, *rows, *[blank] * 3000, "")
    report = build(strips, tmp_path).report()
    assert report.counts() == {"rows_without_image": 3000}
    assert [(p.path, p.line) for p in report.problems] == [("train.csv", len(rows) + 2)]
    assert not report.loses_something


def test_sample_submission_is_not_read(strips, tmp_path):
    before = build(strips, tmp_path)
    before_examples = examples(before)
    (strips / "sample_submission.csv").write_text("ImageId,EncodedPixels,ClassId\nbbb000001.jpg,1 409600,0\n")
    after = build(strips, tmp_path)
    assert examples(after) == before_examples
    assert after.config.name == before.config.name
    assert after.report().counts() == {}
    assert after.cache_dir == before.cache_dir


@pytest.mark.parametrize(
    ("row", "error", "where"),
    [
        ("aaa000002.jpg,3,1 2 3", errors.MalformedAnnotationError, r"train\.csv, line 4: .*do not form pairs"),
        ("aaa000002.jpg,3,1 x", errors.MalformedAnnotationError, r"train\.csv, line 4: .*'x'"),
        ("aaa000002.jpg,3,409600 2", errors.MalformedAnnotationError, r"train\.csv, line 4: .*409,600"),
        ("aaa000002.jpg,5,1 2", errors.UnknownClassError, r"train\.csv, line 4: class '5'"),
        ("aaa000002.jpg,0,1 2", errors.UnknownClassError, r"train\.csv, line 4: class '0'"),
        ("aaa000002.jpg,,1 2", errors.UnknownClassError, r"train\.csv, line 4: class ''"),
    ],
)
def test_one_bad_row_affects_its_image_only(strips, tmp_path, row, error, where):
    write_csv(strips, NEW, *new_rows(), row, "aaa000002.jpg,1,1 2 3")
    builder = build(strips, tmp_path)
    assert set(examples(builder)) == {"aaa000001", "bbb000001"}
    assert builder.report().counts() == {error.kind: 1}
    with pytest.raises(error, match=where):
        build(strips, tmp_path, strict=True).index()


def test_rows_of_an_image_that_is_not_there_are_counted_once(strips, tmp_path):
    write_csv(strips, NEW, *new_rows(), "ccc000001.jpg,3,1 2", "ccc000001.jpg,1,9 2", "bbb000001.jpg,1,1 2")
    builder = build(strips, tmp_path)
    assert set(examples(builder)) == {"aaa000001", "aaa000002", "bbb000001"}
    assert examples(builder)["bbb000001"][1].instances == []
    assert [(p.kind, p.line) for p in builder.report().problems] == [("missing_image", 6), ("missing_image", 4)]
    with pytest.raises(
        errors.MissingImageError, match=r"train\.csv, line 6: there is no image train_images/bbb000001\.jpg"
    ):
        build(strips, tmp_path, strict=True).index()


def test_mask_without_an_image_name_is_counted(strips, tmp_path):
    write_csv(strips, NEW, *new_rows(), ",3,1 2")
    builder = build(strips, tmp_path)
    assert len(examples(builder)) == 3
    assert builder.report().counts() == {"malformed_annotation": 1}


def test_mask_for_an_image_of_another_size(strips, tmp_path):
    for name in ("aaa000001", "aaa000002"):  # the second is clean: its size does not matter
        PIL.Image.new("RGB", (800, 128)).save(strips / f"train_images/{name}.jpg")
    builder = build(strips, tmp_path)
    assert set(examples(builder)) == {"aaa000002", "bbb000001"}
    assert builder.report().counts() == {"mask_size": 1}
    with pytest.raises(errors.MaskSizeError, match=r"aaa000001\.jpg: 800x128 pixels"):
        build(strips, tmp_path, strict=True).index()


def test_cut_off_images_are_left_out(strips, tmp_path):
    for name in ("train_images/aaa000001.jpg", "test_images/bbb000001.jpg"):
        path = strips / name
        path.write_bytes(path.read_bytes()[:-2])
    builder = build(strips, tmp_path)
    assert set(examples(builder)) == {"aaa000002"}
    assert builder.report().counts() == {"unreadable_image": 2}


def test_same_row_twice_is_a_duplicate(strips, tmp_path):
    write_csv(strips, NEW, *new_rows(), new_rows()[1])
    builder = build(strips, tmp_path)
    assert len(examples(builder)["aaa000001"][1].instances) == 3
    assert builder.report().counts() == {"duplicate_box": 1}


def test_test_images_alone_are_a_tree(strips, tmp_path):
    shutil.rmtree(strips / "train_images")
    (strips / "train.csv").unlink()
    assert set(build(strips, tmp_path).index().splits) == {"unlabeled"}


def test_no_official_split(strips, tmp_path):
    with pytest.raises(errors.ProtocolError, match=r"recommended.*70-15-15"):
        build(strips, tmp_path, protocol="official")


def test_classes_are_constants():
    assert SOURCE.config(None).classes == CLASSES
    assert SOURCE.config(None).rarest_first() == ["defect_2", "defect_4", "defect_1", "defect_3"]
