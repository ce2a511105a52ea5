#!/usr/bin/env python3
"""Find words that this project does not use, in its code and its documentation.

US spelling, as the libraries around us have it, and the field's own terms. Every line of a file counts: comments,
strings and names alike. A line that has to keep a word (a quotation, an alias) is matched by one of the word's
exceptions, each with its reason.

    python .ci/words.py [FILE ...]      without files: everything below; prints path:line: word -> better; exit code 1
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
SEARCHED = (
    *(
        f"{folder}/**/*"
        for folder in ("radikal_datasets", "loaders", "training", "docs", "tests", "benchmarks", ".github")
    ),
    *("*.md", "Makefile", "pyproject.toml"),
)
SUFFIXES = {".py", ".md", ".yaml", ".yml", ".html", ".j2", ".css", ".toml", ".ipynb", ""}


class Word(NamedTuple):
    """A word not to use, as a regular expression, what to write, and lines that may keep it (pattern -> reason)."""

    pattern: str
    better: str
    keep: dict[str, str] = {}  # noqa: RUF012  # never changed


_SPELLING = [
    Word("colour", "color"),
    Word("centre", "center"),
    Word(
        "licence",
        "license",
        {
            r"(Licence|licence)(Error)?\b.*\balias|alias\b.*\b[Ll]icence": "the old name, kept as an alias",
            r"[\"']licence[\"']": "the old name as a key",
            r"## Licence\b": "the heading of cards that version 0.1 wrote, in a test of merging them",
            r"licence text exists|research use|Licence: |Open Government Licence": "quoted from a publisher",
        },
    ),
    Word("behaviour", "behavior"),
    Word("neighbour", "neighbor"),
    Word("(?<!de)honour", "honor"),
    Word("favour", "favor"),
    Word("grey", "gray"),
    Word("artefact", "artifact"),
    Word("labell(ed|ing)", "labeled, labeling", {"aria-labelledby": "HTML's own name"}),
    Word("analys(e[ds]?|ing)", "analyze"),
    Word(
        "(normal|optim|initial|recogn|summar|organ|serial|minim|maxim|special|general|categor|util|real)is(e|ed|es|er|ers|ing|ation)",
        "-ize, -ization",
        {
            r"\b(?i:Universität|Organisation für)": "a name",
            r"\borganisation\b.*(INTEGER|TEXT|FROM|WHERE)|KEY \(organisation|NOT organisation": "a column in SQL",
        },
    ),
]

_UNIT = "(box|image|class|page|part|source|file|row|step|split|epoch|batch|board|series|line|group|core|column|picture)"

_TERMS = [
    Word("(told|tells)", "reported, listed, logged, says"),
    Word("nobody looked", "unannotated"),
    Word("made[- ]up", "synthetic, sample", {"is made up of": "consists of"}),
    Word("all the same", "anyway, nevertheless"),
    Word("(is|are) had (from|by)", "available from"),
    Word("where it is had", "download page"),
    Word("surest", "most confident"),
    Word("how sure", "confidence"),
    Word("false calls?", "false positive, false alarm"),
    Word("twins?", "exact duplicate, near-duplicate"),
    Word("anew", "again, re-initialized, rebuilt"),
    Word("whole or not at all", "atomically"),
    Word(f"(one|two|three|some|many|few) an? {_UNIT}", "one per ..."),
    Word("an? hundred (parts|images)", "per 100 parts"),
    Word("behind (which|this step|that|it|the last|each|every|one another)", "after"),
    Word("drawn weights|random weights drawn", "random initialization"),
    Word("lies? whole", "intact, complete"),
]

WORDS = _SPELLING + _TERMS
# `told` also in `told_truth`, but not in `untold`.
_COMPILED = [
    (
        re.compile(rf"(?<![A-Za-z])(?:{word.pattern})(?![a-z])" if word in _TERMS else word.pattern, re.IGNORECASE),
        word.better,
        [re.compile(keep) for keep in word.keep],
    )
    for word in WORDS
]


def found(text: str) -> Iterator[tuple[int, str, str]]:
    """Line number, the word as it stands there, and what to write."""
    for number, line in enumerate(text.splitlines(), 1):
        for pattern, better, keeps in _COMPILED:
            match = pattern.search(line)
            if match and not any(keep.search(line) for keep in keeps):
                yield number, match.group(), better


def searched_files() -> list[Path]:
    """Every file that is searched when none is named."""
    files = {path for pattern in SEARCHED for path in ROOT.glob(pattern) if path.is_file()}
    return sorted(path for path in files if path.suffix in SUFFIXES and "__pycache__" not in path.parts)


def main(arguments: list[str]) -> int:
    """Command line."""
    files = [Path(argument) for argument in arguments] or searched_files()
    count = 0
    for path in files:
        name = path.relative_to(ROOT) if path.is_absolute() else path
        for number, word, better in found(path.read_text(encoding="utf-8")):
            print(f"{name}:{number}: {word} -> {better}")
            count += 1
    print(f"{count} words to change in {len(files)} files" if count else f"{len(files)} files, no word to change")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
