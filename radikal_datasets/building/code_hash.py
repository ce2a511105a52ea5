"""A hash of the code that turns a raw tree into rows, so that editing it leaves no old rows in a cache."""

from __future__ import annotations

import functools
import hashlib
import marshal
import sys
from pathlib import Path
from types import FunctionType

_OURS = "radikal_datasets"
#: What sources share on the way from files to rows, below the package.
_SHARED = ("annotations", "building", "own_data", "raw", "gray_scale.py", "schema.py", "splits.py")
_NOT_OF_A_SOURCE = {"abc", "builtins", "datasets", "typing"}


def code_hash(builder: type) -> str:
    """Return a hash of a builder's module, of its base classes' modules, and of what all sources share.

    Of another package than ours, all modules count: those next to the builder's hold its parsers. It has to be computed
    when the class is created, since a file may change while the process goes on with the code it has imported.
    """
    digest = hashlib.sha256(f"{builder.__qualname__}|{_shared()}".encode())
    for base in builder.__mro__:
        if base.__module__.partition(".")[0] in _NOT_OF_A_SOURCE:
            continue
        files = _files_of(base.__module__)
        digest.update(_hash_of_files(files).encode() if files else _hash_of_functions(base).encode())
    return digest.hexdigest()


def _files_of(module: str) -> tuple[Path, ...]:
    """Return the module's file; of another package, all Python files of its outermost package."""
    names = module.split(".")
    outer = (sys.modules.get(".".join(names[: count + 1])) for count in range(len(names)))
    # A namespace package has no file: it may be shared with any number of other distributions.
    packages = [Path(one.__file__).parent for one in outer if hasattr(one, "__path__") and one and one.__file__]
    if packages and names[0] != _OURS:
        return tuple(sorted(packages[0].rglob("*.py")))
    file = getattr(sys.modules.get(module), "__file__", None)
    return (Path(file),) if file and Path(file).is_file() else ()


@functools.cache
def _shared() -> str:
    package = Path(__file__).parents[1]
    found = [path for name in _SHARED for path in ([package / name] if "." in name else (package / name).rglob("*.py"))]
    return _hash_of_files(tuple(sorted(found)))


def _hash_of_files(files: tuple[Path, ...]) -> str:
    """Return a hash of names and contents, the same wherever the package is installed."""
    digest = hashlib.sha256()
    for file in files:
        content = file.read_bytes() if file.is_file() else b""
        digest.update(f"{file.name}|{len(content)}|".encode() + content)
    return digest.hexdigest()


def _hash_of_functions(base: type) -> str:
    """Return a hash of the compiled methods of a class that was typed into a notebook or lies in a zip archive."""
    functions = [value for value in vars(base).values() if isinstance(value, FunctionType)]
    return hashlib.sha256(b"|".join(marshal.dumps(one.__code__) for one in functions)).hexdigest()
