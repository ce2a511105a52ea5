"""Write the tables and lists about sources into the pages that have them, from the facts that each `Source` states.

    python docs/source_tables.py            rewrites the pages; `make docs-tables` does the same
    python docs/source_tables.py --check    changes nothing; exit code 1 if a page is stale

A page marks the part that is written: `<!-- generated: NAME -->` and `<!-- end of NAME -->`, in YAML after a `#`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))  # the code beside these docs, whatever is installed

# Only now, since the path has to be set first (E402).
from radikal_datasets.comparing import (  # noqa: E402
    BEST_USE,
    annotated_with,
    decision_matrix,
    passing_on,
    protocol_words,
)
from radikal_datasets.source import Source  # noqa: E402
from radikal_datasets.sources import built_in_names, source_info  # noqa: E402
from radikal_datasets.splits import PROTOCOLS  # noqa: E402

PAGES = ("README.md", "mkdocs.yml", "docs/augmentation.md", "docs/choosing.md", "docs/index.md", "docs/splits.md")
_PART = re.compile(
    r"(?P<begin>(?:<!--|#) generated: (?P<name>\w+)(?: -->)?)(?P<between>\s).*?"
    r"(?P<end>[ ]*(?:<!--|#) end of (?P=name)\b)",
    re.DOTALL,
)


def _sources() -> list[Source]:
    return [source_info(name) for name in built_in_names()]


def overview() -> str:
    """Return the README's table."""
    rows = (
        [
            f"[`{source.name}`](docs/sources/{source.name}.md)",
            source.subject,
            annotated_with(source),
            passing_on(source),
        ]
        for source in _sources()
    )
    return _table(["source", "subject", "annotations", "may be passed on"], rows)


def comparison() -> str:
    """Return the table of `list --compare`, and below it what each source is best for."""
    matrix = decision_matrix(_sources())
    facts = [fact for fact in next(iter(matrix.values())) if fact != BEST_USE]
    rows = ([f"[`{name}`](sources/{name}.md)", *(of[fact] for fact in facts)] for name, of in matrix.items())
    uses = (f"- `{name}`: {of[BEST_USE]}" for name, of in matrix.items())
    return "\n".join([_table(["source", *facts], rows), "", "Best use:", "", *uses])


def protocols() -> str:
    """Return how each protocol splits each source."""
    rows = ([f"`{one.name}`", *(protocol_words(one, protocol) for protocol in PROTOCOLS)] for one in _sources())
    return _table(["source", *(f"`{protocol}`" for protocol in PROTOCOLS)], rows)


def augmentations() -> str:
    """Return which augmentations are realistic for which source."""
    rows = ([f"`{one.name}`", ", ".join(f"`{name}`" for name in one.augmentations)] for one in _sources())
    return _table(["source", "realistic"], rows)


def links() -> str:
    """Return a link to the page of each source, in one line."""
    return ", ".join(f"[{one.short_title}](sources/{one.name}.md)" for one in _sources())


def navigation() -> str:
    """Return the lines of mkdocs.yml about the pages of the sources."""
    return "\n".join(f"      - {one.short_title}: sources/{one.name}.md" for one in _sources())


PARTS: dict[str, Callable[[], str]] = {
    part.__name__: part for part in (overview, comparison, protocols, augmentations, links, navigation)
}


def rewritten(text: str) -> str:
    """Return a page with every marked part written again."""

    def write(match: re.Match[str]) -> str:
        if match["between"] == " ":
            return f"{match['begin']} {PARTS[match['name']]()} {match['end'].lstrip()}"
        # A table of Markdown ends at an empty line only.
        gap = "\n\n" if match["begin"].startswith("<!--") else "\n"
        return gap.join([match["begin"], PARTS[match["name"]](), match["end"]])

    return _PART.sub(write, text)


def _table(header: list[str], rows: Iterable[list[str]]) -> str:
    lines = [f"| {' | '.join(line)} |" for line in (header, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(header), *lines[1:]])


def main() -> int:
    """Rewrite the pages, or with --check name those that are stale."""
    stale = []
    for name in PAGES:
        page = ROOT / name
        text = page.read_text(encoding="utf-8")
        if (new := rewritten(text)) != text:
            stale.append(name)
            if "--check" not in sys.argv:
                page.write_text(new, encoding="utf-8")
    print(f"{len(stale)} of {len(PAGES)} pages {'are stale' if '--check' in sys.argv else 'rewritten'}", *stale)
    return int(bool(stale) and "--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
