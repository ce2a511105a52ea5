"""Train one seed of the frozen benchmark for a number of steps, and write its scores to one file.

    python benchmarks/gpu/scored_run.py neu_det --data-dir NEU-DET --steps 450 --work-dir DIR --output FILE.json

benchmarks/accuracy.py does the work; this picks the GPU recipe, five evaluations and one checkpoint, and copies the
result. Settings at the end of the command line (`--image_size 64`) are passed to the training.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RECIPES = {"neu_det": "neu_det_gpu.yaml", "deeppcb": "deeppcb_pair.yaml"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", choices=RECIPES)
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--work-dir", type=Path, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--any-data", action="store_true", help="the data are not the frozen splits")
    options, settings = parser.parse_known_args()
    results = options.work_dir / f"accuracy-{options.set}"
    recipe = ROOT / "training" / "configs" / RECIPES[options.set]
    subprocess.run(
        [
            *(sys.executable, "benchmarks/accuracy.py", options.set, "--data-dir", options.data_dir, "--seeds", "0"),
            *("--config", str(recipe), "--full", "--results", str(results), "--work-dir", str(options.work_dir)),
            *(["--any-data"] if options.any_data else []),
            *("--max_train_steps", str(options.steps), "--eval_steps", str(max(1, options.steps // 5))),
            *("--checkpointing_steps", str(options.steps)),
            *("--dataloader_num_workers", str(min(12, os.cpu_count() or 1)), *settings),
        ],
        cwd=ROOT,
        check=True,
    )
    (result,) = results.glob("*.json")
    shutil.copyfile(result, options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
