"""`manifest.json`: the files of a Hub folder, their checksums, and what they were built from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import HubFolderError
from ..source import Config, License, Source
from ..sources import is_built_in, is_source, source_info
from .card_text import CARD_FILENAME, parse_card, read_card
from .checksum_cache import Notes, sha256_of
from .manifest_entries import ConfigEntry, FileEntry, config_entry, gray_scale_entry, typed
from .reading import CARD_KEY, prepared_source
from .source_facts import parse_facts

MANIFEST_FILENAME = "manifest.json"

_REMEDY = "Run prepare again."


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
        source_facts: of a source of another package, see `source_facts.facts_entry`; otherwise empty, and absent from
            the file.
    """

    source: str
    version: str
    schema_version: int
    library_version: str
    configs: dict[str, ConfigEntry] = field(default_factory=dict)
    decided: dict[str, Any] = field(default_factory=dict)
    gray_scale: dict[str, list[float]] = field(default_factory=dict)
    source_facts: dict[str, Any] = field(default_factory=dict)

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
            data = typed(json.loads(text), dict)
            configs = {name: config_entry(name, entry) for name, entry in typed(data["configs"], dict).items()}
            names = [typed(data[key], str) for key in ("source", "version", "library_version")]
            decided = typed(data.get("decided", {}), dict)
            scales = {name: gray_scale_entry(value) for name, value in typed(data.get("gray_scale", {}), dict).items()}
            schema, facts = typed(data["schema_version"], int), typed(data.get("source_facts", {}), dict)
            return cls(names[0], names[1], schema, names[2], configs, decided, scales, facts)
        except (ValueError, KeyError, RecursionError) as error:
            found = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise HubFolderError(f"{where} is not a manifest of radikal-datasets: {found}. {_REMEDY}") from None

    def to_json(self) -> str:
        """Return the text of the file, keys sorted."""
        data = asdict(self)
        for key in ("decided", "gray_scale", "source_facts"):
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
        facts = self.source_facts or older.source_facts
        return replace(self, configs=configs, decided=decided, gray_scale=gray_scale, source_facts=facts)

    @property
    def facts(self) -> Source:
        """The facts about its source; of own data and of another package's source, those that `prepare` wrote into it.

        Raises:
            HubFolderError: what was written is not complete, or the source is unknown here and nothing was written.
        """
        if self.source_facts and not is_built_in(self.source):
            try:
                return parse_facts(self.source, self.source_facts)
            except (KeyError, ValueError) as error:
                raise HubFolderError(
                    f"{MANIFEST_FILENAME}: `source_facts` is not complete: {error}. {_REMEDY}"
                ) from None
        if not is_source(self.source):
            raise HubFolderError(
                f"{MANIFEST_FILENAME}: no source named {self.source!r} is installed, and its facts were not recorded. "
                "Install the package that offers it, and run prepare again."
            )
        source = source_info(self.source)
        if not self.decided:
            return source
        try:
            license = License(
                typed(self.decided["license"], str),
                self.decided["may_be_passed_on"] is True,
                typed(self.decided["license_summary"], str),
            )
            classes = typed(self.decided["classes"], dict).items()
            configs = tuple(
                Config(name, tuple(typed(one, str) for one in typed(names, list))) for name, names in classes
            )
            title = typed(self.decided["title"], str)
        except (KeyError, ValueError) as error:
            raise HubFolderError(f"{MANIFEST_FILENAME}: `decided` is not complete: {error}. {_REMEDY}") from None
        return replace(source, title=title, license=license, configs=configs, decided=self.decided)


def source_in(folder: str | Path) -> Source | None:
    """Return the facts about the source of a prepared folder; None if it is no such folder, or of an unknown source.

    Raises:
        HubFolderError: it has a manifest that cannot be read.
    """
    if Path(folder, MANIFEST_FILENAME).is_file() and (manifest := Manifest.load(folder)).source_facts:
        return manifest.facts
    name = prepared_source(folder)
    return source_info(name) if name is not None and is_source(name) else None


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
    known = manifest.facts.config_names if manifest.source_facts or is_source(manifest.source) else []
    for name in {*known, *manifest.configs}:
        for path in folder.glob(f"{name}/*.parquet"):
            if f"{name}/{path.name}" not in manifest.files:
                raise HubFolderError(f"{path} is not listed in {MANIFEST_FILENAME}. Remove it, or run prepare again.")
