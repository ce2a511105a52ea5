"""Sources that other packages offer, found by their entry points; see docs/plug-ins.md."""

from __future__ import annotations

import functools
import re
import sys
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from .errors import PlugInError

#: Group of entry points that name a builder: `acme = "acme_sources.acme:Acme"`.
SOURCES = "radikal_datasets.sources"
#: Group of entry points that name the function which draws a sample: `acme = "acme_sources.acme_sample:write"`.
SAMPLES = "radikal_datasets.samples"

_NAME = re.compile(r"[a-z][a-z0-9_]*")


def names(group: str) -> set[str]:
    """Return the names that installed packages offer in a group, without importing anything of theirs."""
    return {point.name for point in _points(group, tuple(sys.path))}


def load(group: str, name: str) -> Any:
    """Return what a package offers under a name.

    Raises:
        PlugInError: two packages offer it, the name is not one of lowercase letters, digits and underscores, or the
            package's code cannot be imported.
        KeyError: no package offers it.
    """
    found = [point for point in _points(group, tuple(sys.path)) if point.name == name]
    if not found:
        raise KeyError(name)
    if len(found) > 1:
        both = " and ".join(sorted(package_of(point) for point in found))
        raise PlugInError(f"Both {both} offer a source named {name!r}. Uninstall one of them.")
    point = found[0]
    if not _NAME.fullmatch(name):
        raise broken(group, name, "the name may hold lowercase letters, digits and underscores only")
    try:
        return point.load()
    except Exception as error:  # whatever their code raises while it is imported
        raise broken(group, name, f"{type(error).__name__}: {error}") from error


def broken(group: str, name: str, why: str) -> PlugInError:
    """Return the error about something a package offers that cannot be used; `why` says what is wrong with it."""
    point = next(point for point in _points(group, tuple(sys.path)) if point.name == name)
    package = package_of(point)
    return PlugInError(
        f"{package} offers {name!r} ({group}) as {point.value}, which cannot be used: {why}. "
        f"Correct or update {package}, or uninstall it."
    )


def offering(group: str, name: str) -> str | None:
    """Return the package that offers a name, such as `acme-sources 1.0`; None if no package does."""
    return next((package_of(point) for point in _points(group, tuple(sys.path)) if point.name == name), None)


def package_of(point: EntryPoint) -> str:
    """Return name and version of the package that an entry point belongs to."""
    return f"{point.dist.name} {point.dist.version}" if point.dist is not None else point.value


@functools.lru_cache(maxsize=8)
def _points(group: str, path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """Return the entry points of a group; `path` is the `sys.path` on which they were searched for."""
    return tuple(entry_points(group=group))
