"""Fetching what may be fetched: one archive at a pinned version, checked, and in place only when it is whole."""

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
from ..source import Source

# The library under huggingface_hub's session: httpx2 since its version 2, httpx before.
_httpx = importlib.import_module("httpx2" if Version(huggingface_hub.__version__).major >= 2 else "httpx")
_TIMEOUT = _httpx.Timeout(30.0)
_CHUNK = 2**20


def address(source: Source) -> str:
    """Where a source is downloaded from: the publisher's address, or ``$RADIKAL_MIRROR/<source>.tar.gz``."""
    mirror = os.environ.get("RADIKAL_MIRROR")
    if mirror:
        return f"{mirror.rstrip('/')}/{source.name}.tar.gz"
    if source.download is None:
        raise DownloadError(_by_hand(source))
    return source.download.url


def download(source: Source, output_dir: str | Path | None = None) -> Path:
    """Fetches a source's archive, checks it, and unpacks it.

    Args:
        source: one with a `download`.
        output_dir: gets a folder of the source's name; default: the datasets cache.

    Returns:
        The folder of the raw tree. Where it is there already, nothing is fetched.

    Raises:
        DownloadError: may not be fetched, no answer, or another content than the pinned one.
    """
    if source.download is None:
        raise DownloadError(_by_hand(source))
    parent = Path(output_dir or Path(datasets.config.DOWNLOADED_DATASETS_PATH) / "radikal_datasets").expanduser()
    folder = parent / (source.name if output_dir else f"{source.name}-{source.download.sha256[:16]}")
    parent.mkdir(parents=True, exist_ok=True)
    with FileLock(parent / f".{folder.name}.lock"):
        if folder.is_dir() and any(folder.iterdir()):
            return folder
        if folder.is_dir():
            folder.rmdir()
        with new_folder(folder) as unfinished:
            archive = unfinished / ".archive.tar.gz"
            _fetch(address(source), archive)
            try:
                unpack(archive, unfinished)
            except LayoutError as error:
                raise DownloadError(str(error)) from error
            archive.unlink()
            _keep_only(unfinished, source.download.keep)
            found = checksum(unfinished)
            if found != source.download.sha256:
                raise DownloadError(
                    f"{address(source)} holds other files than the pinned version: checksum {found}, expected "
                    f"{source.download.sha256}. Nothing was kept. Check the address or the mirror."
                )
    return folder


def checksum(folder: Path) -> str:
    """sha256 over the sorted lines of posix path, tab, sha256 of the file."""
    digest = hashlib.sha256()
    for name, path in sorted((path.relative_to(folder).as_posix(), path) for path in folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                digest.update(f"{name}\t{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()


def _fetch(url: str, target: Path) -> None:
    try:
        # The Hub client's session: it honours the proxies and certificate authorities people set for it.
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
        raise DownloadError(f"{url}: this machine is set offline (HF_HUB_OFFLINE). Give a data_dir instead.") from error
    except (_httpx.HTTPError, OSError) as error:
        raise DownloadError(
            f"{url}: {type(error).__name__}: {error}. Without internet, fetch the archive elsewhere, unpack it and "
            "give its folder as data_dir, or name an internal copy in RADIKAL_MIRROR."
        ) from error


def _keep_only(folder: Path, keep: str) -> None:
    """Lifts the archive's own top folder, then removes what is not kept."""
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


def _by_hand(source: Source) -> str:
    return (
        f"{source.name} can't be downloaded by a program: its publisher asks you to do it.\n"
        f"Page: {source.download_page}\nLicense: {source.license.name}. {source.license.summary}\n"
        f"Unpack it so that the folder looks like this:\n{source.layout}"
    )
