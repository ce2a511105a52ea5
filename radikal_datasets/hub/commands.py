"""The commands of `radikal-datasets` that talk to a Hub: push and doctor."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from .. import splits
from ..terminal import Console

if TYPE_CHECKING:
    from .push import PushResult

console = Console()


def push(
    source_or_folder: Annotated[str, typer.Argument(help="A source, or a folder written by `prepare`.")],
    configs: Annotated[list[str] | None, typer.Argument(help="Configurations; default: all that are present.")] = None,
    *,
    repo_id: Annotated[str, typer.Option(help="NAMESPACE/NAME on the Hub that HF_ENDPOINT names.")],
    data_dir: Annotated[str | None, typer.Option(help="For a source: raw tree, its parent, or its archive.")] = None,
    public: Annotated[
        bool, typer.Option("--public", help="Create a public repository, if the license allows it.")
    ] = False,
    revision: Annotated[str, typer.Option(help="Branch; created if it does not exist.")] = "main",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be sent.")] = False,
    rehash: Annotated[bool, typer.Option("--rehash", help="Compute every checksum again.")] = False,
    protocol: Annotated[str, typer.Option(help="For a source: split protocol.")] = splits.RECOMMENDED,
    strict: Annotated[bool, typer.Option("--strict", help="For a source: stop at the first bad file.")] = False,
    num_proc: Annotated[int | None, typer.Option(help="For a source: number of processes that write shards.")] = None,
) -> None:
    """Push a dataset to a private repository, in one commit; files that are already there are not sent again."""
    from .push import push_to_hub

    result = push_to_hub(
        source_or_folder,
        repo_id,
        configs,
        data_dir=data_dir,
        protocol=protocol,
        strict=strict,
        num_proc=num_proc,
        public=public,
        revision=revision,
        dry_run=dry_run,
        rehash=rehash,
    )
    _print_push(result, dry_run)


def _print_push(result: PushResult, dry_run: bool) -> None:
    visible = {True: "private", False: "public", None: "not created yet"}[result.private]
    verb = "would send" if dry_run else "sent"
    lines = [
        f"{result.endpoint}/datasets/{result.repo_id} ({visible})",
        f"{verb} {len(result.sent)} files, {result.sent_bytes / 1e6:,.1f} MB; {len(result.kept)} were already there; "
        f"{len(result.removed)} {'would be removed' if dry_run else 'removed'}",
    ]
    if dry_run:
        lines += [f"  {path}" for path in result.sent] + [f"  remove {path}" for path in result.removed]
    else:
        config = "" if result.configs == ("default",) else f', "{result.configs[0]}"'
        lines += [
            f"commit {result.url}",
            "verified: card, every checksum, and a row of each configuration at that commit",
            f'to load it: load_dataset("{result.repo_id}"{config}, revision="{result.commit}")',
        ]
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def doctor(
    repo_id: Annotated[str | None, typer.Option(help="Also check this repository.")] = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="Do not try to create a repository.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Check whether the Hub that HF_ENDPOINT names can be used, and suggest what to do if not.

    Exits with 0 if nothing failed, 1 otherwise.
    """
    from .doctor import diagnose

    checks = diagnose(repo_id=repo_id, write=not read_only)
    if as_json:
        rows = [{"name": c.name, "ok": c.ok, "found": c.found, "remedy": c.remedy} for c in checks]
        sys.stdout.write(json.dumps(rows, indent=1) + "\n")
    else:
        table = Table("", "check", "found", "what to do")
        for check in checks:
            mark = {True: "[green]ok[/green]", False: "[red]no[/red]", None: "--"}[check.ok]
            table.add_row(mark, check.name, escape(check.found), "" if check.ok else escape(check.remedy))
        console.print(table)
    raise typer.Exit(1 if any(check.ok is False for check in checks) else 0)
