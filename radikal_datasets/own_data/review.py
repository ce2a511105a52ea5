"""Judge a set as a whole: faults that repeat usually mean that its format was misunderstood."""

from __future__ import annotations

from ..report import Effect, Kind, Report
from ..schema import Example

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
MOSTLY_UNLABELED = Kind(
    "mostly_unlabeled", Effect.MISREAD, "most images have no annotation: perhaps names do not match, or they are clean"
)
INVERTED_MASKS = Kind(
    "inverted_masks", Effect.MISREAD, "most masks mark more than half of their image: perhaps inverted"
)

#: Repairs that are meant for slips.
_SLIPS = ("swapped_corners", "clipped_box", "duplicate_box")
_SHARE, _LEAST = 0.2, 10


def review(examples: list[Example], report: Report, mask_shares: list[float], *, expected_unlabeled: bool) -> None:
    """Count repairs that apply to more than a fifth of all boxes, sets that are mostly unlabeled, and inverted masks.

    Args:
        examples: of the set.
        report: what was found so far; is added to.
        mask_shares: of every mask file, the share of its pixels that is defect.
        expected_unlabeled: images that no annotation mentions are clean, as the owner says.
    """
    boxes = sum(len(example.instances) for example in examples)
    counts = report.counts()
    lost_boxes = counts.get("empty_box", 0)
    for slip in _SLIPS:
        count = counts.get(slip, 0)
        if count >= _LEAST and count > _SHARE * (boxes + lost_boxes):
            meaning = f"{slip} applies to more than a fifth of all boxes: the format is probably another one"
            first = report.files(slip)[0]
            found = f"{count:,} of {boxes + lost_boxes:,} boxes. Are they x, y, width, height, or the classes shifted?"
            report.add(Kind(f"systematic_{slip}", Effect.MISREAD, meaning), first, found, count=count)
    unlabeled = [example for example in examples if not example.annotated]
    if len(unlabeled) * 2 > len(examples) and not expected_unlabeled and len(unlabeled) < len(examples):
        found = f"{len(unlabeled):,} of {len(examples):,} images"
        report.add(MOSTLY_UNLABELED, unlabeled[0].image, found, count=len(unlabeled))
    inverted = [share for share in mask_shares if share > 0.5]
    if mask_shares and len(inverted) * 2 > len(mask_shares):
        found = f"{len(inverted):,} of {len(mask_shares):,} masks"
        report.add(INVERTED_MASKS, examples[0].image if examples else "", found, count=len(inverted))
