"""The publisher's split as a CSV file with an image and a split in each row."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from ...errors import MalformedAnnotationError, MissingImageError
from ...raw.tree import Tree
from ...report import Effect, Kind, Report
from ...splits import TEST, TRAIN, VALIDATION

NOT_IN_SPLIT_LIST = Kind(
    "not_in_split_list",
    Effect.NOTED,
    "the publisher's list does not name the image: split like any other; the protocol official leaves it out",
)

_REMEDY = "Correct the row, or get the list again."
_SPLITS = {name: name for name in (TRAIN, TEST, VALIDATION)} | {
    "training": TRAIN,
    "val": VALIDATION,
    "valid": VALIDATION,
}


@dataclass(frozen=True)
class SplitList:
    """Where the list is, and how its rows are read. Add its path to `Config.files`, or an edit leaves a stale cache.

    Attributes:
        path: posix path below the root.
        image, split: names of the columns.
        key: the text in the column `image`, with named groups of the image's pattern, `{part}` and `{path}`; letter
            case is ignored.
        part: name of the column that holds the configuration's name; None: every row concerns every configuration.
        splits: value of the column -> split.
    """

    path: str
    image: str = "image"
    split: str = "split"
    key: str = "{path}"
    part: str | None = None
    splits: Mapping[str, str] = field(default_factory=lambda: _SPLITS)

    def read(self, tree: Tree, part: str, parts: Collection[str], report: Report) -> ListedSplits | None:
        """Return the rows of one configuration; None if there is no list, or none that can be used.

        Args:
            tree: the raw tree.
            part: the configuration.
            parts: the names of all configurations.
            report: counts rows that identify no image, and a list that lacks a column.
        """
        there = next((path for path, _ in tree.matching(f"(?i:{re.escape(self.path)})")), None)
        if there is None:
            return None
        with report.costs_image():
            return self._rows(tree.read_text(there), part, parts, report)
        return None

    def _rows(self, text: str, part: str, parts: Collection[str], report: Report) -> ListedSplits:
        reader = csv.DictReader(io.StringIO(text, newline=""), restval="", strict=True)
        wanted = {self.image, self.split, *([self.part] if self.part else [])}
        listed = ListedSplits(self)
        try:
            if missing := sorted(wanted - {*(reader.fieldnames or ())}):
                found = f"the columns {', '.join(missing)} are missing"
                raise MalformedAnnotationError(self.path, found, "Get the list again.", 1)
            for row in reader:
                line = reader.line_num
                with report.costs_image():
                    if self.part and (owner := row[self.part].strip()) != part:
                        if owner not in parts:
                            found = f"the column {self.part} holds {owner!r}"
                            raise MalformedAnnotationError(self.path, found, _REMEDY, line)
                        continue
                    if not (image := row[self.image].strip()):
                        raise MalformedAnnotationError(self.path, "the row names no image", _REMEDY, line)
                    listed.add(image, row[self.split].strip(), line)
        except csv.Error as error:
            raise MalformedAnnotationError(self.path, str(error), _REMEDY, reader.line_num) from None
        return listed


@dataclass
class ListedSplits:
    """The rows of a split list that concern one configuration."""

    source: SplitList
    _rows: dict[str, tuple[str | MalformedAnnotationError, str, int]] = field(default_factory=dict)
    _used: set[str] = field(default_factory=set)

    def add(self, image: str, split: str, line: int) -> None:
        """Take in one row; one that cannot be used costs its image when that is looked up."""
        path, key = self.source.path, image.casefold()
        value: str | MalformedAnnotationError | None = self.source.splits.get(split.casefold())
        if value is None:
            known = ", ".join(self.source.splits)
            value = MalformedAnnotationError(path, f"the split is {split!r}", f"Known are {known}. {_REMEDY}", line)
        elif key in self._rows and self._rows[key][0] != value:
            found = f"this row contradicts line {self._rows[key][2]}"
            value = MalformedAnnotationError(path, found, "Keep the correct one of the two rows.", line)
        self._rows[key] = value, image, line

    def split_of(self, path: str, part: str, match: re.Match[str]) -> str | None:
        """Return the split of an image; None if no row names it.

        Raises:
            MalformedAnnotationError: its row cannot be used.
        """
        key = self.source.key.format(path=path, part=part, **match.groupdict()).casefold()
        self._used.add(key)
        value = self._rows[key][0] if key in self._rows else None
        if isinstance(value, MalformedAnnotationError):
            raise value
        return value

    def count_missing_images(self, report: Report) -> None:
        """Count the rows whose image was never looked up: it is not in the tree."""
        for key, (value, image, line) in self._rows.items():
            if key not in self._used:
                with report.costs_image():
                    if isinstance(value, MalformedAnnotationError):
                        raise value
                    remedy = "Copy the image here, or remove the row."
                    raise MissingImageError(self.source.path, f"there is no image {image}", remedy, line)
