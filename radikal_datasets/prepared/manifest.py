"""`manifest.json`: which files a Hub folder holds, their checksums, and what they were made from."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import HubFolderError
from ..loading.loading import CARD_KEY
from ..sources import source_info, source_names
from .card_text import CARD_FILENAME, parse_card, read_card
from .checksum_cache import Notes, sha256_of

MANIFEST_FILENAME = "manifest.json"
#: The folder of the preview pictures, one a configuration.
PREVIEWS = "previews"

_SHA256 = re.compile(r"[0-9a-f]{64}")
_REMEDY = "Run prepare again."


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
        counters: kind -> how often, of what was repaired or lost, see `radikal_datasets.report`.
    """

    protocol: str
    files: dict[str, FileEntry]
    counters: dict[str, int] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """16 hex digits that change with anything in it; the card repeats them to show that the two belong together."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]


@dataclass
class Manifest:
    """What `manifest.json` says. It holds no time and nothing of this machine: the same input gives the same text.

    Attributes:
        source: name of the source.
        version: of its builder.
        schema_version: of the columns.
        library_version: of radikal-datasets.
        configs: name -> configuration.
    """

    source: str
    version: str
    schema_version: int
    library_version: str
    configs: dict[str, ConfigEntry] = field(default_factory=dict)

    @property
    def files(self) -> dict[str, FileEntry]:
        """The files of all configurations, by path."""
        return {path: entry for config in self.configs.values() for path, entry in config.files.items()}

    @classmethod
    def parse(cls, text: str, where: str | Path = MANIFEST_FILENAME) -> Manifest:
        """Reads what `to_json` wrote; `where` is told in errors.

        Raises:
            HubFolderError: no JSON, a field that is missing or of another type, or a path that leaves the folder.
        """
        try:
            data = _typed(json.loads(text), dict)
            configs = {name: _config(name, entry) for name, entry in _typed(data["configs"], dict).items()}
            names = [_typed(data[key], str) for key in ("source", "version", "library_version")]
            return cls(names[0], names[1], _typed(data["schema_version"], int), names[2], configs)
        except (ValueError, KeyError, RecursionError) as error:
            found = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise HubFolderError(f"{where} is no manifest of radikal-datasets: {found}. {_REMEDY}") from None

    def to_json(self) -> str:
        """The text of the file, keys sorted."""
        return json.dumps(asdict(self), indent=1, sort_keys=True, ensure_ascii=False) + "\n"

    @classmethod
    def load(cls, folder: str | Path) -> Manifest:
        """Reads the manifest of a folder.

        Raises:
            HubFolderError: there is none, or it can't be read.
        """
        path = Path(folder, MANIFEST_FILENAME)
        if not path.is_file():
            raise HubFolderError(
                f"{folder} has no {MANIFEST_FILENAME}: `radikal-datasets prepare` did not write it, was interrupted, "
                f"or is an older version. {_REMEDY}"
            )
        try:
            return cls.parse(path.read_text(encoding="utf-8"), path)
        except UnicodeDecodeError as error:
            raise HubFolderError(f"{path} is no text: {error}. {_REMEDY}") from None

    def merged_onto(self, older: Manifest | None) -> Manifest:
        """This manifest, with the configurations that only `older` has.

        Raises:
            HubFolderError: the two are of different sources.
        """
        if older is None:
            return self
        if older.source != self.source:
            raise HubFolderError(
                f"{self.source} can't be added to a manifest of {older.source}: take another folder or repository."
            )
        return replace(self, configs=older.configs | self.configs)


def check_folder(folder: str | Path, *, rehash: bool = False) -> Manifest:
    """The manifest of a folder, after making sure that every file is as it says and that the card belongs to it.

    A file whose size and time are those noted when it was written is taken to be that file; any other is hashed.

    Args:
        folder: as `build_hub_folder` wrote it, or a copy.
        rehash: hash every file.

    Raises:
        HubFolderError: a file is missing, damaged or not listed, or manifest and card don't belong together.
    """
    folder = Path(folder)
    manifest, notes = Manifest.load(folder), Notes.load(folder)
    for path, entry in manifest.files.items():
        file = folder / path
        if not file.is_file():
            raise HubFolderError(f"{file} is missing. {_REMEDY}")
        if (size := file.stat().st_size) != entry.bytes:
            raise HubFolderError(f"{file} has {size:,} bytes, {MANIFEST_FILENAME} says {entry.bytes:,}. {_REMEDY}")
        if (sha256_of(file) if rehash else notes.sha256(folder, path)) != entry.sha256:
            raise HubFolderError(f"{file} was damaged or changed: its sha256 is not the manifest's. {_REMEDY}")
    _check_card(folder, manifest)
    _check_not_listed(folder, manifest)
    return manifest


def _check_card(folder: Path, manifest: Manifest) -> None:
    path = folder / CARD_FILENAME
    if not path.is_file():
        raise HubFolderError(f"{path} is missing. {_REMEDY}")
    about = parse_card(read_card(path), path).metadata.get(CARD_KEY)
    told = about.get("contents") if isinstance(about, Mapping) else None
    contents = {name: entry.digest for name, entry in manifest.configs.items()}
    if told != contents:
        told = told if isinstance(told, Mapping) else {}
        differ = sorted(name for name in contents.keys() | told.keys() if contents.get(name) != told.get(name))
        raise HubFolderError(
            f"{path} and {MANIFEST_FILENAME} don't belong together (they differ in {', '.join(differ) or CARD_KEY}): "
            f"a prepare was interrupted, or one of them was changed. {_REMEDY}"
        )


def _check_not_listed(folder: Path, manifest: Manifest) -> None:
    known = source_info(manifest.source).config_names if manifest.source in source_names() else []
    for name in {*known, *manifest.configs}:
        for path in folder.glob(f"{name}/*.parquet"):
            if f"{name}/{path.name}" not in manifest.files:
                raise HubFolderError(f"{path} is not in {MANIFEST_FILENAME}. Remove it, or run prepare again.")


def _config(name: str, data: Any) -> ConfigEntry:
    data = _typed(data, dict)
    files = {}
    for path, entry in _typed(data["files"], dict).items():
        pure = PurePosixPath(path)
        folder_of_ours = pure.parts[:-1] in ((name,), (PREVIEWS,)) and name not in (".", "..")
        if not folder_of_ours or pure.name == ".." or str(pure) != path or "\\" in path:
            raise ValueError(f"{path!r} is no path of configuration {name!r}")
        sha256, rows = _typed(entry, dict)["sha256"], entry.get("rows")
        if not _SHA256.fullmatch(_typed(sha256, str)):
            raise ValueError(f"{path}: {sha256!r} is no sha256")
        files[path] = FileEntry(sha256, _count(entry["bytes"]), None if rows is None else _count(rows))
    counters = {kind: _count(count) for kind, count in _typed(data.get("counters", {}), dict).items()}
    return ConfigEntry(_typed(data["protocol"], str), files, counters)


def _typed(value: Any, kind: type) -> Any:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"{str(value)[:50]!r} where {kind.__name__} should be")
    return value


def _count(value: Any) -> int:
    if _typed(value, int) < 0:
        raise ValueError(f"{value} where a count should be")
    return value
