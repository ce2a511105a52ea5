"""Replace parts of a folder atomically: they are written beside it first and moved into place at the end.

A process that is killed in between leaves a hidden folder behind, from which the next one undoes or finishes what was
begun. The manifest is moved after the parts and the card last; as long as the manifest is still staged, the commit is
incomplete.
"""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path

from .card_text import CARD_FILENAME
from .manifest import MANIFEST_FILENAME
from .manifest_entries import PREVIEWS

# Inside the folder itself: a rename never crosses file systems.
_PREFIX = ".prepare-"


class Stage:
    """A hidden folder in `output`; what is staged in `new` gets the same path there on `commit`.

    Attributes:
        new: where configurations (folders) and previews (files) are written first.
    """

    def __init__(self, output: Path):
        self.output = output
        self.folder = output / f"{_PREFIX}{uuid.uuid4().hex[:8]}"
        self.new = self.folder / "new"
        self.new.mkdir(parents=True)

    def commit(self, parts: list[str], manifest: str | None, card: str | None) -> None:
        """Move `parts` (paths below `new`; one not staged is removed) into place, then manifest and card, if given."""
        # In this order, and the card under its name only when it is complete: see `recover`.
        if manifest is not None:
            (self.folder / MANIFEST_FILENAME).write_text(manifest, encoding="utf-8")
        if card is not None:
            unfinished = self.folder / "unfinished"
            unfinished.write_text(card, encoding="utf-8")
            unfinished.replace(self.folder / CARD_FILENAME)
        for part in parts:
            self._replace(part)
        for name in (MANIFEST_FILENAME, CARD_FILENAME):
            if (self.folder / name).exists():
                (self.folder / name).replace(self.output / name)

    def _replace(self, part: str) -> None:
        target = self.output / part
        if target.exists():
            old = self.folder / "old" / part
            old.parent.mkdir(parents=True, exist_ok=True)
            target.rename(old)
        else:
            (self.folder / "absent" / part).mkdir(parents=True)
        if (self.new / part).exists():
            target.parent.mkdir(exist_ok=True)
            (self.new / part).rename(target)

    def close(self) -> None:
        """Undo an incomplete commit, and remove the stage."""
        recover(self.folder)


def recover_all(output: Path) -> None:
    """Undo or finish what killed processes left in a folder."""
    for folder in sorted(output.glob(f"{_PREFIX}{'[0-9a-f]' * 8}")):
        recover(folder)


def recover(folder: Path) -> None:
    """Finish one stage: undo it if its manifest is still there, otherwise move its card into place."""
    output, card = folder.parent, folder / CARD_FILENAME
    if (folder / MANIFEST_FILENAME).exists():
        for gone in _parts(folder / "absent"):
            _remove(output / gone)
        for part in _parts(folder / "old"):
            _remove(output / part)
            (folder / "old" / part).rename(output / part)
    elif card.exists():
        there = output / CARD_FILENAME
        # Someone may have edited it since.
        if not there.exists() or there.stat().st_mtime_ns <= card.stat().st_mtime_ns:
            card.replace(there)
    shutil.rmtree(folder, ignore_errors=True)


def _parts(folder: Path) -> list[str]:
    configs = [path.name for path in folder.glob("*") if path.name != PREVIEWS]
    return configs + [f"{PREVIEWS}/{path.name}" for path in folder.glob(f"{PREVIEWS}/*")]


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
