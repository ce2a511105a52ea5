"""Write 1,000 images while `predict --watch` looks and is killed, and check that none is lost and none comes twice.

python benchmarks/watch_under_fire.py
python benchmarks/watch_under_fire.py --count 60 --kills 1

Among the files are corrupt ones, half-written ones that are completed later, and ones that are replaced under the same
name after they were predicted, for which a second line is expected. The model is a tiny ONNX file, so that the writer
and the watcher race. Exit code 1: a line is missing, wrong or there twice.
"""

from __future__ import annotations

import argparse
import collections
import io
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)
SEED = 0


def encoded(number: int, verdict: str) -> bytes:
    """Return a PNG or JPEG, bright if it is to be found bad by the tiny model."""
    pixels = np.random.default_rng(number).integers(0, 40, (32, 40, 3), dtype=np.uint8) + (
        200 if verdict == "bad" else 0
    )
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, "png" if number % 2 else "jpeg")
    return buffer.getvalue()


class Camera(threading.Thread):
    """Write the files, and note the verdicts that each must get, in order."""

    def __init__(self, folder: Path, log: Path, count: int) -> None:
        super().__init__()
        self.folder, self.log, self.count = folder, log, count
        self.expected: dict[str, list[str]] = {}
        chosen = random.Random(SEED).sample(range(count), 9)
        self.corrupt, self.half, self.replaced = set(chosen[:3]), set(chosen[3:6]), set(chosen[6:])

    def run(self) -> None:
        later: list[tuple[float, Path, bytes]] = []
        again: dict[str, Path] = {}
        for number in range(self.count):
            verdict = "bad" if number % 3 == 0 else "good"
            name = f"{number % 5}/{number:05}.{'png' if number % 2 else 'jpg'}"
            file, data = self.folder / name, encoded(number, verdict)
            file.parent.mkdir(exist_ok=True)
            self.expected[name] = [verdict]
            if number in self.corrupt:
                self.expected[name] = ["error"]
                data = data[: len(data) // 3]
            elif number in self.half:
                later.append((time.monotonic() + 1.5, file, data))
                data = data[: len(data) // 2]
            elif number in self.replaced:
                again[name] = file
            file.write_bytes(data)
            time.sleep(0.004)
        while later or again:
            for one in [one for one in later if time.monotonic() >= one[0]]:
                one[1].write_bytes(one[2])
                later.remove(one)
            predicted = {line["file"] for line in lines(self.log)} & set(again)
            for name in predicted:
                verdict = "bad" if self.expected[name] == ["good"] else "good"
                self.expected[name].append(verdict)
                again.pop(name).write_bytes(encoded(int(Path(name).stem) + 2 * self.count, verdict))
            time.sleep(0.2)


def lines(log: Path) -> list[dict[str, Any]]:
    """Return the complete lines of the log."""
    text = log.read_text(encoding="utf-8") if log.is_file() else ""
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000, help="files (default: 1000)")
    parser.add_argument("--kills", type=int, default=3, help="times that the watcher is killed (default: 3)")
    known = parser.parse_args()
    from tests.training.tiny_onnx import write_tiny_onnx
    from training.using.watch_command import LOG

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = write_tiny_onnx(folder / "model.onnx")
        (folder / "camera").mkdir()
        camera = Camera(folder / "camera", folder / "out" / LOG, known.count)
        command = [sys.executable, "-m", "radikal_datasets.cli", "predict", str(model), "--watch", str(camera.folder)]
        command += ["--output", str(folder / "out"), "--csv", str(folder / "found.csv"), "--stop-after", "4"]
        options: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        options["env"] = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        started = time.monotonic()
        camera.start()
        for number in range(1, known.kills + 1):
            with subprocess.Popen(command, **options) as process:
                goal = known.count * number // (known.kills + 2)
                while process.poll() is None and len(lines(camera.log)) < goal:
                    time.sleep(0.01)
                process.send_signal(signal.SIGKILL)
            print(f"killed after {len(lines(camera.log))} lines", flush=True)
        with subprocess.Popen(command, **options) as process:
            _, errors = process.communicate(timeout=1200)
        camera.join()
        if process.returncode != 3:
            print(errors, file=sys.stderr)
            return 1
        got: dict[str, list[str]] = collections.defaultdict(list)
        for line in lines(camera.log):
            got[line["file"]].append("error" if "error" in line else line["verdict"])
        wrong = {file: (wanted, got.get(file)) for file, wanted in camera.expected.items() if got.get(file) != wanted}
        extra = sorted(set(got) - set(camera.expected))
        rows = len((folder / "found.csv").read_text(encoding="utf-8").splitlines()) - 1
        total = sum(len(found) for found in got.values())
        print(
            f"{len(camera.expected)} files, {len(camera.corrupt)} corrupt, {len(camera.half)} half-written, "
            f"{len(camera.replaced)} replaced: {total} lines, {rows} rows of the table, {len(wrong)} files with "
            f"missing, wrong or repeated lines, {len(extra)} unknown; {time.monotonic() - started:.0f} s"
        )
        print(errors.strip().splitlines()[-1])
        for file, (wanted, found) in list(wrong.items())[:10]:
            print(f"{file}: expected {wanted}, found {found}", file=sys.stderr)
        return int(bool(wrong or extra) or rows != total)


if __name__ == "__main__":
    sys.exit(main())
