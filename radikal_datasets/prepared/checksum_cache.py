"""`.radikal.json`: this machine's cache of file checksums in a Hub folder, so that unchanged files are not read again.

It is never pushed and may be missing or wrong: it only ever saves work. The times in it are this machine's, which is
why they are not in the manifest.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

from ..files import write_atomically

NOTES_FILENAME = ".radikal.json"


class NotedFile(NamedTuple):
    """Size in bytes, time of the last change in ns, and the sha256 it had then."""

    bytes: int
    mtime_ns: int
    sha256: str


class NotedConfig(NamedTuple):
    """The fingerprint of what a configuration was built from, and the digest of its entry in the manifest."""

    fingerprint: str
    digest: str


@dataclass
class Notes:
    """Cached facts about a folder: its configurations by name, its files by posix path below it."""

    configs: dict[str, NotedConfig] = field(default_factory=dict)
    files: dict[str, NotedFile] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path) -> Notes:
        """Load the cache of a folder; empty if there is none or it cannot be read."""
        try:
            data = json.loads((folder / NOTES_FILENAME).read_text(encoding="utf-8"))
            configs = {name: NotedConfig(*map(str, values)) for name, values in data["configs"].items()}
            files = {path: NotedFile(int(n), int(t), str(s)) for path, (n, t, s) in data["files"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return cls()
        return cls(configs, files)

    def save(self, folder: Path) -> None:
        """Write the cache into the folder, unless it is unchanged."""
        text = json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"
        path = folder / NOTES_FILENAME
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            write_atomically(path, text)

    def note(self, folder: Path, path: str, sha256: str) -> None:
        """Store a file's current size, time and checksum."""
        stat = (folder / path).stat()
        self.files[path] = NotedFile(stat.st_size, stat.st_mtime_ns, sha256)

    def unchanged(self, folder: Path, path: str) -> bool:
        """Return whether a file still has the size and time that were stored."""
        noted, file = self.files.get(path), folder / path
        if noted is None or not file.is_file():
            return False
        stat = file.stat()
        return (noted.bytes, noted.mtime_ns) == (stat.st_size, stat.st_mtime_ns)

    def sha256(self, folder: Path, path: str) -> str | None:
        """Return the checksum of a file, cached if it is unchanged, otherwise computed; None if there is no file."""
        if self.unchanged(folder, path):
            return self.files[path].sha256
        return sha256_of(folder / path) if (folder / path).is_file() else None


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file in hex, read in small pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
