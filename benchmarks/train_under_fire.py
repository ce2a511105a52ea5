"""Is resuming exact? One run is never stopped; another is killed with SIGKILL at random moments and resumed each time.

    python benchmarks/train_under_fire.py [--kills 10] [--steps 160] [--seed 0]

Synthetic castings, one process on a CPU, with accumulation, changing image sizes, and mosaic until the last epochs.
Each kill comes a random time after the loop's start, or after its first or second new checkpoint. Both runs must end
with the same bytes in best/ and last/, the same scores and the same history.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OPTIONS = {
    "image_size": "64",
    "backbone": "test_resnet",
    "num_queries": "20",
    "per_device_train_batch_size": "3",
    "gradient_accumulation_steps": "2",
    "multi_scale": "0.5",
    "mosaic": "0.5",
    "noise": "0.05",
    "plain_epochs": "2",
    "eval_steps": "20",
    "checkpointing_steps": "7",
    "num_threads": "1",
    "draw_curves": "false",
    "report_to": "none",
}


def command(data: Path, run: Path, steps: int, *more: str) -> list[str]:
    options = {**OPTIONS, "dataset_name": str(data), "output_dir": str(run), "max_train_steps": str(steps)}
    flat = [word for name, value in options.items() for word in (f"--{name}", value)]
    return [sys.executable, str(ROOT / "training" / "train.py"), str(ROOT / "training/configs/demo.yaml"), *flat, *more]


def made_up_data(folder: Path) -> Path:
    tool = [sys.executable, "-m", "radikal_datasets.cli"]
    raw, hub = folder / "raw", folder / "hub"
    subprocess.run([*tool, "sample", "gdxray", str(raw), "--images", "60"], check=True, capture_output=True)
    options = ["--data-dir", str(raw), "--output-dir", str(hub)]
    subprocess.run([*tool, "prepare", "gdxray", "castings", *options], check=True, capture_output=True)
    return hub


def killed_run(data: Path, run: Path, steps: int, kills: int, seed: int) -> list[str]:
    """Run and kill the training `kills` times, then let it finish. Return what the folder contained at each kill."""
    draw, moments = random.Random(seed), []
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true"}
    while len(moments) < kills:
        there = sorted(run.glob("checkpoint-*"))
        more = ["--resume_from_checkpoint", "latest"] if there else ["--overwrite_output_dir", "true"]
        process = subprocess.Popen(
            command(data, run, steps, *more),
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        assert process.stdout is not None
        for line in process.stdout:  # the loop starts after this line
            if "checkpoint every" in line:
                break
        awaited, deadline = draw.randint(0, 2), time.monotonic() + 300
        while len(set(run.glob("checkpoint-*")) - set(there)) < awaited and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(draw.uniform(0, 2))
        if process.poll() is not None:
            raise SystemExit(
                f"the run ended after {len(moments)} kills, before it could be killed again; pass more --steps"
            )
        process.send_signal(signal.SIGKILL)
        process.wait()
        moments.append(", ".join(sorted(path.name for path in run.iterdir())) if run.is_dir() else "nothing")
        print(f"kill {len(moments)}: {moments[-1]}", flush=True)
    subprocess.run(
        command(data, run, steps, "--resume_from_checkpoint", "latest"),
        env=environment,
        check=True,
        capture_output=True,
    )
    return moments


def fingerprint(run: Path) -> dict[str, object]:
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    weights = {
        name: hashlib.sha256((run / name / "model.safetensors").read_bytes()).hexdigest() for name in ("best", "last")
    }
    scores = {name: metrics[name] for name in ("validation", "test", "operating_point")}
    return {**weights, **scores, "history": metrics["training"]["history"]}


def main() -> int:
    parser = argparse.ArgumentParser(description="Is resuming exact?")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--steps", type=int, default=160)
    parser.add_argument("--seed", type=int, default=0)
    known = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        data = made_up_data(place)
        environment = {**os.environ, "ACCELERATE_USE_CPU": "true"}
        whole, broken = place / "whole", place / "broken"
        subprocess.run(command(data, whole, known.steps), env=environment, check=True, capture_output=True)
        killed_run(data, broken, known.steps, known.kills, known.seed)
        expected, found = fingerprint(whole), fingerprint(broken)
    differing = [name for name in expected if expected[name] != found[name]]
    print(f"best {found['best']}\nlast {found['last']}")
    print(f"killed {known.kills} times: " + (f"DIFFERENT: {', '.join(differing)}" if differing else "equal to the bit"))
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
