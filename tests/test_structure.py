"""How the packages are laid out: short modules, and nothing but scripts at the top of training/."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SCRIPTS = {"demo", "explain", "export", "predict", "push_model", "score", "serve_model", "train"}
MOST_LINES = 400
#: Modules may be longer than this only in small number: one that grows is split along an idea.
USUAL_LINES, MOST_LONG_MODULES = 250, 8


def modules() -> Iterator[Path]:
    for package in ("radikal_datasets", "loaders", "training"):
        yield from (ROOT / package).rglob("*.py")


def lengths() -> dict[str, int]:
    found = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in modules()}
    assert len(found) > 100
    return found


def test_no_module_is_longer_than_400_lines():
    assert {name: lines for name, lines in lengths().items() if lines > MOST_LINES} == {}


def test_at_most_eight_modules_are_longer_than_250_lines():
    long = {name: lines for name, lines in lengths().items() if lines > USUAL_LINES}
    assert len(long) <= MOST_LONG_MODULES, long


def test_the_top_level_of_training_holds_scripts_only():
    assert {path.stem for path in (ROOT / "training").glob("*.py")} == SCRIPTS | {"__init__"}


def test_no_module_writes_html_itself():
    """Pages are templates, which escape every value: no `html.escape`, and no element in a string of a module."""
    names = "a|b|div|dl|figure|h[1-6]|html|i|img|li|main|p|path|rect|script|span|style|svg|table|td|text|th|tr|ul"
    # Not the name of a group in a regular expression.
    element = re.compile(rf"(?<!\(\?P)(?<!\\g)</?({names})\b[^<]*>", re.IGNORECASE)
    for path in modules():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imported = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names} | {
            node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level
        }
        assert "html" not in imported, path
        found = [
            (path.name, node.lineno, node.value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and element.search(node.value)
        ]
        assert found == []


def test_templates_escape_every_value():
    """`safe` and `autoescape false` would let a name through."""
    templates = [path for package in ("radikal_datasets", "training") for path in (ROOT / package).rglob("templates/*")]
    assert len(templates) > 20
    for path in templates:
        assert not re.search(r"\|\s*safe\b|autoescape|Markup", path.read_text(encoding="utf-8")), path


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        ("radikal_datasets.builder", "radikal_datasets.building.builder", "InspectionBuilder"),
        ("radikal_datasets.hub.server.database", "radikal_datasets.hub_server.database", "Database"),
    ],
)
def test_old_module_names_are_aliases(old: str, new: str, name: str):
    assert getattr(importlib.import_module(old), name) is getattr(importlib.import_module(new), name)
