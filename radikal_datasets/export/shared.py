"""What the formats share: the exported images, names of files, and atomic writing."""

from __future__ import annotations

import csv
import hashlib
import os
import re
import shutil
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import ClassVar, Protocol

import PIL.Image

from ..errors import LayoutError, OutputError
from ..files import refuse_inside
from ..schema import Box

#: The names of splits that readers of COCO, YOLO and VOC expect, if they differ from ours.
SHORT_SPLITS = {"validation": "val"}

_STAGE = ".export-"
_LONGEST_STEM = 120  # with folders and extension well under the 260 characters of Windows
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)", re.IGNORECASE)


@dataclass(frozen=True)
class Record:
    """One annotated image to be written in a file format.

    Attributes:
        number: from 1 over all splits, in their order.
        image_id: as in the schema.
        split: as in the DatasetDict.
        stem, extension: of the file's name, safe on every system; the extension with its dot, in lower case.
        data: the image file's own bytes.
        width, height: pixels.
        boxes: x_min, y_min, x_max, y_max in pixels, 0-based and half-open.
        labels: one per box, from 0.
        masks: PNG of the image's size, 0 and 255, one per box; or none at all.
        group: as in the schema.
    """

    number: int
    image_id: str
    split: str
    stem: str
    extension: str
    data: bytes
    width: int
    height: int
    boxes: list[Box]
    labels: list[int]
    masks: list[bytes]
    group: str

    @property
    def file(self) -> str:
        """Name of the image file."""
        return self.stem + self.extension


@dataclass(frozen=True)
class About:
    """The description of a dataset: its title, and its license if it is known (otherwise "")."""

    title: str
    license: str = ""


class Writer(Protocol):
    """A format: receives a folder, then the images one by one; leaving it without an error completes the files."""

    #: Whether the format keeps masks.
    HOLDS_MASKS: ClassVar[bool]
    #: What to know about class numbers and files, in one sentence.
    REMARK: ClassVar[str]

    def __init__(self, folder: Path, classes: Sequence[str], about: About) -> None: ...

    def __enter__(self) -> Writer: ...

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None: ...

    def add(self, record: Record) -> None:
        """Write one image with its annotation."""
        ...

    def not_held(self) -> list[str]:
        """Return what the format could not keep of these images, beside masks and references; one phrase each."""
        ...


class ImageFolders:
    """Image files in folders, and `images.csv`, which keeps what their names cannot: image_id and group."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: set[Path] = set()
        self._table = (folder / "images.csv").open("w", newline="", encoding="utf-8")
        self._lines = csv.writer(self._table, lineterminator="\n")
        self._lines.writerow(["file", "split", "image_id", "group"])

    def add(self, record: Record, folder: str) -> None:
        """Write the image into a folder, given as a posix path below the export."""
        path = f"{folder}/{record.file}"
        self.write(path, record.data)
        self._lines.writerow([path, record.split, record.image_id, record.group])

    def write(self, path: str, data: bytes) -> None:
        """Write a file, given as a posix path below the export."""
        target = self._folder / path
        if target.parent not in self._made:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._made.add(target.parent)
        target.write_bytes(data)

    def close(self) -> None:
        """Complete `images.csv`."""
        self._table.close()


def short_split(split: str) -> str:
    """Return the name of a split's folder or list: `validation` becomes `val`."""
    return SHORT_SPLITS.get(split, split)


def file_stems(image_ids: Iterable[str]) -> dict[str, str]:
    """Return, for each image_id, the name of its files without extension; no name occurs twice.

    Slashes become `__`. Only ASCII letters, digits, `.`, `_` and `-` are kept (OpenCV on Windows cannot open other
    names), names that Windows reserves get a `_` in front, long ones are truncated, and names that are equal, or differ
    only in case, each get a part of their id's sha256.

    Raises:
        LayoutError: the same image_id twice.
    """
    stems: dict[str, str] = {}
    for image_id in image_ids:
        if image_id in stems:
            raise LayoutError(f"image_id {image_id!r} occurs twice. The ids must be unique: correct the dataset first.")
        stem = re.sub(r"[^A-Za-z0-9._-]", "_", image_id.replace("/", "__"))
        stem = f"_{stem}" if not stem or stem[0] in ".-" or _RESERVED.match(stem) else stem
        stems[image_id] = stem if len(stem) <= _LONGEST_STEM else _with_hash(stem, image_id)
    times = Counter(stem.lower() for stem in stems.values())
    return {key: stem if times[stem.lower()] == 1 else _with_hash(stem, key) for key, stem in stems.items()}


def extension_of(path: str | None, data: bytes) -> str:
    """Return the extension for an image's bytes: that of its path, or if it is not an image's, the format's own."""
    suffix = PurePosixPath(path or "").suffix.lower()
    if suffix in PIL.Image.registered_extensions():
        return suffix
    known = {
        b"\x89PNG": ".png",
        b"\xff\xd8": ".jpg",
        b"BM": ".bmp",
        b"II*\0": ".tif",
        b"MM\0*": ".tif",
        b"GIF8": ".gif",
        b"RIFF": ".webp",
    }
    return next((name for start, name in known.items() if data.startswith(start)), ".img")


@contextmanager
def atomic_output(output: Path, *inputs: str | os.PathLike[str] | None) -> Iterator[Path]:
    """Create a hidden folder in `output`, whose contents move up if the block succeeds; otherwise all is removed.

    Raises:
        OutputError: `output` is a file, is not empty, or is inside one of `inputs`.
    """
    _check(output, inputs)
    made = [folder for folder in (output, *output.parents) if not folder.exists()]
    output.mkdir(parents=True, exist_ok=True)
    stage = output / f"{_STAGE}{uuid.uuid4().hex[:8]}"
    stage.mkdir()
    moved: list[Path] = []
    try:
        yield stage
        _check(output, (), stage)
        for path in sorted(stage.iterdir()):
            moved.append(path.rename(output / path.name))
        stage.rmdir()
    except BaseException:
        for path in (stage, *moved):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        for folder in made:
            if not any(folder.iterdir()):
                folder.rmdir()
        raise


def _check(output: Path, inputs: Iterable[str | os.PathLike[str] | None], stage: Path | None = None) -> None:
    if output.exists() and not output.is_dir():
        raise OutputError(f"{output} is a file. Choose a folder.")
    refuse_inside(output, inputs, what="the input folder")
    there = sorted(path.name for path in output.iterdir() if path != stage) if output.is_dir() else []
    if there and all(name.startswith(_STAGE) for name in there):
        raise OutputError(
            f"{output} holds {there[0]}: another export is writing here, or was killed. In the latter case, remove it."
        )
    if there:
        names = ", ".join(there[:3]) + (", ..." if len(there) > 3 else "")
        raise OutputError(f"{output} holds other files ({names}). Choose a new or an empty folder.")


def _with_hash(stem: str, image_id: str) -> str:
    return f"{stem[: _LONGEST_STEM - 17]}-{hashlib.sha256(image_id.encode()).hexdigest()[:16]}"
