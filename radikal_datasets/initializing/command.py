"""The command `init`, which looks at a folder of own images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from ..terminal import Console

if TYPE_CHECKING:
    from .folder_contents import FolderContents

console = Console()
_MOST_CLASSES, _MOST_SIZES = 40, 5


def init(
    folder: Annotated[Path, typer.Argument(help="Folder of your own images and their annotations.")],
    format_: Annotated[str | None, typer.Option("--format", help="Which annotations, if there are several.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing radikal.yaml.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only look; write nothing.")] = False,
) -> None:
    """Look at a folder of your own images, and write radikal.yaml with what was found and what is proposed."""
    from ..errors import OutputError
    from ..own_data.settings import SETTINGS_FILENAME
    from .folder_contents import look_at, write_settings

    if (folder / SETTINGS_FILENAME).exists() and not overwrite and not dry_run:
        raise OutputError(f"{folder / SETTINGS_FILENAME} exists already. Edit it, or pass --overwrite to replace it.")
    found = look_at(folder, format_)
    _print(found)
    if not dry_run:
        target = write_settings(found, overwrite=overwrite)
        console.print(f"\nWrote {target}. Next:", highlight=False, markup=False, soft_wrap=True)
        train = "train --data-dir {0} --output-dir outputs/{1}"
        train += " --task classification" if found.image_level else ""
        for line in ("verify {0}", "prepare {0} --output-dir hub/{1}", "preview {0} --output gallery.html", train):
            name = folder.resolve().name.replace(" ", "_")
            quoted = f'"{folder}"' if " " in str(folder) else str(folder)
            line = f"  radikal-datasets {line.format(quoted, name)}"
            console.print(line, highlight=False, markup=False, soft_wrap=True)


def _print(found: FolderContents) -> None:
    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    where = f" in {found.files:,} files" if found.files else ""
    say(f"{found.root}: {found.images:,} images, annotations as {found.format}{where}")
    missing = found.images - found.annotated
    say(f"{found.annotated:,} annotated, {found.clean:,} of them defect-free; {missing:,} not annotated")
    if found.image_level:
        say("Only folders say what is defective: good for classification and anomaly models, not for detectors.")
    table = Table("class", "images", "boxes")
    for name, (images, boxes) in list(found.classes.items())[:_MOST_CLASSES]:
        table.add_row(escape(name), f"{images:,}", f"{boxes:,}")
    console.print(table)
    if len(found.classes) > _MOST_CLASSES:
        say(f"... and {len(found.classes) - _MOST_CLASSES:,} more classes")
    sizes = [f"{w} x {h} ({count:,})" for (w, h), count in found.sizes.most_common(_MOST_SIZES)]
    more = f" and {len(found.sizes) - _MOST_SIZES:,} more" if len(found.sizes) > _MOST_SIZES else ""
    say(f"Sizes: {', '.join(sizes)}{more}")
    say(f"Gray levels of {found.depths.total():,} images: " + _listed(found.depths))
    if found.suspicious:
        say("Suspicious boxes: " + _listed(found.suspicious))
    if found.own_splits:
        say("Splits by your folders or lists: " + _listed(found.own_splits))
    say("Splits proposed: " + _listed(found.proposed_splits))
    for one in found.groupings:
        say(f"Groups proposed: {one.what}: {one.groups:,} groups, the largest of {one.largest:,} images")
    problems = found.report.counts()
    if problems:
        say("Problems (verify lists them): " + _listed(problems))


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())
