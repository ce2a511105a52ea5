"""Reference pages generated from the code while mkdocs builds the site (a hook of mkdocs.yml).

A page asks for a part by `{{ name }}` on a line of its own. Run as a script, this prints one part:

    python docs/generate.py counters
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))  # the code beside these docs, whatever is installed


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace every `{{ name }}` that stands alone on a line by the generated part."""
    return re.sub(r"^\{\{ (\w+) \}\}$", lambda match: PARTS[match[1]](), markdown, flags=re.MULTILINE)


def commands() -> str:
    """Return a section per command of `radikal-datasets`, with its arguments and options."""
    import typer

    from radikal_datasets.cli import app

    return "\n".join(_sections(typer.main.get_command(app), "radikal-datasets"))


def _sections(command: Any, path: str) -> Iterator[str]:
    if hasattr(command, "commands"):
        for name, sub in command.commands.items():
            yield from _sections(sub, f"{path} {name}")
        return
    if parser := _training_parsers().get(path.removeprefix("radikal-datasets ")):
        yield f"## {command.name}\n\n```text\n{parser.format_help().rstrip()}\n```\n"
        return
    parameters = [p for p in command.params if not getattr(p, "hidden", False) and p.name != "help"]
    arguments = [p for p in parameters if p.param_type_name == "argument"]
    options = [p for p in parameters if p.param_type_name == "option"]
    usage = " ".join([path, *(_argument(p) for p in arguments), *(["[OPTIONS]"] if options else [])])
    yield f"## {path.removeprefix('radikal-datasets ')}\n\n```text\n{usage}\n```\n"
    yield inspect.cleandoc(command.help or "").replace("\b\n", "") + "\n"
    if parameters:
        yield "| argument or option | default | meaning |\n|---|---|---|"
        for one in parameters:
            names = _argument(one) if one in arguments else ", ".join([*one.opts, *one.secondary_opts])
            yield f"| `{_cell(names)}` | {_default(one)} | {_cell(getattr(one, 'help', None) or '')} |"
        yield ""


def _training_parsers() -> dict[str, Any]:
    """Return command -> parser of the commands in `training/`, which typer knows by name only."""
    from training.run.arguments import PARSERS

    return {name: make() for name, make in PARSERS.items()}


def _argument(parameter: Any) -> str:
    name = parameter.metavar or parameter.name.upper()
    name += "..." if parameter.nargs != 1 else ""
    return name if parameter.required else f"[{name}]"


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    default = parameter.default
    if default is None or default is False or default == () or callable(default) or "Sentinel" in repr(default):
        return ""
    return f"`{_cell(str(default))}`"


def settings() -> str:
    """Return the table of all training settings."""
    from training.run.usage import markdown_table

    return markdown_table()


def errors() -> str:
    """Return the tree of errors, then what each one means."""
    from radikal_datasets.errors import RadikalError

    found = dict.fromkeys([RadikalError, *(kind for kind, _ in _below(RadikalError, 1))])
    tree = ["RadikalError", *("    " * depth + kind.__name__ for kind, depth in _below(RadikalError, 1))]
    rows = ["| error | also a | meaning |", "|---|---|---|"]
    for kind in found:
        others = [base.__name__ for base in kind.__bases__ if base.__module__ == "builtins" and base is not Exception]
        summary = inspect.cleandoc(kind.__doc__ or "").split("\n\n")[0].replace("\n", " ")
        rows.append(f"| `{kind.__name__}` | {', '.join(others)} | {_cell(summary)} |")
    return "\n".join(["```text", *tree, "```", "", *rows])


def _below(kind: type, depth: int) -> Iterator[tuple[type, int]]:
    for child in kind.__subclasses__():
        if child.__module__.partition(".")[0] in ("radikal_datasets", "loaders", "training"):
            yield child, depth
            yield from _below(child, depth + 1)


def columns() -> str:
    """Return the columns of every set with their types in Arrow and in `datasets`."""
    from radikal_datasets.schema import features

    rows = ["| column | feature of `datasets` | Arrow type |", "|---|---|---|"]
    types = features(["CLASS"])
    for field in types.arrow_schema:
        feature = re.sub(r"Value\('(\w+)'\)", r"\1", str(types[field.name])).replace("names=['CLASS']", "names")
        rows.append(f"| `{field.name}` | `{_cell(feature)}` | `{_cell(str(field.type))}` |")
    return "\n".join(rows)


#: Modules that define counters of own data.
_OWN_DATA = ("own_data.parsed", "own_data.frames", "own_data.review")


def counters() -> str:
    """Return the counters that all sources share, then those of each source."""
    from radikal_datasets.report import KINDS
    from radikal_datasets.sources import built_in_names

    text = ["## All sources", "", *_counter_rows(KINDS.values())]
    own_data = [importlib.import_module(f"radikal_datasets.{name}") for name in ("sources.folder", *_OWN_DATA)]
    kinds = {kind.name: kind for module in own_data for kind in _kinds_of(module)}
    text += ["", "## [`folder`](../tutorials/your-own-images.md): your own images", "", *_counter_rows(kinds.values())]
    for name in built_in_names():
        own = _kinds_of(importlib.import_module(f"radikal_datasets.sources.{name}"))
        if own:
            text += ["", f"## [`{name}`](../sources/{name}.md)", "", *_counter_rows(own)]
    return "\n".join(text)


def _kinds_of(module: Any) -> list[Any]:
    """Return the counters that a source's module, or a parser of `annotations/` that it imports from, defines."""
    from radikal_datasets.report import KINDS, Kind

    parsers = {getattr(value, "__module__", "") for value in vars(module).values()}
    modules = [module, *(sys.modules[n] for n in sorted(parsers) if n.startswith("radikal_datasets.annotations."))]
    found = [value for each in modules for value in vars(each).values() if isinstance(value, Kind)]
    return list({kind.name: kind for kind in found if kind.name not in KINDS}.values())


def _counter_rows(kinds: Any) -> list[str]:
    rows = [f"| `{kind.name}` | {kind.effect.value} | {_cell(kind.meaning)} |" for kind in kinds]
    return ["| counter | effect | meaning |", "|---|---|---|", *rows]


def api() -> str:
    """Return an mkdocstrings block for every public name of `radikal_datasets` and `loaders`."""
    import loaders
    import radikal_datasets

    text, seen = [], set()
    for package in (radikal_datasets, loaders):
        text.append(f"## {package.__name__}\n")
        for name in sorted(package.__all__, key=lambda name: (name.isupper(), name.lower())):
            value = getattr(package, name)
            where = f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', '')}"
            if callable(value) and where not in seen:
                seen.add(where)
                text.append(f"::: {where}\n    options:\n      heading_level: 3\n")
            elif not callable(value):
                text.append(f"### `{name}`\n\n`{name} = {value!r}`\n")
    return "\n".join(text)


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|").replace("<", "&lt;").strip()


PARTS: dict[str, Callable[[], str]] = {
    part.__name__: part for part in (api, columns, commands, counters, errors, settings)
}

if __name__ == "__main__":
    print(PARTS[sys.argv[1]]())
