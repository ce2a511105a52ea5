"""Count every problem under its own name, so that nothing is repaired or dropped silently.

The report is built while the annotations are parsed, in one process and before any image is written, and is saved
beside the Arrow files. A cache hit and a conversion in several processes therefore report the same problems.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path

from .errors import BadFileError

REPORT_FILENAME = "radikal_report.json"


class Effect(StrEnum):
    """What the builder does about a problem."""

    NOTED = "noted"  # a known peculiarity: nothing changes
    REPAIRED = "repaired"  # nothing is lost
    UNLABELED = "unlabeled"  # the image is kept with annotated=False
    REFERENCE_LOST = "reference lost"  # the image is kept without its reference
    MISREAD = "probably misread"  # nothing is dropped, but what is read is probably not what is meant
    BOX_LOST = "box lost"
    IMAGE_LOST = "image lost"


@dataclass(frozen=True)
class Kind:
    """A kind of problem: its name in the counters, its effect, and its meaning in one sentence.

    Attributes:
        unit: of a repair that is meant for slips, what it applies to: "boxes", "images", or a key of `Report.chances`.
            If it applies to many of them, the format was probably misunderstood.
    """

    name: str
    effect: Effect
    meaning: str
    unit: str = ""


def _kinds(*rows: tuple[str, Effect, str] | tuple[str, Effect, str, str]) -> dict[str, Kind]:
    return {row[0]: Kind(row[0], row[1], row[2], *row[3:]) for row in rows}


#: Kinds that every source shares. A source may define its own next to its parser.
KINDS = _kinds(
    ("duplicate_box", Effect.REPAIRED, "the same box with the same class appears twice: kept once", "boxes"),
    ("clipped_box", Effect.REPAIRED, "the box extended beyond the image: clipped", "boxes"),
    ("swapped_corners", Effect.REPAIRED, "the corners were in the wrong order: sorted", "boxes"),
    ("resized_image", Effect.REPAIRED, "the image size differs from the one in its annotation: boxes scaled", "images"),
    (
        "exif_orientation",
        Effect.NOTED,
        "the file is stored turned (EXIF): size and boxes are as displayed",
    ),
    ("exif_turned_annotation", Effect.REPAIRED, "the annotation was made on the stored pixels: turned with the image"),
    (
        "identical_images",
        Effect.REPAIRED,
        "byte-identical images: one group, so that no split separates them",
        "images",
    ),
    ("deep_gray_levels", Effect.NOTED, "gray levels of more than 8 bits: all on one scale"),
    (
        "mixed_gray_levels",
        Effect.NOTED,
        "images of different bit depths on one scale: some are nearly black; convert them to one depth",
    ),
    ("deep_colors", Effect.NOTED, "colors of 16 bits: the upper 8 bits are read"),
    (
        "few_color_levels",
        Effect.MISREAD,
        "colors of 10 to 14 bits in files of 16, of which only the upper 8 bits are read: convert them to 8 bits",
    ),
    ("few_gray_levels", Effect.MISREAD, "the scale leaves too few gray levels: state a window in radikal.yaml"),
    ("empty_box", Effect.BOX_LOST, "no part of the box lies inside the image: dropped"),
    (
        "empty_annotation",
        Effect.UNLABELED,
        "an annotation file without any object, where every image has one: kept as annotated=False",
    ),
    ("missing_truth", Effect.UNLABELED, "an expected annotation is missing: kept as annotated=False"),
    ("unreadable_image", Effect.IMAGE_LOST, "the image is truncated or unreadable: left out"),
    ("unreadable_reference", Effect.REFERENCE_LOST, "the reference image is unreadable: its image is kept without one"),
    ("malformed_annotation", Effect.IMAGE_LOST, "the annotation cannot be parsed: its image is left out"),
    ("unknown_class", Effect.IMAGE_LOST, "a class that the source does not define: its image is left out"),
    ("mask_size", Effect.IMAGE_LOST, "the mask's size differs from its image's: the image is left out"),
    ("missing_image", Effect.IMAGE_LOST, "an annotation for an image that does not exist"),
    ("duplicate_image", Effect.IMAGE_LOST, "a second file for the same image_id: left out"),
    ("stray_image", Effect.IMAGE_LOST, "an image outside the layout's folders: left out"),
    ("unlisted_image", Effect.IMAGE_LOST, "the publisher's list names no split for the image: left out of official"),
    ("ignored_file", Effect.NOTED, "a known file of the publisher's that is not part of the set: not read"),
    ("unsafe_path", Effect.IMAGE_LOST, "a path or link that leaves the tree, or an unusable file name: not read"),
)


@dataclass(frozen=True)
class Problem:
    """One finding: where it is, and how many boxes or files it stands for."""

    kind: str
    effect: str
    path: str
    line: int | None = None
    found: str = ""
    count: int = 1


@dataclass
class Report:
    """All problems of one configuration of one tree.

    Attributes:
        strict: raise at the first problem that would cost an image or its reference, instead of counting it.
        problems: in the order in which they were found.
        totals: images and boxes kept, by split; filled once the splits are known.
        kinds: the meaning of each kind that was found.
        chances: how many rows of a unit (see `Kind.unit`) a repair could have applied to.
        proven: how often a repair was not only made, but shown to be right by other data of the same file.
        mask_shares: of every mask file that is not empty, the share of its pixels that is defect.
    """

    strict: bool = False
    problems: list[Problem] = field(default_factory=list)
    totals: dict[str, dict[str, int]] = field(default_factory=dict)
    kinds: dict[str, Kind] = field(default_factory=dict)
    # Of use while the tree is read, and not saved.
    chances: Counter[str] = field(default_factory=Counter, compare=False)
    proven: Counter[str] = field(default_factory=Counter, compare=False)
    mask_shares: list[float] = field(default_factory=list, compare=False)

    def add(
        self,
        kind: str | Kind,
        path: str,
        found: str = "",
        *,
        line: int | None = None,
        count: int = 1,
        proven: bool = False,
    ) -> None:
        """Count one problem. `kind` is a name of `KINDS` or a source's own `Kind`; for `proven` see the class."""
        kind = KINDS[kind] if isinstance(kind, str) else kind
        self.kinds[kind.name] = kind
        self.proven[kind.name] += count * proven
        self.problems.append(Problem(kind.name, kind.effect.value, path, line, found, count))

    def add_error(self, error: BadFileError) -> None:
        """Count an error that costs an image, or raise it if strict."""
        if self.strict:
            raise error
        self.add(error.kind, error.path, error.found, line=error.line)

    def absorb(self, other: Report) -> None:
        """Add the problems of another report."""
        self.problems += other.problems
        self.kinds |= other.kinds

    @contextmanager
    def costs_image(self) -> Iterator[None]:
        """Wrap the processing of one image: a `BadFileError` inside costs only that image."""
        try:
            yield
        except BadFileError as error:
            self.add_error(error)

    def counts(self) -> dict[str, int]:
        """Return the number of occurrences by kind, in order of first appearance."""
        counter: Counter[str] = Counter()
        for problem in self.problems:
            counter[problem.kind] += problem.count
        return dict(counter)

    def files(self, kind: str) -> list[str]:
        """Return the distinct files in which a kind was found."""
        return sorted({problem.path for problem in self.problems if problem.kind == kind})

    @property
    def loses_something(self) -> bool:
        """True if an image or a box of the tree does not make it into the dataset, or is probably misread."""
        return any(p.effect in (Effect.IMAGE_LOST, Effect.BOX_LOST, Effect.MISREAD) for p in self.problems)

    @property
    def loses_reference(self) -> bool:
        """True if an image is kept without the reference that it should have."""
        return any(p.effect == Effect.REFERENCE_LOST for p in self.problems)

    def save(self, folder: str | Path) -> None:
        """Write the report as JSON into a folder."""
        payload = {
            "totals": self.totals,
            "kinds": [asdict(kind) for kind in self.kinds.values()],
            "problems": [asdict(problem) for problem in self.problems],
        }
        Path(folder, REPORT_FILENAME).write_text(json.dumps(payload, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> Report:
        """Read what `save` wrote."""
        payload = json.loads(Path(folder, REPORT_FILENAME).read_text(encoding="utf-8"))
        kinds = {
            kind["name"]: Kind(kind["name"], Effect(kind["effect"]), kind["meaning"], kind.get("unit", ""))
            for kind in payload["kinds"]
        }
        return cls(problems=[Problem(**p) for p in payload["problems"]], totals=payload["totals"], kinds=kinds)
