"""Where a run writes: apart from its data, and one run at a time."""

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
        OutputError: it is the data folder or lies in it.
    """
    output = Path(settings.output_dir)
    places = [settings.data_dir, settings.dataset_name]
    namespace, _, source = settings.dataset_name.partition("/")
    if settings.data_dir is None and namespace == "radikal_datasets" and os.environ.get("RADIKAL_DATA"):
        places.append(str(Path(os.environ["RADIKAL_DATA"], source)))
    refuse_inside(output, places, what="the data folder")


@contextlib.contextmanager
def held(output_dir: Path) -> Iterator[None]:
    """Keep other runs out of the folder, which is made, and removed again where nothing was written to it.

    The first of a run's processes holds it. The system lets go of it when that ends, however it does.

    Raises:
        OutputError: another process holds it; names its pid.
    """
    if not is_first():
        yield
        return
    made = [folder for folder in (output_dir, *output_dir.parents) if not folder.exists()]
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"output_dir {output_dir} can't be made ({error}); give another folder") from error
    file, note = output_dir / "run.lock", output_dir / "run.pid"
    lock = FileLock(file, thread_local=False)
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        pid = note.read_text(encoding="utf-8").strip() if note.is_file() else "unknown"
        raise OutputError(
            f"process {pid} is training into {output_dir}. Wait for it, end it (Ctrl-C where it runs, or kill {pid}: "
            "it saves a checkpoint first), or give another --output_dir"
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
    """Whether this is the first of a run's processes: the one that writes and prints."""
    return os.environ.get("RANK", "0") == "0"
