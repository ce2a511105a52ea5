"""Look at a folder as image files arrive: each file once, one JSON line each."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

from radikal_datasets.errors import ImageFileError, OutputError
from training.using.image_files import find_images
from training.using.prediction import Prediction

#: Columns of the CSV file.
COLUMNS = ("file", "verdict", "detections", "best_class", "best_score", "error")


class WatchCounts:
    """Numbers of files by their newest line, of earlier sessions with the same log, too."""

    def __init__(self) -> None:
        self._kinds: dict[str, str] = {}

    def add(self, line: dict[str, Any]) -> None:
        """Count one line, instead of an earlier one about the same file."""
        self._kinds[line["file"]] = "unreadable" if "error" in line else line["verdict"] or "undecided"

    def _count(self, kind: str) -> int:
        return sum(one == kind for one in self._kinds.values())

    @property
    def good(self) -> int:
        """Files without a detection."""
        return self._count("good")

    @property
    def bad(self) -> int:
        """Files with a detection."""
        return self._count("bad")

    @property
    def undecided(self) -> int:
        """Files without a verdict, as there is no operating point."""
        return self._count("undecided")

    @property
    def unreadable(self) -> int:
        """Files that could not be read."""
        return self._count("unreadable")

    @property
    def names(self) -> list[str]:
        """Names of the unreadable ones."""
        return [name for name, kind in self._kinds.items() if kind == "unreadable"]


class FolderWatch:
    """Predict each image file of a folder when it is complete.

    A file is read when its size and time of change stay the same from one look to the next. One that can't be read then
    may be half written: it is tried again whenever it changes, and reported when it has not changed for `settle`
    seconds. A file whose size or time of change is another one than in its line was replaced, and gets a further line.

    Args:
        predict: the prediction of a file; ImageFileError if it can't be read.
        folder: searched with its subfolders.
        log: file of JSON lines to append to, which is also the memory: what it has is not predicted again after a
            restart; its lines have the size and time of change of the file, too. None: every start begins from nothing.
        table: CSV file to write; rebuilt from the log at a start.
        accepts: which image files are looked at; None: all.
        interval: seconds between two looks.
        settle: seconds after which an unreadable file is reported.
    """

    def __init__(
        self,
        predict: Callable[[Path], Prediction],
        folder: Path,
        *,
        log: Path | None = None,
        table: Path | None = None,
        accepts: Callable[[Path], bool] | None = None,
        interval: float = 0.5,
        settle: float = 5.0,
    ) -> None:
        if not folder.is_dir():
            raise ImageFileError(f"There is no folder {folder} (the current directory is {Path.cwd()}).")
        self._predict, self._folder, self._interval, self._settle = predict, folder, interval, settle
        self._log, self._table, self._accepts = log, table, accepts
        self.counts = WatchCounts()

    def lines(self, stop: Callable[[], bool], until_idle: float | None = None) -> Iterator[dict[str, Any]]:
        """Yield what was found in each file, as it is written to the log; until `stop` or a time without new files.

        Raises:
            OutputError: the log is not one.
        """
        earlier = [] if self._log is None else _read_log(self._log)
        # Lines of an older version do not say which state of a file they are about: any.
        done = {line["file"]: tuple(line["state"]) if "state" in line else None for line in earlier}
        for line in earlier:
            self.counts.add(line)
        with ExitStack() as files:
            log = None if self._log is None else files.enter_context(self._log.open("a", encoding="utf-8"))
            table = None
            if self._table is not None:
                opened = files.enter_context(self._table.open("w", encoding="utf-8", newline=""))
                table = _Table(opened)
                table.add(earlier)
            seen: dict[str, tuple[tuple[int, int], float]] = {}  # name -> state of the file, since when
            failed: dict[str, tuple[int, int]] = {}  # name -> state in which it could not be read
            last = time.monotonic()
            while not stop():
                waiting = False
                for one in find_images([self._folder]):
                    if stop():
                        break
                    if self._accepts is not None and not self._accepts(one.file):
                        continue
                    state, now = _state(one.file), time.monotonic()
                    if state is None:  # removed again
                        continue
                    if one.name in done and done[one.name] in (state, None):
                        continue
                    waiting = True
                    if seen.get(one.name, (None,))[0] != state:
                        seen[one.name] = state, now
                        continue
                    overdue = now - seen[one.name][1] >= self._settle
                    if failed.get(one.name) == state and not overdue:
                        continue
                    line = self._line(one.name, one.file)
                    if "error" in line and not overdue:
                        failed[one.name] = state
                        continue
                    if _state(one.file) not in (state, None):  # it was written to while it was read
                        continue
                    if log is not None:
                        log.write(json.dumps({**line, "state": state}) + "\n")
                        log.flush()
                    if table is not None:
                        table.add([line])
                    done[one.name] = state
                    seen.pop(one.name, None)
                    failed.pop(one.name, None)
                    self.counts.add(line)
                    last = time.monotonic()
                    yield line
                if not waiting and until_idle is not None and time.monotonic() - last >= until_idle:
                    return
                time.sleep(self._interval)

    def _line(self, name: str, file: Path) -> dict[str, Any]:
        try:
            return {"file": name, **self._predict(file).to_dict()}
        except ImageFileError as error:
            return {"file": name, "error": str(error)}


class _Table:
    def __init__(self, file: TextIO) -> None:
        self._file, self._writer = file, csv.writer(file)
        self._writer.writerow(COLUMNS)

    def add(self, lines: list[dict[str, Any]]) -> None:
        for line in lines:
            found = line.get("detections", [])
            best = (found[0]["name"], found[0]["score"]) if found else ("", "")
            verdict = line.get("verdict") or ""
            self._writer.writerow([line["file"], verdict, len(found), *best, line.get("error", "")])
        self._file.flush()


def _state(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def _read_log(file: Path) -> list[dict[str, Any]]:
    """Return the lines of an earlier session; a last one that was cut off by a crash is removed from the file."""
    if not file.is_file():
        return []
    data = file.read_bytes()
    complete = data[: data.rfind(b"\n") + 1]
    try:
        lines = [json.loads(line) for line in complete.decode("utf-8").splitlines()]
        if not all(isinstance(line, dict) and isinstance(line.get("file"), str) for line in lines):
            raise ValueError("a line has no name of a file")
    except ValueError as error:
        raise OutputError(f"{file} is not a log of predict --watch: {error}. Choose another --output.") from error
    if len(complete) < len(data):
        with file.open("r+b") as opened:
            opened.truncate(len(complete))
    return lines
