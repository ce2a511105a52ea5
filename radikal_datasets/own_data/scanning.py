"""Scan a folder of own data: recognize, read the settings and annotations, once per state of its files."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import ConfigNameError, LayoutError
from ..raw.tree import ARCHIVES, Tree
from .coco import read_coco
from .cvat import read_cvat
from .exported import read_exported
from .imagefolder import read_imagefolder
from .label_studio import read_label_studio
from .labelme import read_labelme
from .masks import read_masks
from .names import ROLES, nfc, split_in
from .parsed import Parsed
from .recognize import Files, recognize
from .settings import FORMATS, SETTINGS_FILENAME, OwnSettings, load_settings
from .table import read_table
from .voc import read_voc
from .yolo import read_yolo

_READERS: dict[str, Callable[[Files, Parsed], None]] = {
    "coco": read_coco,
    "yolo": read_yolo,
    "voc": read_voc,
    "masks": read_masks,
    "label_studio": read_label_studio,
    "cvat": read_cvat,
    "labelme": read_labelme,
    "imagefolder": read_imagefolder,
    "table": read_table,
}
assert tuple(_READERS) == FORMATS
_CACHED = 4


@dataclass
class Scan:
    """A folder of own data.

    Attributes:
        tree: below its root.
        settings: `radikal.yaml`.
        files: what lies where.
    """

    tree: Tree
    settings: OwnSettings
    files: Files
    _parsed: dict[str, Parsed] = field(default_factory=dict)

    def formats(self, name: str | None = None) -> list[str]:
        """Return the formats to read: the named one, the one of the settings, or all that were recognized.

        Raises:
            ConfigNameError: there is no format of that name.
            LayoutError: nothing was recognized.
        """
        if name is not None and name not in FORMATS:
            raise ConfigNameError(f"folder has no config {name!r}. Choose one of {', '.join(FORMATS)}.")
        if chosen := name or self.settings.format:
            return [chosen]
        if found := [one for one in FORMATS if one in self.files.formats]:
            return found
        raise LayoutError(nothing_recognized(self))

    def parsed(self, name: str) -> Parsed:
        """Return what the annotations of one format say."""
        if name not in self._parsed:
            parsed = self._parsed[name] = Parsed()
            _READERS[name](self.files, parsed)
            read_exported(self.files, parsed)
        return self._parsed[name]

    def classes(self, name: str) -> tuple[str, ...]:
        """Return the class names of one format, after the settings' names and merges."""
        if self.settings.classes is not None:
            return self.settings.classes
        renamed = (self.settings.renamed.get(one, one) for one in self.parsed(name).classes)
        # A set of good images alone has no class; its features need one nevertheless.
        return tuple(dict.fromkeys(renamed)) or ("defect",)

    @property
    def keeps_splits(self) -> bool:
        """Whether the folder's own splits are used."""
        if self.settings.splits is None:
            return bool(self.files.exported)
        return self.settings.splits == "as_they_are"


_scans: dict[Any, Scan] = {}


def scan_folder(data_dir: str | os.PathLike[str]) -> Scan:
    """Scan a folder or archive; the result is reused until one of its files changes.

    Raises:
        SourceNotFoundError, LayoutError: it does not exist, or cannot be opened.
        OwnDataSettingsError: `radikal.yaml` is wrong.
    """
    return scan_tree(open_root(data_dir))


def scan_tree(tree: Tree) -> Scan:
    """Scan a tree that `open_root` returned, as `scan_folder` does, without walking it again."""
    key = (tree.root, tree.local, tree.fingerprint())
    if key not in _scans:
        settings = load_settings(tree)
        while len(_scans) >= _CACHED:
            _scans.pop(next(iter(_scans)))
        _scans[key] = Scan(tree, settings, recognize(tree, settings))
    return _scans[key]


def open_root(data_dir: str | os.PathLike[str]) -> Tree:
    """Open a folder or archive at the root of its dataset: where `radikal.yaml` lies, or the folder itself.

    Of an archive, the folder of its own name is the root, if it holds nothing else.
    """
    tree = Tree.open(data_dir)
    found = [path for path in tree.files if PurePosixPath(path).name == SETTINGS_FILENAME]
    if len(found) == 1 and found[0] != SETTINGS_FILENAME:
        return tree.below(found[0].removesuffix(SETTINGS_FILENAME))
    name = Path(os.fspath(data_dir)).name
    stem = next(
        (name[: -len(one)] for one in sorted(ARCHIVES, key=len, reverse=True) if name.lower().endswith(one)), None
    )
    top = {path.partition("/")[0] for path in tree.files if "/" in path}
    alone = len(top) == 1 and all("/" in path for path in tree.files)
    if stem is not None and alone and nfc(next(iter(top))) == nfc(stem):
        return tree.below(f"{next(iter(top))}/")
    return tree


def is_own_data(path: str | os.PathLike[str]) -> bool:
    """Return whether a path is a local folder of own images: with `radikal.yaml`, or in a format that is recognized.

    A folder that `prepare` wrote, or any other with Parquet files of the schema, is none.
    """
    text = os.fspath(path)
    if "://" in text or not Path(text).is_dir():
        return False
    if (Path(text) / "manifest.json").is_file():
        return False
    scan = scan_folder(text)
    return SETTINGS_FILENAME in scan.tree or bool(scan.files.formats)


def nothing_recognized(scan: Scan) -> str:
    """Return a message for a folder without annotations in a known format."""
    images, unread = len(scan.files.images), scan.files.unread
    there = f"{images:,} images" + (f", and files that were not recognized: {', '.join(unread[:3])}" if unread else "")
    return (
        f"{scan.tree.root} holds no annotations in a known format (found {there}). The formats are "
        f"{', '.join(FORMATS)}; see docs/tutorials/your-own-images.md. To read folders of images by class, without "
        "boxes, name the config masks, or put the defect-free images into a folder `good`."
    )


def group_of(scan: Scan, path: str, column: str | None) -> str | None:
    """Return the group of an image, with the dataset's name in front; None if it is one by itself.

    Args:
        path: of the image below the root.
        column: what a table or metadata file states in the column that the settings name.
    """
    text = nfc(path)
    if column is not None:
        return scan.settings.prefix + column
    if scan.settings.group is not None:
        match = re.search(scan.settings.group, text)
        return (
            None if match is None else scan.settings.prefix + (match[1] if match.re.groups and match[1] else match[0])
        )
    if not _ROBOFLOW.search(text):
        return None
    # Copies may lie in different splits.
    folders = [part for part in PurePosixPath(text).parts[:-1] if part.lower() not in ROLES and split_in(part) is None]
    return scan.settings.prefix + "/".join([*folders, _ROBOFLOW.sub("", PurePosixPath(text).name)])


# Roboflow's copies of one image: name_jpg.rf.0123456789abcdef.jpg
_ROBOFLOW = re.compile(r"\.rf\.[0-9A-Za-z]{8,}\.[^.]+$")
