"""The output folder of a run: separate from its data, and locked by one run at a time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from radikal_datasets.errors import OutputError
from radikal_datasets.files import refuse_inside
from training.run.settings import Settings


def check_apart(settings: Settings) -> None:
    """Refuse an output_dir among the images: whoever lists that folder would find the run's files.

    Raises:
        OutputError: output_dir is the data folder or is inside it.
    """
    output = Path(settings.output_dir)
    paths = [settings.data_dir, settings.dataset_name]
    namespace, _, source = settings.dataset_name.partition("/")
    if settings.data_dir is None and namespace == "radikal_datasets" and os.environ.get("RADIKAL_DATA"):
        paths.append(str(Path(os.environ["RADIKAL_DATA"], source)))
    refuse_inside(output, paths, what="the data folder")


@contextlib.contextmanager
def held(output_dir: Path) -> Iterator[None]:
    """Lock the folder against other runs. It is created if needed, and removed again if nothing was written to it.

    The first of a run's processes holds the lock. The operating system releases it when that process ends, however it
    ends.

    Raises:
        OutputError: another process holds the lock; the message names its pid.
    """
    if not is_first():
        yield
        return
    made = [folder for folder in (output_dir, *output_dir.parents) if not folder.exists()]
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"Cannot create output_dir {output_dir}: {error}. Choose another folder.") from error
    file, note = output_dir / "run.lock", output_dir / "run.pid"
    lock = FileLock(file, thread_local=False)
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        pid = note.read_text(encoding="utf-8").strip() if note.is_file() else "unknown"
        raise OutputError(
            f"Process {pid} is already writing to {output_dir}. Wait for it, stop it (Ctrl-C in its terminal, or kill "
            f"{pid}; it saves a checkpoint first), or choose another --output_dir."
        ) from error
    try:
        note.write_text(f"{os.getpid()}\n", encoding="utf-8")
        yield
    finally:
        note.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # Windows does not remove an open file
            file.unlink()
        lock.release()
        with contextlib.suppress(OSError):  # not empty
            for folder in made:
                folder.rmdir()


def is_first() -> bool:
    """Return whether this is the first of a run's processes: the one that writes and prints."""
    return os.environ.get("RANK", "0") == "0"
