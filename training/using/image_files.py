"""Plain image files to look for defects in: which there are, and each one's template."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from loaders.decoding import Decoder
from radikal_datasets.errors import ImageFileError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")
# DeepPCB's names of the two files of a pair.
_TEST, _TEMPLATE = "_test", "_temp"


@dataclass(frozen=True)
class PictureFile:
    """An image file, named by its posix path below the folder that was asked for, and its template, if it has one."""

    name: str
    file: Path
    reference: Path | None = None


def find_pictures(places: Sequence[Path], *, pairs: bool = False) -> list[PictureFile]:
    """The image files of folders (with the folders in them) and single files, in the order of their names.

    Args:
        pairs: leave out DeepPCB's templates, `*_temp`, where there are `*_test`.

    Raises:
        ImageFileError: one of the places is not there.
    """
    for place in places:
        if not place.exists():
            raise ImageFileError(f"there is no file or folder {place} (the current directory is {Path.cwd()})")
    files = {file.absolute() for place in places for file in (_below(place) if place.is_dir() else [place])}
    if pairs and any(file.stem.endswith(_TEST) for file in files):
        files = {file for file in files if not file.stem.endswith(_TEMPLATE)}
    tops = [place.absolute() if place.is_dir() else place.absolute().parent for place in places]
    base = Path(os.path.commonpath(tops)) if tops else Path()
    return sorted((PictureFile(file.relative_to(base).as_posix(), file) for file in files), key=lambda one: one.name)


def find_references(pictures: Sequence[PictureFile], folder: Path | None) -> list[PictureFile]:
    """The same with the template of each.

    Args:
        folder: holds templates under the images' own names, or DeepPCB's `X_temp` for `X_test`. None: they lie beside
            the images.

    Raises:
        ImageFileError: an image has none.
    """
    if folder is not None and not folder.is_dir():
        raise ImageFileError(f"--references {folder}: there is no such folder")
    found, missing = [], []
    for one in pictures:
        place = one.file if folder is None else folder / one.name
        choices = [_other(place, _TEST, _TEMPLATE)] if one.file.stem.endswith(_TEST) else []
        choices += [] if folder is None else [place]
        reference = next((file for file in choices if file.is_file()), None)
        found.append(replace(one, reference=reference))
        missing += [one.name] if reference is None else []
    if missing:
        shown = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise ImageFileError(
            f"the model compares each image with its defect-free template, and {len(missing)} of {len(pictures)} "
            f"images have none: {shown}. Give --references FOLDER with a file of the same relative name for each, or "
            "name the pairs as DeepPCB does, X_test.jpg and X_temp.jpg side by side"
        )
    return found


def read_pixels(file: Path) -> np.ndarray:
    """uint8 (H, W, 3), RGB, as the loaders decode it: in the file's own frame, of 16 bits the upper 8.

    Raises:
        ImageFileError: it can't be read.
    """
    try:
        pixels, _ = Decoder()(str(file), color=True)
    except Exception as error:  # as many kinds as there are image libraries
        raise ImageFileError(f"{file} can't be read as an image: {error}") from error
    return pixels.copy()


def _below(folder: Path) -> list[Path]:
    return [
        file
        for file in folder.rglob("*")
        if file.suffix.lower() in SUFFIXES and file.is_file()
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    ]  # fmt: skip


def _other(file: Path, ending: str, instead: str) -> Path:
    return file.with_name(file.stem.removesuffix(ending) + instead + file.suffix)
