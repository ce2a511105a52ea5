"""Download a Kaggle competition through the user's own `kaggle` program, with the user's account and accepted rules."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

from ..errors import DownloadError
from ..raw.archives import is_unsafe

#: Of the program's output, what an error repeats.
_LINES_KEPT = 12


def program() -> str | None:
    """Return the path of the `kaggle` program; None where it is not installed."""
    return shutil.which("kaggle")


def lines(competition: str, parent: Path, folder: Path) -> str:
    """Return the commands that do by hand what `fetch` does."""
    archive = parent / f"{competition}.zip"
    commands = (
        ("pip", "install", "kaggle"),
        _command("kaggle", competition, parent),
        ("unzip", "-q", str(archive), "-d", str(folder)),
    )
    return "\n".join(f"  {shlex.join(command)}" for command in commands)


def fetch(competition: str, archives: Path, folder: Path) -> None:
    """Let `kaggle` download a competition's archive and unpack it into an existing folder.

    Whether the program is configured and the rules are accepted is its own to say: its output is passed on as it
    comes. The archive stays in `archives` until it is unpacked, so that an interrupted download can be resumed.

    Raises:
        DownloadError: the program is not installed or ended with an error, or its archive is damaged.
    """
    kaggle = program()
    if kaggle is None:
        raise DownloadError("The program kaggle is not installed.")
    archives.mkdir(parents=True, exist_ok=True)
    _run(_command(kaggle, competition, archives))
    archive = archives / f"{competition}.zip"
    if not archive.is_file():
        raise DownloadError(f"kaggle ended without an error, but did not write {archive}.")
    try:
        with zipfile.ZipFile(archive) as opened:
            unsafe = [name for name in opened.namelist() if is_unsafe(name)]
            if unsafe:
                raise DownloadError(f"{archive} holds {unsafe[0]!r}, which would be written outside of the folder.")
            opened.extractall(folder)
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        archive.unlink()
        raise DownloadError(f"{archive} is damaged: {error}. It was deleted; download it again.") from error
    shutil.rmtree(archives)


def _command(kaggle: str, competition: str, folder: Path) -> tuple[str, ...]:
    return (kaggle, "competitions", "download", "-c", competition, "-p", str(folder))


def _run(command: Sequence[str]) -> None:
    """Run a command, showing its output; raise DownloadError with the end of the output if it fails."""
    written = bytearray()
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as child:
        assert child.stdout is not None
        while chunk := os.read(child.stdout.fileno(), 2**16):
            written = (written + chunk)[-(2**14) :]
            sys.stderr.write(chunk.decode("utf-8", "replace"))
            sys.stderr.flush()
    if child.returncode:
        said = [line for line in written.decode("utf-8", "replace").splitlines() if line.strip()]
        raise DownloadError(
            "\n".join((f"{shlex.join(command)} ended with exit status {child.returncode}:", *said[-_LINES_KEPT:]))
        )
