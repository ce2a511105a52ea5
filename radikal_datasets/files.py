"""Write files and folders atomically, and never among the inputs."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import OutputError

#: Suffix of unfinished files. Their names begin with a dot, unlike those of finished files.
UNFINISHED = ".part"


def unfinished(path: Path) -> Path:
    """Return a new hidden name beside `path` to write to; another process that writes the same file gets another."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{UNFINISHED}")


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a file to write, which replaces `path` if the block succeeds and is removed otherwise.

    Missing parent folders are created. A reader sees the old file or the new one, never a part of either.
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
    """Reject an output inside a folder of inputs, where it would be taken for one of them.

    Args:
        inputs: folders; None, files and missing paths are ignored.
        what: the name of the inputs in the message: `the raw tree`.

    Raises:
        OutputError: `output` is one of the folders or inside it.
    """
    for path in inputs:
        folder = None if path is None else Path(path).expanduser()
        if folder is not None and folder.is_dir() and output.resolve().is_relative_to(folder.resolve()):
            raise OutputError(f"{output} is inside {what} {folder}. Choose a path outside it. Nothing was written.")
