"""`radikal-datasets new-source NAME --like masks|voc|table`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

console = Console()


def new_source(
    name: Annotated[str, typer.Argument(help="Name of the source: lowercase letters, digits and underscores.")],
    like: Annotated[
        Literal["masks", "voc", "table"],
        typer.Option(help="What its annotations are: mask files, Pascal VOC files, or a CSV table of boxes."),
    ],
    output_dir: Annotated[
        Path | None, typer.Option(help="Write a package of its own there; default: into this checkout.")
    ] = None,
) -> None:
    """Write a new source with its sample, test and page; all of it works before anything is filled in."""
    from .writing import checkout, write_source

    written = write_source(name, like, root=checkout(), output_dir=output_dir)
    for path in written:
        console.print(f"Wrote {path}", highlight=False, markup=False, soft_wrap=True)
    test = next(path for path in written if path.name == f"test_{name}.py")
    if output_dir is None:
        steps = ["python docs/source_tables.py", f"python -m pytest {test}"]
    else:
        steps = [f"python -m pip install --editable {output_dir}", f"python -m pytest {test}"]
    steps += [f"radikal-datasets sample {name} sample/{name} --broken"]
    console.print("Next:", *(f"  {step}" for step in steps), sep="\n", highlight=False, markup=False, soft_wrap=True)
