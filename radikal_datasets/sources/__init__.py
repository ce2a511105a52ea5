"""The sources, one module each. A module here that defines a `Source` is a source; it is registered nowhere else."""

from __future__ import annotations

import difflib
import importlib
import pkgutil

from ..building.builder import InspectionBuilder
from ..errors import UnknownSourceError
from ..source import Source


def source_names() -> list[str]:
    """Return the names of all sources, in alphabetical order, without importing them."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def plain_name(name: str) -> str:
    """Return `neu_det` for `radikal_datasets/neu_det`, and any other name as it is."""
    return name.removeprefix("radikal_datasets/")


def builder_class(name: str) -> type[InspectionBuilder]:
    """Return the builder of a source.

    Raises:
        UnknownSourceError: no such source.
    """
    name = plain_name(name)
    if name not in source_names():
        near = difflib.get_close_matches(name.replace("-", "_"), source_names(), 1)
        meant = f" Did you mean {near[0]}?" if near else ""
        raise UnknownSourceError(
            f"There is no source named {name!r}.{meant} The sources are {', '.join(source_names())}."
        )
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
