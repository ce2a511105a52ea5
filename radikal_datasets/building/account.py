"""Account for every file of a raw tree: read, recognized and not read, or unexplained."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from ..errors import StrayImageError
from ..raw.tree import Tree
from ..report import Effect, Kind, Report
from ..source import Source

UNREAD_FILE = Kind(
    "unread_file",
    Effect.MISREAD,
    "files that may hold images or annotations and that nothing explains: move, rename or remove them",
)

_ARCHIVE = re.compile(r"\.(?:zip|gz|tgz|tar|bz2|xz|7z|rar|zst)$", re.IGNORECASE)
_IMAGE = re.compile(r"\.(?:png|jpe?g|jfif|bmp|tiff?|webp|gif|jp2|pgm|ppm)$", re.IGNORECASE)
_ANNOTATION = re.compile(r"\.(?:txt|xml|jsonl?|csv|tsv|mat)$", re.IGNORECASE)
#: Folders that tell the parts of a set from each other, in lower case.
_SPLIT_NAMES = re.compile(r"train(?:ing)?|val(?:id|idation)?|test(?:ing)?", re.IGNORECASE)

#: What lies in copies of any source, by name.
_LITTER = {
    "documents": r"(?:.*/)?[^/]*(?:readme|licen[cs]e|copying|citation|changelog|notice)[^/]*\.(?:txt|md|rst|html?|pdf)",
    "thumbnails": r"(?:.*/)?(?:@eadir|\.?thumbnails|\.picasaoriginals)/.*",
    "dataset cards": r"(?:dataset[-_](?:metadata|infos?)|croissant)\.json|(?:.*/)?cards/[^/]*\.(?:md|ya?ml|json)",
    "checksums": r"(?:.*/)?[^/]*(?:md5|sha1|sha256)[^/]*\.txt",
}


@dataclass(frozen=True)
class Unexplained:
    """Files of one folder and kind that nothing explains; `suspicious` if they may be images or annotations."""

    folder: str
    suffix: str
    count: int
    example: str
    suspicious: bool


@dataclass
class Account:
    """What became of the files of a tree.

    Attributes:
        layouts: name of a layout -> images in it.
        split_folders: folder that names a split -> images in it.
        annotation_files: kind of annotation file -> files read.
        not_read: what was recognized and is not needed -> files.
        unexplained: the rest.
        expected: repairs that apply to many rows and are right, each with the reason.
    """

    layouts: Counter[str] = field(default_factory=Counter)
    split_folders: Counter[str] = field(default_factory=Counter)
    annotation_files: Counter[str] = field(default_factory=Counter)
    not_read: Counter[str] = field(default_factory=Counter)
    unexplained: list[Unexplained] = field(default_factory=list)
    expected: dict[str, str] = field(default_factory=dict)

    def add(self, other: Account) -> None:
        """Add what another part of the tree holds."""
        for name in ("layouts", "split_folders", "annotation_files", "not_read"):
            getattr(self, name).update(getattr(other, name))
        self.unexplained += other.unexplained
        self.expected |= other.expected

    def to_dict(self) -> dict[str, object]:
        """Return plain values, for `verify --json`."""
        return {
            "layout": dict(self.layouts),
            "split_folders": dict(self.split_folders),
            "annotation_files": dict(self.annotation_files),
            "not_read": dict(self.not_read),
            "unexplained": [vars(one) for one in self.unexplained],
            "expected_repairs": self.expected,
        }


def account_for(tree: Tree, part: str | None, source: Source, images: Iterable[str], report: Report) -> Account:
    """Account for the files of one configuration, or for those that belong to none.

    An image inside a part that no reader took is lost, each by itself; other files that may be images or annotations,
    and those in a folder beside a split's, are counted by folder.

    Args:
        tree: after it was read.
        part: a configuration that does not combine others; None for the files outside of all of them.
        source: facts, among them the files that are known and not read.
        images: that were read for this part.
        report: receives stray images and unread files.
    """
    account = Account()
    patterns = [re.compile(source.files_of(c)) for c in ([source.config(part)] if part else source.configs)]
    scope = [p for p in tree.files if any(one.fullmatch(p) for one in patterns) == (part is not None)]
    read = tree.accounted_for | {problem.path for problem in report.problems}
    layouts = {name: _compiled(pattern) for name, pattern in source.layouts.items()}
    for image in images:
        for name, pattern in layouts.items():
            if match := pattern.fullmatch(image):
                account.layouts[name] += 1
                if folder := match.groupdict().get("split"):
                    account.split_folders[folder] += 1
                break
    annotations = {name: _compiled(pattern) for name, pattern in source.annotation_files.items()}
    read_annotations = []
    for path in scope:
        if path in read and (name := next((n for n, p in annotations.items() if p.fullmatch(path)), None)):
            account.annotation_files[name] += 1
            read_annotations.append(path)
    beside = {"": set(), "stem": {_stem(p) for p in read_annotations}, "folder": {_folder(p) for p in read_annotations}}
    known = [(name, _compiled(pattern), "") for name, pattern in _LITTER.items()]
    known += [(one.name, _compiled(one.pattern), one.beside) for one in source.not_read]
    siblings = _siblings(tree, source)
    unexplained: dict[tuple[str, str, bool], list[str]] = defaultdict(list)
    for path in scope:
        if path in read:
            continue
        why = next((name for name, p, where in known if p.fullmatch(path) and _applies(path, where, beside)), None)
        if why is not None:
            account.not_read[why] += 1
        elif _is_copy(tree, path, read_annotations):
            account.not_read["exact copies of annotation files"] += 1
        elif part is not None and _IMAGE.search(path):
            with report.costs_image():
                remedy = "Move it to its proper folder or remove it."
                raise StrayImageError(path, "this image is outside the layout's folders", remedy)
        else:
            kind = PurePosixPath(path).suffix.lower()
            suspicious = (
                _is_data(path) or _in_any(path, siblings) or any(p.fullmatch(path) for p in annotations.values())
            )
            unexplained[_folder(path), kind, suspicious].append(path)
    for (folder, suffix, suspicious), paths in unexplained.items():
        _list(account, folder, suffix, paths, suspicious, report)
    if part is None:
        _beside_root(tree, account, report)
    return account


def _list(account: Account, folder: str, suffix: str, paths: list[str], suspicious: bool, report: Report) -> None:
    account.unexplained.append(Unexplained(folder or ".", suffix, len(paths), paths[0], suspicious))
    if suspicious:
        name, where = PurePosixPath(paths[0]).name, f"{folder}/" if folder else "the root"
        found = f"{len(paths):,} {suffix or 'other'} files in {where}, such as {name}"
        report.add(UNREAD_FILE, paths[0], found, count=len(paths))


def _beside_root(tree: Tree, account: Account, report: Report) -> None:
    """Count the files beside a root that is itself the folder of a split: the other splits may be there."""
    if not _SPLIT_NAMES.fullmatch(PurePosixPath(tree.prefix).name):
        return
    by_folder: dict[tuple[str, str], list[str]] = defaultdict(list)
    parent = tree.prefix[: tree.prefix.rstrip("/").rfind("/") + 1]  # "" or ends in a slash
    for path in tree.outside:
        if path.startswith(parent) and _is_data(path) and not _is_litter(path):
            by_folder[_folder(path), PurePosixPath(path).suffix.lower()].append(path)
    for (folder, suffix), paths in by_folder.items():
        _list(account, folder, suffix, paths, True, report)


def _is_litter(path: str) -> bool:
    return any(_compiled(pattern).fullmatch(path) for pattern in _LITTER.values())


def _siblings(tree: Tree, source: Source) -> set[str]:
    """Return the folders that lie beside the folder of a split and are none."""
    if not source.split_folders:
        return set()
    is_split = _compiled(source.split_folders).fullmatch
    folders = {str(parent) for path in tree.files for parent in PurePosixPath(path).parents} - {"."}
    parents = {_folder(folder) for folder in folders if is_split(folder)}
    # At the top, other configurations and litter may lie beside a split.
    return {folder for folder in folders if _folder(folder) in parents and not is_split(folder)}


def _in_any(path: str, folders: set[str]) -> bool:
    return bool(folders) and any(str(parent) in folders for parent in PurePosixPath(path).parents)


def _is_data(path: str) -> bool:
    """Return whether a file may be an image or an annotation, zipped or not, by its name."""
    return bool(_ARCHIVE.search(path) or _IMAGE.search(path) or _ANNOTATION.search(path))


def _is_copy(tree: Tree, path: str, read: list[str]) -> bool:
    """Return whether a file has the same bytes as an annotation file in its folder."""
    size = tree.files[path].size
    near = [other for other in read if tree.files[other].size == size and _folder(other) == _folder(path)]
    return bool(near) and any(tree.read(other) == tree.read(path) for other in near)


def _applies(path: str, where: str, beside: dict[str, set[str]]) -> bool:
    return not where or (_stem(path) if where == "stem" else _folder(path)) in beside[where]


def _stem(path: str) -> str:
    return PurePosixPath(_ARCHIVE.sub("", path)).stem.lower()


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)
