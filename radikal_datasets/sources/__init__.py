"""The sources, one module each, and those that other packages offer.

A module here that defines a `Source` is a source; it is registered nowhere else. Another package names its builder as
an entry point in the group `radikal_datasets.sources`; see docs/plug-ins.md.
"""

from __future__ import annotations

import difflib
import importlib
import logging
import os
import pkgutil
from typing import TypeVar

from .. import plug_ins
from ..building.builder import InspectionBuilder
from ..errors import PlugInError, UnknownSourceError
from ..source import Source

logger = logging.getLogger(__name__)

_Path = TypeVar("_Path", str, os.PathLike[str], str | os.PathLike[str])
#: The source that reads a plant's own images. Its classes come from the folder, so that no list of facts has it.
OWN = "folder"


def source_names(*, own: bool = False) -> list[str]:
    """Return the names of the public sources and of those in other packages, in alphabetical order, importing none.

    Args:
        own: also return `OWN`, the source of a plant's own images.
    """
    known = {*built_in_names(), OWN, *plug_ins.names(plug_ins.SOURCES)}
    return sorted(name for name in known if own or name != OWN)


def built_in_names() -> list[str]:
    """Return the names of the public sources that come with radikal-datasets, in alphabetical order."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name != OWN)


def is_built_in(name: str) -> bool:
    """Return whether a source comes with radikal-datasets, own images included."""
    return name == OWN or name in built_in_names()


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
        PlugInError: another package offers it and it cannot be used, or it has the name of one of ours.
    """
    name = plain_name(name)
    if not is_source(name):
        known = source_names(own=True)
        near = difflib.get_close_matches(name.replace("-", "_"), known, 1)
        meant = f" Did you mean {near[0]}?" if near else ""
        raise UnknownSourceError(f"There is no source named {name!r}.{meant} The sources are {', '.join(known)}.")
    if not is_built_in(name):
        return _offered(name)
    if name in plug_ins.names(plug_ins.SOURCES):
        raise plug_ins.broken(plug_ins.SOURCES, name, "radikal-datasets has a source of this name itself")
    module = importlib.import_module(f"{__name__}.{name}")
    found = _first_builder(module.__name__)
    if found is None:
        raise UnknownSourceError(f"{module.__name__} does not define an InspectionBuilder. Add one to it.")
    return found


def _offered(name: str) -> type[InspectionBuilder]:
    """Return the builder that another package offers, after checking that every way of loading it leads to it."""
    found = plug_ins.load(plug_ins.SOURCES, name)
    why = None
    if not (isinstance(found, type) and issubclass(found, InspectionBuilder)):
        why = "it is not a subclass of radikal_datasets.building.builder.InspectionBuilder"
    elif not isinstance(getattr(found, "SOURCE", None), Source):
        why = "its class attribute SOURCE is not a radikal_datasets.source.Source"
    elif found.SOURCE.name != name:
        why = f"its SOURCE is named {found.SOURCE.name!r}. The two names must be equal"
    elif (first := _first_builder(found.__module__)) is not found:
        # `datasets` looks for a builder by its module alone.
        other = "no builder" if first is None else f"the builder {first.__name__} before it"
        why = f"{found.__module__} defines {other}. Give every source a module of its own"
    if why is not None:
        raise plug_ins.broken(plug_ins.SOURCES, name, why)
    return found


def _first_builder(module: str) -> type[InspectionBuilder] | None:
    """Return the builder that a module defines first, as `datasets` looks for it."""
    for value in vars(importlib.import_module(module)).values():
        if isinstance(value, type) and issubclass(value, InspectionBuilder) and value.__module__ == module:
            return value
    return None


def list_sources() -> list[Source]:
    """Return the facts about every source, by name; one that cannot be used is logged and left out."""
    found = []
    for name in source_names():
        try:
            found.append(builder_class(name).SOURCE)
        except PlugInError as error:
            logger.warning("%s", error)
    return found


def source_info(name: str) -> Source:
    """Return the facts about one source.

    Raises:
        UnknownSourceError: no such source.
        PlugInError: see `builder_class`.
    """
    return builder_class(name).SOURCE
