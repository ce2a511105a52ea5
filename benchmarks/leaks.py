"""Does `find_leaks` find every modified copy among 16,000 images without false pairs, within 5 minutes and 1 GiB?

    python benchmarks/leaks.py [--images 16000] [--copies 1000] [--folder DIR]

It generates the images itself, of five kinds (textures, steel with marks, boards, castings, and one part always in the
same place), 400 x 400 pixels, JPEG. Copies of some are planted in another split: lighter or darker, recompressed,
shifted by 1 or 2 pixels, cropped, flipped or turned, or all but the last at once. Parts have no copies: they test
whether lookalikes are mistaken for copies. The search runs in a separate process; `getrusage` gives its CPU time and
peak RSS, and "Anonymous" in smaps_rollup its memory without the pages of mapped files.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from radikal_datasets.schema import features

EDGE = 400
KINDS = ("texture", "steel", "board", "casting", "part")
CHANGES = ("brightness", "recompressed", "shifted", "cropped", "flipped", "all at once")


def draw(kind: str, seed: int) -> Image.Image:
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    if kind == "texture":
        noise = rng.normal(size=(EDGE, EDGE))
        values = ndimage.gaussian_filter(noise, rng.uniform(0.6, 4, 2))
        return _gray(128 + rng.uniform(15, 45) * values / values.std())
    if kind == "steel":
        values = ndimage.gaussian_filter(rng.normal(size=(EDGE, EDGE)), (6, 0.7))
        canvas = Image.new("L", (EDGE, EDGE), 0)
        for _ in range(rng.integers(1, 9)):
            x, y = rng.integers(0, EDGE, 2)
            wide, high = rng.integers(4, 60, 2)
            ImageDraw.Draw(canvas).ellipse((x, y, x + wide, y + 2 * high), fill=int(rng.integers(60, 160)))
        marks = ndimage.gaussian_filter(np.asarray(canvas, float), 1.5)
        return _gray(rng.uniform(90, 170) + 8 * values / values.std() - 0.6 * marks + rng.normal(0, 3, (EDGE, EDGE)))
    if kind == "board":
        canvas = Image.new("L", (EDGE, EDGE), 255)
        pen = ImageDraw.Draw(canvas)
        for _ in range(rng.integers(12, 30)):
            x, y = rng.integers(-20, EDGE, 2)
            length, width = int(rng.integers(60, EDGE)), int(rng.integers(6, 22))
            across = rng.random() < 0.5
            pen.rectangle((x, y, x + (length if across else width), y + (width if across else length)), fill=0)
            pen.ellipse((x - width, y - width, x + 2 * width, y + 2 * width), fill=0)
        return canvas
    if kind == "casting":
        x, y = np.meshgrid(*[np.linspace(-1, 1, EDGE)] * 2)
        values = np.full((EDGE, EDGE), rng.uniform(60, 120))
        for _ in range(rng.integers(3, 8)):
            a, b, radius, edge = rng.uniform(-1, 1), rng.uniform(-1, 1), rng.uniform(0.15, 0.8), rng.uniform(0.01, 0.1)
            values += rng.uniform(-40, 70) / (1 + np.exp((np.hypot(x - a, y - b) - radius) / edge))
        return _gray(values + rng.normal(0, 4, (EDGE, EDGE)))
    x, y = np.meshgrid(*[np.linspace(-1, 1, EDGE)] * 2)
    ring = 90 * (np.abs(np.hypot(x, y) - 0.6) < 0.15) + 50 * (np.hypot(x, y) < 0.2) + 30 * (np.abs(x * y) < 0.02)
    moved = ndimage.shift(60 + ring, rng.normal(0, 0.7, 2), order=1, mode="nearest")
    return _gray(moved + rng.normal(0, 5, (EDGE, EDGE)))


def change(image: Image.Image, how: str, rng: np.random.Generator) -> tuple[Image.Image, int]:
    """Return the modified copy and its JPEG quality."""
    everything = how == "all at once"
    quality = int(rng.integers(40, 75)) if everything or how == "recompressed" else 90
    if everything or how == "brightness":
        gain, offset = rng.choice([0.8, 0.9, 1.1, 1.2]), rng.uniform(-10, 10)
        image = _gray(np.asarray(image, float) * gain + offset)
    if everything or how == "shifted":
        y, x = rng.choice([-2, -1, 1, 2], 2)
        image = _gray(ndimage.shift(np.asarray(image, float), (y, x), order=0, mode="nearest"))
    if everything or how == "cropped":
        left, top, right, bottom = rng.integers(2, EDGE // 25, 4)
        image = image.crop((left, top, EDGE - right, EDGE - bottom))
    if how == "flipped":
        image = image.transpose(list(Image.Transpose)[rng.integers(len(Image.Transpose))])
    return image, quality


def _gray(values: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(np.round(values), 0, 255).astype(np.uint8))


def _row(job: tuple[int, str, str]) -> dict[str, Any]:
    number, kind, how = job
    image, quality = draw(kind, number), 90
    name = f"{kind}/{number:05d}"
    if how:
        # The copy is made from the first file's decoded content, as in practice.
        image, quality = change(Image.open(BytesIO(_jpeg(image, 90))), how, np.random.default_rng([number, 99]))
        name += f"/{how}"
    row = {"image_id": name, "image": {"bytes": _jpeg(image, quality), "path": f"{name}.jpg"}, "group": name}
    return row | {
        "width": image.width,
        "height": image.height,
        "boxes": [],
        "labels": [],
        "masks": [],
        "reference": None,
        "annotated": True,
    }


def _jpeg(image: Image.Image, quality: int) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def plant(folder: Path, images: int, copies: int) -> None:
    """Write `folder/train` and `folder/test`; the copies are the test split."""
    originals = [(number, KINDS[number % len(KINDS)], "") for number in range(images - copies)]
    copied = [job for job in originals if job[1] != "part"][:copies]
    jobs = {
        "train": originals,
        "test": [
            (number, kind, CHANGES[i // (len(KINDS) - 1) % len(CHANGES)]) for i, (number, kind, _) in enumerate(copied)
        ],
    }
    for split, of_split in jobs.items():
        options: dict[str, Any] = {"gen_kwargs": {"jobs": of_split}, "num_proc": os.cpu_count()}
        made = datasets.Dataset.from_generator(
            _rows, features=features(["defect"]), cache_dir=str(folder / "cache"), **options
        )
        made.save_to_disk(folder / split)


def _rows(jobs: list[tuple[int, str, str]]) -> Iterator[dict[str, Any]]:
    return map(_row, jobs)


def search(folder: Path) -> None:
    """Print what was found and how long it took, as JSON."""
    from radikal_datasets.leaks import find_leaks

    splits = {split: datasets.load_from_disk(str(folder / split)) for split in ("train", "test")}
    start, cpu = time.perf_counter(), time.process_time()
    found = find_leaks(splits)  # pyright: ignore[reportArgumentType]
    result = {
        "seconds": time.perf_counter() - start,
        "cpu": time.process_time() - cpu,
        "images": len(found.images.items),
    }
    result["pairs"] = [(pair.first.image_id, pair.second.image_id, pair.similarity) for pair in found.pairs]
    result["copies"] = splits["test"]["image_id"][:]
    result["lookalikes"] = [[item.image_id for item in items] for items in found.lookalikes]
    print(json.dumps(result))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=16_000)
    parser.add_argument("--copies", type=int, default=1_000)
    parser.add_argument("--folder", type=Path, help="keep the images here, and reuse them if they exist")
    parser.add_argument("--search", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    datasets.disable_progress_bars()
    if options.search:
        return search(options.search)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        if not (folder / "test").exists():
            start = time.perf_counter()
            plant(folder, options.images, options.copies)
            print(f"generated in {time.perf_counter() - start:.0f} s", file=sys.stderr)
        result, anonymous, rss = _measured(folder)
    print(report(result, anonymous, rss))


def _measured(folder: Path) -> tuple[dict[str, Any], float, float]:
    """Return what `search` printed, and the peaks of its anonymous memory and of its RSS in MiB."""
    import resource

    process = subprocess.Popen([sys.executable, __file__, "--search", str(folder)], stdout=subprocess.PIPE, text=True)
    peak, done = [0.0], threading.Event()

    def watch() -> None:
        while not done.wait(0.1):
            try:
                lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
            except OSError:
                continue
            peak[0] = max(peak[0], *(int(line.split()[1]) / 1024 for line in lines if line.startswith("Anonymous")), 0)

    watcher = threading.Thread(target=watch)
    watcher.start()
    out, _ = process.communicate()
    done.set()
    watcher.join()
    if process.returncode:
        raise SystemExit(process.returncode)
    return json.loads(out), peak[0], resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def report(result: dict[str, Any], anonymous: float, rss: float) -> str:
    """Return the text of benchmarks/results/leaks.md."""
    pairs = {tuple(sorted((one, other))) for one, other, _ in result["pairs"]}
    planted = _planted(result)
    true = {pair for pair in pairs if pair in planted}
    false = pairs - true
    lines = [
        f"{result['images']:,} images on {os.cpu_count()} cores ({platform.processor() or platform.machine()}): "
        f"{result['seconds']:.0f} s, CPU {result['cpu']:.0f} s, peak RSS {rss:,.0f} MiB, private {anonymous:,.0f} MiB.",
        f"False pairs: {len(false)}. Sets of lookalikes: {[len(s) for s in result['lookalikes']][:10]}.",
        "",
        f"| change | {' | '.join(KINDS[:-1])} | all |",
        f"|---|{'---:|' * len(KINDS)}",
    ]
    for how in CHANGES:
        cells = []
        for kind in (*KINDS[:-1], ""):
            of = [pair for pair in planted if pair[1].endswith(f"/{how}") and pair[0].startswith(kind)]
            cells.append(f"{sum(pair in true for pair in of)} of {len(of)}")
        lines.append(f"| {how} | {' | '.join(cells)} |")
    lines += ["", f"Found {len(true)} of {len(planted)}."]
    lines += [f"false: {pair}" for pair in sorted(false)[:20]]
    return "\n".join(lines)


def _planted(result: dict[str, Any]) -> set[tuple[str, str]]:
    return {(name.rpartition("/")[0], name) for name in result["copies"]}


if __name__ == "__main__":
    main()
