"""Read an image's size and orientation from its header and check its end marker, without decoding it."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import IO

import PIL.Image

from ..errors import MalformedAnnotationError, UnreadableImageError
from ..terminal import progress
from .orientation import TURNED, orientation_of
from .tree import Tree

#: More pixels than any inspection camera here has (the largest GDXray image has 6 million). A header that claims more
#: is treated as a decompression bomb and is never decoded.
MAX_PIXELS = 200_000_000

# A JPEG's entropy-coded data cannot contain FF D9 (stuffing), so its presence near the end means a complete file.
# Cameras and editors append padding, hence the last kilobyte is searched and not just the last two bytes.
_TAIL = 1024
_END_MARKERS = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}
_REMEDY = "Copy the file again from its source."


@dataclass(frozen=True)
class ImageHeader:
    """What the header of an image says.

    Attributes:
        stored: (width, height) of the pixels as they lie in the file.
        orientation: EXIF orientation, 1 to 8; 1 where the file states none.
        mode: Pillow's mode, such as "L" or "I;16".
    """

    stored: tuple[int, int]
    orientation: int = 1
    mode: str = "L"

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the image as it is displayed: EXIF orientation is applied."""
        width, height = self.stored
        return (height, width) if self.orientation in TURNED else (width, height)


def image_size(tree: Tree, path: str) -> tuple[int, int]:
    """Return width and height in pixels as stored, from the header.

    More than 8 bits are noted in `Tree.deep` or `Tree.deep_color`, an EXIF orientation in `Tree.orientations`: the
    builder turns sizes and boxes by it, after they are parsed.

    Raises:
        UnreadableImageError: no such file, no known header, no end marker (a truncated copy), or over `MAX_PIXELS`.
    """
    return image_header(tree, path).stored


def image_header(tree: Tree, path: str) -> ImageHeader:
    """Return what an image's header says, EXIF orientation included.

    Raises:
        UnreadableImageError: as for `image_size`.
    """
    with _readable(tree, path) as image:
        orientation = orientation_of(image)
        if orientation != 1:
            tree.orientations[path] = orientation
        if is_deep(image):
            tree.deep.add(path)
        elif has_deep_colors(image):
            tree.deep_color.add(path)
        # Pillow turns a TIFF itself, and states the size that it will have.
        turned = image.format == "TIFF" and orientation in TURNED
        width, height = image.size
        return ImageHeader((height, width) if turned else (width, height), orientation, image.mode)


def is_deep(image: PIL.Image.Image) -> bool:
    """Return whether an image has gray levels of more than 8 bits: 16 or 32 bits, or floats."""
    return image.mode[0] in "IF"


def has_deep_colors(image: PIL.Image.Image) -> bool:
    """Return whether a file holds colors, or gray with transparency, of 16 bits, of which Pillow keeps the upper 8."""
    return image.mode in ("RGB", "RGBA", "LA") and any(";16" in str(tile.args) for tile in getattr(image, "tile", ()))


@contextmanager
def _readable(tree: Tree, path: str) -> Iterator[PIL.Image.Image]:
    if path not in tree:
        raise UnreadableImageError(path, "no such file", _REMEDY)
    try:
        if tree.checksummed:
            yield _checked(BytesIO(tree.read(path)), path, tree.files[path].size)
            return
        with tree.open_file(path) as file:
            yield _checked(file, path, tree.files[path].size)
    except UnreadableImageError:
        raise
    except MalformedAnnotationError as error:  # raised by `Tree.read` for any unreadable file
        raise UnreadableImageError(path, error.found, _REMEDY) from None
    except OSError as error:
        raise UnreadableImageError(path, f"cannot be read: {error.strerror or error}", _REMEDY) from None


def _checked(file: IO[bytes], path: str, file_size: int) -> PIL.Image.Image:
    try:
        image = PIL.Image.open(file)
    except PIL.Image.DecompressionBombError as error:
        raise UnreadableImageError(path, str(error), "The image was not decoded. Check its origin.") from None
    except Exception as error:  # Pillow's plugins raise OSError, SyntaxError, struct.error, ValueError ...
        # Pillow's message names the file object, which does not help the reader.
        found = "no image header" if isinstance(error, PIL.UnidentifiedImageError) else f"bad header: {error}"
        raise UnreadableImageError(path, found, _REMEDY) from None
    width, height = image.size
    if width * height > MAX_PIXELS:
        remedy = "It may be a decompression bomb and was not decoded. Check its origin."
        raise UnreadableImageError(path, f"the header claims {width}x{height} pixels", remedy)
    marker = _END_MARKERS.get(image.format or "")
    if marker is not None:
        file.seek(max(0, file_size - _TAIL))
        if marker not in file.read(_TAIL):
            name = "EOI" if image.format == "JPEG" else "IEND"
            raise UnreadableImageError(path, f"truncated: no {name} marker at the end of {file_size} bytes", _REMEDY)
    return image


def identical_files(tree: Tree, paths: Iterable[str]) -> list[list[str]]:
    """Return sets of two or more byte-identical files, each in path order.

    Only files of equal size are read, so a tree of distinct sizes costs nothing.
    """
    by_size: dict[int, list[str]] = defaultdict(list)
    for path in sorted(set(paths)):
        by_size[tree.files[path].size].append(path)
    by_content: dict[bytes, list[str]] = defaultdict(list)
    for same_size in by_size.values():
        if len(same_size) > 1:
            for path in progress(same_size, "comparing images of equal size", unit="image"):
                by_content[hashlib.sha256(tree.read(path)).digest()].append(path)
    return sorted(duplicates for duplicates in by_content.values() if len(duplicates) > 1)
