"""`predict --watch`: each file that arrives is predicted once, none is lost, half-written ones are waited for."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from radikal_datasets.errors import ImageFileError, OutputError
from tests.training.conftest import ROOT
from tests.training.tiny_onnx import write_tiny_onnx
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
    stopped = first.lines(lambda: first.counts.good + first.counts.bad >= 200)
    before = list(stopped)
    with log.open("a") as opened:  # as a crash leaves it
        opened.write('{"file": "1/0')
    second = FolderWatch(fake, folder, **options)
    after = list(second.lines(lambda: False, until_idle=0.5))
    thread.join()
    names = [line["file"] for line in before + after]
    assert sorted(names) == sorted(f"{i % 7}/{i:04}.png" for i in range(1000))
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    states = [line.pop("state") for line in lines]
    assert lines == before + after
    files = [(folder / line["file"]).stat() for line in lines]
    assert states == [[one.st_size, one.st_mtime_ns] for one in files]
    assert [line["file"] for line in lines if "error" in line] == second.counts.names == ["6/0300.png"]
    counts = second.counts
    assert (counts.good, counts.bad, counts.unreadable, counts.undecided) == (901, 98, 1, 0)
    with table.open(newline="") as opened:
        rows = list(csv.reader(opened))
    assert rows[0] == list(COLUMNS) and [row[0] for row in rows[1:]] == names
    assert ["0/0000.png", "bad", "1", "dent", "0.9", ""] in rows
    assert list(FolderWatch(fake, folder, **options).lines(lambda: False, until_idle=0.0)) == []


def test_a_file_that_is_replaced_is_predicted_again(tmp_path):
    folder, log = tmp_path / "camera", tmp_path / "log.jsonl"
    folder.mkdir()
    for name, text in (("a.png", "good."), ("b.png", "corrupt"), ("c.png", "bad.")):
        (folder / name).write_text(text)
    options = {"log": log, "interval": 0.01, "settle": 0.05}

    def session() -> list[tuple[str, str]]:
        watched = FolderWatch(fake, folder, **options)
        found = [(line["file"], line.get("verdict", "error")) for line in watched.lines(lambda: False, until_idle=0.1)]
        counts.append((watched.counts.good, watched.counts.bad, watched.counts.unreadable))
        return found

    counts: list[tuple[int, int, int]] = []
    assert session() == [("a.png", "good"), ("c.png", "bad"), ("b.png", "error")]
    assert session() == []
    (folder / "a.png").write_text("bad.")
    os.utime(folder / "c.png", ns=(1, 1))  # the same bytes, sent again
    (folder / "b.png").write_text("good.")
    assert session() == [("a.png", "bad"), ("b.png", "good"), ("c.png", "bad")]
    assert session() == []
    assert counts == [(1, 1, 1), (1, 1, 1), (1, 2, 0), (1, 2, 0)]
    # The log of an older version does not say which state of a file its lines are about.
    old = [{key: value for key, value in json.loads(line).items() if key != "state"} for line in log.open()]
    log.write_text("".join(json.dumps(line) + "\n" for line in old))
    assert session() == []


def watching(*arguments: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "radikal_datasets.cli", "predict", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_sigterm_ends_it_after_the_image_at_hand_with_all_lines_written(tmp_path):
    folder, output = tmp_path / "camera", tmp_path / "out"
    folder.mkdir()
    for i in range(200):
        Image.fromarray(np.full((600, 800), i, np.uint8)).save(folder / f"{i:03}.png")
    model = write_tiny_onnx(tmp_path / "model.onnx")
    arguments = [str(model), "--watch", str(folder), "--output", str(output)]
    with watching(*arguments) as process:
        first = [process.stdout.readline() for _ in range(3)]
        process.send_signal(signal.SIGTERM)
        rest, errors = process.stdout.read(), process.stderr.read()
    printed = [json.loads(line)["file"] for line in [*first, *rest.splitlines()]]
    assert process.returncode == 0 and "0 could not be read" in errors
    log = output / "watched.jsonl"
    assert [json.loads(line)["file"] for line in log.read_text().splitlines()] == printed
    assert 3 <= len(printed) < 200
    with watching(*arguments, "--stop-after", "0.2") as process:
        more, _ = process.communicate(timeout=120)
    printed += [json.loads(line)["file"] for line in more.splitlines()]
    assert process.returncode == 0 and printed == [f"{i:03}.png" for i in range(200)]


def test_pairs_beside_each_other_and_in_a_folder_of_their_own(tmp_path):
    model, boards, templates = write_tiny_onnx(tmp_path / "pairs.onnx", pair=True), tmp_path / "a", tmp_path / "b"
    boards.mkdir(), templates.mkdir()
    for name, level in (("0_test", 250), ("0_temp", 10), ("1_test", 90), ("1_temp", 80), ("2_test", 90)):
        Image.fromarray(np.full((40, 50), level, np.uint8)).save(boards / f"{name}.png")
    for name, level in (("0_test", 250), ("1_temp", 250), ("2_test", 250)):
        Image.fromarray(np.full((40, 50), level, np.uint8)).save(templates / f"{name}.png")
    with watching(str(model), "--watch", str(boards), "--stop-after", "0.2") as process:
        lines = [json.loads(line) for line in process.communicate(timeout=120)[0].splitlines()]
    assert process.returncode == 3
    assert [(line["file"], line.get("verdict")) for line in lines] == [
        ("0_test.png", "bad"),
        ("1_test.png", "good"),
        ("2_test.png", None),
    ]
    assert "its template" in lines[2]["error"] and "2_temp.png" in lines[2]["error"]
    for name in ("0_temp.png", "1_temp.png"):
        (boards / name).unlink()
    arguments = ["--watch", str(boards), "--references", str(templates), "--stop-after", "0.2"]
    with watching(str(model), *arguments) as process:
        lines = [json.loads(line) for line in process.communicate(timeout=120)[0].splitlines()]
    assert process.returncode == 0
    assert [(line["file"], line["verdict"]) for line in lines] == [
        ("0_test.png", "good"),
        ("1_test.png", "bad"),
        ("2_test.png", "bad"),
    ]


def test_killed_watchers_and_bad_files_cost_no_line(tmp_path):
    command = [sys.executable, "benchmarks/watch_under_fire.py", "--count", "60", "--kills", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 files with missing, wrong or repeated lines" in done.stdout


def test_a_log_that_is_none_and_a_missing_folder(tmp_path):
    log = tmp_path / "log.jsonl"
    log.write_text("something else\n")
    with pytest.raises(OutputError, match="not a log"):
        list(FolderWatch(fake, tmp_path, log=log).lines(lambda: False, until_idle=0.0))
    assert log.read_text() == "something else\n"
    with pytest.raises(ImageFileError, match="no folder"):
        FolderWatch(fake, tmp_path / "missing")
