"""`--help` and the table of docs/reference/settings.md, both generated from the `Settings` dataclass."""

from __future__ import annotations

import dataclasses
import json
import textwrap
import types
import typing
from typing import Any

from training.run.settings import Settings


@dataclasses.dataclass(frozen=True)
class Described:
    """One setting as text: `kind` such as "int or null"; `default` is "required" if there is none."""

    name: str
    kind: str
    default: str
    meaning: str


def described() -> list[Described]:
    """Return all settings, in the order of the dataclass."""
    hints = typing.get_type_hints(Settings, include_extras=True)
    return [
        Described(
            field.name, _kind(hints[field.name].__origin__), _text(field.default), *hints[field.name].__metadata__
        )
        for field in dataclasses.fields(Settings)
    ]


def help_text(title: str) -> str:
    """Return what `--help` prints: the title, and two lines per setting."""
    lines = [title.strip(), "", "settings, as --key value or in the file (type, default):"]
    for one in described():
        lines.append(f"  --{one.name}  ({one.kind}, {one.default})")
        lines += textwrap.wrap(one.meaning, 100, initial_indent=" " * 8, subsequent_indent=" " * 8)
    return "\n".join(lines)


def markdown_table() -> str:
    """Return the table of docs/reference/settings.md; `python -m training.run.usage` prints it."""
    rows = [f"| `{one.name}` | {one.kind} | {one.default} | {one.meaning} |" for one in described()]
    return "\n".join(["| setting | type | default | meaning |", "|---|---|---|---|", *rows])


def _kind(kind: Any) -> str:
    members = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    names = {type(None): "null", str: "text", list[int]: "list of two", list[Any]: "list", float: "number"}
    return " or ".join(names.get(member, getattr(member, "__name__", str(member))) for member in members)


def _text(default: Any) -> str:
    if default is dataclasses.MISSING:
        return "required"
    return default if isinstance(default, str) else json.dumps(default)


if __name__ == "__main__":
    print(markdown_table())
