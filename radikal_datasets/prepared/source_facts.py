"""Facts about a source of another package, in the manifest: the folder is also used where that package is missing."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from ..source import Config, License, Source
from ..sources import is_built_in
from .manifest_entries import typed

_TEXTS = ("title", "homepage", "download_page", "citation", "modality", "annotations", "best_use")
_LISTS = ("notes", "augmentations", "publisher_scores")


def facts_entry(source: Source) -> dict[str, Any]:
    """Return what the card, the license and a push need to know about a source; {} for a source of ours."""
    if is_built_in(source.name):
        return {}
    entry: dict[str, Any] = {name: getattr(source, name) for name in _TEXTS}
    entry |= {name: list(getattr(source, name)) for name in _LISTS}
    entry["real"] = source.real
    entry["license"] = dataclasses.asdict(source.license)
    entry["classes"] = {config.name: list(config.classes) for config in source.configs}
    return entry


def parse_facts(name: str, entry: Mapping[str, Any]) -> Source:
    """Return the source that `facts_entry` described; what only a raw tree needs is missing.

    Raises:
        KeyError: a field is missing.
        ValueError: a field is of another type.
    """
    license = typed(entry["license"], dict)
    stated: dict[str, Any] = {key: typed(entry[key], str) for key in _TEXTS}
    stated |= {key: _texts(entry[key]) for key in _LISTS}
    return Source(
        name=name,
        license=License(
            typed(license["name"], str),
            license["redistributable"] is True,
            typed(license["summary"], str),
            license.get("spdx") is True,
        ),
        configs=tuple(Config(key, _texts(names)) for key, names in typed(entry["classes"], dict).items()),
        layout="",
        marker="",
        real=entry["real"] is not False,
        **stated,
    )


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(typed(one, str) for one in typed(value, list))
