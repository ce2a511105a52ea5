"""Match the names of annotations with image files."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import NoReturn
from urllib.parse import parse_qs, unquote, urlsplit

from ..errors import MissingImageError
from ..splits import TEST, TRAIN, VALIDATION
from .numbers import Lines
from .parsed import AMBIGUOUS_IMAGE, OTHER_EXTENSION, Findings, loss

#: Image files that are looked at.
IMAGE_SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".dib", ".tif", ".tiff", ".webp", ".gif", ".jp2", ".pgm", ".ppm", ".pnm")
)
#: Folder names that say what lies in a folder and nothing about the image.
ROLES = frozenset(
    (
        *("images", "image", "img", "imgs", "jpegimages", "labels", "label", "annotations", "annotation", "ann"),
        *("labeltxt", "xml", "xmls", "json", "obj_train_data", "data", "ground_truth", "groundtruth", "gt", "mask"),
        *("masks", "segmentation", "segmentations", "segmentationclass", "segmentationobject", "default", "rgb"),
    )
)
_SPLITS = {
    **dict.fromkeys(("train", "training", "trainset"), TRAIN),
    **dict.fromkeys(("val", "valid", "validation", "dev", "valset"), VALIDATION),
    **dict.fromkeys(("test", "testing", "testset"), TEST),
}
_UPLOAD_HASH = re.compile(r"^[0-9a-f]{8}-")
_DRIVE = re.compile(r"^[A-Za-z]:")


def nfc(text: str) -> str:
    """Return the text in Unicode NFC, without spaces at its ends: the form in which names are compared."""
    return unicodedata.normalize("NFC", text).strip()


def split_in(path: str) -> str | None:
    """Return the split that a folder or file name in a path stands for: `images/val/`, `instances_train2017.json`."""
    for part in reversed(PurePosixPath(nfc(path).lower()).parts):
        if found := _SPLITS.get(part):
            return found
    words = re.split(r"[^a-z]+", PurePosixPath(nfc(path).lower()).stem)
    found = {_SPLITS[word] for word in words if word in _SPLITS}
    return found.pop() if len(found) == 1 else None


def without_roles(path: str) -> tuple[str, ...]:
    """Return the folders of a path without those that only say what lies in them (`images`, `labels`, `masks`)."""
    return tuple(part for part in PurePosixPath(nfc(path).lower()).parts[:-1] if part not in ROLES)


class ImageNames:
    """The images of a tree, found by the names that annotations give them."""

    def __init__(self, images: Iterable[str]) -> None:
        self.images = list(images)
        self._all = frozenset(self.images)
        self._by_name: dict[str, list[str]] = defaultdict(list)
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        self._by_plain: dict[str, list[str]] = defaultdict(list)
        for image in self.images:
            name = _key(image.rpartition("/")[2])
            self._by_name[name].append(image)
            self._by_stem[name.rpartition(".")[0]].append(image)
            self._by_plain[_plain(name)].append(image)

    def find(self, name: str, *, by: str, findings: Findings, line: int | None = None) -> str | None:
        """Return the image that an annotation names; None if it is not there.

        The longest suffix of the name that fits exactly one image wins. Several that fit equally well are
        distinguished by folder and split of the annotation.

        Args:
            name: bare, nested, absolute or a URL, with or without extension.
            by: the annotation file, which decides between images of the same name.
            findings: counts names with another extension than the file's.
            line: in that file.

        Raises:
            OwnDataError: several images fit equally well (`AMBIGUOUS_IMAGE`).
        """
        for candidate in _spellings(name):
            for matches, exact in self._matches(candidate):
                if len(matches) > 1:
                    matches = _nearest(matches, by)
                if len(matches) == 1:
                    if not exact and PurePosixPath(candidate).suffix.lower() in IMAGE_SUFFIXES:
                        findings.add(OTHER_EXTENSION, by, f"{name} is {matches[0]}", line=line)
                    return matches[0]
                if matches:
                    some = ", ".join(matches[:3])
                    found = f"{name!r} fits {len(matches)} images: {some}"
                    remedy = "Write the image's path from the root into the annotation."
                    raise loss(AMBIGUOUS_IMAGE, by, found, remedy, line)
        return None

    def __contains__(self, path: str) -> bool:
        return path in self._all

    def get(self, name: str, *, by: str, findings: Findings, line: Lines = None, entry: str = "its entry") -> str:
        """Return the image that an annotation names.

        Args:
            name, by, findings: as for `find`.
            line: in that file, or a function that finds it when an error needs it.
            entry: what to remove if the image is not there, for the message.

        Raises:
            MissingImageError: it is not there.
            OwnDataError: as for `find`.
        """
        at = line if isinstance(line, int) else None
        image = self.find(name, by=by, findings=findings, line=at)
        return image or _missing(name, by, line, entry)

    def get_beside(self, annotation: str, stated: object = None, *, findings: Findings, entry: str) -> str:
        """Return the image of an annotation file: the one with its own name, else the one that it states.

        Raises:
            MissingImageError, OwnDataError: as for `get`.
        """
        image = self.find_beside(annotation, findings=findings)
        if image is None and isinstance(stated, str) and stated:
            image = self.find(stated, by=annotation, findings=findings)
        return image or _missing(stated or PurePosixPath(annotation).stem, annotation, None, entry)

    def find_beside(self, annotation: str, *, findings: Findings, stem: str | None = None) -> str | None:
        """Return the image of an annotation file with the image's own name, beside it or in a parallel folder.

        Args:
            annotation: posix path of the file.
            findings: as for `find`.
            stem: the image's name if it differs from the file's.
        """
        path = PurePosixPath(annotation)
        stem = path.stem if stem is None else stem
        matches = self._by_stem.get(_key(stem)) or self._by_name.get(_key(stem)) or []
        same = [image for image in matches if PurePosixPath(image).parent == path.parent]
        if len(same) == 1:
            return same[0]
        return self.find(str(path.parent / stem), by=annotation, findings=findings)

    def _matches(self, name: str) -> Iterator[tuple[list[str], bool]]:
        """Yield the images that end in ever shorter suffixes of a name, and whether with its extension."""
        wanted = _key(name)
        parts = wanted.split("/")
        for by, last, exact in (
            (self._by_name, parts[-1], True),
            (self._by_stem, parts[-1], False),
            (self._by_stem, parts[-1].rpartition(".")[0], False),
            (self._by_plain, _plain(parts[-1]), True),
        ):
            matches = by.get(last, []) if last else []
            for length in range(len(parts), 1, -1):
                above = parts[-length:-1]
                yield [image for image in matches if _ends_in(image, above)], exact
            yield matches, exact


def _missing(name: object, by: str, line: Lines, entry: str) -> NoReturn:
    at = line() if callable(line) else line
    raise MissingImageError(by, f"there is no image {name!r}", f"Copy the image here, or remove {entry}.", at)


def _ends_in(image: str, folders: list[str]) -> bool:
    there = _key(image).split("/")[:-1]
    return there[-len(folders) :] == folders


def _key(text: str) -> str:
    return nfc(text).casefold()


def _plain(name: str) -> str:
    """Return a name as upload servers clean it: spaces become underscores, and all but letters, digits, . - are cut."""
    return re.sub(r"[^\w.-]", "", name.replace(" ", "_"))


def _spellings(name: str) -> Iterator[str]:
    """Yield the paths that a name may stand for, the literal one first."""
    plain = _DRIVE.sub("", name.strip().replace("\\", "/")).lstrip("/")
    plain = re.sub(r"^(?:\./)+", "", plain)
    yield plain
    if "://" in name or "?" in name or "%" in name or name.startswith("/data/"):
        url = urlsplit(name.strip())
        for value in parse_qs(url.query).get("d", []):
            yield unquote(value).replace("\\", "/").lstrip("/")
        plain = unquote(url.path).lstrip("/")
        yield plain
    folder, _, last = plain.rpartition("/")
    if _UPLOAD_HASH.match(last):
        yield f"{folder}/{_UPLOAD_HASH.sub('', last)}".lstrip("/")


def _nearest(matches: list[str], by: str) -> list[str]:
    """Return those of several images that are beside an annotation, in its parallel folder, or in its split."""
    parent = PurePosixPath(by).parent
    rules = (
        lambda image: PurePosixPath(image).parent == parent,
        lambda image: without_roles(image) == without_roles(by),
        lambda image: parent in PurePosixPath(image).parents,
        lambda image: split_in(by) is not None and split_in(image) == split_in(by),
    )
    for rule in rules:
        if len(found := [image for image in matches if rule(image)]) == 1:
            return found
    return matches
