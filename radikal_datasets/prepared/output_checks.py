"""Reject an output folder in which something would be lost."""

from __future__ import annotations

from pathlib import Path

from ..building.builder import InspectionBuilder
from ..errors import OutputError
from ..files import refuse_inside
from .card_text import CARD_FILENAME, parse_card, read_card
from .checksum_cache import NOTES_FILENAME
from .croissant import CROISSANT_FILENAME
from .manifest import MANIFEST_FILENAME
from .reading import CARD_KEY

_OURS = (CARD_FILENAME, MANIFEST_FILENAME, CROISSANT_FILENAME)


def check_apart(output: Path, builder: InspectionBuilder) -> None:
    """Reject an output that overlaps the raw tree."""
    raw, final = builder.tree.local, (output / builder.config.name).resolve()
    if raw is not None:
        refuse_inside(output, [raw], what="the raw tree")
        refuse_inside(raw, [final], what="the output folder")


def check_output(output: Path, builders: list[InspectionBuilder]) -> None:
    """Reject an output that holds another source's dataset, or foreign files where we would write."""
    facts, card = builders[0].facts, output / CARD_FILENAME
    about = parse_card(read_card(card), card).metadata.get(CARD_KEY) if card.is_file() else None
    there = about.get("source") if isinstance(about, dict) else None
    if there not in (None, facts.name):
        raise OutputError(f"{output} already holds {there}. Choose a separate folder for {facts.name}.")
    if output.is_file():
        raise OutputError(f"{output} is a file. Choose a folder.")
    others = sorted(path.name for path in output.glob("[!.]*") if path.name not in _OURS)
    ours = there is not None or any((output / name).is_file() for name in (MANIFEST_FILENAME, NOTES_FILENAME))
    if others and not ours:  # images, say, or another raw tree: it would be unclear which of the two is loaded
        names = ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")
        raise OutputError(
            f"{output} holds other files ({names}) and no prepared dataset. Choose a new or an empty folder."
        )
    for builder in builders:
        final = (output / builder.config.name).resolve()
        foreign = [path.name for path in final.glob("*") if path.suffix != ".parquet"] if final.is_dir() else []
        if foreign or final.is_file():
            raise OutputError(
                f"{final} holds other files ({', '.join(foreign[:3])}), which are not replaced. Choose another folder."
            )
