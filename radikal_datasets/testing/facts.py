"""Checks of what a source states about itself."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..source import Config, Source
from ..splits import OFFICIAL, PROTOCOLS, SPLITS
from .sample_trees import SampleTrees

_TEXTS = ("title", "layout", "marker", "citation", "modality", "best_use")


def stated_facts(trees: SampleTrees) -> Iterator[str]:
    """Facts are complete and fit together."""
    source = trees.builder.SOURCE
    if not re.fullmatch(r"[a-z][a-z0-9_]*", source.name):
        yield f"Source.name is {source.name!r}. It may hold lowercase letters, digits and underscores."
    for name in _TEXTS:
        if not getattr(source, name).strip():
            yield f"Source.{name} is empty."
    if source.citation and not source.citation.startswith("@"):
        yield "Source.citation is not BibTeX: it does not begin with @."
    for name in ("homepage", "download_page"):
        if not getattr(source, name).startswith("http"):
            yield f"Source.{name} is {getattr(source, name)!r}, not an address."
    if not source.license.summary:
        yield "Source.license.summary is empty. State in one sentence what the license allows."
    for name in ("marker", *(f"files of {config.name}" for config in source.configs)):
        yield from _bad_pattern(source, name)
    if unknown := [name for name in source.protocols if name not in PROTOCOLS]:
        yield f"Source.protocols has {unknown}. The protocols are {', '.join(PROTOCOLS)}."
    if source.keeps_publisher_test and OFFICIAL not in source.protocols:
        yield f"Source.keeps_publisher_test is set, but {OFFICIAL!r} is not among Source.protocols."
    for protocol, table in source.split_of_group.items():
        if wrong := {protocol} - set(PROTOCOLS) | set(table.values()) - set(SPLITS):
            yield f"Source.split_of_group has the protocols or splits {sorted(wrong)}, which do not exist."
    for config in source.configs:
        yield from _config(source, config)


def _bad_pattern(source: Source, name: str) -> Iterator[str]:
    pattern = source.marker if name == "marker" else source.files_of(source.config(name.removeprefix("files of ")))
    try:
        re.compile(pattern)
    except re.error as error:
        yield f"{name}: {pattern!r} is not a regular expression: {error}."


def _config(source: Source, config: Config) -> Iterator[str]:
    if not config.classes:
        yield f"configuration {config.name} has no classes."
    if len(set(config.classes)) < len(config.classes):
        yield f"configuration {config.name} names a class twice."
    if unknown := set(config.images_by_class) - set(config.classes):
        yield f"configuration {config.name}: images_by_class has {sorted(unknown)}, which are not among its classes."
    if unknown := set(config.parts) - set(source.config_names):
        yield f"configuration {config.name} combines {sorted(unknown)}, which do not exist."
    elif config.parts:
        joined = {f"{part}_{name}" for part in config.parts for name in source.config(part).classes}
        if joined != set(config.classes):
            yield f"configuration {config.name}: its classes are not <part>_<class> of its parts."
