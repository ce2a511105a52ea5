"""Run a function as soon as another library has been imported, without importing it ourselves."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable, Sequence
from types import ModuleType


def when_imported(name: str, act: Callable[[], None]) -> None:
    """Call `act` after the top-level module `name` was imported; at once if it is imported already.

    A module that is only half imported (we are imported while it is) counts as not yet imported.
    """
    module = sys.modules.get(name)
    if module is None:
        sys.meta_path.insert(0, _Watcher(name, act))
    elif getattr(getattr(module, "__spec__", None), "_initializing", False):
        _after_loading(module.__spec__, act)
    else:
        act()


class _Watcher(importlib.abc.MetaPathFinder):
    """A finder that finds nothing itself: it lets the others find `name` and has their loader call `act` afterward."""

    def __init__(self, name: str, act: Callable[[], None]) -> None:
        self._name, self._act = name, act

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name or self not in sys.meta_path:
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
        _after_loading(spec, self._act)
        return spec


def _after_loading(spec: importlib.machinery.ModuleSpec | None, act: Callable[[], None]) -> None:
    loader = getattr(spec, "loader", None)
    if loader is None:
        return
    original = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        original(module)
        act()

    loader.exec_module = exec_module
