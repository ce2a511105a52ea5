"""Measure each recipe's peak GPU memory: a few real training steps and one evaluation on sample images.

    python benchmarks/gpu/recipe_memory.py --output FILE.json [--only neu_det_gpu ...]

The figure is the most that PyTorch's allocator reserved; the CUDA context takes another 500 MiB or so.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path[:1] = [str(ROOT)]

# After the line above, which makes the checkout importable.
import torch  # noqa: E402
import yaml  # noqa: E402
from accelerate.state import AcceleratorState, PartialState  # noqa: E402

from radikal_datasets.samples import make_sample  # noqa: E402
from training import train  # noqa: E402

CONFIGS = ROOT / "training" / "configs"


def measure(recipe: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Train `recipe` for a few steps on a sample of its source."""
    settings = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    source = settings["dataset_name"].rpartition("/")[2]
    tree = options.work_dir / "samples" / source
    if not tree.is_dir():
        make_sample(source, tree, images=max(24, 3 * settings.get("per_device_train_batch_size", 8)))
    run = options.work_dir / "runs" / recipe.stem
    size = ["--image_size", str(options.image_size), "--tile_size", "null"] if options.image_size else []
    arguments = [
        *(str(recipe), "--data_dir", str(tree), "--output_dir", str(run), "--max_train_steps", str(options.steps)),
        *("--report_to", "none", "--draw_curves", "false", *size),
    ]
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    began = time.monotonic()
    code = train.main(arguments)
    AcceleratorState._reset_state(reset_partial_state=True)
    PartialState._reset_state()
    if code:
        raise SystemExit(f"{recipe.name}: training ended with status {code}; its output is above")
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    return {
        "peak_gpu_memory_mib": metrics["training"]["peak_gpu_memory_mib"],
        "precision": metrics["config"]["precision"],
        "image_size": metrics["config"]["image_size"],
        "batch": metrics["config"]["per_device_train_batch_size"],
        "seconds": round(time.monotonic() - began, 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--work-dir", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--only", nargs="+", metavar="RECIPE")
    parser.add_argument("--image-size", type=int, help="instead of the recipes' own, for the smoke run")
    options = parser.parse_args()
    recipes = sorted(path for path in CONFIGS.glob("*.yaml") if path.stem != "demo")
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    found = {}
    for recipe in recipes:
        if options.only is None or recipe.stem in options.only:
            found[recipe.stem] = measure(recipe, options)
            print(recipe.stem, found[recipe.stem], flush=True)
            # Written immediately, to keep what was measured before the time limit.
            text = json.dumps({"device": device, "torch": torch.__version__, "recipes": found}, indent=1)
            options.output.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
