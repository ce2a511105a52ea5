"""Files and folders that appear complete or not at all, and never among the inputs."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import OutputError

#: Ends the name of what is still being written. The name begins with a dot, and is never that of a finished file.
UNFINISHED = ".part"


def unfinished(path: Path) -> Path:
    """A new name beside `path` to write to, hidden: another process that writes the same file has another one."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{UNFINISHED}")


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A file to write that takes the place of `path` when the block ends without an error, and is removed otherwise.

    Missing folders above `path` are made. A reader sees the old file or the new one, never a half of either.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = unfinished(path)
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_atomically(path: Path, data: bytes | str) -> None:
    """Replace a file as `atomic_file` does; text becomes UTF-8."""
    with atomic_file(path) as part:
        part.write_bytes(data.encode() if isinstance(data, str) else data)


def refuse_inside(output: Path, inputs: Iterable[str | os.PathLike[str] | None], *, what: str) -> None:
    """Refuse an output that lies in a folder of inputs: it would be taken for one of them.

    Args:
        inputs: folders; None, files and what is not there are passed over.
        what: names the inputs in the message: `the raw tree`.

    Raises:
        OutputError: `output` is one of the folders or lies in it.
    """
    for place in inputs:
        folder = None if place is None else Path(place).expanduser()
        if folder is not None and folder.is_dir() and output.resolve().is_relative_to(folder.resolve()):
            raise OutputError(f"{output} lies in {what} {folder}. Give a place beside it. Nothing was written.")
