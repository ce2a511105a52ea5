"""The docs agree with the code, where that can be checked by reading both."""

from __future__ import annotations

import re
from pathlib import Path

from radikal_datasets.cli import app
from radikal_datasets.report import KINDS
from radikal_datasets.sources import built_in_names

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_every_shared_counter_is_explained() -> None:
    text = (ROOT / "docs" / "counting.md").read_text(encoding="utf-8")
    for kind in KINDS.values():
        assert f"| `{kind.name}` | {kind.meaning} ({kind.effect.value}) |" in text


def test_every_source_has_a_page_in_the_navigation_and_a_row_in_the_readme() -> None:
    readme, navigation = (ROOT / name for name in ("README.md", "mkdocs.yml"))
    for name in built_in_names():
        assert (ROOT / "docs" / "sources" / f"{name}.md").is_file()
        assert f"sources/{name}.md" in navigation.read_text(encoding="utf-8")
        assert f"| [`{name}`](docs/sources/{name}.md) |" in readme.read_text(encoding="utf-8")


def test_commands_in_the_docs_exist() -> None:
    commands = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    commands |= {group.name for group in app.registered_groups}
    for page in PAGES:
        for command in re.findall(
            r"^(?:\$ )?radikal-datasets ([a-z][\w-]*)", page.read_text(encoding="utf-8"), re.MULTILINE
        ):
            assert command in commands, (page, command)


def test_links_between_files_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?://|#)([^)#\s]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), (page, target)
