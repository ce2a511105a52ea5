"""Train one seed of the frozen benchmark for a given number of seconds, and write its scores to one file.

    python benchmarks/gpu/timed_accuracy.py neu_det --data-dir NEU-DET --seconds 170 --output FILE.json

A learning-rate schedule needs to know its length: a short run measures images/s first, then the number of steps that
fits is trained by benchmarks/accuracy.py, whose result file is copied to --output. Settings at the end of the command
line (`--image_size 64`) go to both runs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CALIBRATION_STEPS = 60


def images_per_second(options: argparse.Namespace, recipe: Path, settings: list[str]) -> tuple[float, int]:
    """Return the speed of a short run, and its batch size."""
    run = options.work_dir / f"calibration-{options.set}"
    steps = [f"--max_train_steps={CALIBRATION_STEPS}", "--eval_steps=1000", "--checkpointing_steps=1000"]
    place = ["--data_dir", options.data_dir, "--output_dir", str(run), "--draw_curves=false", "--report_to=none"]
    subprocess.run([sys.executable, "training/train.py", str(recipe), *place, *steps, *settings], cwd=ROOT, check=True)
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    return metrics["training"]["images_per_second"], metrics["config"]["per_device_train_batch_size"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", choices=("neu_det", "deeppcb"))
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--work-dir", type=Path, required=True)
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--seconds", type=float, help="of training, evaluations and start-up not counted")
    length.add_argument("--steps", type=int, help="in place of measuring")
    parser.add_argument("--any-data", action="store_true", help="the data are not the frozen splits")
    options, settings = parser.parse_known_args()
    recipe = ROOT / "training" / "configs" / ("neu_det_gpu.yaml" if options.set == "neu_det" else "deeppcb_pair.yaml")
    steps = options.steps
    threads = ["--dataloader_num_workers", str(min(12, os.cpu_count() or 1))]
    if steps is None:
        speed, batch = images_per_second(options, recipe, [*threads, *settings])
        steps = int(speed * options.seconds / batch)
        print(f"{speed} images/s: {steps} steps of {batch} images in {options.seconds:.0f} s", flush=True)
    results = options.work_dir / f"accuracy-{options.set}"
    every = max(1, steps // 5)
    subprocess.run(
        [
            *(sys.executable, "benchmarks/accuracy.py", options.set, "--data-dir", options.data_dir, "--seeds", "0"),
            *("--config", str(recipe), "--full", "--results", str(results), "--work-dir", str(options.work_dir)),
            *(["--any-data"] if options.any_data else []),
            *("--max_train_steps", str(steps), "--eval_steps", str(every), "--checkpointing_steps", str(steps)),
            *(*threads, *settings),
        ],
        cwd=ROOT,
        check=True,
    )
    (result,) = results.glob("*.json")
    shutil.copyfile(result, options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
