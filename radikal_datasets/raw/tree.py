"""A raw tree, read-only: a folder, an archive as the publisher ships it, or any location that fsspec can reach.

The tree is walked once; every file is listed with its size and a stamp that changes when the file does. Nothing is
ever written into a tree.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path, PurePath, PurePosixPath
from typing import IO, cast

import fsspec

from ..errors import LayoutError, MalformedAnnotationError, SourceNotFoundError, UnsafePathError
from .archives import is_unsafe, unpack_once
from .walking import REMEDY, FileStat, is_litter, is_plain, printable, unsafe_member, walk_local

_ZIP = (".zip",)
_TAR = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2")
ARCHIVES = _ZIP + _TAR


def is_url(place: str) -> bool:
    """Return True for a location that fsspec opens, False for a path (including Windows drives and backslashes)."""
    return "::" in place or "://" in place


def _zip_url(archive: PurePath) -> str:
    return f"zip://::{archive.as_posix()}"


class Tree:
    """The files below one root.

    Attributes:
        root: the location as given.
        files: posix path below the root -> `FileStat`, sorted by path.
        unsafe: links and archive members that lead out of the tree: listed, never read.
        orientations: image -> EXIF orientation, of those images looked at that are not stored as they are displayed.
        deep: images of more than 8 bits, of those looked at.
        deep_color: color images of 16 bits, of those looked at; only the upper 8 are decoded.
        prefix: of the root below the location that was given; ends in a slash or is empty.
        outside: files at that location outside the root.
        accounted_for: files that were opened, or that a source has reported; no source uses any other file.
    """

    def __init__(self, root: str, files: dict[str, FileStat], unsafe: list[UnsafePathError], fs_prefix: str, url: str):
        self.root = root
        self.files = files
        self.unsafe = unsafe
        self.accounted_for: set[str] = set()
        self.orientations: dict[str, int] = {}
        self.deep: set[str] = set()
        self.deep_color: set[str] = set()
        self.prefix = ""
        self.outside: list[str] = []
        self._stored: dict[str, str] = {}  # path below the root -> path below `_prefix`, where the two differ
        self._prefix = fs_prefix  # prepended to a relative path, this gives the path inside the file system
        self._url = url  # "" for the local file system, otherwise what fsspec opens
        self._fs: fsspec.AbstractFileSystem | None = None

    @classmethod
    def open(cls, root: str | os.PathLike[str]) -> Tree:
        """List a folder, a zip or tar archive, or an fsspec URL.

        Tars are unpacked once into the datasets cache: most are compressed, which rules out random access.

        Raises:
            SourceNotFoundError: the path does not exist.
            LayoutError: it is a file but not an archive, or a damaged archive.
        """
        text = os.fspath(root).removeprefix("file://")
        if is_url(text):
            return cls._open_url(text)
        path = Path(text).expanduser()
        if path.is_dir():
            resolved = path.resolve()
            files, unsafe = walk_local(resolved)
            return cls(text, files, unsafe, f"{resolved.as_posix()}/", "")
        if not path.exists():
            raise SourceNotFoundError(f"{text}: no such folder or archive. Check the path.")
        name = path.name.lower()
        if name.endswith(_TAR):
            folder, skipped = unpack_once(path)
            tree = cls.open(folder)
            tree.root = text
            tree.unsafe += [unsafe_member(name) for name in skipped]
            return tree
        if name.endswith(_ZIP):
            return cls._open_url(_zip_url(path.resolve()), text)
        raise LayoutError(f"{text} is not a supported archive ({', '.join(ARCHIVES)}). Unpack it and pass the folder.")

    @classmethod
    def _open_url(cls, url: str, root: str | None = None) -> Tree:
        try:
            fs, top = fsspec.core.url_to_fs(url)
            found = fs.find(top, detail=True)
        except FileNotFoundError as error:
            raise SourceNotFoundError(f"{root or url}: {error}. Check the address.") from error
        except (OSError, ValueError) as error:
            raise LayoutError(f"Cannot open {root or url} as an archive or remote folder: {error}") from error
        except Exception as error:
            # zipfile.BadZipFile and the exceptions specific to a remote file system.
            raise LayoutError(
                f"Cannot read {root or url}: {type(error).__name__}: {error}. Download the archive again."
            ) from error
        prefix = f"{top.rstrip('/')}/" if top.strip("/") else ""
        files, unsafe = {}, []
        for path in sorted(found):
            relative = path.removeprefix(prefix) if prefix else path
            if is_unsafe(relative) or not is_plain(relative):
                unsafe.append(unsafe_member(printable(relative)))
            elif not is_litter(relative):
                files[relative.lstrip("/")] = _fsspec_stat(fs, path, found[path])
        tree = cls(root or url, files, unsafe, prefix, url)
        tree._fs = fs
        return tree

    def below(self, prefix: str) -> Tree:
        """Return the tree under a folder of this one; `prefix` ends in a slash or is empty."""
        if not prefix:
            return self
        files = {p.removeprefix(prefix): stat for p, stat in self.files.items() if p.startswith(prefix)}
        unsafe = [
            UnsafePathError(e.path.removeprefix(prefix), e.found, e.remedy)
            for e in self.unsafe
            if e.path.startswith(prefix) or is_unsafe(e.path)  # what leaves the tree belongs to none of its folders
        ]
        tree = Tree(self.root, files, unsafe, self._prefix + prefix, self._url)
        tree._fs = self._fs
        tree.prefix, tree.outside = prefix, [path for path in self.files if not path.startswith(prefix)]
        return tree

    @property
    def folder_name(self) -> str:
        """Name of the folder or archive that was given, without an archive's extension."""
        name = PurePosixPath(self.root.rstrip("/") if is_url(self.root) else Path(self.root).resolve().as_posix()).name
        suffix = next((suffix for suffix in ARCHIVES if name.lower().endswith(suffix)), "")
        return name[: len(name) - len(suffix)]

    def moved(self, paths: dict[str, str]) -> Tree:
        """Return a tree of some of these files under other paths.

        Args:
            paths: path below this root -> path below the new one.
        """
        files = dict(sorted((new, self.files[old]) for old, new in paths.items()))
        tree = Tree(self.root, files, self.unsafe, self._prefix, self._url)
        tree._fs = self._fs
        tree._stored = {new: old for old, new in paths.items()}
        tree.outside = sorted(self.files.keys() - paths.keys())
        return tree

    def matching(self, pattern: str) -> Iterator[tuple[str, re.Match[str]]]:
        """Yield each path that fully matches a regular expression, with the match, in path order."""
        compiled = re.compile(pattern)
        for path in self.files:
            if match := compiled.fullmatch(path):
                yield path, match

    def __contains__(self, path: str) -> bool:
        return path in self.files

    def open_file(self, path: str) -> IO[bytes]:
        """Open a file for reading bytes."""
        self.accounted_for.add(path)
        stored = self._prefix + self._stored.get(path, path)
        if not self._url:
            return Path(stored).open("rb")
        return cast(IO[bytes], self._filesystem().open(stored, "rb"))

    def read(self, path: str) -> bytes:
        """Return the bytes of a file.

        Raises:
            MalformedAnnotationError: it cannot be read (no permission, a damaged archive).
        """
        try:
            with self.open_file(path) as file:
                return file.read()
        except Exception as error:  # OSError, and whatever an archive or a remote file system raises
            found = f"cannot be read: {getattr(error, 'strerror', None) or error}"
            raise MalformedAnnotationError(path, found, REMEDY) from None

    @property
    def local(self) -> Path | None:
        """The local folder that holds the files, resolved; None if they are remote or in a zip."""
        return None if self._url else Path(self._prefix)

    @property
    def checksummed(self) -> bool:
        """True if reading an entire file proves it undamaged (zip) while reading a part of it proves nothing."""
        return self._url.startswith("zip://")

    def read_text(self, path: str) -> str:
        """Return a file as UTF-8 text; invalid bytes become replacement characters (several sources have some)."""
        return self.read(path).decode("utf-8-sig", errors="replace")

    def fingerprint(self, wanted: Callable[[str], bool] = lambda _: True) -> str:
        """Return a sha256 over path, size and stamp of the wanted files, without reading any contents."""
        digest = hashlib.sha256()
        for path, stat in self.files.items():
            if wanted(path):
                digest.update(f"{path}\0{stat.size}\0{stat.stamp}\n".encode())
        return digest.hexdigest()

    def _filesystem(self) -> fsspec.AbstractFileSystem:
        fs = self._fs or fsspec.core.url_to_fs(self._url)[0]
        self._fs = fs
        return fs

    def __getstate__(self) -> dict[str, object]:
        # Open archives are not sent to worker processes: each opens its own.
        return {**self.__dict__, "_fs": None}


def _fsspec_stat(fs: fsspec.AbstractFileSystem, path: str, info: dict) -> FileStat:
    # A zip stores a checksum and a tar a time; elsewhere fsspec knows best what changes with the contents.
    if "CRC" in info:
        stamp = f"{info['CRC']:08x}"
    elif "mtime" in info:
        stamp = str(info["mtime"])
    else:
        stamp = str(fs.ukey(path))
    return FileStat(int(info.get("size") or 0), stamp)


def layout_roots(tree: Tree, marker: str) -> list[str]:
    """Return the folders of a tree below which a source's layout begins.

    Args:
        tree: everything at the location the user gave.
        marker: regular expression over the end of a path, such as ``IMAGES/[^/]+\\.jpg``.

    Returns:
        Prefixes ending in a slash, or "" for the tree itself; sorted, shallowest first.
    """
    pattern = re.compile(rf"(?P<prefix>(?:.*?/)?)(?:{marker})")
    prefixes = {match["prefix"] for path in tree.files if (match := pattern.fullmatch(path)) is not None}
    return sorted(prefixes, key=lambda prefix: (prefix.count("/"), prefix))
