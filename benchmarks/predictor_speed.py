"""How long `Predictor` takes beside the bare call of its model: onnxruntime's `run`, and torch's forward pass and NMS.

python benchmarks/predictor_speed.py                  trains the recipe neu_det for two steps on a generated sample
python benchmarks/predictor_speed.py --run RUN        a run of your own

On one thread, in one process, in turns. Times are medians of the processor's, to which other programs add little, and
in parentheses of the wall clock's. The bare calls get what `Predictor` gives them: decoded images of the model's size.
Exit code 1: Predictor takes more than `LIMIT` times as long on an image of NEU-DET's size.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from loaders.normalization import normalize
from radikal_datasets import Predictor
from training.models.inputs import model_inputs
from training.using.torch_detector import TorchDetector

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 1.2
CHECKED = "200x200"  # as NEU-DET's images; the other size is for information
KINDS = (("ONNX", "onnxruntime"), ("torch", "torch"))
SIZES = {CHECKED: (200, 200), "2048x2048": (2048, 2048)}


def trained(folder: Path) -> Path:
    """Return a run of the recipe neu_det, of two steps on generated images."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    program, images, run = [sys.executable, "-m"], folder / "images", folder / "run"
    commands = [
        ["radikal_datasets.cli", "sample", "neu_det", str(images)],
        ["training.train", "neu_det", "--data-dir", str(images), "--max-train-steps", "2", "--output-dir", str(run)],
    ]
    for command in commands:
        subprocess.run([*program, *command], env=environment, check=True, stdout=subprocess.DEVNULL)
    return run


def exported(run: Path, folder: Path) -> Path:
    """Return its ONNX file, without export-model's comparison, which a barely trained model may not pass."""
    from training.export import _write
    from training.using.onnx_module import ExportedDetector
    from training.using.trained_model import open_model

    opened = open_model(run)
    _write(ExportedDetector(opened).eval(), opened, folder / "model.onnx", None)
    return folder / "model.onnx"


def calls(run: Path, file: Path, size: tuple[int, int]) -> dict[str, Callable[[], Any]]:
    """Return what is timed, by name."""
    image = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    by_onnx, by_torch = Predictor(file), Predictor(run)
    detector: Any = by_torch._detector
    assert isinstance(detector, TorchDetector)
    planes = np.stack(by_torch._prepare(image).planes)
    inputs, session = by_onnx._detector._inputs(planes), by_onnx._detector._session  # pyright: ignore
    values = normalize(torch.from_numpy(planes)[:, None], **detector._norm)
    given = model_inputs({"pixel_values": values}, folded=detector._folded)
    suppress = detector._opened.processor.post_process_object_detection

    @torch.no_grad()
    def forward() -> Any:
        return suppress(detector._model(**given), threshold=0.0, target_sizes=torch.tensor([size]))

    return {
        "onnxruntime": lambda: session.run(None, inputs),
        "Predictor, ONNX": lambda: by_onnx(image),
        "torch": forward,
        "Predictor, torch": lambda: by_torch(image),
    }


def milliseconds(timed: dict[str, Callable[[], Any]], count: int) -> dict[str, tuple[float, float]]:
    """Return the medians of processor and wall-clock time of `count` calls of each, in turns."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in timed}
    for number in range(count + 5):
        for name, call in timed.items():
            used, started = time.process_time(), time.perf_counter()
            call()
            if number >= 5:
                times[name].append((time.process_time() - used, time.perf_counter() - started))
    medians = {}
    for name, found in times.items():
        used, wall = (statistics.median(column) * 1e3 for column in zip(*found, strict=True))
        medians[name] = used, wall
    return medians


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="output folder of a run (default: two steps of neu_det are trained)")
    parser.add_argument("--count", type=int, default=200, help="calls in each round (default: 200)")
    parser.add_argument("--rounds", type=int, default=3)
    known = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # of onnxruntime
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = known.run or trained(folder)
        file = exported(run, folder)
        ratios: dict[str, list[float]] = {}
        for label, size in SIZES.items():
            timed = calls(run, file, size)
            for _ in range(known.rounds if label == CHECKED else 1):
                found = milliseconds(timed, known.count if label == CHECKED else min(known.count, 30))
                print(label, *(f"{name} {used:.2f} ({wall:.2f}) ms" for name, (used, wall) in found.items()), sep="  ")
                for kind, bare in KINDS:
                    used, wall = (found[f"Predictor, {kind}"][i] / found[bare][i] for i in (0, 1))
                    print(f"{label}  ratio of {kind}: {used:.3f} ({wall:.3f})", flush=True)
                    ratios.setdefault(label, []).append(used)
    return int(max(ratios[CHECKED]) > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
