"""`radikal-datasets verify`: check a raw tree, or a folder that `prepare` wrote."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import splits
from .terminal import Console

if TYPE_CHECKING:
    from .leaks import Leaks

console = Console()

Protocol = Annotated[str, typer.Option(help=f"Split protocol: {', '.join(splits.PROTOCOLS)}.")]


def verify(
    source: Annotated[
        str,
        typer.Argument(help="A source, a folder written by prepare, or of your own images.", metavar="SOURCE|FOLDER"),
    ],
    config: Annotated[str | None, typer.Argument(help="One configuration; default: all that are present.")] = None,
    *,
    data_dir: Annotated[str | None, typer.Option(help="For a source: raw tree, its parent, or its archive.")] = None,
    protocol: Protocol = splits.RECOMMENDED,
    deep: Annotated[
        bool, typer.Option("--deep", help="Decode every image, look for leaks across splits and suspicious boxes.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    html: Annotated[Path | None, typer.Option(help="With --deep: write a page that shows the findings.")] = None,
) -> None:
    """Check a raw tree, or a folder of Parquet files as training does, and report every problem.

    Exits with 0: clean, or only known repairs; 1: an image or box would be lost, or training would refuse the
    folder; 2: the tree or folder cannot be read.
    """
    from .checks.splits import faults_of
    from .leaks import find_leaks
    from .leaks.page import write_leaks_page
    from .leaks.tables import print_leaks
    from .loading.sets import open_sets
    from .sources import is_source, own_or_named
    from .stats.page import check_place
    from .verification import verify as verify_tree
    from .verification_tables import print_faults, print_verification

    if html is not None:
        check_place(html, data_dir)
        if not deep:
            raise typer.BadParameter("--html shows the findings of --deep. Pass both.")
    exit_code: int = 0
    found: dict[str, Leaks]
    printed: dict[str, Any]
    source, data_dir = own_or_named(source, data_dir)
    if not is_source(source) and data_dir is None:
        if not deep and not (Path(source).is_dir() and _holds_parquet(Path(source))):
            raise typer.BadParameter(
                f'"{source}" is neither a source nor a folder of Parquet files. To verify a raw tree, name its source '
                'and pass --data-dir. A folder written by "prepare" is named by itself, with or without --deep. '
                "To see what a folder of your own images lacks: "
                f"radikal-datasets init {source}"
            )
        found, printed = {}, {}
        for title, dataset_dict in open_sets(source, config):
            faults = faults_of(dataset_dict)
            exit_code |= bool(faults)
            if deep and not faults:
                found[title] = find_leaks(dataset_dict)
            leaks_found = found[title].to_dict() if title in found else {}
            printed[title] = leaks_found | {"faults": [fault.to_dict() for fault in faults]}
            if not as_json:
                print_faults(console, title, dataset_dict, faults, deep=deep)
    elif data_dir is None:
        raise typer.BadParameter(f"Pass --data-dir with the raw tree of {source}.")
    else:
        result = verify_tree(source, config, data_dir=data_dir, protocol=protocol, deep=deep)
        exit_code, printed = result.exit_code, result.to_dict()
        found = {f"{source}/{name}" if len(result.leaks) > 1 else source: one for name, one in result.leaks.items()}
        if not as_json:
            print_verification(console, result)
    if html is not None:
        write_leaks_page(html, Path(source).resolve().name, found)
    if as_json:
        sys.stdout.write(json.dumps(printed, indent=1) + "\n")
    else:
        for title, leaks in found.items():
            print_leaks(console, title, leaks)
        if html is not None:
            console.print(f"Wrote the findings, with images, to {html}", highlight=False, markup=False)
    raise typer.Exit(exit_code)


def _holds_parquet(folder: Path) -> bool:
    return any(folder.glob("*.parquet")) or any(folder.glob("[!.]*/*.parquet"))
