"""What does a push cost? One folder, one embedded Hub on loopback: this library, `hf upload`, sha256sum.

    python benchmarks/push.py [--gigabytes 1] [--repeats 3]

The folder is a synthetic DeepPCB tree whose JPEGs are padded with random comment segments, prepared once. Each route
runs in its own process. The table shows the median, the spread, and the peak of the process's private memory
("Anonymous" in smaps_rollup, which excludes the pages of mapped files). Start-up is the time that
`radikal-datasets push --help` takes.
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

from radikal_datasets import build_hub_folder
from radikal_datasets.samples import make_sample

CHECKOUT = Path(__file__).parents[1]
sys.path.insert(0, str(CHECKOUT))  # for the tests' helper below
from tests.hub.embedded import running_hub  # noqa: E402

SCRIPTS = Path(sys.executable).parent
IMAGES = 170  # pairs of files


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = make_folder(Path(scratch), arguments.gigabytes)
        files = sorted(path for path in folder.rglob("*.parquet"))
        size = sum(path.stat().st_size for path in files)
        times: dict[str, list[float]] = {}
        peaks: dict[str, float] = {}

        def measure(route: str, *command: str | Path, env: dict[str, str] | None = None) -> None:
            seconds, peak = run([str(word) for word in command], env or {}, Path(scratch))
            times.setdefault(route, []).append(seconds)
            peaks[route] = max(peaks.get(route, 0.0), peak)

        with running_hub(Path(scratch, "hub")) as hub:
            hub.add_user("bench")
            env = {"HF_ENDPOINT": hub.url, "HF_TOKEN": hub.token("bench"), "HF_HOME": str(Path(scratch, "home"))}
            for number in range(arguments.repeats):
                push = (SCRIPTS / "radikal-datasets", "push", folder, "--repo-id", f"bench/ours{number}")
                upload = (
                    SCRIPTS / "hf",
                    "upload",
                    f"bench/theirs{number}",
                    folder,
                    "--repo-type",
                    "dataset",
                    "--private",
                )
                measure("start-up", SCRIPTS / "radikal-datasets", "push", "--help", env=env)
                measure("start-up of hf", SCRIPTS / "hf", "version", env=env)
                # Alternating, so that neither always finds the files in the cache that the other has warmed.
                for route, command in [("hf upload", upload), ("first push", push)][:: 1 if number % 2 else -1]:
                    measure(route, *command, env={**env, "HF_HUB_DISABLE_XET": "1"} if route == "hf upload" else env)
                measure("unchanged re-push", *push, env=env)
                measure("unchanged re-push --rehash", *push, "--rehash", env=env)
                measure("sha256sum", "sha256sum", *files)
        print_table(times, peaks, size)


def make_folder(scratch: Path, gigabytes: float) -> Path:
    tree = scratch / "deeppcb"
    make_sample("deeppcb", tree, images=IMAGES)
    images = sorted(tree.rglob("*.jpg"))
    for path in images:
        path.write_bytes(filled_up(path.read_bytes(), int(gigabytes * 1e9 / len(images))))
    return build_hub_folder("deeppcb", data_dir=tree, output_dir=scratch / "folder")


def filled_up(jpeg: bytes, size: int) -> bytes:
    """Return the same image with random comment segments after the start marker."""
    segments = b"".join(
        b"\xff\xfe" + (65_535).to_bytes(2, "big") + os.urandom(65_533)
        for _ in range(max(size - len(jpeg), 0) // 65_537)
    )
    return jpeg[:2] + segments + jpeg[2:]


def run(command: list[str], env: dict[str, str], folder: Path) -> tuple[float, float]:
    """Return the seconds, and the peak of private memory in MiB."""
    start = time.perf_counter()
    with Path(folder, "log").open("wb") as log:
        process = subprocess.Popen(command, env={**os.environ, **env}, stdout=log, stderr=log)
        peak = [0.0]
        watcher = threading.Thread(target=watch, args=(process, peak))
        watcher.start()
        process.wait()
    seconds = time.perf_counter() - start
    watcher.join()
    if process.returncode:
        raise SystemExit(f"{' '.join(command[:3])}: {Path(folder, 'log').read_text()[-2000:]}")
    return seconds, peak[0]


def watch(process: subprocess.Popen[bytes], peak: list[float]) -> None:
    while process.poll() is None:
        try:
            lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            return
        anonymous = next((int(line.split()[1]) for line in lines if line.startswith("Anonymous:")), 0)
        peak[0] = max(peak[0], anonymous / 1024)
        time.sleep(0.1)  # each reading stops the process, for longer the more memory it has


def print_table(times: dict[str, list[float]], peaks: dict[str, float], size: int) -> None:
    median = {route: statistics.median(values) for route, values in times.items()}
    print(f"{size / 1e9:.2f} GB in Parquet shards, Python {platform.python_version()}, {os.cpu_count()} cores\n")
    print("| route | median s | min - max s | peak private MiB |\n|---|---:|---:|---:|")
    for route, values in times.items():
        print(f"| {route} | {median[route]:.2f} | {min(values):.2f} - {max(values):.2f} | {peaks[route]:.0f} |")
    ours, theirs = (
        median["first push"] - median["start-up"],
        median["hf upload"] - median["start-up of hf"],
    )
    print(f"\nfirst push: {theirs / ours:.2f} times the speed of hf upload without both start-ups, ", end="")
    print(f"{median['hf upload'] / median['first push']:.2f} times with them")
    print(f"an unchanged re-push takes {median['unchanged re-push'] - median['start-up']:.2f} s plus start-up")
    print(
        f"--rehash takes {(median['unchanged re-push --rehash'] - median['start-up']) / median['sha256sum']:.2f} times "
        "sha256sum, without start-up"
    )


if __name__ == "__main__":
    main()
