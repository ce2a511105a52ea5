"""`images.csv` of an export by this program: the names, groups and splits that other formats cannot hold."""

from __future__ import annotations

from pathlib import PurePosixPath

from .documents import read_csv
from .parsed import Entry, Parsed
from .recognize import Files


def read_exported(files: Files, parsed: Parsed) -> None:
    """Give the images of an export their image_id, group and split back."""
    for path in files.exported:
        folder = str(PurePosixPath(path).parent)
        with parsed.findings.costs():
            for line, values in read_csv(files.tree, path)[1]:
                image = values["file"] if folder == "." else f"{folder}/{values['file']}"
                if image in files.tree:
                    entry = parsed.entries.get(image) or Entry(image, path, line, annotated=False)
                    entry.image_id, entry.group, entry.split = values["image_id"], values["group"], values["split"]
                    parsed.listed[image] = entry
