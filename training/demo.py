"""The whole road on made-up images: sample tree -> verify -> prepare -> train -> score -> a page to look at.

python training/demo.py            in demo/, about five minutes on two CPU cores; `make demo` installs first
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # as in train.py

ROOT = Path(__file__).resolve().parents[1]
IMAGES, SEED = 400, 0
SHOWN = 24


class StepFailedError(RuntimeError):
    """A command of the demo ended with an error."""


def run_demo(folder: Path, extra: list[str]) -> str:
    """All steps, in `folder`; what an earlier demo left there is replaced.

    Args:
        extra: `--key value` pairs for train.py.

    Returns:
        One line: mAP50, time, and where the pictures are.
    """
    started = time.perf_counter()
    raw, hub, run, page = folder / "raw", folder / "hub", folder / "run", folder / "index.html"
    for old in (raw, hub, run):
        shutil.rmtree(old, ignore_errors=True)
    for old in (page, folder / "raw.traps.json"):
        old.unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    _tool("sample", "gdxray", str(raw), "--images", str(IMAGES), "--seed", str(SEED))
    _tool("verify", "gdxray", "castings", "--data-dir", str(raw))
    _tool("prepare", "gdxray", "castings", "--data-dir", str(raw), "--output-dir", str(hub))
    config = ROOT / "training" / "configs" / "demo.yaml"
    data = ["--dataset_name", str(hub), "--dataset_config_name", "castings", "--output_dir", str(run)]
    launch = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch", "--quiet", "--num_processes", "1"]
    script = [str(ROOT / "training" / "train.py"), str(config), *data, *extra]
    _command([*launch, *script], "accelerate launch " + " ".join(script))
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    minutes = (time.perf_counter() - started) / 60
    write_demo_page(page, run, metrics, minutes)
    minutes = (time.perf_counter() - started) / 60
    return (
        f"validation mAP50 {metrics['validation']['map_50']:.3f} on made-up images in {minutes:.1f} minutes; "
        f"pictures: {page.resolve()}"
    )


def write_demo_page(page: Path, run: Path, metrics: dict, minutes: float) -> None:
    """Predictions of the run's best model on its validation and test images, beside the truth."""
    from accelerate import Accelerator
    from transformers.utils import logging as transformers_logging

    from training import models
    from training.data import class_names, eval_loader, load_splits
    from training.engine import predict
    from training.operating_point import best_operating_point
    from training.page import Picture, write_page
    from training.score import open_run

    transformers_logging.disable_progress_bar()
    settings, model, processor = open_run(run, [])
    splits = load_splits(settings)
    accelerator = Accelerator(mixed_precision="no")
    model.to(accelerator.device)  # pyright: ignore[reportArgumentType]
    pictures: dict[str, list[Picture]] = {}
    for name in ("validation", "test"):
        loader = eval_loader(splits, name, settings, accelerator, **models.normalization(processor))
        dataset: Any = loader.dataset if loader else []
        rows = {row["image_id"]: row for row in dataset}
        pictures[name] = [
            Picture(
                image_id, rows[image_id]["image"]["bytes"], rows[image_id]["width"], rows[image_id]["height"],
                {"boxes": rows[image_id]["boxes"], "labels": rows[image_id]["labels"]}, prediction,
            )
            for batch in loader or []
            for image_id, prediction in predict(model, processor, batch, accelerator)
        ]  # fmt: skip
    scored = pictures["validation"] or pictures["test"]
    point = best_operating_point([p.prediction for p in scored], [p.truth for p in scored])
    numbers = {
        f"{split} {label}": f"{metrics[split][key]:.3f}"
        for split in ("validation", "test")
        if metrics[split]
        for key, label in (("map_50", "mAP50"), ("map", "mAP"))
    }
    numbers["minutes"] = f"{minutes:.1f}"
    numbers["validation: found / missed / false calls"] = f"{point.found} / {point.missed} / {point.false_calls}"
    # Test images first: nothing was chosen on them. Spread over the split, so that every series is seen.
    candidates = pictures["test"] or pictures["validation"]
    shown = min(SHOWN, len(candidates))
    write_page(
        page,
        title="Casting defects: predictions beside the truth",
        note="These images are made up: a program drew them, for a dry run without any download. The scores say that "
        "the software works; they say nothing about real castings.",
        numbers=numbers,
        pictures=[candidates[i * len(candidates) // shown] for i in range(shown)],
        class_names=class_names(splits["train"]),
        threshold=point.threshold,
    )


def _tool(*arguments: str) -> None:
    """One call of the radikal-datasets command line, in this Python."""
    code = "import sys; from radikal_datasets.cli import main; sys.argv[0] = 'radikal-datasets'; sys.exit(main())"
    _command([sys.executable, "-c", code, *arguments], "radikal-datasets " + " ".join(arguments))


def _command(command: list[str], shown: str) -> None:
    print(f"\n$ {shown}", flush=True)
    # Both cores for the one process: accelerate would otherwise say one thread.
    environment = {"OMP_NUM_THREADS": str(os.cpu_count() or 1), **os.environ}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    code = subprocess.run(command, env=environment, check=False).returncode
    if code:
        raise StepFailedError(f"`{shown}` ended with exit code {code}; what it printed above says why")


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description="The whole road on made-up images.")
    parser.add_argument("--folder", type=Path, default=Path("demo"))
    known, extra = parser.parse_known_args(arguments)
    try:
        line = run_demo(known.folder, extra)
    except StepFailedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"\n{line}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
