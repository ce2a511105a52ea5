"""What does converting cost? One run on one tree: `cp -r`, this library, imagefolder, and a usual PIL script.

    python benchmarks/convert.py [--data-dir DIR] [--repeats 5]

DIR is a DeepPCB tree (default: RADIKAL_REAL/deeppcb). The routes run in turn, each in its own process, on a warm cache.
The table shows the median, the spread, the ratio to `cp -r` of the same files in the same run, and the peak of a
process's private memory ("Anonymous" in smaps_rollup, which excludes the pages of mapped files).
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROUTES = {
    "cp -r": None,
    "radikal-datasets, Arrow cache": """
import radikal_datasets
start()
radikal_datasets.load_dataset("radikal_datasets/deeppcb", data_dir=TREE, cache_dir=OUT)
""",
    "radikal-datasets, prepare (Parquet)": """
import radikal_datasets
start()
radikal_datasets.build_hub_folder("deeppcb", data_dir=TREE, output_dir=OUT)
""",
    "imagefolder to Parquet": """
import datasets
start()
# Explicit files: imagefolder would interpret "_test" in a name as a split.
files = {"train": TREE + "/**/*.jpg"}
loaded = datasets.load_dataset("imagefolder", data_files=files, cache_dir=OUT, drop_labels=True)
loaded["train"].to_parquet(OUT + "/train.parquet")
""",
    "script that yields PIL images": """
import datasets
from pathlib import Path
from PIL import Image

def rows():
    for label_file in sorted(Path(TREE).rglob("*_not/*.txt")):
        stem = label_file.parent.parent / label_file.parent.name.removesuffix("_not") / label_file.stem
        boxes = [[int(v) for v in line.split()] for line in label_file.read_text().splitlines()]
        # What scripts do to close the file: they keep the decoded image, not the file's bytes.
        test, template = (Image.open(f"{stem}_{kind}.jpg").convert("RGB") for kind in ("test", "temp"))
        yield {"image": test, "reference": template, "boxes": [b[:4] for b in boxes], "labels": [b[4] for b in boxes]}

features = datasets.Features({
    "image": datasets.Image(), "reference": datasets.Image(),
    "boxes": datasets.List(datasets.List(datasets.Value("float32"))), "labels": datasets.List(datasets.Value("int64")),
})
start()
datasets.Dataset.from_generator(rows, features=features, cache_dir=OUT)
""",
}

PREAMBLE = """
import os, sys, time
os.environ["HF_HUB_OFFLINE"] = "1"
TREE, OUT = sys.argv[1:]
os.environ["HF_HOME"] = OUT
def start():
    global began
    began = time.perf_counter()
"""
EPILOGUE = """
print("SECONDS", time.perf_counter() - began)
"""


def private_memory(pid: int) -> float:
    """Return the anonymous memory of a process in MiB, which excludes the pages of mapped files (Linux)."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Anonymous:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return 0.0


def run(route: str, code: str | None, tree: Path) -> tuple[float, float]:
    """Return the seconds of the work itself, without imports, and the peak of private memory in MiB."""
    with tempfile.TemporaryDirectory(prefix="radikal-convert-") as out:
        if code is None:
            began = time.perf_counter()
            subprocess.run(["cp", "-r", str(tree), f"{out}/copy"], check=True)
            return time.perf_counter() - began, 0.0
        process = subprocess.Popen(
            [sys.executable, "-c", PREAMBLE + code + EPILOGUE, str(tree), out],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        peak, done = [0.0], threading.Event()

        def watch() -> None:
            while not done.wait(0.02):
                peak[0] = max(peak[0], private_memory(process.pid))

        watcher = threading.Thread(target=watch)
        watcher.start()
        stdout, stderr = process.communicate(timeout=900)
        done.set()
        watcher.join()
        if process.returncode:
            raise SystemExit(f"{route} failed:\n{stderr}")
        return float(stdout.split("SECONDS")[1]), peak[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    real = Path(os.environ.get("RADIKAL_REAL", Path(__file__).parents[2] / "shared" / "real"))
    parser.add_argument("--data-dir", type=Path, default=real / "deeppcb")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--skip", default="", metavar="TEXT", help="leave out routes whose name contains TEXT (PIL: the slow one)"
    )
    arguments = parser.parse_args()
    routes = {name: code for name, code in ROUTES.items() if not arguments.skip or arguments.skip not in name}
    tree = arguments.data_dir.resolve()
    files = [path for path in tree.rglob("*") if path.is_file()]
    for path in files:  # a warm cache for all routes
        path.read_bytes()
    print(f"{len(files):,} files, {sum(path.stat().st_size for path in files) / 1e6:,.1f} MB in {tree}")
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {arguments.repeats} repeats"
    )
    seconds: dict[str, list[float]] = {route: [] for route in routes}
    memory: dict[str, float] = dict.fromkeys(routes, 0.0)
    for _ in range(arguments.repeats):
        for route, code in routes.items():
            took, peak = run(route, code, tree)
            seconds[route].append(took)
            memory[route] = max(memory[route], peak)
    base = statistics.median(seconds["cp -r"])
    print("\n| route | median s | min - max s | times cp -r | peak private MiB |\n|---|---:|---:|---:|---:|")
    for route, took in seconds.items():
        median = statistics.median(took)
        spread = f"{min(took):.2f} - {max(took):.2f}"
        print(f"| {route} | {median:.2f} | {spread} | {median / base:.1f} | {memory[route]:.0f} |")


if __name__ == "__main__":
    main()
