"""Unpack tar archives safely and completely."""

from __future__ import annotations

import hashlib
import json
import lzma
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath

import datasets.config
from filelock import FileLock

from ..errors import LayoutError
from ..files import unfinished


def is_unsafe(member: str) -> bool:
    """Return whether an archive member would land outside the folder into which it is unpacked."""
    as_windows, as_posix = PureWindowsPath(member), PurePosixPath(member)
    return as_posix.is_absolute() or bool(as_windows.drive or as_windows.root) or ".." in as_windows.parts


@contextmanager
def new_folder(final: Path) -> Iterator[Path]:
    """Create a folder that appears under its final name only once it is complete."""
    final.parent.mkdir(parents=True, exist_ok=True)
    # Not tempfile.mkdtemp: only the owner may read its folders, and this one is to stay.
    part = unfinished(final)
    part.mkdir()
    try:
        yield part
        part.rename(final)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def unpack(archive: Path, folder: Path) -> list[str]:
    """Unpack a tar, compressed or not, into an existing folder; return the unsafe members that were left out.

    Raises:
        LayoutError: the archive is damaged.
    """
    skipped: list[str] = []
    try:
        with tarfile.open(archive) as tar:
            # Python's "data" filter rejects members that leave the folder, devices, and links out of it.
            tar.extractall(folder, members=_safe_members(tar, folder, skipped), filter="data")
            # tarfile stops at the archive's own end; the checksum of the compression follows it.
            while tar.fileobj is not None and tar.fileobj.read(2**20):
                pass
    except (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError) as error:
        raise LayoutError(f"Cannot unpack {archive}: {error}. Download the archive again.") from error
    return skipped


def unpack_once(archive: Path) -> tuple[Path, list[str]]:
    """Unpack an archive into the datasets cache, once; return the folder and the unsafe members left out."""
    stat = archive.stat()
    key = hashlib.sha256(f"{archive.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}".encode()).hexdigest()[:24]
    folder = Path(datasets.config.EXTRACTED_DATASETS_PATH) / "radikal_datasets" / key
    skipped_list = folder.with_name(f"{key}.skipped.json")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not folder.is_dir():
            with new_folder(folder) as unfinished:
                skipped_list.write_text(json.dumps(unpack(archive, unfinished)), encoding="utf-8")
    return folder, json.loads(skipped_list.read_text(encoding="utf-8"))


def _safe_members(tar: tarfile.TarFile, folder: Path, skipped: list[str]) -> Iterator[tarfile.TarInfo]:
    for member in tar:
        try:
            tarfile.data_filter(member, str(folder))
            unsafe = is_unsafe(member.name)  # the filter makes "/etc/x" relative; no real image has such a name
        except tarfile.FilterError:
            unsafe = True
        if unsafe:
            skipped.append(member.name)
        else:
            yield member
