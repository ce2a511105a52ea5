from __future__ import annotations

import dataclasses

import pytest
from datasets import ClassLabel, Image, List, Value

from radikal_datasets.errors import InvalidExampleError, UnreadableImageError
from radikal_datasets.report import KINDS, Report
from radikal_datasets.schema import Example, Instance, InstanceMask, features, validate

GOOD = Example("s/1", "a/1.png", 10, 8, [Instance("x", (0.0, 0.0, 10.0, 8.0))])


def test_the_columns_of_the_design() -> None:
    assert dict(features(["x", "y"])) == {
        "image_id": Value("string"),
        "image": Image(),
        "width": Value("int32"),
        "height": Value("int32"),
        "boxes": List(List(Value("float32"), length=4)),
        "labels": List(ClassLabel(names=["x", "y"])),
        "masks": List(Image()),
        "reference": Image(),
        "annotated": Value("bool"),
        "group": Value("string"),
    }


def test_a_good_example_passes() -> None:
    assert validate(GOOD, ["x"]) is GOOD


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": "a\\1.png"}, "posix"),
        ({"image": "/a/1.png"}, "posix"),
        ({"width": 0}, "size"),
        ({"annotated": False}, "unannotated image must not have boxes"),
        ({"instances": [Instance("y", (0, 0, 1, 1))]}, "class 'y'"),
        ({"instances": [Instance("x", (0, 0, 11, 1))]}, "extends beyond the 10x8 image"),
        ({"instances": [Instance("x", (3, 3, 3, 4))]}, "is empty"),
        ({"instances": [Instance("x", (float("nan"), 0, 1, 1))]}, "is empty"),
        ({"instances": [*GOOD.instances, Instance("x", (0, 0, 1, 1), InstanceMask(None, 1))]}, "1 of 2"),  # type: ignore
    ],
)
def test_what_breaks_the_schema_is_named(change: dict, message: str) -> None:
    with pytest.raises(InvalidExampleError, match=message):
        validate(dataclasses.replace(GOOD, **change), ["x"])


def test_a_report_counts_saves_and_loads(tmp_path) -> None:
    report = Report(totals={"train": {"images": 3, "boxes": 4}})
    report.add("duplicate_box", "a.png")
    report.add("identical_images", "a.png", "same bytes as b.png", count=2)
    assert not report.loses_something
    with report.costs_image():
        raise UnreadableImageError("c.png", "truncated", "Copy it again.")
    assert report.loses_something
    assert report.counts() == {"duplicate_box": 1, "identical_images": 2, "unreadable_image": 1}
    report.save(tmp_path)
    assert Report.load(tmp_path) == report


def test_strict_raises_the_first_that_costs_an_image() -> None:
    report = Report(strict=True)
    report.add("duplicate_box", "a.png")
    with pytest.raises(UnreadableImageError, match=r"c\.png: truncated\. Copy it again\."), report.costs_image():
        raise UnreadableImageError("c.png", "truncated", "Copy it again.")


def test_every_error_of_a_file_has_its_counter() -> None:
    from radikal_datasets import errors

    kinds = {e.kind for e in vars(errors).values() if isinstance(e, type) and issubclass(e, errors.BadFileError)}
    assert kinds - {"bad_file"} <= set(KINDS)
