"""`preview`: a contact sheet (PNG) or a gallery (HTML) of a few images with their ground truth drawn on them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ..errors import OutputError
from ..files import atomic_file, refuse_inside
from ..loading.sets import open_sets
from ..view.contact_sheet import contact_sheet
from .chosen_images import Choice, ChoiceError, choose
from .gallery import write_gallery

#: Default number of images.
SHEET_IMAGES, GALLERY_IMAGES = 24, 200
#: A contact sheet is held in memory as one image: about 0.6 GB for this many.
MOST_ON_SHEET = 400


@dataclass(frozen=True)
class Written:
    """The written file: number of images in it, number available, and its size in bytes."""

    file: Path
    shown: int
    total: int
    size: int


def write_preview(
    name: str,
    config: str | None = None,
    *,
    output: str | os.PathLike[str],
    data_dir: str | os.PathLike[str] | None = None,
    protocol: str | None = None,
    split: str | None = None,
    classes: Sequence[str] = (),
    images: int | None = None,
    seed: int = 0,
) -> Written:
    """Write a contact sheet to `output` if it ends in `.png`, a gallery if in `.html`; atomically replace an older one.

    Args:
        name, config, data_dir, protocol: as in `loading.sets.open_sets`.
        split, classes, seed: as in `chosen_images.choose`.
        images: maximum number; None: 24 on a contact sheet, 200 in a gallery.

    Raises:
        OutputError: `output` has another extension, or is inside the raw tree.
        ChoiceError: no image to show.
        RadikalError: as `load_dataset` raises it.
    """
    file = Path(output)
    if file.suffix.lower() not in (".png", ".html"):
        raise OutputError(f"{file} must end in .png (contact sheet) or .html (gallery).")
    refuse_inside(file, [data_dir], what="the raw tree")
    on_sheet = file.suffix.lower() == ".png"
    count = images if images is not None else SHEET_IMAGES if on_sheet else GALLERY_IMAGES
    sets = open_sets(name, config, data_dir=data_dir, protocol=protocol)
    if on_sheet and count > MOST_ON_SHEET:
        raise ChoiceError(
            f"{count:,} images do not fit on one contact sheet; the maximum is {MOST_ON_SHEET:,}. Ask for fewer."
        )
    choice = choose(sets, split=split, classes=classes, images=count, seed=seed)
    shown = _write_sheet(file, choice) if on_sheet else write_gallery(file, choice)
    return Written(file, shown, choice.total, file.stat().st_size)


def sheet_of(choice: Choice) -> tuple[Image.Image, int]:
    """Return a contact sheet, 1,320 pixels wide, of all chosen images, and their number."""
    about = f"{{shown}} of {choice.total:,} images, taken from classes and splits in turn (seed {choice.seed})"
    return contact_sheet(choice.images(), choice.names, heading=(choice.heading(), about))


def _write_sheet(file: Path, choice: Choice) -> int:
    sheet, shown = sheet_of(choice)
    with atomic_file(file) as part:
        sheet.save(part, "PNG", optimize=True)
    return shown
