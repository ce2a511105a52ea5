"""`radikal.yaml`: what only the owner of the images knows, at the root of their folder."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import Any, Literal

import yaml

from ..errors import OwnDataSettingsError
from ..gray_scale import PixelSettings
from ..raw.tree import Tree

SETTINGS_FILENAME = "radikal.yaml"

#: The formats, by the names of the configurations of the source `folder`.
FORMATS = ("coco", "yolo", "voc", "masks", "label_studio", "cvat", "labelme", "imagefolder", "table")

AS_THEY_ARE, RECOMMENDED = "as_they_are", "recommended"
CLEAN, UNKNOWN = "clean", "unknown"
#: How the numbers of a box are meant, where the format leaves it open.
BOX_FORMS = ("xyxy", "xywh", "one_based", "zero_based")

#: The keys of the file, in the order in which `init` writes them.
KEYS = (
    *("name", "title", "license", "format", "classes", "group", "unlabeled", "splits", "boxes", "pixels", "ignore"),
)
_PIXEL_KEYS = ("bits", "window")
_LICENSE_KEYS = ("name", "summary", "may_be_passed_on")


@dataclass(frozen=True)
class OwnSettings:
    """The contents of `radikal.yaml`; every value has a default.

    Attributes:
        name: the dataset's name, with which every image_id begins; "" for none.
        title, license, license_summary, may_be_passed_on: for the card; by default the images stay with their owner.
        format: one of `FORMATS`; None: recognized from the files.
        classes: the class names in their order; None: as the annotations state them.
        renamed: old name -> new name; several old ones may become the same.
        numbered: class number -> name, for formats that state only numbers.
        group: a regular expression over the path of an image; its first group, or all that it matches, is what must not
            be split. Or the name of a column of a table.
        unlabeled: whether an image that no annotation mentions is clean or unknown.
        splits: whether the folder's own splits are kept; None: only those of an export by this program.
        boxes: one of `BOX_FORMS`; None: the format's own convention.
        pixels: gray levels; None: not stated.
        ignore: patterns of paths that are not read.
    """

    name: str = ""
    title: str = ""
    license: str = ""
    license_summary: str = ""
    may_be_passed_on: bool = False
    format: str | None = None
    classes: tuple[str, ...] | None = None
    renamed: Mapping[str, str] = field(default_factory=dict)
    numbered: Mapping[int, str] = field(default_factory=dict)
    group: str | None = None
    unlabeled: Literal["clean", "unknown"] = UNKNOWN
    splits: Literal["as_they_are", "recommended"] | None = None
    boxes: str | None = None
    pixels: PixelSettings | None = None
    ignore: tuple[str, ...] = ()

    def ignores(self, path: str) -> bool:
        """Return whether a path is excluded by `ignore`: a pattern matches it, or one of its folders."""
        folders = path.split("/")
        candidates = ["/".join(folders[: depth + 1]) for depth in range(len(folders))]
        return any(
            fnmatch(one, pattern.rstrip("/")) or fnmatch(one.rpartition("/")[2], pattern.rstrip("/"))
            for pattern in self.ignore
            for one in candidates
        )

    def name_of(self, number: int) -> str | None:
        """Return the name of a class number that the annotations do not name; None if the settings have none."""
        return self.numbered.get(number)

    @property
    def prefix(self) -> str:
        """What every image_id begins with."""
        return f"{self.name}/" if self.name else ""


def load_settings(tree: Tree) -> OwnSettings:
    """Read `radikal.yaml` at the root of a tree; the defaults if there is none.

    Raises:
        OwnDataSettingsError: an unknown key, with the nearest known one, or an impossible value.
    """
    if SETTINGS_FILENAME not in tree:
        return OwnSettings()
    return parse_settings(tree.read_text(SETTINGS_FILENAME), SETTINGS_FILENAME)


def parse_settings(text: str, where: str) -> OwnSettings:
    """Parse the text of `radikal.yaml`; `where` is named in errors.

    Raises:
        OwnDataSettingsError: see `load_settings`.
    """
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or error
        raise OwnDataSettingsError(f"Cannot parse {where}{line}: {problem}. Correct the line.") from None
    if data is None:
        return OwnSettings()
    if not isinstance(data, dict):
        raise OwnDataSettingsError(f"{where} is not a list of settings such as `name: castings`. Correct it.")
    lines = _lines(text)

    def fail(key: str, message: str) -> OwnDataSettingsError:
        return OwnDataSettingsError(f"{where}, line {lines.get(key, 1)}: {message}")

    _known(data, KEYS, "key", lambda key, message: fail(key, message))
    values: dict[str, Any] = {}
    for key, value in data.items():
        if value is None:
            continue
        try:
            values |= _PARSERS[key](value)
        except ValueError as error:
            raise fail(key, f"{key}: {error}") from None
    return OwnSettings(**values)


def _lines(text: str) -> dict[str, int]:
    """Return the line number of every key at the left margin."""
    found = re.finditer(r"^([^\s#:][^:\n]*):", text, re.MULTILINE)
    return {match[1].strip("'\" "): text.count("\n", 0, match.start()) + 1 for match in found}


def _known(data: Mapping[Any, Any], keys: tuple[str, ...], what: str, fail: Any) -> None:
    for key in data:
        if key not in keys:
            near = difflib.get_close_matches(str(key), keys, 1)
            meant = f" Did you mean {near[0]!r}?" if near else ""
            raise fail(str(key), f"There is no {what} {key!r}.{meant} The keys are {', '.join(keys)}.")


def _raise(_: str, message: str) -> ValueError:
    return ValueError(message)


def _one_of(value: Any, choices: tuple[str, ...]) -> str:
    if value not in choices:
        near = difflib.get_close_matches(str(value), choices, 1)
        meant = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{value!r} is not one of {', '.join(choices)}.{meant}")
    return str(value)


def _text(value: Any) -> str:
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise ValueError(f"text is expected, not {value!r}.")
    return unicodedata.normalize("NFC", str(value)).strip()


def _name(value: Any) -> dict[str, Any]:
    name = _text(value)
    if not name or re.search(r"[\\/:*?\"<>|\x00-\x1f]", name) or name in (".", ".."):
        raise ValueError(f"{value!r} cannot be the beginning of image ids. Use letters, digits, spaces, - and _.")
    return {"name": name}


def _license(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        return {"license": _text(value)}
    _known(value, _LICENSE_KEYS, "key of license", _raise)
    allowed = value.get("may_be_passed_on", False)
    if not isinstance(allowed, bool):
        raise ValueError("may_be_passed_on is true or false.")
    return {
        "license": _text(value.get("name", "")),
        "license_summary": _text(value.get("summary", "")),
        "may_be_passed_on": allowed,
    }


def _classes(value: Any) -> dict[str, Any]:
    if isinstance(value, list):
        names = [_text(name) for name in value]
        if len(set(names)) < len(names) or not all(names):
            raise ValueError("the list has an empty name, or the same name twice.")
        return {"classes": tuple(names)}
    if not isinstance(value, dict):
        raise ValueError("a list of names is expected, or lines such as `old name: new name`.")
    numbered = {key: _text(name) for key, name in value.items() if isinstance(key, int) and not isinstance(key, bool)}
    renamed = {_text(key): _text(name) for key, name in value.items()}
    if not all(renamed.values()):
        raise ValueError("a name is empty.")
    return {"numbered": numbered, "renamed": renamed}


def _group(value: Any) -> dict[str, Any]:
    text = _text(value)
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is not a regular expression: {error}.") from None
    return {"group": text}


def _pixels(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("lines `bits:` and `window:` are expected.")
    _known(value, _PIXEL_KEYS, "key of pixels", _raise)
    bits, window = value.get("bits", "auto"), value.get("window", "full")
    if bits not in ("auto", "float") and not (isinstance(bits, int) and 8 <= bits <= 16):
        raise ValueError(f"bits is {bits!r}, but must be auto, float, or a number from 8 to 16.")
    return {"pixels": PixelSettings(bits, _window(window))}


def _window(value: Any) -> Any:
    if value == "full":
        return "full"
    if isinstance(value, str) and (match := re.fullmatch(r"percentile\s*\[?\s*([\d.]+)\s*,\s*([\d.]+)\s*\]?", value)):
        value = {"percentile": [float(match[1]), float(match[2])]}
    percentile = isinstance(value, dict) and set(value) == {"percentile"}
    pair: Any = value["percentile"] if isinstance(value, dict) and percentile else value
    if (
        not isinstance(pair, list)
        or len(pair) != 2
        or not all(isinstance(one, int | float) and not isinstance(one, bool) for one in pair)
        or not pair[0] < pair[1]
        or (percentile and not 0 <= pair[0] < pair[1] <= 100)
    ):
        raise ValueError(f"window is {value!r}, but must be full, [low, high], or percentile [low, high].")
    low, high = float(pair[0]), float(pair[1])
    return ("percentile", low, high) if percentile else (low, high)


def _ignore(value: Any) -> dict[str, Any]:
    patterns = value if isinstance(value, list) else [value]
    return {"ignore": tuple(_text(pattern) for pattern in patterns)}


_PARSERS: dict[str, Any] = {
    "name": _name,
    "title": lambda value: {"title": _text(value)},
    "license": _license,
    "format": lambda value: {"format": _one_of(value, FORMATS)},
    "classes": _classes,
    "group": _group,
    "unlabeled": lambda value: {"unlabeled": _one_of(value, (CLEAN, UNKNOWN))},
    "splits": lambda value: {"splits": _one_of(value, (AS_THEY_ARE, RECOMMENDED))},
    "boxes": lambda value: {"boxes": _one_of(value, BOX_FORMS)},
    "pixels": _pixels,
    "ignore": _ignore,
}
