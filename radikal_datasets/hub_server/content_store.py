"""Contents on disk, each in a file named by its sha256: complete and verified, or absent."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from .client_faults import RequestError


class ObjectStore:
    """`objects/ab/cd/<sha256>` below a root, and `incoming/` for incomplete files.

    Everything in `objects` was written completely, flushed to disk and hashed before it got its name, so that neither a
    cut connection nor a killed process can leave a partial object there.
    """

    def __init__(self, root: Path):
        self._objects, self._incoming = root / "objects", root / "incoming"
        self._objects.mkdir(parents=True, exist_ok=True)
        self._incoming.mkdir(exist_ok=True)

    def clean(self) -> None:
        """Remove partially received files of an earlier process; called when a server starts."""
        for left_over in self._incoming.iterdir():
            left_over.unlink()

    def path(self, sha256: str) -> Path:
        """Return where an object is, or would be."""
        return self._objects / sha256[:2] / sha256[2:4] / sha256

    def add(self, content: bytes) -> str:
        """Store bytes and return their sha256."""
        sha256 = hashlib.sha256(content).hexdigest()
        with Receiver(self, sha256, len(content)) as receiver:
            receiver.write(content)
            receiver.finish()
        return sha256

    def all(self) -> Iterator[Path]:
        """Yield every object, sorted."""
        return (path for path in sorted(self._objects.glob("*/*/*")) if path.is_file())

    def is_intact(self, sha256: str) -> bool | None:
        """Return whether the file's contents match its name; None if there is no file."""
        path = self.path(sha256)
        if not path.is_file():
            return None
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == sha256

    def _incoming_path(self) -> Path:
        return self._incoming / uuid.uuid4().hex


class Receiver:
    """Receive one object in pieces; use as a context manager, and call `finish` when all of it has arrived."""

    def __init__(self, store: ObjectStore, sha256: str, size: int):
        self._store, self._sha256, self._size = store, sha256, size
        self._hash, self._received = hashlib.sha256(), 0
        self._path = store._incoming_path()
        self._file: BinaryIO | None = None

    def __enter__(self) -> Receiver:
        self._file = self._path.open("wb")
        return self

    def write(self, data: bytes | bytearray) -> None:
        """Append bytes.

        Raises:
            RequestError: 413, more than announced.
        """
        assert self._file is not None
        self._received += len(data)
        if self._received > self._size:
            raise RequestError(413, f"More than the announced {self._size} bytes were sent.")
        self._hash.update(data)
        self._file.write(data)

    def finish(self) -> None:
        """Verify size and hash, and give the object its name.

        Raises:
            RequestError: 400, it is not the announced object.
        """
        assert self._file is not None
        if self._received != self._size or self._hash.hexdigest() != self._sha256:
            raise RequestError(
                400, f"This is not the announced object: {self._received} of {self._size} bytes, or other contents."
            )
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        final = self._store.path(self._sha256)
        final.parent.mkdir(parents=True, exist_ok=True)
        self._path.replace(final)
        _sync_folder(final.parent)

    def __exit__(self, *_: object) -> None:
        assert self._file is not None
        self._file.close()
        self._path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # a folder cannot be opened there, and its entries are written through
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
