"""The sources, one module each. A module here that defines a `Source` is a source; it is registered nowhere else."""

from __future__ import annotations

import difflib
import importlib
import os
import pkgutil
from typing import TypeVar

from ..building.builder import InspectionBuilder
from ..errors import UnknownSourceError
from ..source import Source

_Path = TypeVar("_Path", str, os.PathLike[str], str | os.PathLike[str])
#: The source that reads a plant's own images. Its classes come from the folder, so that no list of facts has it.
OWN = "folder"


def source_names(*, own: bool = False) -> list[str]:
    """Return the names of the public sources, in alphabetical order, without importing them.

    Args:
        own: also return `OWN`, the source of a plant's own images.
    """
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if own or module.name != OWN)


def is_source(name: str) -> bool:
    """Return whether a name, with or without `radikal_datasets/`, is that of a source, own images included."""
    return plain_name(name) in source_names(own=True)


def own_or_named(source: str, data_dir: _Path | None) -> tuple[str, _Path | str | None]:
    """Return source and data_dir of what a command was given: a folder of own images is data of `OWN`.

    A source's name stands for the source; `./neu_det` is the folder of that name.
    """
    from ..own_data.scanning import is_own_data  # it imports pyarrow and more, which a list of sources does not need

    if data_dir is None and not is_source(plain_name(source)) and is_own_data(source):
        return OWN, source
    return plain_name(source), data_dir


def plain_name(name: str) -> str:
    """Return `neu_det` for `radikal_datasets/neu_det`, and any other name as it is."""
    return name.removeprefix("radikal_datasets/")


def builder_class(name: str) -> type[InspectionBuilder]:
    """Return the builder of a source.

    Raises:
        UnknownSourceError: no such source.
    """
    name = plain_name(name)
    if not is_source(name):
        known = source_names(own=True)
        near = difflib.get_close_matches(name.replace("-", "_"), known, 1)
        meant = f" Did you mean {near[0]}?" if near else ""
        raise UnknownSourceError(f"There is no source named {name!r}.{meant} The sources are {', '.join(known)}.")
    module = importlib.import_module(f"{__name__}.{name}")
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, InspectionBuilder) and value.__module__ == module.__name__:
            return value
    raise UnknownSourceError(f"{module.__name__} does not define an InspectionBuilder. Add one to it.")


def list_sources() -> list[Source]:
    """Return the facts about every source, by name."""
    return [builder_class(name).SOURCE for name in source_names()]


def source_info(name: str) -> Source:
    """Return the facts about one source.

    Raises:
        UnknownSourceError: no such source.
    """
    return builder_class(name).SOURCE
