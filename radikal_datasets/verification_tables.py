"""Print what `verify` found, as tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from datasets import Dataset
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from .checks.examination import Fault
from .report import Effect, Report
from .splits import SPLITS
from .text import visible
from .verification import Verification

# How many examples of each kind of problem are listed.
_MOST_LOSSES, _MOST_REPAIRS, _MOST_CONFIGS = 50, 3, 20


def print_verification(console: Console, result: Verification) -> None:
    """Print what was taken for what, splits, classes and problems of every configuration, and a verdict at the end."""
    _print_taken(console, result)
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
    if result.outside[1].problems:
        console.rule("files outside of every configuration", align="left")
        _print_problems(console, result.outside[1])
    if result.absent:
        console.print(f"Not in this tree: {', '.join(result.absent)}", highlight=False)
    reports = (*result.reports.values(), result.outside[1])
    problems = [problem for report in reports for problem in report.problems]
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


def _print_taken(console: Console, result: Verification) -> None:
    """Print as what the tree was read: root, layout, folders, annotation files, classes, and files that were not."""
    account = result.account
    console.rule("What was taken for what", align="left")
    table = Table.grid(Column(no_wrap=True), Column(overflow="fold"), padding=(0, 2))
    place = visible(result.root) + (f", in it {visible(result.root_in)}" if result.root_in else "")
    table.add_row("root", escape(place))
    for title, counted, unit in (
        ("layout", account.layouts, "image"),
        ("split folders", account.split_folders, "image"),
        ("annotation files", account.annotation_files, "file"),
    ):
        table.add_row(title, escape(_list_of(counted, unit)) or "none")
    names = [name for name in result.by_class if len(result.by_class) == 1 or not result.source.config(name).parts]
    for name in names[:_MOST_CONFIGS]:
        found = ", ".join(f"{label} {boxes:,}" for label, (_, boxes) in result.by_class[name].items())
        title = "classes (boxes)" if len(names) == 1 else f"classes of {name}"
        table.add_row(title, escape(found))
    for what in sorted({one: None for report in result.reports.values() for one in report.totals}, key=SPLITS.index):
        images = sum(result.reports[name].totals.get(what, {}).get("images", 0) for name in names)
        table.add_row(f"split {what}", _number(images, "image"))
    table.add_row("known, not read", escape(_list_of(account.not_read, "file")) or "none")
    unread = [
        f"{_number(one.count, 'file')} in {visible(one.folder)}/ such as {visible(one.example)}"
        for one in account.unexplained
    ]
    table.add_row("unexplained", escape("\n".join(unread[:_MOST_LOSSES])) or "none")
    for kind, why in account.expected.items():
        table.add_row("frequent and right", escape(f"{kind} in {why}"))
    console.print(table, highlight=False)


def _list_of(counted: Mapping[str, int], unit: str) -> str:
    return "; ".join(f"{visible(name)}: {_number(count, unit)}" for name, count in counted.items())


def _number(count: int, unit: str) -> str:
    return f"{count:,} {unit}" + "s" * (count != 1)


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
            path = visible(problem.path)
            where = path if problem.line is None else f"{path}, line {problem.line}"
            console.print(f"  {kind}: {where}: {visible(problem.found)}", highlight=False, markup=False)
        if report.counts()[kind] > most:
            console.print(f"  {kind}: ... --json lists all of them", highlight=False, markup=False)


def _of(found: int, expected: int | None) -> str:
    return f"{found:,}" if expected is None else f"{found:,} of {expected:,}"
