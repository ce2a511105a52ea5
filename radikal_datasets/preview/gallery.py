"""A gallery of images with their ground truth: one HTML file with filters, a large view and keys, without network."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ..view.annotated_image import DEFECT_FREE, NOT_ANNOTATED, AnnotatedImage
from ..view.drawing import MASK_OPACITY, Look, looks
from ..view.overlay import Mark, overlay
from ..view.pages import embedded, within
from ..view.palette import ON_IMAGES
from ..view.viewer import Figure, Filter, write_viewer
from .chosen_images import Choice, ChoiceError

#: Bytes of all images of a page together, as they stand in it. Many or large images are made smaller to keep to it.
MAX_BYTES = 24_000_000
#: More are refused: the smallest image of a page is about 10 kB.
MAX_IMAGES = 2000

_CLEAN, _UNKNOWN = "clean", "unknown"  # values of the filter by class where a class's number would stand


def write_gallery(file: Path, choice: Choice) -> int:
    """Write the page and return the number of images in it; an older page stays until this one is complete.

    Raises:
        ChoiceError: more than `MAX_IMAGES` images.
    """
    if len(choice.places) > MAX_IMAGES:
        raise ChoiceError(f"{len(choice.places):,} images for one page; it holds {MAX_IMAGES:,} at most: ask for fewer")
    styles = looks(choice.names)
    figures = []
    layers = {"boxes"}
    for picture in choice.images():
        figures.append(_figure(picture, choice, styles, MAX_BYTES // len(choice.places)))
        layers |= {"masks"} if picture.masks else set()
        layers |= {"template"} if picture.reference is not None else set()
    classes = {_CLEAN: DEFECT_FREE, _UNKNOWN: NOT_ANNOTATED} | {str(i): look.name for i, look in enumerate(styles)}
    about = (
        f"{len(figures):,} of {choice.total:,} images, taken from classes and splits in turn (seed {choice.seed}). "
        "The letters at a box stand for its class."
    )
    write_viewer(
        file,
        "gallery.html",
        "radikal_datasets.preview",
        title=choice.heading(),
        figures=figures,
        looks=styles,
        filters=[
            Filter("Class", "class", classes, swatches=True, always=True),
            Filter("Split", "split", {str(i): split for i, split in enumerate(choice.splits)}),
            Filter("Set", "set", {str(i): title for i, title in enumerate(choice.titles)}),
        ],
        layers=sorted(layers),
        about=about,
    )
    return len(figures)


def _figure(picture: AnnotatedImage, choice: Choice, styles: Sequence[Look], budget: int) -> Figure:
    def addresses(edge: int, quality: int) -> tuple[str, str, str]:
        return (
            embedded(picture.image, edge, quality),
            _masks(picture, styles, edge) if picture.masks else "",
            embedded(picture.reference, edge, quality) if picture.reference else "",
        )

    image, masks, reference = within(budget, addresses)
    size = picture.image.size
    marks = [
        Mark(box, f"c{label}", styles[label].code) for box, label in zip(picture.boxes, picture.labels, strict=True)
    ]
    template = overlay(size, reference, alt="template", layer="template", title="template", hidden=True)
    described = picture.described(choice.names)
    held = [str(label) for label in sorted(set(picture.labels))]
    return Figure(
        label=f"{picture.image_id}, {picture.split}: {described}",
        ratio=size[0] / size[1],
        stacks=[overlay(size, image, marks, masks=masks, title="tested")],
        hidden=[template] if reference else [],
        keys={
            "class": held or [_CLEAN if picture.annotated else _UNKNOWN],
            "split": [str(choice.splits.index(picture.split))],
            "set": [str(choice.titles.index(picture.title))],
        },
        about={
            "name": picture.image_id,
            "split": picture.split,
            "counts": picture.counts(),
            "described": described,
        },
    )


def _masks(picture: AnnotatedImage, styles: Sequence[Look], edge: int) -> str:
    """All masks as one PNG with translucent colors; where two meet, the later one's."""
    size = picture.image.size
    scale = min(1, edge / max(size))
    size = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
    numbers = np.zeros(size[::-1], np.uint8)
    for mask, label in zip(picture.masks, picture.labels, strict=True):
        inside = Image.fromarray(np.where(np.asarray(mask) != 0, 255, 0).astype(np.uint8))
        # Any pixel that the mask touches: a thin crack must not vanish where the image is made smaller.
        numbers[np.asarray(inside.resize(size, Image.Resampling.BOX)) > 0] = 1 + ON_IMAGES.index(styles[label].color)
    image = Image.fromarray(numbers, "P")
    image.putpalette(bytes(3) + b"".join(bytes.fromhex(color[1:]) for color in ON_IMAGES))
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True, transparency=bytes([0] + [round(255 * MASK_OPACITY)] * len(ON_IMAGES)))
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()
