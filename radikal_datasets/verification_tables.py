"""Print what `verify` found, as tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from datasets import Dataset
from rich.console import Console
from rich.table import Table

from .checks.examination import Fault
from .report import Effect, Report
from .verification import Verification

# How many examples of each kind of problem are listed.
_MOST_LOSSES, _MOST_REPAIRS = 50, 3


def print_verification(console: Console, result: Verification) -> None:
    """Print splits, classes and problems of every configuration, and a verdict at the end."""
    for name, report in result.reports.items():
        images, boxes = result.found(name)
        expected = result.expected(name)
        console.rule(f"{result.source.name} {name}", align="left")
        console.print(
            f"{_of(images, expected.images)} images, {_of(boxes, expected.boxes)} boxes in {result.root}",
            highlight=False,
            markup=False,
        )
        table = Table("split", "images", "boxes")
        for split, totals in report.totals.items():
            table.add_row(split, f"{totals['images']:,}", f"{totals['boxes']:,}")
        console.print(table)
        table = Table("class", "images that hold it", "boxes")
        for label, (holding, of_it) in result.by_class[name].items():
            table.add_row(label, f"{holding:,}", f"{of_it:,}")
        console.print(table)
        if missing := [label for label, (holding, _) in result.by_class[name].items() if not holding]:
            console.print(f"[bold]No image holds these classes: {', '.join(missing)}[/bold]", highlight=False)
        _print_problems(console, report)
    if result.absent:
        console.print(f"Not in this tree: {', '.join(result.absent)}", highlight=False)
    problems = [problem for report in result.reports.values() for problem in report.problems]
    lost = {
        names: sum(problem.count for problem in problems if problem.effect == effect)
        for names, effect in ((("image", "images"), Effect.IMAGE_LOST), (("box", "boxes"), Effect.BOX_LOST))
    }
    losses = " and ".join(f"{count:,} {what if count > 1 else one}" for (one, what), count in lost.items() if count)
    without = sum(problem.count for problem in problems if problem.effect == Effect.REFERENCE_LOST)
    nothing = "No image or box of this tree would be lost." if without else "Nothing in this tree would be lost."
    verdict = f"{losses} would be lost, see above." if losses else nothing
    if misread := list(dict.fromkeys(p.kind for p in problems if p.effect == Effect.MISREAD)):
        verdict = (
            f"{losses} would be lost, and p" * bool(losses)
            + "P" * (not losses)
            + (f"robably misread: {', '.join(misread)}, see above.")
        )
    if without:
        kept = "1 image would be" if without == 1 else f"{without:,} images would be"
        verdict += f" {kept} kept without a reference, see above."
    console.print(f"[bold]{verdict}[/bold]")


def print_faults(
    console: Console, title: str, splits: Mapping[Any, Dataset], faults: Sequence[Fault], *, deep: bool
) -> None:
    """Print the splits of a folder of Parquet files, and what training would refuse."""
    console.rule(title, align="left")
    table = Table("split", "images", "annotated", "boxes")
    for split, dataset in splits.items():
        columns: Any = dataset.select_columns(["annotated", "boxes"]).with_format("arrow")[:]
        boxes = len(columns["boxes"].combine_chunks().flatten())
        table.add_row(str(split), f"{len(dataset):,}", f"{sum(columns['annotated'].to_pylist()):,}", f"{boxes:,}")
    console.print(table)
    for fault in faults:
        console.print(f"  {fault.kind}: {fault.sentence()}", highlight=False, markup=False, soft_wrap=True)
    if faults:
        console.print("[bold]Training would refuse this set, see above.[/bold]")
    else:
        more = "" if deep else " Add --deep to decode every image and to look for leaks."
        console.print(f"Training would accept every box and label.{more}", highlight=False, markup=False)


def _print_problems(console: Console, report: Report) -> None:
    if not report.problems:
        console.print("No problems found.")
        return
    table = Table("problem", "times", "files", "effect")
    for kind, count in report.counts().items():
        table.add_row(kind, f"{count:,}", f"{len(report.files(kind)):,}", report.kinds[kind].meaning)
    console.print(table)
    # Losses come first, and all of them are listed.
    lost = (Effect.IMAGE_LOST, Effect.BOX_LOST, Effect.MISREAD, Effect.REFERENCE_LOST)
    losses = [kind for kind in report.counts() if report.kinds[kind].effect in lost]
    for kind in [*losses, *(kind for kind in report.counts() if kind not in losses)]:
        most = _MOST_LOSSES if kind in losses else _MOST_REPAIRS
        for problem in [problem for problem in report.problems if problem.kind == kind][:most]:
            where = problem.path if problem.line is None else f"{problem.path}, line {problem.line}"
            console.print(f"  {kind}: {where}: {problem.found}", highlight=False, markup=False)
        if report.counts()[kind] > most:
            console.print(f"  {kind}: ... --json lists all of them", highlight=False, markup=False)


def _of(found: int, expected: int | None) -> str:
    return f"{found:,}" if expected is None else f"{found:,} of {expected:,}"
