"""How long does it take from a folder of own images to a pushed, trained and explained model?

    python benchmarks/own_data_minutes.py [--format yolo] [--epochs 3] [--threads 1] [--keep FOLDER]

Writes 66 synthetic images (folders and names with umlauts and spaces, mixed sizes, EXIF, BMP, TIFF, 12 and 16 bits)
with annotations in one format, and runs every step as a user does: through the command line, the Hub being the embedded
one on loopback. Training takes the recipe own.yaml with fewer epochs. Prints the seconds of each step and the load of
the machine.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

# Only now, since the path has to be set first (E402).
from tests.hub.embedded import RunningHub, running_hub  # noqa: E402
from tests.own_data.trees import IMAGES, WRITERS, truths, write_tree  # noqa: E402


def steps(folder: Path, work: Path, epochs: int, threads: int) -> Iterator[tuple[str, ...]]:
    """Yield the commands in their order."""
    run = work / "outputs"
    yield "init", str(folder)
    yield "verify", str(folder)
    yield "prepare", str(folder), "--output-dir", str(work / "hub_folder")
    yield "push", str(folder), "--repo-id", "plant/my_parts"
    options = ("--num_train_epochs", str(epochs), "--num_threads", str(threads))
    yield "train", "--data-dir", str(folder), "--output-dir", str(run), *options
    yield "predict", str(run), str(folder), "--output", str(work / "found")
    yield "explain", str(run), "--dataset-name", str(folder), "--output", str(work / "explained"), "--images", "2"


def environment(hub: RunningHub, work: Path, threads: int) -> dict[str, str]:
    """Return the variables of a user of this Hub."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "RADIKAL"))}
    own = {"HF_ENDPOINT": hub.url, "HF_TOKEN": hub.token("ann"), "HF_HOME": str(work / "cache")}
    return kept | own | {"OMP_NUM_THREADS": str(threads), "COLUMNS": "200"}


def measure(format_: str, epochs: int, threads: int, work: Path) -> list[tuple[str, float, float]]:
    """Return (command, seconds, load over the last minute) of each step."""
    folder = write_tree(work / "Meine Teile", format_, truths(IMAGES))
    measured = []
    with running_hub(work / "hub") as hub:
        hub.add_user("ann", ["plant"])
        variables = environment(hub, work, threads)
        for arguments in steps(folder, work, epochs, threads):
            start = time.perf_counter()
            command = [sys.executable, "-m", "radikal_datasets.cli", *arguments]
            done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
            seconds = time.perf_counter() - start
            if done.returncode:
                said = done.stdout[-3000:] + done.stderr[-3000:]
                sys.exit(f"{' '.join(arguments)} ended with {done.returncode}:\n{said}")
            measured.append((arguments[0], seconds, os.getloadavg()[0]))
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--format", choices=list(WRITERS), default="yolo")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="a new folder to work in, which is kept")
    options = parser.parse_args()
    with nullcontext(options.keep) if options.keep else tempfile.TemporaryDirectory() as work:
        measured = measure(options.format, options.epochs, options.threads, Path(work))
    print(f"{IMAGES} images as {options.format}; {options.epochs} epochs of own.yaml, {options.threads} threads,")
    print(f"{os.cpu_count()} CPU cores\n\n| step | seconds | load |\n|---|---|---|")
    for name, seconds, load in measured:
        print(f"| `{name}` | {seconds:.1f} | {load:.1f} |")
    print(f"\n{sum(seconds for _, seconds, _ in measured) / 60:.1f} minutes in all")


if __name__ == "__main__":
    main()
