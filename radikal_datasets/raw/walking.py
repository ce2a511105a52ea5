"""Walk a folder of raw files, and separate what is safe to read on every machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..errors import UnsafePathError
from ..terminal import progress

#: Names of files and folders that operating systems and development tools leave behind; never data.
LITTER = {
    *(".DS_Store", "Thumbs.db", "desktop.ini", "__MACOSX"),
    # Of version control, Python and Jupyter: an environment in a checkout has more files than any dataset.
    *(".git", ".hg", ".svn", ".venv", "__pycache__", ".ipynb_checkpoints", "node_modules"),
}

REMEDY = "Check its permissions, or copy it again."
_RENAME = "It was not read. Rename it."


class FileStat(NamedTuple):
    """Size in bytes, and a stamp that changes when the file does (mtime in ns, a CRC, or fsspec's ukey)."""

    size: int
    stamp: str


def is_litter(path: str) -> bool:
    """Return whether a path is, or lies in, what an operating system or a development tool left there."""
    return any(part in LITTER or part.startswith("._") for part in path.split("/"))


def walk_local(root: Path) -> tuple[dict[str, FileStat], list[UnsafePathError]]:
    """Walk a folder with scandir. Links to files inside the tree are followed, all others are listed as unsafe."""
    files: dict[str, FileStat] = {}
    unsafe: list[UnsafePathError] = []
    for relative, entry in progress(_entries(root, unsafe), "listing files", unit="file"):
        if not is_plain(entry.name):
            unsafe.append(
                UnsafePathError(printable(relative), "the name is not UTF-8 or contains a backslash", _RENAME)
            )
        elif entry.is_symlink() and not stays_inside(entry.path, root):
            unsafe.append(unsafe_link(relative, os.readlink(entry.path)))  # noqa: PTH115 (Path cleans it up)
        elif entry.is_file():
            stat = entry.stat()
            files[relative] = FileStat(stat.st_size, str(stat.st_mtime_ns))
    return dict(sorted(files.items())), unsafe


def _entries(root: Path, unsafe: list[UnsafePathError]) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield path below the root and entry of everything but litter and folders that can be entered."""
    folders = [(str(root), "")]
    while folders:
        folder, prefix = folders.pop()
        try:
            entries = list(os.scandir(folder))
        except OSError as error:
            unsafe.append(UnsafePathError(prefix.rstrip("/"), f"the folder cannot be read: {error.strerror}", REMEDY))
            continue
        for entry in entries:
            if is_litter(entry.name):
                continue
            if is_plain(entry.name) and not entry.is_symlink() and entry.is_dir(follow_symlinks=False):
                folders.append((entry.path, f"{prefix}{entry.name}/"))
            else:
                yield prefix + entry.name, entry


def stays_inside(link: str, root: Path) -> bool:
    """Return whether a link leads to a file inside the tree."""
    try:
        target = Path(link).resolve(strict=True)
    except (OSError, RuntimeError):  # dangling or circular
        return False
    return target.is_relative_to(root) and target.is_file()


def is_plain(name: str) -> bool:
    """Return whether Arrow and every platform support the name; Python escapes non-UTF-8 bytes as surrogates."""
    return "\\" not in name and not any("\ud800" <= character <= "\udfff" for character in name)


def printable(name: str) -> str:
    """Return a name that any terminal can print."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8").replace("\\", "\u2216")


def unsafe_link(path: str, target: str) -> UnsafePathError:
    """Return the problem of a link that is not followed."""
    remedy = "Links out of the tree, to folders, or to missing files are not followed. Put the files themselves here."
    return UnsafePathError(path, f"a link to {target!r}", remedy)


def unsafe_member(path: str) -> UnsafePathError:
    """Return the problem of an archive member that is not read."""
    return UnsafePathError(path, "this archive member would leave its folder", "It was not read. Check the archive.")
