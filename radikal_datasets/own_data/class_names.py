"""Collect the classes of a set from several files, by name."""

from __future__ import annotations

import re
from collections import defaultdict

from .names import nfc
from .parsed import CLASS_NUMBERS, SIMILAR_CLASSES, Findings
from .settings import OwnSettings


class ClassNames:
    """The classes of a set, collected from several files and reconciled by name."""

    def __init__(self, settings: OwnSettings, findings: Findings) -> None:
        self.names: dict[str, None] = {}
        self._settings = settings
        self._findings = findings
        self._numbers: dict[str, tuple[int, str]] = {}

    def stated(self, names: dict[int, str], file: str) -> dict[int, str]:
        """Take a file's list of classes, number -> name, in its order; returns it with names as they are compared."""
        cleaned = {number: nfc(name) for number, name in names.items() if nfc(name)}
        for number, name in cleaned.items():
            before = self._numbers.setdefault(name, (number, file))
            if before[0] != number and before[1] != file:
                found = f"{name} is {before[0]} in {before[1]} and {number} in {file}"
                self._findings.add(CLASS_NUMBERS, file, found)
            self.names.setdefault(name)
        return cleaned

    def used(self, name: str) -> str:
        """Take a class name that an object states; returns it as it is compared."""
        name = nfc(name)
        self.names.setdefault(name)
        return name

    def listed(self, *, alphabetical: bool) -> list[str]:
        """Return all names: as stated, or in alphabetical order where no file states one; notes look-alikes."""
        names = sorted(self.names) if alphabetical else list(self.names)
        alike: dict[str, list[str]] = defaultdict(list)
        for name in names:
            renamed = self._settings.renamed.get(name, name)
            if renamed not in alike[(key := re.sub(r"[\s_-]+", "", renamed.casefold()))]:
                alike[key].append(renamed)
        for group in alike.values():
            if len(group) > 1:
                found = " and ".join(repr(name) for name in group)
                self._findings.add(
                    SIMILAR_CLASSES, "radikal.yaml", f"{found}: merge them under `classes` if they are one"
                )
        return names
