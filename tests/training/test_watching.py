"""`predict --watch`: each file that arrives is predicted once, none is lost, half-written ones are waited for."""

from __future__ import annotations

import csv
import json
import threading
import time
from pathlib import Path

import pytest

from radikal_datasets.errors import ImageFileError, OutputError
from training.using.prediction import Prediction
from training.using.watching import COLUMNS, FolderWatch


def fake(file: Path) -> Prediction:
    """Files hold "good." or "bad."; without the dot they are half written."""
    text = file.read_text()
    if not text.endswith("."):
        raise ImageFileError(f"Cannot read {file.name} as an image: it is truncated")
    found = text == "bad."
    box = [[1.0, 2.0, 3.0, 4.0]] if found else []
    return Prediction((8, 8), box, [0.9] * found, [0] * found, ["dent"] * found, 0.5, text[:-1])


def test_a_thousand_files_that_arrive_while_it_looks(tmp_path):
    folder, log, table = tmp_path / "camera", tmp_path / "log.jsonl", tmp_path / "log.csv"
    folder.mkdir()

    def write():
        for i in range(1000):
            file = folder / f"{i % 7}" / f"{i:04}.png"
            file.parent.mkdir(exist_ok=True)
            if i == 300:
                file.write_text("corrupt")  # for good
            elif i == 500:
                file.write_text("goo")
                threading.Timer(0.4, lambda file=file: file.write_text("good.")).start()
            else:
                file.write_text("bad." if i % 10 == 0 else "good.")
            if i % 50 == 0:
                time.sleep(0.02)

    thread = threading.Thread(target=write)
    thread.start()
    options = {"log": log, "table": table, "interval": 0.05, "settle": 1.0}
    first = FolderWatch(fake, folder, **options)
    stopped = first.lines(lambda: sum(vars(first.counts)[n] for n in ("good", "bad")) >= 200)
    before = list(stopped)
    with log.open("a") as opened:  # as a crash leaves it
        opened.write('{"file": "1/0')
    second = FolderWatch(fake, folder, **options)
    after = list(second.lines(lambda: False, until_idle=0.5))
    thread.join()
    names = [line["file"] for line in before + after]
    assert sorted(names) == sorted(f"{i % 7}/{i:04}.png" for i in range(1000))
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert lines == before + after
    assert [line["file"] for line in lines if "error" in line] == second.counts.names == ["6/0300.png"]
    counts = second.counts
    assert (counts.good, counts.bad, counts.unreadable, counts.undecided) == (901, 98, 1, 0)
    with table.open(newline="") as opened:
        rows = list(csv.reader(opened))
    assert rows[0] == list(COLUMNS) and [row[0] for row in rows[1:]] == names
    assert ["0/0000.png", "bad", "1", "dent", "0.9", ""] in rows
    assert list(FolderWatch(fake, folder, **options).lines(lambda: False, until_idle=0.0)) == []


def test_a_log_that_is_none_and_a_missing_folder(tmp_path):
    log = tmp_path / "log.jsonl"
    log.write_text("something else\n")
    with pytest.raises(OutputError, match="not a log"):
        list(FolderWatch(fake, tmp_path, log=log).lines(lambda: False, until_idle=0.0))
    assert log.read_text() == "something else\n"
    with pytest.raises(ImageFileError, match="no folder"):
        FolderWatch(fake, tmp_path / "missing")
