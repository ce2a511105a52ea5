"""Run the complete workflow on synthetic images: sample tree, verify, prepare, look, train, explain, pages.

python training/demo.py            in demo/, about five minutes on two CPU cores; `make demo` installs first
python training/demo.py --quick    few images and steps, a minute: shows that everything works
python training/demo.py --light    everything but training; torch need not be installed
"""

from __future__ import annotations

import importlib.util
import json
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # as in train.py
    from training.run.arguments import exit_early

    exit_early("demo")

from radikal_datasets.errors import RadikalError, StepFailedError
from training.run.arguments import demo_parser
from training.run.settings import CONFIGS

IMAGES, QUICK_IMAGES, SEED = 400, 60, 0
SHOWN, EXPLAINED, MASKS = 24, 4, 128
#: Of a quick demo; what the user passes comes after it.
QUICK = ("--max-train-steps", "20", "--eval-steps", "10", "--warmup-steps", "5")
#: Pages that need no training.
LIGHT_PAGES = ("statistics.html", "gallery.html", "leaks.html")
#: The demo's other pages, beside its own: what they are, by their address.
PAGES = {
    "statistics.html": "statistics of the dataset",
    "gallery.html": "its images with their annotations",
    "leaks.html": "images that are in two splits, and boxes to review",
    "run/report/index.html": "the audit report: what it was trained on, how many parts escape, what is not known",
    "run/report/test/index.html": "the images with the most errors",
    "explanations/index.html": "what the detector looks at, and how far to trust that",
}


def run_demo(folder: Path, extra: list[str], *, quick: bool = False) -> str:
    """Run all steps in `folder`; what an earlier demo left there is replaced, its page last of all.

    Args:
        extra: `--key value` pairs for the training.
        quick: few images and steps.

    Returns:
        One line: mAP50, time, and where the pages are.
    """
    started = time.perf_counter()
    hub, run = look_at_samples(folder, QUICK_IMAGES if quick else IMAGES), folder / "run"
    data = ["--dataset-name", str(hub), "--dataset-config-name", "castings", "--output-dir", str(run)]
    _tool("train", str(CONFIGS / "demo.yaml"), *data, *(QUICK if quick else ()), *extra)
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    explain = ["--output", str(folder / "explanations"), "--images", "1" if quick else str(EXPLAINED)]
    # D-RISE and the curves take the longest.
    effort = ["--masks", "8", "--curve-steps", "0"] if quick else ["--masks", str(MASKS)]
    if importlib.util.find_spec("pytorch_grad_cam") is None:
        print("\nNo heat maps: they need the extra [explain], pip install 'radikal-datasets[explain]'", flush=True)
    else:
        _tool("explain", str(run), *explain, *effort, "--redrawn-images", "0" if quick else "1")
    page = folder / "index.html"
    minutes = write_demo_page(page, run, metrics, started)
    return (
        f"validation mAP50 {metrics['validation']['map_50']:.3f} on synthetic images, {minutes:.1f} minutes in total; "
        f"pages: {page.resolve()}"
    )


def look_at_samples(folder: Path, images: int) -> Path:
    """Make, verify, prepare and show synthetic castings in `folder`; return the prepared folder."""
    if folder.exists():
        print(f"{folder}/ exists and will be replaced.", flush=True)
    raw, hub = folder / "raw", folder / "hub"
    for old in (raw, hub, folder / "run", folder / "explanations"):
        shutil.rmtree(old, ignore_errors=True)
    (folder / "raw.traps.json").unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    _tool("sample", "gdxray", str(raw), "--images", str(images), "--seed", str(SEED))
    _tool("verify", "gdxray", "castings", "--data-dir", str(raw))
    _tool("prepare", "gdxray", "castings", "--data-dir", str(raw), "--output-dir", str(hub))
    _tool("stats", str(hub), "castings", "--html", str(folder / "statistics.html"))
    _tool("preview", str(hub), "castings", "--output", str(folder / "gallery.html"))
    _tool("verify", str(hub), "castings", "--deep", "--html", str(folder / "leaks.html"))
    return hub


def write_demo_page(page: Path, run: Path, metrics: dict, started: float) -> float:
    """Write a page of the best model's predictions on validation and test images, beside the ground truth.

    Args:
        started: `time.perf_counter()` at the demo's start.

    Returns:
        Minutes since then, as shown on the page.
    """
    from accelerate import Accelerator
    from transformers.utils import logging as transformers_logging

    from training import models
    from training.run.data import class_names, eval_loader, load_splits
    from training.scoring.detections import predictions_and_ground_truth
    from training.scoring.operating_point import all_correct
    from training.scoring.prediction_page import evenly_mixed, pictures_of, write_prediction_page
    from training.using.saved_run import open_run

    transformers_logging.disable_progress_bar()
    settings, model, processor = open_run(run, [])
    splits = load_splits(settings)
    accelerator = Accelerator(mixed_precision="no")
    model.to(accelerator.device)  # pyright: ignore[reportArgumentType]
    # Show test images: nothing was chosen on them.
    split = "test" if metrics["test"] else "validation"
    options = models.loader_options(model, processor)
    loader = eval_loader(splits, split, settings, accelerator, **options)
    found = predictions_and_ground_truth(model, processor, loader, accelerator)
    point = metrics["operating_point"]
    threshold = point["threshold"]
    numbers = {
        f"{split} {label}": f"{metrics[split][key]:.3f}"
        for split in ("validation", "test")
        if metrics[split]
        for key, label in (("map_50", "mAP50"), ("map", "mAP"))
    }
    minutes = (time.perf_counter() - started) / 60
    numbers["minutes of training"] = f"{metrics['training']['seconds'] / 60:.1f}"
    numbers["minutes in total"] = f"{minutes:.1f}"
    scored = point.get("validation") or point["test"]
    counts = [str(scored[name]) for name in ("found", "missed", "false_calls")]
    numbers["validation: found / missed / false positives"] = " / ".join(counts)
    right = [all_correct(*pair, threshold) for pair in zip(*found[1:], strict=True)]
    shown = evenly_mixed(right, SHOWN)
    write_prediction_page(
        page,
        title="Casting defects: predictions beside ground truth",
        note="These images are synthetic: a program drew them, for a dry run without any download. The scores show "
        "that the software works; they say nothing about real castings.",
        numbers=numbers,
        about="mAP50 is the mean over classes of the average precision (1: every defect found, no false positive), "
        "where a box is correct if its intersection with a true box, divided by their union, is at least 0.5; mAP is "
        "the mean over thresholds from 0.5 to 0.95. Predictions with a score below "
        f"{threshold:.2f} are not drawn; this threshold was chosen on the validation split (highest F1), not on "
        f"the images below. Shown are {len(shown)} of the {len(right)} images of the {split} split: "
        f"{sum(right[i] for i in shown)} without a missed defect or false positive and "
        f"{sum(not right[i] for i in shown)} with one, evenly mixed, in the same proportion as in the entire split "
        f"({sum(right)} to {len(right) - sum(right)}) and in its order.",
        pictures=pictures_of(loader.dataset, found, shown, loader.gray_scale),
        class_names=class_names(splits["train"]),
        threshold=threshold,
        links={address: text for address, text in PAGES.items() if (page.parent / address).is_file()},
    )
    return minutes


def _tool(*arguments: str) -> None:
    """Run one radikal-datasets command with this Python."""
    _command([sys.executable, "-m", "radikal_datasets.cli", *arguments])


def _command(command: list[str]) -> None:
    """Print the command as a user would type it, and run it."""
    shown = shlex.join(command)
    print(f"\n$ {shown}", flush=True)
    code = subprocess.run(command, check=False).returncode
    if code:
        raise StepFailedError(f"`{shown}` failed with exit code {code}. Its output above says why.")


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    parser = demo_parser()
    known, extra = parser.parse_known_args(arguments)
    try:
        if known.light:
            if extra:
                parser.refuse(extra)
            look_at_samples(known.folder, QUICK_IMAGES)
            line = f"pages: {', '.join(str((known.folder / name).resolve()) for name in LIGHT_PAGES)}"
        else:
            line = run_demo(known.folder, extra, quick=known.quick)
    except RadikalError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("\nStopped. Start the demo again to complete it.", file=sys.stderr)
        return 130
    print(f"\n{line}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
