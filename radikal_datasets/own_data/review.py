"""Judge a set as a whole: faults that repeat usually mean that its format was misunderstood."""

from __future__ import annotations

from ..building.set_checks import INVERTED_MASKS, MOSTLY_UNLABELED, check_masks, check_repairs, check_unlabeled
from ..report import Effect, Kind, Report
from ..schema import Example

__all__ = [
    "GROUP_IN_TWO_SPLITS",
    "INVERTED_MASKS",
    "MOSTLY_UNLABELED",
    "NO_SPLIT",
    "OTHER_FORMAT",
    "UNREAD_FILE",
    "review",
]

UNREAD_FILE = Kind(
    "unread_file", Effect.MISREAD, "files that nothing explains: name them under `ignore` in radikal.yaml, or move them"
)
OTHER_FORMAT = Kind(
    "other_format", Effect.NOTED, "annotations in another format than the one that was asked for: not read"
)
NO_SPLIT = Kind(
    "no_split", Effect.IMAGE_LOST, "the folder's own splits are to be kept, and the image is in none of them"
)
GROUP_IN_TWO_SPLITS = Kind(
    "group_in_two_splits", Effect.NOTED, "images of one group are in two splits, because the folder's splits are kept"
)
#: Repairs that are frequent in sets that are read correctly, with the reason.
_EXPECTED = {
    "exif_turned_annotation": "the size in the annotation says so",
    "identical_images": "copies of an image are one group",
    "resized_image": "the annotation states the size",
}


def review(examples: list[Example], report: Report, *, expected_unlabeled: bool) -> None:
    """Count repairs that apply to more than a fifth of all boxes, sets that are mostly unlabeled, and inverted masks.

    Args:
        examples: of the set.
        report: what was found so far; is added to.
        expected_unlabeled: images that no annotation mentions are clean, as the owner says.
    """
    check_repairs(examples, report, _EXPECTED, "Are they x, y, width, height, or the classes shifted?")
    if not expected_unlabeled and any(example.annotated for example in examples):
        check_unlabeled(examples, report)
    check_masks(examples, report, report.mask_shares)
