"""The picture on a card: a contact sheet of a few images of a configuration, small enough for a repository."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import BytesIO
from itertools import zip_longest

from PIL import Image

from ..building.builder import InspectionBuilder
from ..gray_scale import GrayScale
from ..raw.orientation import upright
from ..schema import Example
from ..view.annotated_image import AnnotatedImage
from ..view.contact_sheet import Layout, contact_sheet, jpeg_within
from ..view.drawing import to_rgb

logger = logging.getLogger(__name__)

#: A sheet is never larger.
MAX_BYTES = 200_000

_IMAGES = 8
_LAYOUT = Layout(width=1064, high=254, wide=518, narrowest=256, gap=8, shrink=True)


def preview_sheet(builder: InspectionBuilder, gray_scale: GrayScale | None = None) -> bytes | None:
    """A JPEG of up to eight images, every class in turn and one that is defect-free; None where none can be decoded.

    The same tree gives the same bytes (with the same Pillow). An image that cannot be decoded is skipped.

    Args:
        gray_scale: of images of more than 8 bits.
    """
    splits = builder.index().splits
    examples = [example for rows in splits.values() for example in rows]
    split_of = {example.image_id: str(split) for split, rows in splits.items() for example in rows}
    clean = [e for e in examples if e.annotated and not e.instances]
    found = list(_decoded(builder, split_of, _by_class(examples, builder.class_names), _IMAGES, gray_scale))
    if clean and (last := list(_decoded(builder, split_of, _shuffled(clean), 1, gray_scale))):
        found = found[: _IMAGES - 1] + last
    if not found:
        return None
    sheet, _ = contact_sheet(found, builder.class_names, layout=_LAYOUT)
    return jpeg_within(sheet, MAX_BYTES)


def _shuffled(examples: Iterable[Example]) -> list[Example]:
    """In an order that is fixed and has nothing to do with names: neighbors are often of one object."""
    return sorted(examples, key=lambda example: _hash(example.image_id))


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _by_class(examples: list[Example], class_names: Sequence[str]) -> Iterator[Example]:
    """One image of each class, then a second of each, and so on; each image once."""
    mixed = _shuffled(example for example in examples if example.instances)
    if len(class_names) > _IMAGES:  # not all have a place: neighbors are often of one category
        class_names = sorted(class_names, key=_hash)
    queues = [[e for e in mixed if any(i.label == name for i in e.instances)] for name in class_names]
    seen: set[str] = set()
    for example in (example for row in zip_longest(*queues) for example in row if example is not None):
        if example.image_id not in seen:
            seen.add(example.image_id)
            yield example


def _decoded(
    builder: InspectionBuilder,
    split_of: Mapping[str, str],
    examples: Iterable[Example],
    count: int,
    gray_scale: GrayScale | None,
) -> Iterator[AnnotatedImage]:
    names = list(builder.class_names)
    for example in examples:
        if count == 0:
            return
        try:
            with Image.open(BytesIO(builder.tree.read(example.image))) as image:
                image.draft("RGB", (2 * _LAYOUT.high, 2 * _LAYOUT.high))  # a large JPEG is decoded at a fraction of it
                picture = to_rgb(upright(image), gray_scale)
        except Exception as error:  # Pillow's plugins raise OSError, SyntaxError, struct.error, ValueError ...
            logger.info("%s is left out of the preview, because it cannot be decoded: %s", example.image, error)
            continue
        scale = min(_LAYOUT.high / picture.height, _LAYOUT.wide / picture.width)
        if round(min(picture.size) * scale) == 0:  # a line of a hundred times its height
            continue
        count -= 1
        # The size of the file is what boxes are in, whatever the size it was decoded at.
        across, down = picture.width / example.width, picture.height / example.height
        yield AnnotatedImage(
            example.image_id,
            builder.config.name,
            split_of[example.image_id],
            picture,
            [[x0 * across, y0 * down, x1 * across, y1 * down] for x0, y0, x1, y1 in (i.box for i in example.instances)],
            [names.index(instance.label) for instance in example.instances],
            annotated=example.annotated,
        )
