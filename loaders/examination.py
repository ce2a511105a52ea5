"""What some images of a dataset say about all of it: gray or colored, and the scale of more than 8 bits."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Literal

from loaders.decoding import is_gray
from loaders.records import Record
from radikal_datasets.errors import GrayScaleError
from radikal_datasets.gray_scale import LEAST_LEVELS, GrayScale, levels_of

logger = logging.getLogger(__name__)


def found_gray_scale(records: Sequence[Record], stated: GrayScale | None) -> GrayScale | None:
    """Take the scale that is stated with the dataset, or find one; check that it leaves enough gray levels.

    Raises:
        GrayScaleError: it does not.
    """
    levels = levels_of(record.image for record in records if record.image is not None)
    if levels is None:
        return stated
    scale = stated or levels.scale()
    if problem := levels.problem(scale):
        raise GrayScaleError(problem)
    if dark := levels.too_dark(scale):
        logger.warning(
            "%d of %d examined images of more than 8 bits keep fewer than %d gray levels on the dataset's scale "
            "from %g to %g: they have other bit depths than the rest. Convert them to one depth.",
            *(dark, len(levels.images), LEAST_LEVELS, scale.low, scale.high),
        )
    return scale


def found_channels(records: Sequence[Record]) -> Literal["gray", "rgb"]:
    """Decide what the planes are: one, if these images are gray; nevertheless, one in twenty may be colored."""
    colored, most = [], len(records) // 20
    for record in records:
        if not _is_gray_or_broken(record):
            colored.append(record.image_id)
            if len(colored) > most:
                return "rgb"
    if colored:
        logger.warning(
            "%d of %d examined images are colored, such as %s. The dataset is treated as gray, and they are shown "
            "by their luminance. Set channels='rgb' to keep colors.",
            len(colored),
            len(records),
            colored[0],
        )
    return "gray"


def _is_gray_or_broken(record: Record) -> bool:
    """Return whether an image is gray or broken: a broken one does not decide, and is reported when its turn comes."""
    try:
        return record.image is None or is_gray(record.image)
    except Exception:  # each image library raises its own kinds
        return True
