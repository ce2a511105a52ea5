"""The table of verdicts, a module beside the source as a package from outside would have."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

from radikal_datasets.raw.tree import Tree


@dataclass(frozen=True)
class Verdict:
    """What the table says about one image, and in which line."""

    split: str
    kind: str
    line: int


def read_verdicts(tree: Tree, path: str) -> dict[str, Verdict]:
    """Return stem -> verdict."""
    rows = csv.DictReader(io.StringIO(tree.read_text(path)))
    return {row["image"]: Verdict(row["split"], row["verdict"], rows.line_num) for row in rows}
