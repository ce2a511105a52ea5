"""The names that docs/plug-ins.md declares stable exist, and a package from outside needs no others."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

from tests.test_plug_ins import PLUG_IN

PAGE = Path(__file__).parents[1] / "docs" / "plug-ins.md"
ROW = re.compile(r"^\| `(radikal_datasets[\w.]*)` \| (.+) \|$", re.MULTILINE)


def declared() -> dict[str, dict[str, list[str]]]:
    """Return module -> name -> attributes, as the page's table has them: `Tree` with `files` and `read`; `Other`."""
    found: dict[str, dict[str, list[str]]] = {}
    for module, text in ROW.findall(PAGE.read_text(encoding="utf-8")):
        names: dict[str, list[str]] = {}
        for part in text.split(";"):
            before, _, attributes = part.partition(" with ")
            own = re.findall(r"`(\w+)`", before)
            names |= {name: [] for name in own}
            names[own[-1]] += re.findall(r"`(\w+)`", attributes)
        found[module] = names
    assert len(found) > 12
    return found


@pytest.mark.parametrize("module", declared())
def test_declared_names_exist(module: str) -> None:
    for name, attributes in declared()[module].items():
        value = getattr(importlib.import_module(module), name)
        known = {*dir(value), *getattr(value, "__annotations__", ())}
        source = Path(importlib.import_module(module).__file__ or "").read_text(encoding="utf-8")
        for attribute in attributes:
            assert attribute in known or f"self.{attribute}" in source, (name, attribute)


def test_the_plug_in_of_the_tests_imports_only_these() -> None:
    stable = declared()
    for path in (PLUG_IN / "acme_sources").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("radikal_datasets"):
                for alias in node.names:
                    inside = f"{node.module}.{alias.name}"
                    assert inside in stable or alias.name in stable.get(node.module or "", ()), (path.name, inside)


def test_the_example_of_the_page_is_the_plug_in_of_the_tests() -> None:
    page = PAGE.read_text(encoding="utf-8")
    points = (PLUG_IN / "acme_sources-1.0.dist-info" / "entry_points.txt").read_text(encoding="utf-8")
    for group, line in re.findall(r"\[(.+)\]\n(.+)\n", points):
        name, target = line.split(" = ")
        assert f'[project.entry-points."{group}"]\n{name} = "{target}"\n' in page
