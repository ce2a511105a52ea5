"""Each notice appears when it should, and a faultless dataset has none."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image
from test_statistics import encoded, of, row

from radikal_datasets.stats.statistics import Statistics


def image(labels: list[int], **options: Any) -> dict[str, Any]:
    return row([(8, 8, 40, 40)] * len(labels), labels, **options)


GOOD: dict[str, Any] = {
    "train": [image([0, 0, 1, 2])] * 20 + [row()] * 5,
    "validation": [image([0, 1, 2])] * 4,
    "test": [image([0, 1, 2])] * 4,
}


def kinds(found: Statistics) -> list[str]:
    return [notice.kind for notice in found.notices]


def text(found: Statistics, kind: str) -> str:
    return next(notice.text for notice in found.notices if notice.kind == kind)


def test_a_good_set_has_none() -> None:
    assert kinds(of(**GOOD)) == []


def test_a_class_that_is_rare_or_absent() -> None:
    assert text(of(train=[image([0])] * 20 + [image([1])] * 19 + [row()]), "few_boxes").startswith(
        "Fewer than 20 boxes: pore (19)."
    )
    found = of(train=[image([0, 1])] * 20 + [row()])
    assert kinds(found) == ["absent_class"]
    assert text(found, "absent_class") == "There are no boxes of spot."


def test_a_split_that_lacks_a_class() -> None:
    found = of(**(GOOD | {"test": [image([0])] * 4}))
    assert text(found, "split_lacks_class") == "test has no pore, spot."
    # A publisher's train split without defects.
    found = of(**(GOOD | {"validation": [row()] * 4}))
    assert text(found, "split_lacks_class") == "validation has no boxes at all."
    # Unannotated images lack nothing.
    assert kinds(of(**GOOD, unlabeled=[row(annotated=False)])) == ["unannotated"]


def test_unbalanced_classes_from_ten_to_one() -> None:
    assert "unbalanced" not in kinds(of(train=[image([0] * 199 + [1] * 20 + [2] * 20), row()]))
    found = of(train=[image([0] * 200 + [1] * 20 + [2] * 30), row()])
    assert (
        text(found, "unbalanced")
        == "The classes are very unbalanced: 200 boxes of crack, but 20 of pore, 10 times fewer."
    )


def test_tiny_boxes_are_counted_where_images_are_stretched() -> None:
    # 2 of 200 pixels correspond to 6.4 of 640.
    few = row([(0, 0, 2, 100), (0, 0, 3, 100)], [1, 1], size=(200, 200))
    found = of(**(GOOD | {"train": [*GOOD["train"], few]}))
    assert kinds(found) == ["tiny_boxes"]
    assert text(found, "tiny_boxes").startswith("1 of 106 boxes (0.9%) have a side under 8 pixels")


def test_notices_of_unannotated_broken_and_missing_defect_free_images() -> None:
    found = of(train=[image([0])] * 20, unlabeled=[row(annotated=False, data=b"no image")])
    assert kinds(found) == ["unannotated", "no_defect_free", "absent_class", "undecodable"]
    assert text(found, "unannotated").startswith("1 of 21 images are unannotated")
    assert text(found, "undecodable").startswith("1 of 21 images cannot be decoded")


def test_a_set_without_any_box() -> None:
    assert kinds(of(train=[row()] * 3)) == ["no_boxes"]


@pytest.mark.parametrize(("level", "reported"), [(130, "brighter"), (70, "darker"), (103, None)])
def test_a_split_with_different_lighting(level: int, reported: str | None) -> None:
    other = [image([0, 1, 2], data=encoded(Image.new("L", (4, 4), level)))] * 20
    found = of(**(GOOD | {"test": other, "train": GOOD["train"] * 4}))
    assert ("brightness_differs" in kinds(found)) == (reported is not None)
    if reported:
        assert text(found, "brightness_differs").startswith(f"test is {reported} than the dataset as a whole by ")
