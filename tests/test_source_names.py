"""No source's name decides anything outside its own files: another source would have to be added there as well."""

from __future__ import annotations

import ast
from pathlib import Path

from radikal_datasets.sources import built_in_names

ROOT = Path(__file__).parents[1]
#: Its sample stands in for images that the user does not have yet.
DEMO = {"training/demo.py", "training/run/synthetic.py"}


def test_no_module_compares_with_a_sources_name() -> None:
    own = {f"radikal_datasets/{folder}/{name}.py" for name in built_in_names() for folder in ("sources", "samples")}
    found = []
    for package in ("radikal_datasets", "loaders", "training"):
        for path in sorted((ROOT / package).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if name in own | DEMO:
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and node.value in built_in_names():
                    found.append((name, node.lineno, node.value))
    assert found == []
