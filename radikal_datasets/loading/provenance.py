"""What is known about a dataset that was loaded: source, license, protocol, version, and what was repaired or lost."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset
from huggingface_hub.errors import HfHubHTTPError

from .. import splits
from ..errors import RadikalError
from ..hub_client.endpoint import DEFAULT_NAMESPACE, Hub, hub_repo
from ..own_data.scanning import is_own_data
from ..prepared.card_tables import protocol_in_words
from ..prepared.manifest import MANIFEST_FILENAME, Manifest
from ..report import KINDS, REPORT_FILENAME, Report
from ..source import Source
from ..sources import OWN, builder_class
from .from_hub import is_on_private_hub
from .locations import source_of
from .origin import source_of_set

logger = logging.getLogger(__name__)

#: What a dataset was read from.
RAW, PREPARED, HUB, OTHER = "raw files", "a prepared folder", "a Hub repository", "a dataset of another kind"

_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Counted:
    """How often something was repaired, lost or noted; `effect` and `meaning` are "" where the kind is unknown."""

    kind: str
    count: int
    effect: str = ""
    meaning: str = ""


@dataclass(frozen=True)
class Provenance:
    """What is known about a dataset that was loaded.

    Attributes:
        kind: `RAW`, `PREPARED`, `HUB` or `OTHER`.
        source: facts about its source; None if it is of no known source.
        protocol: of its splits, and `protocol_text` in words; None if unknown.
        counters: what was repaired, lost or noted when the raw files were read; None if unknown.
        version: the commit of a Hub repository, or the digest of a prepared configuration; None for others.
    """

    kind: str
    source: Source | None = None
    protocol: str | None = None
    protocol_text: str | None = None
    counters: list[Counted] | None = None
    version: str | None = None


def provenance_of(
    path: str, name: str | None, data_dir: str | None, protocol: str | None, loaded: Mapping[Any, Dataset]
) -> Provenance:
    """Return what is known about `loaded`, the splits that `load_dataset(path, name, ...)` returned.

    What cannot be read, such as the manifest of a repository whose Hub no longer answers, is unknown; no error is
    raised for it.
    """
    try:
        return _provenance(path, name, data_dir, protocol, loaded)
    except (RadikalError, OSError, ValueError, KeyError, HfHubHTTPError) as error:
        logger.warning("%s: what it was made from cannot be read: %s", path, error)
        return Provenance(OTHER)


def _provenance(
    path: str, name: str | None, data_dir: str | None, protocol: str | None, loaded: Mapping[Any, Dataset]
) -> Provenance:
    source = source_of(path)
    if source is None and data_dir is None and is_own_data(path):
        data_dir, source = path, source_of(f"{DEFAULT_NAMESPACE}/{OWN}")
    for folder in (data_dir, path):
        if folder is not None and Path(folder, MANIFEST_FILENAME).is_file():
            return _of_manifest(PREPARED, Manifest.load(folder), name)
    if source is not None and (report := _report(source.name, name, loaded)) is not None:
        return _of_raw(source, name, data_dir, protocol, report)
    commit = next((folder.name for folder in _cache_folders(loaded) if _COMMIT.fullmatch(folder.name)), None)
    repo = hub_repo(source.name) if source is not None else path if is_on_private_hub(path) else None
    if repo is not None and commit is not None:
        manifest = Hub.current(None).api.hf_hub_download(repo, MANIFEST_FILENAME, repo_type="dataset", revision=commit)
        return _of_manifest(HUB, Manifest.parse(Path(manifest).read_text(encoding="utf-8")), name, commit)
    return Provenance(OTHER, source_of_set(path), version=commit)


def _of_raw(source: Source, name: str | None, data_dir: str | None, protocol: str | None, report: Report) -> Provenance:
    protocol = protocol or splits.RECOMMENDED
    if data_dir is not None:
        source = builder_class(source.name).facts_of(data_dir, name)
    if protocol == splits.RECOMMENDED and source.decided.get("splits") == "as_they_are":
        protocol = splits.OFFICIAL
    counted = [
        Counted(kind, count, report.kinds[kind].effect.value, report.kinds[kind].meaning)
        for kind, count in report.counts().items()
    ]
    return Provenance(RAW, source, protocol, _in_words(protocol, source), counted)


def _of_manifest(kind: str, manifest: Manifest, name: str | None, commit: str | None = None) -> Provenance:
    config = name or next(iter(manifest.configs))
    entry, source = manifest.configs[config], manifest.facts
    counted = [
        Counted(one, count, KINDS[one].effect.value, KINDS[one].meaning) if one in KINDS else Counted(one, count)
        for one, count in entry.counters.items()
    ]
    text = _in_words(entry.protocol, source)
    return Provenance(kind, source, entry.protocol, text, counted, commit or entry.digest)


def _in_words(protocol: str, source: Source) -> str:
    return source.split_notes.get(protocol) or protocol_in_words(protocol, source)


def _report(source: str, name: str | None, loaded: Mapping[Any, Dataset]) -> Report | None:
    """Return the report beside the Arrow files of a source's raw tree."""
    for folder in _cache_folders(loaded):
        # <cache>/<source>/<config>-<id>/<version>/<hash>
        of_config = name is None or folder.parent.parent.name.startswith(f"{name}-")
        if of_config and folder.parent.parent.parent.name == source and (folder / REPORT_FILENAME).is_file():
            return Report.load(folder)
    return None


def _cache_folders(loaded: Mapping[Any, Dataset]) -> list[Path]:
    files = [file["filename"] for split in loaded.values() for file in split.cache_files]
    return list(dict.fromkeys(Path(file).parent for file in files))
