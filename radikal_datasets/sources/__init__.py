"""The sources, one module each. A module here that defines a `Source` is a source: nothing registers it elsewhere."""

from __future__ import annotations

import difflib
import importlib
import pkgutil

from ..building.builder import InspectionBuilder
from ..errors import UnknownSourceError
from ..source import Source


def source_names() -> list[str]:
    """Names of all sources, in alphabetical order; imports none of them."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def builder_class(name: str) -> type[InspectionBuilder]:
    """The builder of a source.

    Raises:
        UnknownSourceError: no such source.
    """
    if name not in source_names():
        near = difflib.get_close_matches(name.replace("-", "_"), source_names(), 1)
        meant = f" Did you mean {near[0]}?" if near else ""
        raise UnknownSourceError(f"There is no source {name!r}.{meant} There are {', '.join(source_names())}.")
    module = importlib.import_module(f"{__name__}.{name}")
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, InspectionBuilder) and value.__module__ == module.__name__:
            return value
    raise UnknownSourceError(f"{module.__name__} defines no InspectionBuilder.")


def list_sources() -> list[Source]:
    """The facts of every source, by name."""
    return [builder_class(name).SOURCE for name in source_names()]


def source_info(name: str) -> Source:
    """The facts of one source.

    Raises:
        UnknownSourceError: no such source.
    """
    return builder_class(name).SOURCE
