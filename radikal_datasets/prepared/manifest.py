"""`manifest.json`: the files of a Hub folder, their checksums, and what they were built from."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import HubFolderError
from ..gray_scale import GrayScale
from ..source import Config, License, Source
from ..sources import is_source, source_info
from .card_text import CARD_FILENAME, parse_card, read_card
from .checksum_cache import Notes, sha256_of
from .reading import CARD_KEY

MANIFEST_FILENAME = "manifest.json"
#: The folder of the preview images, one per configuration.
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
        counters: kind -> number of occurrences of what was repaired or lost, see `radikal_datasets.report`.
    """

    protocol: str
    files: dict[str, FileEntry]
    counters: dict[str, int] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """16 hex digits that change with anything in it; the card repeats them to show that the two match."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]


@dataclass
class Manifest:
    """The contents of `manifest.json`. It holds no time or machine data: the same input gives the same text.

    Attributes:
        source: name of the source.
        version: of its builder.
        schema_version: of the columns.
        library_version: of radikal-datasets.
        configs: name -> configuration.
        decided: of own data, see `Source.decided`; otherwise empty, and absent from the file.
        gray_scale: configuration -> [low, high] of its images of more than 8 bits, see `gray_scale.GrayScale`; absent
            from the file where all have 8.
    """

    source: str
    version: str
    schema_version: int
    library_version: str
    configs: dict[str, ConfigEntry] = field(default_factory=dict)
    decided: dict[str, Any] = field(default_factory=dict)
    gray_scale: dict[str, list[float]] = field(default_factory=dict)

    @property
    def files(self) -> dict[str, FileEntry]:
        """The files of all configurations, by path."""
        return {path: entry for config in self.configs.values() for path, entry in config.files.items()}

    @classmethod
    def parse(cls, text: str, where: str | Path = MANIFEST_FILENAME) -> Manifest:
        """Read what `to_json` wrote; `where` is named in errors.

        Raises:
            HubFolderError: invalid JSON, a field that is missing or of another type, or a path that leaves the folder.
        """
        try:
            data = _typed(json.loads(text), dict)
            configs = {name: _config(name, entry) for name, entry in _typed(data["configs"], dict).items()}
            names = [_typed(data[key], str) for key in ("source", "version", "library_version")]
            decided = _typed(data.get("decided", {}), dict)
            scales = {name: _scale(value) for name, value in _typed(data.get("gray_scale", {}), dict).items()}
            return cls(names[0], names[1], _typed(data["schema_version"], int), names[2], configs, decided, scales)
        except (ValueError, KeyError, RecursionError) as error:
            found = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise HubFolderError(f"{where} is not a manifest of radikal-datasets: {found}. {_REMEDY}") from None

    def to_json(self) -> str:
        """Return the text of the file, keys sorted."""
        data = asdict(self)
        for key in ("decided", "gray_scale"):
            if not data[key]:
                del data[key]
        return json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False) + "\n"

    @classmethod
    def load(cls, folder: str | Path) -> Manifest:
        """Read the manifest of a folder.

        Raises:
            HubFolderError: there is none, or it cannot be read.
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
            raise HubFolderError(f"{path} is not a text file: {error}. {_REMEDY}") from None

    def merged_onto(self, older: Manifest | None) -> Manifest:
        """Return this manifest with the additional configurations of `older`.

        Raises:
            HubFolderError: the two describe different sources.
        """
        if older is None:
            return self
        if older.source != self.source:
            raise HubFolderError(
                f"{self.source} cannot be added to a manifest of {older.source}. Choose another folder or repository."
            )
        decided = older.decided | self.decided
        if decided:
            decided["classes"] = older.decided.get("classes", {}) | self.decided.get("classes", {})
        others = {name: scale for name, scale in older.gray_scale.items() if name not in self.configs}
        configs, gray_scale = older.configs | self.configs, others | self.gray_scale
        return replace(self, configs=configs, decided=decided, gray_scale=gray_scale)

    @property
    def facts(self) -> Source:
        """The facts about its source; of own data, those that `prepare` wrote into it.

        Raises:
            HubFolderError: what was written about own data is not complete.
        """
        source = source_info(self.source)
        if not self.decided:
            return source
        try:
            license = License(
                _typed(self.decided["license"], str),
                self.decided["may_be_passed_on"] is True,
                _typed(self.decided["license_summary"], str),
            )
            classes = _typed(self.decided["classes"], dict).items()
            configs = tuple(
                Config(name, tuple(_typed(one, str) for one in _typed(names, list))) for name, names in classes
            )
            title = _typed(self.decided["title"], str)
        except (KeyError, ValueError) as error:
            raise HubFolderError(f"{MANIFEST_FILENAME}: `decided` is not complete: {error}. {_REMEDY}") from None
        return replace(source, title=title, license=license, configs=configs, decided=self.decided)


def check_folder(folder: str | Path, *, rehash: bool = False) -> Manifest:
    """Return the manifest of a folder, after checking that every file matches it and that the card belongs to it.

    A file whose size and time match the checksum cache is assumed to be unchanged; any other is hashed.

    Args:
        folder: as `build_hub_folder` wrote it, or a copy.
        rehash: hash every file.

    Raises:
        HubFolderError: a file is missing, damaged or not listed, or manifest and card do not match.
    """
    folder = Path(folder)
    manifest, notes = Manifest.load(folder), Notes.load(folder)
    for path, entry in manifest.files.items():
        file = folder / path
        if not file.is_file():
            raise HubFolderError(f"{file} is missing. {_REMEDY}")
        if (size := file.stat().st_size) != entry.bytes:
            raise HubFolderError(
                f"{file} has {size:,} bytes, but {MANIFEST_FILENAME} states {entry.bytes:,}. {_REMEDY}"
            )
        if (sha256_of(file) if rehash else notes.sha256(folder, path)) != entry.sha256:
            raise HubFolderError(f"{file} was damaged or changed: its sha256 differs from the manifest's. {_REMEDY}")
    _check_card(folder, manifest)
    _check_not_listed(folder, manifest)
    return manifest


def _check_card(folder: Path, manifest: Manifest) -> None:
    path = folder / CARD_FILENAME
    if not path.is_file():
        raise HubFolderError(f"{path} is missing. {_REMEDY}")
    about = parse_card(read_card(path), path).metadata.get(CARD_KEY)
    recorded = about.get("contents") if isinstance(about, Mapping) else None
    contents = {name: entry.digest for name, entry in manifest.configs.items()}
    if recorded != contents:
        recorded = recorded if isinstance(recorded, Mapping) else {}
        differ = sorted(name for name in contents.keys() | recorded.keys() if contents.get(name) != recorded.get(name))
        raise HubFolderError(
            f"{path} and {MANIFEST_FILENAME} do not match (they differ in {', '.join(differ) or CARD_KEY}): "
            f"a prepare was interrupted, or one of them was changed. {_REMEDY}"
        )


def _check_not_listed(folder: Path, manifest: Manifest) -> None:
    known = source_info(manifest.source).config_names if is_source(manifest.source) else []
    for name in {*known, *manifest.configs}:
        for path in folder.glob(f"{name}/*.parquet"):
            if f"{name}/{path.name}" not in manifest.files:
                raise HubFolderError(f"{path} is not listed in {MANIFEST_FILENAME}. Remove it, or run prepare again.")


def _config(name: str, data: Any) -> ConfigEntry:
    data = _typed(data, dict)
    files = {}
    for path, entry in _typed(data["files"], dict).items():
        pure = PurePosixPath(path)
        folder_of_ours = pure.parts[:-1] in ((name,), (PREVIEWS,)) and name not in (".", "..")
        if not folder_of_ours or pure.name == ".." or str(pure) != path or "\\" in path:
            raise ValueError(f"{path!r} is not a valid path for configuration {name!r}")
        sha256, rows = _typed(entry, dict)["sha256"], entry.get("rows")
        if not _SHA256.fullmatch(_typed(sha256, str)):
            raise ValueError(f"{path}: {sha256!r} is not a sha256")
        files[path] = FileEntry(sha256, _count(entry["bytes"]), None if rows is None else _count(rows))
    counters = {kind: _count(count) for kind, count in _typed(data.get("counters", {}), dict).items()}
    return ConfigEntry(_typed(data["protocol"], str), files, counters)


def _scale(value: Any) -> list[float]:
    scale = GrayScale.parse(_typed(value, list))
    if scale is None:
        raise ValueError(f"{value!r} is not a gray scale [low, high]")
    return scale.to_list()


def _typed(value: Any, kind: type) -> Any:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"{kind.__name__} expected, {str(value)[:50]!r} found")
    return value


def _count(value: Any) -> int:
    if _typed(value, int) < 0:
        raise ValueError(f"a count expected, {value} found")
    return value
