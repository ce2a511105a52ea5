"""Download sources whose license allows it: one archive at a pinned version, verified before it is put in place."""

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
    """Return the address of a source's archive: the publisher's, or ``$RADIKAL_MIRROR/<source>.tar.gz``."""
    mirror = os.environ.get("RADIKAL_MIRROR")
    if mirror:
        return f"{mirror.rstrip('/')}/{source.name}.tar.gz"
    if source.download is None:
        raise DownloadError(_by_hand(source))
    return source.download.url


def download(source: Source, output_dir: str | Path | None = None) -> Path:
    """Download a source's archive, verify it, and unpack it.

    Args:
        source: a source with a `download`.
        output_dir: where to create a folder with the source's name; default: the datasets cache.

    Returns:
        The folder of the raw tree. If it already exists, nothing is downloaded.

    Raises:
        DownloadError: the download is not allowed, there is no answer, or the contents differ from the pinned version.
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
    """Return a sha256 over the sorted lines of posix path, tab, sha256 of the file."""
    digest = hashlib.sha256()
    for name, path in sorted((path.relative_to(folder).as_posix(), path) for path in folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                digest.update(f"{name}\t{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()


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


def _by_hand(source: Source) -> str:
    return (
        f"{source.name} cannot be downloaded automatically: its publisher requires you to do it yourself.\n"
        f"Page: {source.download_page}\nLicense: {source.license.name}. {source.license.summary}\n"
        f"Unpack it so that the folder has this layout:\n{source.layout}"
    )
