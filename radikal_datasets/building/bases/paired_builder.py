"""The base of the declarative bases: find images by a pattern, pair them with annotations, account for both."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from ...errors import MalformedAnnotationError, MissingImageError, UnlistedImageError
from ...raw.images import image_size
from ...raw.tree import Tree
from ...report import Report
from ...schema import Example
from ...splits import OFFICIAL, TEST, TRAIN, VALIDATION
from ..builder import InspectionBuilder
from .split_list import NOT_IN_SPLIT_LIST, ListedSplits, SplitList

_Key = tuple[str, ...]
_FOLDERS = {"train": TRAIN, "test": TEST, "val": VALIDATION, "valid": VALIDATION, "validation": VALIDATION}


@dataclass(frozen=True)
class Found:
    """One image and what is known about it before its annotation is read.

    Attributes:
        tree: the raw tree.
        part: the configuration.
        match: of `IMAGE`.
        named: what the path says: the named groups of `match`; where the pattern lists words, in the pattern's case.
        annotation: posix path of its mask or XML file; None if there is none.
    """

    tree: Tree
    part: str
    match: re.Match[str]
    annotation: str | None
    named: Mapping[str, str]


class PairedBuilder(InspectionBuilder):
    """Reader of images with one annotation file each; derive from `MaskBuilder` or `VocBuilder`.

    In the patterns `{part}` stands for the configuration's name. They match posix paths below the root completely, in
    any letter case, and an image is never a file that also matches `ANNOTATION`.
    """

    #: Regular expression of the images, with named groups.
    IMAGE: ClassVar[str]
    #: Regular expression of the annotation files, with the named groups of `PAIR`.
    ANNOTATION: ClassVar[str] = "(?!)"
    #: Named groups that are equal in an image and in its annotation.
    PAIR: ClassVar[tuple[str, ...]] = ("stem",)
    #: What follows the source's name in `image_id`: named groups of `IMAGE` and `{part}`.
    ID: ClassVar[str]
    #: (regular expression, why): files of the publisher that are known and not read.
    IGNORED: ClassVar[tuple[tuple[str, str], ...]] = ()
    #: The publisher's split as a list. Without one, a named group `split` of `IMAGE` states it.
    SPLITS: ClassVar[SplitList | None] = None

    def annotate(self, example: Example, found: Found, report: Report) -> None:
        """Set `example.instances`; with a missing annotation, call `unlabel`."""
        raise NotImplementedError

    def unlabel(self, example: Example, report: Report, why: str) -> None:
        """Keep an image whose annotation is missing: never as a defect-free one."""
        report.add("missing_truth", example.image, why)
        example.annotated = False

    def read(self, tree: Tree, part: str, report: Report) -> Iterator[Example]:
        """Read one annotation file per image; see `InspectionBuilder.read`."""
        ignored = self._ignored(tree, part, report)
        listed = self.SPLITS and self.SPLITS.read(tree, part, self.SOURCE.config_names, report)
        files = self._annotation_files(tree, part, ignored)
        taken = ignored | {path for paths in files.values() for path in paths}
        tree.accounted_for |= taken  # an annotation without an image is reported below
        paired: set[_Key] = set()
        for path, match in tree.matching(self.pattern(self.IMAGE, part)):
            if path in taken:
                continue
            key = self._key(match)
            paired.add(key)
            tree.accounted_for.add(path)  # even if its row or its two annotations keep it from being opened
            with report.costs_image():
                own = files.get(key, [])
                split = self._split(path, part, match, listed, report)
                if len(own) > 1:
                    remedy = "Keep the correct one of the two."
                    raise MalformedAnnotationError(own[1], f"{path} already has {own[0]}", remedy)
                named = self._named(match)
                image_id = f"{self.SOURCE.name}/{self.ID.format(part=part, **named)}"
                example = Example(image_id, path, *image_size(tree, path), publisher_split=split)
                self.annotate(example, Found(tree, part, match, own[0] if own else None, named), report)
                yield example
        for key in sorted(files.keys() - paired):
            for path in files[key]:
                with report.costs_image():
                    remedy = "Copy the image here, or remove the annotation."
                    raise MissingImageError(path, "the image of this annotation does not exist", remedy)
        if listed:
            listed.count_missing_images(report)

    def pattern(self, pattern: str, part: str) -> str:
        """Return a pattern of one configuration, for any letter case."""
        return f"(?i:{pattern.replace('{part}', re.escape(part))})"

    def _named(self, match: re.Match[str]) -> dict[str, str]:
        """Return the named groups of an image; a group of listed words in the case in which `IMAGE` lists them."""
        named = {name: value or "" for name, value in match.groupdict().items()}
        for name, words in re.findall(r"\(\?P<(\w+)>([\w|-]+)\)", self.IMAGE):
            listed = {word.casefold(): word for word in words.split("|")}
            named[name] = listed.get(named[name].casefold(), named[name])
        return named

    def _key(self, match: re.Match[str]) -> _Key:
        return tuple((match[name] or "").casefold() for name in self.PAIR)

    def _annotation_files(self, tree: Tree, part: str, ignored: set[str]) -> dict[_Key, list[str]]:
        found: dict[_Key, list[str]] = {}
        for path, match in tree.matching(self.pattern(self.ANNOTATION, part)):
            if path not in ignored:
                found.setdefault(self._key(match), []).append(path)
        return found

    def _ignored(self, tree: Tree, part: str, report: Report) -> set[str]:
        """Report the files that are known and not read, so that they are no strays."""
        found: set[str] = set()
        reported = {*report.files("ignored_file")}  # by another part that it concerns as well
        for pattern, why in self.IGNORED:
            for path, _ in tree.matching(self.pattern(pattern, part)):
                if path not in reported | found:
                    report.add("ignored_file", path, why)
                found.add(path)
        return found

    def _split(
        self, path: str, part: str, match: re.Match[str], listed: ListedSplits | None, report: Report
    ) -> str | None:
        """Return the publisher's split of an image; one that the list does not name is in none."""
        if self.SPLITS is None:
            return _FOLDERS.get((match.groupdict().get("split") or "").casefold())
        if listed is None:
            return None
        split = listed.split_of(path, part, match)
        if split is None:
            found = f"{self.SPLITS.path} does not name it"
            if self.config.protocol == OFFICIAL:
                raise UnlistedImageError(path, found, "Add its row, or use another protocol.")
            report.add(NOT_IN_SPLIT_LIST, path, found)
        return split
