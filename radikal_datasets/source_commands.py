"""The commands of `radikal-datasets` about sources: list, info, sample and download."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.box import HORIZONTALS
from rich.table import Column, Table

from .terminal import Console

console = Console()

SourceName = Annotated[str, typer.Argument(help="A source listed by `radikal-datasets list`.", metavar="SOURCE")]


def list_(
    compare: Annotated[bool, typer.Option("--compare", help="Show all facts about the sources side by side.")] = False,
) -> None:
    """List the sources with their size, annotations and license."""
    from .sources import list_sources

    if compare:
        return _print_comparison()
    table = Table("source", "images", "configs", "annotations", "may be passed on", "what")
    table.columns[0].no_wrap = True
    for source in list_sources():
        single = [config for config in source.configs if not config.parts]
        known = [config.images for config in single if config.images is not None]
        images = f"{sum(known):,}" + ("+" if len(known) < len(single) else "") if known else "?"
        allowed = f"yes ({source.license.name})" if source.license.redistributable else "no"
        annotations = source.annotations.partition(";")[0]
        what = source.title.partition(": ")[2]
        table.add_row(source.name, images, str(len(source.configs)), annotations, allowed, what)
    console.print(table)
    console.print("For the download page, license, layout and configurations of one: radikal-datasets info SOURCE")
    console.print(
        "Your own images, labeled as COCO, YOLO, VOC, masks, Label Studio, CVAT, LabelMe, imagefolder or a table: "
        "radikal-datasets init FOLDER"
    )


def _print_comparison() -> None:
    from .comparing import BEST_USE, decision_matrix, footnotes

    matrix = decision_matrix()
    uses = {name: facts.pop(BEST_USE) for name, facts in matrix.items()}
    facts = list(next(iter(matrix.values())))
    for half in (facts[: len(facts) // 2], facts[len(facts) // 2 :]):  # two tables, of 80 columns each
        # Wrapping a word is better than truncating it.
        columns = [Column("", no_wrap=True), *(Column(fact, overflow="fold") for fact in half)]
        table = Table(*columns, box=HORIZONTALS, show_lines=True, pad_edge=False)
        for name, of in matrix.items():
            table.add_row(f"[bold]{name}[/bold]", *(of[fact] for fact in half))
        console.print(table)
    for name, use in uses.items():
        console.print(f"[bold]{name}[/bold]: {use}", highlight=False)
    console.print()
    for note in footnotes():
        console.print(note, highlight=False, markup=False)


def info(source: SourceName) -> None:
    """Show a source's facts: its download page, license, layout and configurations."""
    from .plug_ins import SOURCES, offering
    from .sources import source_info

    facts = source_info(source)
    console.print(f"[bold]{facts.title}[/bold]\n", highlight=False)
    package = offering(SOURCES, facts.name)
    for label, value in (
        *([] if package is None else [("From", package)]),
        ("Homepage", facts.homepage),
        ("Download", facts.download_page),
        ("License", f"{facts.license.name}. {facts.license.summary}"),
        ("Images", f"{facts.modality}; {'real' if facts.real else 'synthetic'}; annotations: {facts.annotations}"),
        ("Protocols", ", ".join(facts.protocols)),
        ("Best for", facts.best_use),
    ):
        console.print(f"{label + ':':<11}{value}", highlight=False, markup=False)
    console.print(f"\nFolder layout:\n{facts.layout}\n", highlight=False, markup=False)
    table = Table("config", "images", "boxes", "classes")
    for config in facts.configs:
        table.add_row(config.name, _number(config.images), _number(config.boxes), ", ".join(config.classes))
    console.print(table)
    for note in facts.notes:
        console.print(f"- {note}", highlight=False, markup=False)
    console.print(f"\n{facts.citation}", highlight=False, markup=False)


def sample(
    source: SourceName,
    out: Annotated[Path, typer.Argument(help="Folder to create.")],
    images: Annotated[int, typer.Option(help="Number of valid images per configuration.")] = 24,
    seed: Annotated[int, typer.Option(help="The same seed gives identical files.")] = 0,
    broken: Annotated[bool, typer.Option("--broken", help="Also add faults that cost images.")] = False,
) -> None:
    """Generate a small synthetic tree in a source's own layout, for a dry run."""
    from .samples import make_sample

    traps = make_sample(source, out, images=images, seed=seed, broken=broken)
    console.print(
        f"Wrote synthetic images in the layout of {source} to {out}. "
        f"{len(traps)} deliberate faults are listed in {out}.traps.json."
    )


def download(
    source: SourceName,
    output_dir: Annotated[Path, typer.Option(help="Where to create a folder with the source's name.")],
) -> None:
    """Download a source if its license allows; otherwise show the page, the license and the expected folder.

    Severstal is downloaded by your own `kaggle` program, if it is installed.
    """
    from .loading import download as downloads
    from .sources import source_info

    facts = source_info(source)
    folder = downloads.download(facts, output_dir)
    state = "is complete and matches its checksum" if facts.download else "was downloaded; no checksum of it is known"
    console.print(f"{folder} {state}. Next: radikal-datasets verify {source} --data-dir {folder}")


def _number(value: int | None) -> str:
    return "?" if value is None else f"{value:,}"
