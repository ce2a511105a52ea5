"""`radikal-datasets`: the library on the command line.

Exit codes: 0 done; 1 something would be lost (verify); 2 the command failed.
"""

from __future__ import annotations

import gc
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.logging import RichHandler

from . import source_commands, splits
from ._version import __version__
from .errors import RadikalError
from .hub import commands as hub_commands
from .hub_server import commands as hub_server_commands
from .initializing.command import init
from .new_source.command import new_source
from .terminal import Console
from .training_commands import TRAINING_COMMANDS, dashed, run_training_command
from .verify_command import Protocol, verify

_CANNOT = 2

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Industrial-inspection datasets in one schema, from raw folders to a trained detector.",
)
app.command()(init)
app.command()(hub_commands.push)
app.command()(hub_commands.doctor)
app.add_typer(hub_server_commands.app, name="hub", help="The embedded Hub: serve, users, tokens, verify.")
app.command("list")(source_commands.list_)
app.command()(source_commands.info)
app.command()(source_commands.sample)
app.command()(source_commands.download)
app.command("new-source")(new_source)
app.command()(verify)
console = Console()

SourceOrFolder = Annotated[
    str, typer.Argument(help="A source, or a folder of your own images.", metavar="SOURCE|FOLDER")
]


@app.command()
def stats(
    source: Annotated[
        str,
        typer.Argument(help="A source, a folder written by prepare, or of your own images.", metavar="SOURCE|FOLDER"),
    ],
    config: Annotated[str | None, typer.Argument(help="One configuration; default: all that are present.")] = None,
    *,
    data_dir: Annotated[str | None, typer.Option(help="Raw tree, its parent, or its archive.")] = None,
    protocol: Annotated[str | None, typer.Option(help=f"Split protocol: {', '.join(splits.PROTOCOLS)}.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    html: Annotated[Path | None, typer.Option(help="Also write a page with plots.")] = None,
) -> None:
    """Show statistics of a dataset by split: classes, box sizes, gray levels, and anything unusual."""
    from .loading.sets import open_sets
    from .stats.page import check_place, write_statistics_page
    from .stats.statistics import statistics
    from .stats.tables import print_sets

    if html is not None:
        check_place(html, data_dir)
    sets = {title: statistics(s) for title, s in open_sets(source, config, data_dir=data_dir, protocol=protocol)}
    if html is not None:
        write_statistics_page(html, Path(source).resolve().name, sets)
    if as_json:
        sys.stdout.write(json.dumps({title: found.to_dict() for title, found in sets.items()}) + "\n")
    else:
        print_sets(console, sets, html)


@app.command()
def prepare(
    source: SourceOrFolder,
    configs: Annotated[list[str] | None, typer.Argument(help="Configurations; default: all that are present.")] = None,
    *,
    data_dir: Annotated[str | None, typer.Option(help="For a source: raw tree, its parent, or its archive.")] = None,
    output_dir: Annotated[Path, typer.Option(help="Hub folder to write: Parquet shards and a card.")],
    protocol: Protocol = splits.RECOMMENDED,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first bad file.")] = False,
    num_proc: Annotated[int | None, typer.Option(help="Number of processes that write shards.")] = None,
) -> None:
    """Convert a raw tree into a Hub folder that the stock datasets.load_dataset can read."""
    from .prepared.folder import build_hub_folder
    from .sources import builder_class, own_or_named

    source, data_dir = own_or_named(source, data_dir)
    if data_dir is None:
        builder_class(source)  # an unknown name is the first thing to say
        raise typer.BadParameter(f"Pass --data-dir with the raw tree of {source}.")
    build_hub_folder(
        source,
        configs,
        data_dir=data_dir,
        output_dir=output_dir,
        protocol=protocol,
        strict=strict,
        num_proc=num_proc,
    )
    files = list(output_dir.glob("[!.]*/*.parquet"))
    size = sum(path.stat().st_size for path in files) / 1e6
    console.print(f"Wrote {len(files)} Parquet files ({size:,.1f} MB) and the card README.md to {output_dir}")


@app.command()
def preview(
    source: Annotated[
        str,
        typer.Argument(help="A source, a folder written by prepare, or of your own images.", metavar="SOURCE|FOLDER"),
    ],
    config: Annotated[str | None, typer.Argument(help="One configuration; default: all that are present.")] = None,
    *,
    output: Annotated[Path, typer.Option(help="FILE.png for a contact sheet, FILE.html for a gallery.")],
    data_dir: Annotated[str | None, typer.Option(help="Raw tree, its parent, or its archive.")] = None,
    protocol: Annotated[str | None, typer.Option(help=f"Split protocol: {', '.join(splits.PROTOCOLS)}.")] = None,
    split: Annotated[str | None, typer.Option(help="Show only this split.")] = None,
    class_: Annotated[
        list[str] | None, typer.Option("--class", help='Show only images with this class, or "defect-free" images.')
    ] = None,
    images: Annotated[int | None, typer.Option(min=1, help="Maximum number; default: 24 in PNG, 200 in HTML.")] = None,
    seed: Annotated[int, typer.Option(help="A different seed shows different images.")] = 0,
) -> None:
    """Draw some images with their annotations, from all classes and splits."""
    from .preview.preview import write_preview

    options = {"split": split, "classes": class_ or (), "images": images, "seed": seed}
    done = write_preview(source, config, output=output, data_dir=data_dir, protocol=protocol, **options)
    console.print(f"Wrote {done.shown:,} of {done.total:,} images to {output} ({done.size / 1e6:.1f} MB)")


@app.command()
def export(
    source: Annotated[
        str,
        typer.Argument(help="A source, a folder written by prepare, or of your own images.", metavar="SOURCE|FOLDER"),
    ],
    config: Annotated[
        str | None, typer.Argument(help="One configuration; default: all, each in its own folder.")
    ] = None,
    *,
    format_: Annotated[
        Literal["coco", "roboflow", "yolo", "yolo-polygons", "voc", "mvtec", "objects"],
        typer.Option("--format", help="Format to write."),
    ],
    output: Annotated[
        Path, typer.Option("--output", "--output-dir", help="Output folder; must be empty or not exist yet.")
    ],
    data_dir: Annotated[str | None, typer.Option(help="For a source: raw tree, its parent, or its archive.")] = None,
    protocol: Annotated[str | None, typer.Option(help=f"Split protocol: {', '.join(splits.PROTOCOLS)}.")] = None,
) -> None:
    """Export a dataset to COCO, YOLO (ultralytics), Pascal VOC, or transformers' detection example (objects).

    Anything the format cannot hold is listed at the end.
    """
    from .export import export_sets

    for done in export_sets(source, config, format=format_, output=output, data_dir=data_dir, protocol=protocol):
        title, *others = done.lines()
        console.print(title, highlight=False, markup=False, soft_wrap=True)
        for line in others:
            console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)


def _training_command(command: str, what: str) -> None:
    """Register a command that `training/` answers; it parses its own options."""

    def run(context: typer.Context) -> None:
        raise typer.Exit(run_training_command(command, context.args))

    run.__doc__ = what
    app.command(
        command,
        help=what,
        add_help_option=False,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "allow_interspersed_args": False},
    )(run)


for _name, (_, _what) in TRAINING_COMMANDS.items():
    _training_command(_name, _what)


def _print_version(asked: bool) -> None:
    if asked:
        console.print(f"radikal-datasets {__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Options of the program itself."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; a known error prints its message instead of a traceback."""
    handler = RichHandler(console=Console(stderr=True), show_time=False, show_path=False, show_level=False)
    package_logger = logging.getLogger("radikal_datasets")
    package_logger.addHandler(handler)
    package_logger.setLevel(logging.INFO)
    package_logger.propagate = False
    # The objects that imports created live until the end: letting the garbage collector scan them again and again
    # costs a push of 1 GB a tenth of its time.
    gc.freeze()
    try:
        app(dashed(sys.argv[1:] if arguments is None else arguments))
    except (RadikalError, OSError, ValueError) as error:
        Console(stderr=True).print(
            f"radikal-datasets: {error}", soft_wrap=True, highlight=False, markup=False, style="red"
        )
        sys.exit(_CANNOT)


if __name__ == "__main__":
    main()
