"""The entries of a manifest, one per configuration and file, and how they are read from JSON."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath
from typing import Any

from ..gray_scale import GrayScale

#: The folder of the preview images, one per configuration.
PREVIEWS = "previews"

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class FileEntry:
    """One file: the sha256 of its contents, its size in bytes, and its rows (None: a preview, which has none)."""

    sha256: str
    bytes: int
    rows: int | None = None


@dataclass(frozen=True)
class ConfigEntry:
    """One configuration.

    Attributes:
        protocol: its split protocol.
        files: posix path below the folder -> file, such as ``castings/train-00000-of-00001.parquet``.
        counters: kind -> number of occurrences of what was repaired or lost, see `radikal_datasets.report`.
    """

    protocol: str
    files: dict[str, FileEntry]
    counters: dict[str, int] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """16 hex digits that change with anything in it; the card repeats them to show that the two match."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]


def config_entry(name: str, data: Any) -> ConfigEntry:
    """Read a configuration; ValueError or KeyError if it is not one."""
    data = typed(data, dict)
    files = {}
    for path, entry in typed(data["files"], dict).items():
        pure = PurePosixPath(path)
        folder_of_ours = pure.parts[:-1] in ((name,), (PREVIEWS,)) and name not in (".", "..")
        if not folder_of_ours or pure.name == ".." or str(pure) != path or "\\" in path:
            raise ValueError(f"{path!r} is not a valid path for configuration {name!r}")
        sha256, rows = typed(entry, dict)["sha256"], entry.get("rows")
        if not _SHA256.fullmatch(typed(sha256, str)):
            raise ValueError(f"{path}: {sha256!r} is not a sha256")
        files[path] = FileEntry(sha256, _count(entry["bytes"]), None if rows is None else _count(rows))
    counters = {kind: _count(count) for kind, count in typed(data.get("counters", {}), dict).items()}
    return ConfigEntry(typed(data["protocol"], str), files, counters)


def gray_scale_entry(value: Any) -> list[float]:
    """Read a gray scale, [low, high]; ValueError if it is not one."""
    scale = GrayScale.parse(typed(value, list))
    if scale is None:
        raise ValueError(f"{value!r} is not a gray scale [low, high]")
    return scale.to_list()


def typed(value: Any, kind: type) -> Any:
    """Return a value that has this type; ValueError if it has another."""
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"{kind.__name__} expected, {str(value)[:50]!r} found")
    return value


def _count(value: Any) -> int:
    if typed(value, int) < 0:
        raise ValueError(f"a count expected, {value} found")
    return value
