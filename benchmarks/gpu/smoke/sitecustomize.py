"""In the smoke run: refuse every package that the GPU machine does not have and the kit does not carry.

Python imports this module at startup because run.sh puts this folder first on PYTHONPATH.
"""

from __future__ import annotations

import importlib.abc
import importlib.metadata
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _names(file: Path) -> set[str]:
    lines = (line.partition("#")[0].strip() for line in file.read_text(encoding="utf-8").splitlines())
    return {_normalized(line.partition("==")[0]) for line in lines if line}


class _Refuse(importlib.abc.MetaPathFinder):
    """Precedes all other finders and raises for modules of packages that the machine lacks."""

    def __init__(self) -> None:
        allowed = _names(HERE / "machine.txt") | _names(HERE.parent / "carried.txt")
        self._refused = {
            module
            for module, packages in importlib.metadata.packages_distributions().items()
            if not any(_normalized(package) in allowed for package in packages)
        }

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.partition(".")[0] in self._refused:
            raise ModuleNotFoundError(f"No module named {name!r}: the GPU machine lacks it (smoke run)", name=name)


sys.meta_path.insert(0, _Refuse())
