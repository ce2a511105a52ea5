"""How fast are the loaders? One run compares ours, the usual routes, and two upper limits.

    python benchmarks/loading.py [--only NAME...] [--repeats 5] [--threads 2] [--output FILE.md]
    python benchmarks/loading.py --check       do all routes deliver the same images?
    python benchmarks/loading.py --gpu         how long does a training step wait for data? (GPU; on a CPU only a trial)

Real datasets come from RADIKAL_REAL, the others from radikal_datasets.samples; all files that a route needs are written
once below --cache. If webdataset and litdata are installed, they are measured too.

Every route has its own process, which reads the entire dataset as often as --seconds requires. The routes take turns:
in each round every route runs once; ratios are medians of ratios within a round. Routes with worker processes are tried
with none and with as many as there are threads; the table has the faster one. Memory is measured in a separate round:
anonymous and shared memory of the process and its workers (a shared page is counted once) beyond what the process held
with its modules imported and the dataset opened. Growth is measured from a fifth of that round to its end.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import importlib.util
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path
from typing import Any

# Waiting threads sleep instead of spinning, as in training/train.py; otherwise routes without worker processes, which
# let torch share out every operation, lose up to three quarters of their speed when anything else runs.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ["HF_HUB_OFFLINE"] = "1"
sys.path[:1] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

import loading_routes as routes  # noqa: E402
import torch  # noqa: E402
from loading_data import RECIPES, Data, load_rows, prepare  # noqa: E402
from loading_routes import L1, L2, PROCESSOR, RAW, WITH_WORKERS  # noqa: E402
from loading_wait import waits  # noqa: E402

# --- one route in its own process -------------------------------------------------------------------------------------


def serve(task: dict[str, Any]) -> None:
    """Measure and print memory, then time one epoch for each line of input."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever libraries print
    warnings.filterwarnings("ignore")
    torch.set_num_threads(task["threads"])
    routes.BATCH = task["batch"]
    data, route, size = Data(Path(task["folder"])), routes.ROUTES[task["route"]], tuple(task["size"])
    if module := routes.MODULES.get(task["route"].split()[0].strip(",")):
        importlib.import_module(module)
    if task["route"] in (L1, L2):
        len(data.views)  # read the encoded images beforehand, like the other routes' files
    base = memory()

    def answer(**values: Any) -> None:
        print(json.dumps(values), file=answers, flush=True)

    count, epoch = len(data.rows), route(data, size, 1, task["workers"], False)
    seconds = timed(epoch, count)
    if seconds < task["seconds"]:  # the first pass starts workers and warms everything
        seconds = min(seconds, timed(epoch, count))
    passes = max(1, math.ceil(task["seconds"] / seconds))
    epoch = epoch if passes == 1 else route(data, size, passes, task["workers"], False)
    peak, growth = memory_of(epoch, passes * count)
    answer(peak=peak - base, growth=growth)
    for _ in sys.stdin:
        answer(rate=passes * count / timed(epoch, passes * count))


def timed(epoch: Any, count: int) -> float:
    began = time.perf_counter()
    delivered = sum(images for _, images in epoch())
    seconds = time.perf_counter() - began
    if delivered != count:
        raise SystemExit(f"{count} images expected, {delivered} delivered")
    return seconds


def memory_of(epoch: Any, count: int) -> tuple[float, float | None]:
    """Return the peak memory of an epoch in MiB, and its growth after the first fifth."""
    peak, done = [0.0], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            peak[0] = max(peak[0], memory())

    watcher = threading.Thread(target=watch)
    watcher.start()
    delivered, held = 0, list[float]()
    for _, images in epoch():
        delivered += images
        if (delivered * 5 >= count > delivered and not held) or delivered == count:
            held.append(memory())
    done.set()
    watcher.join()
    return peak[0], held[1] - held[0] if len(held) == 2 else None


def memory() -> float:
    """Anonymous and shared memory of this process and its children in MiB, without the pages of mapped files."""
    found, todo = 0, [os.getpid()]
    while todo:
        process = Path(f"/proc/{todo.pop()}")
        try:
            lines = dict(line.split(":") for line in (process / "smaps_rollup").read_text().splitlines()[1:])
            found += sum(int(lines[name].split()[0]) for name in ("Pss_Anon", "Pss_Shmem"))
            todo += [int(child) for task in process.glob("task/*/children") for child in task.read_text().split()]
        except OSError:  # it has ended
            continue
    return found / 1024


# --- all routes in turn -----------------------------------------------------------------------------------------------


class Runner:
    """The process of a route, seen from the main process."""

    def __init__(self, folder: Path, size: tuple[int, int], route: str, workers: int, arguments: Any) -> None:
        task = {"folder": str(folder), "size": size, "route": route, "workers": workers}
        task |= {"threads": arguments.threads, "seconds": arguments.seconds, "batch": routes.BATCH}
        command = [sys.executable, str(Path(__file__)), "--serve", json.dumps(task)]
        self.route, self.workers, self.rates = route, workers, list[float]()
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115
        pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self.log, "text": True}
        self.process: Any = subprocess.Popen(command, **pipes)
        self.facts = self._answer()

    def run(self) -> None:
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.rates.append(self._answer()["rate"])

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()

    def _answer(self) -> dict[str, Any]:
        line = self.process.stdout.readline()
        if not line:
            self.log.seek(0)
            raise SystemExit(f"{self.route} failed:\n{self.log.read()[-3000:]}")
        return json.loads(line)


def measure(name: str, data: Data, size: tuple[int, int], arguments: Any) -> list[list[str]]:
    """Return the table rows for one dataset at one size."""
    runners: dict[str, Runner | None] = {}
    for route in chosen(arguments.routes, data, size):
        tries, runners[route] = list[Runner](), None
        if not installed(route):
            continue
        for workers in [0, arguments.threads] if route in WITH_WORKERS else [arguments.threads]:
            tries.append(Runner(data.folder, size, route, workers, arguments))
        for runner in tries * 2:  # in turn
            runner.run()
        tries.sort(key=lambda runner: max(runner.rates))
        rates = [f"{max(runner.rates):,.0f} images/s with {runner.workers}" for runner in tries]
        log(f"{name} {size}, {route}: {', '.join(rates)}")
        runners[route] = tries.pop()
        runners[route].rates.clear()
        for runner in tries:
            runner.close()
    running = {route: runner for route, runner in runners.items() if runner}
    for number in range(arguments.repeats):
        # Backwards every second time, so that no route always runs after the same one.
        for runner in list(running.values())[:: -1 if number % 2 else 1]:
            runner.run()
        log(f"{name} {size}: round {number + 1} of {arguments.repeats}")
    for runner in running.values():
        runner.close()
    return [cells(size, route, runner, running) for route, runner in runners.items()]


HEAD = ["size", "route", "workers", "images/s", "min - max", "of L1", "of L2", "of the processor", "peak MiB", "growth"]


def cells(size: tuple[int, int], route: str, runner: Runner | None, others: dict[str, Runner]) -> list[str]:
    edge = f"{size[1]}x{size[0]}"
    if runner is None:
        return [edge, route, "not installed", *[""] * (len(HEAD) - 3)]
    spread = f"{min(runner.rates):,.0f} - {max(runner.rates):,.0f}"
    ratios = [ratio(runner, others.get(other)) for other in (L1, L2, PROCESSOR)]
    limits = [f"{value:.2f}" if value and route != L1 else "" for value in ratios[:2]]
    if route in (L1, RAW):
        limits[1] = ""  # they write no floats
    growth = runner.facts["growth"]
    return [
        edge,
        route,
        f"{runner.workers}" if route in WITH_WORKERS else f"{runner.workers} threads",
        f"{statistics.median(runner.rates):,.0f}",
        spread,
        *limits,
        f"{ratios[2]:.1f}" if ratios[2] else "",
        f"{runner.facts['peak']:,.0f}",
        "" if growth is None else f"{growth:+,.0f}",
    ]


def ratio(runner: Runner, other: Runner | None) -> float:
    """Return the median ratio within a round; 0 if the other was not measured."""
    return statistics.median(a / b for a, b in zip(runner.rates, other.rates, strict=True)) if other else 0.0


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    rule = ["---" if title in ("size", "route", "augmentation") else "---:" for title in head]
    return ["| " + " | ".join(cells) + " |" for cells in [head, rule, *rows]]


def chosen(parts: list[str], data: Data, size: tuple[int, int]) -> list[str]:
    """Return the routes to measure; those that don't resize only at the images' own size."""
    asked = [route for route in routes.ROUTES if not parts or any(part in route for part in parts)]
    return [route for route in asked if route not in (L1, RAW) or size == data.native]


def installed(route: str) -> bool:
    return route not in (routes.WEB, routes.LIT) or bool(importlib.util.find_spec(routes.MODULES[route.split()[0]]))


def machine(threads: int) -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in lines if "model name" in line), "")
    names = ["torch", "torchvision", "transformers", "datasets", "simplejpeg", "opencv-python-headless", "pillow"]
    names += [name for name in ("webdataset", "litdata") if importlib.util.find_spec(name)]
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    hardware = f"{model or platform.machine()}, {len(os.sched_getaffinity(0))} cores"
    hardware += f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    run = f"{datetime.date.today()}, {threads} threads"
    return f"{hardware}. {run}, Python {platform.python_version()}, {versions}."


def log(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


# --- do all deliver the same? -----------------------------------------------------------------------------------------


CHECKED = ["size", "route", "images", "mean difference to the processor's pixels, of 255"]


def check(name: str, data: Data, size: tuple[int, int], arguments: Any) -> list[list[str]]:
    """Return for every route how many images it delivers, and its first batch's distance to the processor's pixels."""
    threads, rows = arguments.threads, []
    reference = levels(PROCESSOR, data, next(routes.ROUTES[PROCESSOR](data, size, 1, 0, True)())[0])
    for route in filter(installed, chosen(arguments.routes, data, size)):
        log(f"{name} {size}, {route}")
        workers = 0 if route in WITH_WORKERS else threads
        count = sum(images for _, images in routes.ROUTES[route](data, size, 1, workers, False)())
        first = levels(route, data, next(iter(routes.ROUTES[route](data, size, 1, workers, True)()))[0])
        difference = f"{(first - reference).abs().mean():.2f}" if route != routes.AUGMENTED else "changed on purpose"
        rows.append([f"{size[1]}x{size[0]}", route, f"{count} of {len(data.rows)}", difference])
    return rows


def levels(route: str, data: Data, pixels: torch.Tensor) -> torch.Tensor:
    """Return the gray levels 0..255 of a batch (B, 3, H, W)."""
    pixels = pixels.expand(-1, 3, -1, -1)
    if pixels.dtype == torch.uint8:
        return pixels.float()
    one = route in (routes.OURS, routes.AUGMENTED) or (route == L2 and data.planes == 1)
    mean, std = (
        torch.tensor(values).view(3, 1, 1)
        for values in ((routes.GRAY_MEAN, routes.GRAY_STD) if one else routes.IMAGENET)
    )
    return (pixels * std + mean) * 255


# --- the command line -------------------------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[*RECIPES], choices=RECIPES, metavar="NAME")
    parser.add_argument(
        "--routes", nargs="+", default=[], metavar="TEXT", help="only routes whose name contains one of these"
    )
    parser.add_argument("--sizes", nargs="+", type=int, help="only these edges; 0 is the images' own size")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=2.0, help="minimum duration of an epoch")
    parser.add_argument(
        "--data-dir", type=Path, help="the raw tree of the first dataset in --only (--gpu: or a sample)"
    )
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir(), "radikal-loading"))
    parser.add_argument("--output", type=Path, help="a Markdown file; with --gpu, a name ending in .json gives JSON")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        return serve(json.loads(arguments.serve))
    lines, found = list[str](), list[dict[str, Any]]()
    if arguments.gpu:
        rows = load_rows(arguments.only[0], arguments.cache, arguments.data_dir)
        found = waits(RECIPES[arguments.only[0]].source, rows, arguments.threads)
        cells = [[value if isinstance(value, str) else f"{value:,.1f}" for value in row.values()] for row in found]
        lines += [f"## {arguments.only[0]}", "", *table(list(found[0]), cells), ""]
    else:
        for number, name in enumerate(arguments.only):
            folder = prepare(name, arguments.cache, None if number else arguments.data_dir)
            lines += section(name, Data(folder), arguments)
            log("\n".join(lines))  # a run takes a long time
    lines.append(machine(arguments.threads) + ("" if arguments.gpu else f" {arguments.repeats} repeats."))
    print("\n".join(lines))
    if arguments.output:
        as_json = json.dumps({"machine": lines[-1], "set": arguments.only[0], "found": found}, indent=1)
        arguments.output.write_text(as_json if arguments.output.suffix == ".json" else "\n".join(lines) + "\n")


def section(name: str, data: Data, arguments: Any) -> list[str]:
    """Return the table of one dataset."""
    routes.BATCH = RECIPES[name].batch
    sizes = [data.native if edge is None else (edge, edge) for edge in RECIPES[name].sizes]
    wanted = [(edge, edge) if edge else data.native for edge in arguments.sizes or ()] or sizes
    act, head = (check, CHECKED) if arguments.check else (measure, HEAD)
    rows = [row for size in sizes if size in wanted for row in act(name, data, size, arguments)]
    kind = f"{data.native[1]}x{data.native[0]} {data.suffix[1:].upper()}, {'gray' if data.planes == 1 else 'RGB'}"
    kind += ", sample images laid side by side" if RECIPES[name].native else ""
    kind += f", batches of {routes.BATCH}"
    return [f"## {name}: {len(data.rows):,} images, {kind}", "", *table(head, rows), ""]


if __name__ == "__main__":
    main()
