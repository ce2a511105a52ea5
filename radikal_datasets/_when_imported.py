"""Run a function as soon as another library has been imported, without importing it ourselves."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable, Sequence
from types import ModuleType


def when_imported(name: str, act: Callable[[], None]) -> None:
    """Call `act` after the top-level module `name` was imported; at once if it is imported already."""
    if name in sys.modules:
        act()
    else:
        sys.meta_path.insert(0, _Watcher(name, act))


class _Watcher(importlib.abc.MetaPathFinder):
    """A finder that finds nothing itself: it lets the others find `name` and has their loader call `act` afterward."""

    def __init__(self, name: str, act: Callable[[], None]) -> None:
        self._name, self._act = name, act

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        position = sys.meta_path.index(self)
        sys.meta_path.remove(self)
        try:
            spec = importlib.util.find_spec(fullname)
        except (ImportError, ValueError):
            spec = None
        if spec is None or spec.loader is None:
            sys.meta_path.insert(position, self)  # not installed, or not yet: keep watching
            return None
        _after_loading(spec.loader, self._act)
        return spec


def _after_loading(loader: importlib.abc.Loader, act: Callable[[], None]) -> None:
    original = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        original(module)
        act()

    loader.exec_module = exec_module
