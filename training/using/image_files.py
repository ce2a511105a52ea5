"""Find plain image files to inspect, and the template of each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from loaders.decoding import Decoder
from radikal_datasets.errors import ImageFileError
from radikal_datasets.gray_scale import GrayScale

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")
# DeepPCB's suffixes of the two files of a pair.
_TEST, _TEMPLATE = "_test", "_temp"


@dataclass(frozen=True)
class ImageFile:
    """An image file, named by its posix path relative to the folder that was searched, and its template, if any."""

    name: str
    file: Path
    reference: Path | None = None


def find_images(paths: Sequence[Path], *, pairs: bool = False) -> list[ImageFile]:
    """Return the image files among `paths`, which are files or folders searched recursively, sorted by name.

    Args:
        pairs: leave out DeepPCB's templates, `*_temp`, if there are `*_test` files.

    Raises:
        ImageFileError: one of the paths does not exist.
    """
    for path in paths:
        if not path.exists():
            raise ImageFileError(f"There is no file or folder {path} (the current directory is {Path.cwd()}).")
    files = {file.absolute() for path in paths for file in (_below(path) if path.is_dir() else [path])}
    if pairs and any(file.stem.endswith(_TEST) for file in files):
        files = {file for file in files if not file.stem.endswith(_TEMPLATE)}
    tops = [path.absolute() if path.is_dir() else path.absolute().parent for path in paths]
    base = Path(os.path.commonpath(tops)) if tops else Path()
    return sorted((ImageFile(file.relative_to(base).as_posix(), file) for file in files), key=lambda one: one.name)


def find_references(images: Sequence[ImageFile], folder: Path | None) -> list[ImageFile]:
    """Return the same images, each with its template.

    Args:
        folder: folder of templates with the same names as the images, or DeepPCB's `X_temp` for `X_test`. None: the
            templates are beside the images.

    Raises:
        ImageFileError: an image has no template.
    """
    if folder is not None and not folder.is_dir():
        raise ImageFileError(f"--references {folder}: there is no such folder.")
    found, missing = [], []
    for one in images:
        path = one.file if folder is None else folder / one.name
        candidates = template_names(path, beside=folder is None)
        reference = next((file for file in candidates if file.is_file()), None)
        found.append(replace(one, reference=reference))
        missing += [one.name] if reference is None else []
    if missing:
        shown = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise ImageFileError(
            f"This model compares each image with its defect-free template, but {len(missing)} of {len(images)} "
            f"images have none: {shown}. Pass --references FOLDER with a file of the same relative name for each "
            "image, or name the pairs as in DeepPCB: X_test.jpg and X_temp.jpg in the same folder."
        )
    return found


def is_test(file: Path) -> bool:
    """Return whether a file has DeepPCB's name of an image with a template beside it."""
    return file.stem.endswith(_TEST)


def template_names(path: Path, *, beside: bool) -> list[Path]:
    """Return the paths at which the template of an image may be, best first.

    Args:
        path: the image's path, or the same relative path in the folder of templates.
        beside: the template is beside the image, so under another name.
    """
    candidates = [_with_suffix(path, _TEST, _TEMPLATE)] if is_test(path) else []
    return candidates + ([] if beside else [path])


def read_pixels(file: Path, gray_scale: GrayScale | None = None) -> np.ndarray:
    """Return an image as uint8 (H, W, 3), RGB, decoded as in the loaders: as it is displayed.

    Args:
        gray_scale: of images of more than 8 bits; None: they can't be read.

    Raises:
        ImageFileError: the file cannot be read.
    """
    try:
        pixels, _ = Decoder(gray_scale)(str(file), color=True)
    except Exception as error:  # each image library raises its own kinds
        raise ImageFileError(f"Cannot read {file} as an image: {error}") from error
    return pixels.copy()


def _below(folder: Path) -> list[Path]:
    return [
        file
        for file in folder.rglob("*")
        if file.suffix.lower() in SUFFIXES
        and file.is_file()
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    ]


def _with_suffix(file: Path, old: str, new: str) -> Path:
    return file.with_name(file.stem.removesuffix(old) + new + file.suffix)
