"""Fill in the skeletons of a new source, for this checkout or as a package of its own."""

from __future__ import annotations

import keyword
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Literal

from ..errors import OutputError
from ..sources import OWN, source_names

Like = Literal["masks", "voc", "table"]
_SKELETONS = Path(__file__).parent / "skeletons"
_CHECK = "from radikal_datasets.testing import check_source"
_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class _Kind:
    """What differs between the kinds of sources besides their skeletons."""

    base: str
    files: str
    annotations: str = "boxes"
    protocols: str = "BY_SHARE, OFFICIAL, RECOMMENDED"


_KINDS: dict[str, _Kind] = {
    "masks": _Kind("CLEAN, Found, MaskBuilder, Shows", r"(?:train|test|masks)/.*", "masks"),
    "voc": _Kind("SplitList, VocBuilder", r"(?:images|annotations)/.*|split\.csv"),
    "table": _Kind("TableBuilder", r"images/.*|boxes\.csv", protocols="BY_SHARE, RECOMMENDED"),
}


def checkout() -> Path | None:
    """Return the root of the checkout that this code is part of; None if it was installed from a wheel."""
    root = Path(__file__).parents[2]
    return root if (root / "pyproject.toml").is_file() and (root / "tests" / "sources").is_dir() else None


def write_source(name: str, like: Like, *, root: Path | None = None, output_dir: Path | None = None) -> list[Path]:
    """Write source, sample, test and page, and for a package of its own its pyproject.toml.

    Args:
        name: of the source.
        like: what its annotations are.
        root: a checkout of this project, into whose folders the files go.
        output_dir: instead of `root`: a folder for a package with entry points; must not exist, or be empty.

    Returns:
        The files that were written.

    Raises:
        OutputError: the name cannot be used or is taken, or a file is already there; nothing was written.
    """
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise OutputError(f"{name!r} cannot name a source. Use lowercase letters, digits and underscores.")
    if name in (OWN, *source_names(own=True)):
        raise OutputError(f"There is a source named {name} already. Choose another name.")
    if output_dir is not None:
        if output_dir.exists() and (not output_dir.is_dir() or any(output_dir.iterdir())):
            raise OutputError(f"{output_dir} already exists and is not empty. Choose a new folder or remove it.")
        files = _package(name, like, output_dir)
    elif root is not None:
        files = _in_checkout(name, like, root)
    else:
        raise OutputError("This is no checkout of radikal-datasets. Pass --output-dir for a package of your own.")
    if there := [str(path) for path in files if path.exists()]:
        raise OutputError(f"{', '.join(there)} already exists. Remove it, or choose another name.")
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
    return list(files)


def _in_checkout(name: str, like: Like, root: Path) -> dict[Path, str]:
    values = _values(name, like) | {
        "root": "..",
        "imports": f"from radikal_datasets.samples.{name} import write\n"
        f"from radikal_datasets.sources.{name} import SOURCE, {_class_name(name)}\n{_CHECK}",
    }
    package = root / "radikal_datasets"
    return {
        package / "sources" / f"{name}.py": _source(like, values),
        package / "samples" / f"{name}.py": _filled(f"sample_{like}", values),
        root / "tests" / "sources" / f"test_{name}.py": _filled("test", values),
        root / "docs" / "sources" / f"{name}.md": _page(like, values),
    }


def _package(name: str, like: Like, folder: Path) -> dict[Path, str]:
    package = f"{name}_source"
    values = _values(name, like) | {
        "root": "radikal_datasets.",
        "imports": f"{_CHECK}\n\nfrom {package}.{name} import SOURCE, {_class_name(name)}\n"
        f"from {package}.{name}_sample import write",
        "package": package,
        "distribution": package.replace("_", "-"),
    }
    return {
        folder / "pyproject.toml": _filled("pyproject", values),
        folder / package / "__init__.py": f'"""{values["title"]} as a source of radikal-datasets."""\n',
        folder / package / f"{name}.py": _source(like, values),
        folder / package / f"{name}_sample.py": _filled(f"sample_{like}", values),
        folder / "tests" / f"test_{name}.py": _filled("test", values),
        folder / "README.md": _page(like, values),
    }


def _values(name: str, like: Like) -> dict[str, str]:
    kind = _KINDS[like]
    return {
        "name": name,
        "title": " ".join(word.capitalize() for word in name.split("_")),
        "class_name": _class_name(name),
        "base": kind.base,
        "files": kind.files,
        "annotations": kind.annotations,
        "protocol_names": kind.protocols,
    }


def _class_name(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


def _source(like: Like, values: dict[str, str]) -> str:
    facts = _filled(f"source_{like}", values | {"tail": _filled("tail", values)})
    return _filled("head", values) + facts


def _page(like: Like, values: dict[str, str]) -> str:
    layout = re.search(r'layout="""(.*?)"""', _filled(f"source_{like}", values | {"tail": ""}), re.DOTALL)
    assert layout is not None
    return _filled("page", values | {"indented_layout": textwrap.indent(layout[1], "    ")})


def _filled(skeleton: str, values: dict[str, str]) -> str:
    return Template((_SKELETONS / f"{skeleton}.txt").read_text(encoding="utf-8")).substitute(values)
