"""Find out whether the Arrow files of a cache are as they were written, and remove a cache that is damaged."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import pyarrow as pa

logger = logging.getLogger(__name__)

#: Beside the Arrow files: their names and sizes.
SIZES_FILENAME = "radikal_sizes.json"
_INFO = "dataset_info.json"


def write_sizes(folder: Path) -> None:
    """Record the sizes of a cache's Arrow files, in bytes."""
    sizes = {path.name: path.stat().st_size for path in sorted(folder.glob("*.arrow"))}
    (folder / SIZES_FILENAME).write_text(json.dumps(sizes), encoding="utf-8")


def damage(folder: Path) -> str:
    """Return what is wrong with a cache, or an empty string.

    Names and sizes of the files are compared, and the frame of every batch is read: not the images, which would take
    as long as converting them again.
    """
    try:
        for name in (_INFO, *(path.name for path in folder.glob("radikal_*.json"))):
            json.loads((folder / name).read_text(encoding="utf-8"))
        there = {path.name: path.stat().st_size for path in folder.glob("*.arrow")}
        if (folder / SIZES_FILENAME).is_file():
            for name, size in json.loads((folder / SIZES_FILENAME).read_text(encoding="utf-8")).items():
                if there.get(name) != size:
                    return f"{name} has {there.get(name, 0):,} of {size:,} bytes"
        for name in sorted(there):
            with pa.memory_map(str(folder / name)) as file, pa.ipc.open_stream(file) as batches:
                for _ in batches:
                    pass
    except (OSError, ValueError, AttributeError, pa.ArrowException) as error:
        return str(error).splitlines()[0][:300] if str(error) else type(error).__name__
    return ""


def remove_if_damaged(folder: Path) -> bool:
    """Remove a cache that is damaged, and say so; return whether it was."""
    if not (folder / _INFO).is_file() or not (found := damage(folder)):
        return False
    logger.warning("The cache %s is damaged (%s): it is removed, and the dataset is converted again.", folder, found)
    shutil.rmtree(folder)
    return True
