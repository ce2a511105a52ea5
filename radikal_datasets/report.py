"""Counting what went wrong: each kind under its own name, so that nothing is repaired or dropped in silence.

The report is made while the annotations are parsed, in one process, before any image is written; it is saved beside the
Arrow files. A cache hit and a conversion in several processes therefore report the same.
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

    NOTED = "noted"  # a known oddity: nothing changes
    REPAIRED = "repaired"  # nothing is lost
    UNLABELED = "unlabeled"  # the image is kept with annotated=False
    REFERENCE_LOST = "reference lost"  # the image is kept without its reference
    BOX_LOST = "box lost"
    IMAGE_LOST = "image lost"


@dataclass(frozen=True)
class Kind:
    """A kind of problem: its name in counters, its effect, and what it means in a sentence."""

    name: str
    effect: Effect
    meaning: str


def _kinds(*rows: tuple[str, Effect, str]) -> dict[str, Kind]:
    return {name: Kind(name, effect, meaning) for name, effect, meaning in rows}


#: Kinds every source shares. A source may define its own beside its parser.
KINDS = _kinds(
    ("duplicate_box", Effect.REPAIRED, "the same box of the same class twice: kept once"),
    ("clipped_box", Effect.REPAIRED, "box reached over the image's edge: clipped"),
    ("swapped_corners", Effect.REPAIRED, "corners in the wrong order: sorted"),
    ("resized_image", Effect.REPAIRED, "image of another size than its annotation says: boxes scaled"),
    ("identical_images", Effect.REPAIRED, "byte-identical images: one group, so that no split separates them"),
    ("empty_box", Effect.BOX_LOST, "nothing of the box lies inside the image: dropped"),
    ("missing_truth", Effect.UNLABELED, "no truth where there should be one: kept as annotated=False"),
    ("unreadable_image", Effect.IMAGE_LOST, "image can't be read whole: left out"),
    ("unreadable_reference", Effect.REFERENCE_LOST, "reference image can't be read: its image is kept without one"),
    ("malformed_annotation", Effect.IMAGE_LOST, "truth can't be parsed: its image is left out"),
    ("unknown_class", Effect.IMAGE_LOST, "a class that is not the source's: its image is left out"),
    ("mask_size", Effect.IMAGE_LOST, "mask of another size than its image: the image is left out"),
    ("missing_image", Effect.IMAGE_LOST, "truth for an image that is not there"),
    ("duplicate_image", Effect.IMAGE_LOST, "a second file for the same image_id: left out"),
    ("stray_image", Effect.IMAGE_LOST, "an image in no place of the layout: left out"),
    ("unsafe_path", Effect.IMAGE_LOST, "path or link that leaves the tree, or a name that can't be kept: not read"),
)


@dataclass(frozen=True)
class Problem:
    """One thing found: where, and how many boxes or files it counts for."""

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
        problems: in the order they were found.
        totals: images and boxes kept, by split; filled when the splits are known.
        kinds: what each kind that was found means.
    """

    strict: bool = False
    problems: list[Problem] = field(default_factory=list)
    totals: dict[str, dict[str, int]] = field(default_factory=dict)
    kinds: dict[str, Kind] = field(default_factory=dict)

    def add(self, kind: str | Kind, path: str, found: str = "", *, line: int | None = None, count: int = 1) -> None:
        """Counts one problem. `kind` is a name of `KINDS` or a source's own `Kind`."""
        kind = KINDS[kind] if isinstance(kind, str) else kind
        self.kinds[kind.name] = kind
        self.problems.append(Problem(kind.name, kind.effect.value, path, line, found, count))

    def add_error(self, error: BadFileError) -> None:
        """Counts an error that costs an image, or raises it when strict."""
        if self.strict:
            raise error
        self.add(error.kind, error.path, error.found, line=error.line)

    @contextmanager
    def costs_image(self) -> Iterator[None]:
        """Wrap what concerns one image: a `BadFileError` inside costs that image alone."""
        try:
            yield
        except BadFileError as error:
            self.add_error(error)

    def counts(self) -> dict[str, int]:
        """Kind -> how often, in order of first appearance."""
        counter: Counter[str] = Counter()
        for problem in self.problems:
            counter[problem.kind] += problem.count
        return dict(counter)

    def files(self, kind: str) -> list[str]:
        """The distinct files a kind was found in."""
        return sorted({problem.path for problem in self.problems if problem.kind == kind})

    @property
    def loses_something(self) -> bool:
        """True where an image or a box of the tree does not arrive in the dataset."""
        return any(p.effect in (Effect.IMAGE_LOST, Effect.BOX_LOST) for p in self.problems)

    @property
    def loses_reference(self) -> bool:
        """True where an image is kept without the reference that it should have."""
        return any(p.effect == Effect.REFERENCE_LOST for p in self.problems)

    def save(self, folder: str | Path) -> None:
        """Writes the report as JSON into a folder."""
        payload = {
            "totals": self.totals,
            "kinds": [asdict(kind) for kind in self.kinds.values()],
            "problems": [asdict(problem) for problem in self.problems],
        }
        Path(folder, REPORT_FILENAME).write_text(json.dumps(payload, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> Report:
        """Reads what `save` wrote."""
        payload = json.loads(Path(folder, REPORT_FILENAME).read_text(encoding="utf-8"))
        kinds = {kind["name"]: Kind(kind["name"], Effect(kind["effect"]), kind["meaning"]) for kind in payload["kinds"]}
        return cls(problems=[Problem(**p) for p in payload["problems"]], totals=payload["totals"], kinds=kinds)
