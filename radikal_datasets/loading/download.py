"""Download sources whose license allows it: one archive at a pinned version, verified before it is put in place.

A competition of Kaggle is left to the user's own `kaggle` program: see `kaggle.fetch`.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import re
from pathlib import Path

import datasets.config
import huggingface_hub
from filelock import FileLock
from huggingface_hub.errors import OfflineModeIsEnabled
from packaging.version import Version

from ..errors import DownloadError, LayoutError
from ..raw.archives import new_folder, unpack
from ..source import Download, Source
from . import kaggle

# The library under huggingface_hub's session: httpx2 since its version 2, httpx before.
_httpx = importlib.import_module("httpx2" if Version(huggingface_hub.__version__).major >= 2 else "httpx")
_TIMEOUT = _httpx.Timeout(30.0)
_CHUNK = 2**20


def address(source: Source) -> str:
    """Return the address of a source's archive: the publisher's, or ``$RADIKAL_MIRROR/<source>.tar.gz``."""
    mirror = os.environ.get("RADIKAL_MIRROR")
    if mirror:
        return f"{mirror.rstrip('/')}/{source.name}.tar.gz"
    if source.download is None:
        raise DownloadError(_by_hand(source, Path(source.name)))
    return source.download.url


def download(source: Source, output_dir: str | Path | None = None) -> Path:
    """Download a source's archive, verify it, and unpack it.

    Args:
        source: a source with a `download`, or with a `kaggle_competition`, which needs the program `kaggle`.
        output_dir: where to create a folder with the source's name; default: the datasets cache.

    Returns:
        The folder of the raw tree. If it already exists, nothing is downloaded.

    Raises:
        DownloadError: the download is not allowed, there is no answer, or the contents differ from the pinned version.
    """
    parent = Path(output_dir or Path(datasets.config.DOWNLOADED_DATASETS_PATH) / "radikal_datasets").expanduser()
    pinned = "" if output_dir or source.download is None else f"-{source.download.sha256[:16]}"
    folder = parent / f"{source.name}{pinned}"
    by_kaggle = source.kaggle_competition and kaggle.program() is not None
    if source.download is None and not by_kaggle:
        raise DownloadError(_by_hand(source, folder))
    parent.mkdir(parents=True, exist_ok=True)
    with FileLock(parent / f".{folder.name}.lock"):
        if folder.is_dir() and any(folder.iterdir()):
            return folder
        if folder.is_dir():
            folder.rmdir()
        with new_folder(folder) as unfinished:
            if source.download is None:
                _fetch_by_kaggle(source, folder, unfinished)
            else:
                _fetch_pinned(source, source.download, unfinished)
    return folder


def checksum(folder: Path) -> str:
    """Return a sha256 over the sorted lines of posix path, tab, sha256 of the file."""
    digest = hashlib.sha256()
    for name, path in sorted((path.relative_to(folder).as_posix(), path) for path in folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                digest.update(f"{name}\t{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()


def _fetch_pinned(source: Source, pinned: Download, folder: Path) -> None:
    """Download the archive into an existing folder, and verify its contents."""
    archive = folder / ".archive.tar.gz"
    _fetch(address(source), archive)
    try:
        unpack(archive, folder)
    except LayoutError as error:
        raise DownloadError(str(error)) from error
    archive.unlink()
    _keep_only(folder, pinned.keep)
    found = checksum(folder)
    if found != pinned.sha256:
        raise DownloadError(
            f"{address(source)} holds other files than the pinned version: checksum {found}, expected "
            f"{pinned.sha256}. Nothing was kept. Check the address or the mirror."
        )


def _fetch_by_kaggle(source: Source, final: Path, folder: Path) -> None:
    """Let `kaggle` fill an existing folder that will be renamed to `final`."""
    if huggingface_hub.constants.HF_HUB_OFFLINE:
        raise DownloadError(f"{source.download_page} was not contacted: offline mode is on (HF_HUB_OFFLINE).")
    try:
        kaggle.fetch(source.kaggle_competition, final.parent / f".{final.name}.kaggle", folder)
        source.open_tree(folder)
    except (DownloadError, LayoutError) as error:
        raise DownloadError(f"{error}\n{_by_hand(source, final)}") from error


def _fetch(url: str, target: Path) -> None:
    try:
        # The Hub client's session: it honors the proxies and certificate authorities configured for it.
        with huggingface_hub.get_session().stream("GET", url, follow_redirects=True, timeout=_TIMEOUT) as response:
            response.raise_for_status()
            total = int(response.headers.get("Content-Length", 0)) or None
            with (
                target.open("wb") as file,
                datasets.utils.tqdm(total=total, unit="B", unit_scale=True, desc=url.rsplit("/", 1)[-1]) as bar,
            ):
                for chunk in response.iter_bytes(_CHUNK):
                    file.write(chunk)
                    bar.update(len(chunk))
    except OfflineModeIsEnabled as error:
        raise DownloadError(
            f"{url} was not contacted: offline mode is on (HF_HUB_OFFLINE). Pass data_dir instead."
        ) from error
    except (_httpx.HTTPError, OSError) as error:
        raise DownloadError(
            f"Cannot download {url}: {type(error).__name__}: {error}. Without internet access, download the archive "
            "elsewhere, unpack it and pass its folder as data_dir, or point RADIKAL_MIRROR to an internal copy."
        ) from error


def _keep_only(folder: Path, keep: str) -> None:
    """Move the contents out of the archive's own top folder, then remove what is not kept."""
    entries = list(folder.iterdir())
    if len(entries) == 1 and entries[0].is_dir():
        top = entries[0].rename(folder / ".top")
        for path in list(top.iterdir()):
            path.rename(folder / path.name)
        top.rmdir()
    wanted = re.compile(keep)
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif not wanted.fullmatch(path.relative_to(folder).as_posix()):
            path.unlink()


def _by_hand(source: Source, folder: Path) -> str:
    lines = [
        f"{source.name} cannot be downloaded automatically: its publisher requires you to do it yourself.",
        f"Page: {source.download_page}",
        f"License: {source.license.name}. {source.license.summary}",
    ]
    if source.kaggle_competition:
        lines += [
            "With Kaggle's own program and your account, after accepting the rules on that page:",
            kaggle.lines(source.kaggle_competition, folder.parent, folder),
        ]
    return "\n".join((*lines, f"Unpack it so that the folder has this layout:\n{source.layout}"))
