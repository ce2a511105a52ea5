"""Make the pictures of the docs from sample data: every image in them is synthetic.

    python docs/screenshots.py --demo DEMO     # a folder that `make demo` wrote; without --demo it is made first
    python docs/screenshots.py --demo DEMO --only gallery leaks

Needs Chromium (`apt-get install chromium`). Pictures go to docs/pictures/, each under 200 kB. Look at each one after a
run.
"""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs" / "pictures"
MOST_BYTES = 200_000
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "chrome")


def main() -> None:
    """Write all pictures, or those that --only names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", type=Path, help="folder that the demo wrote; default: run the demo in a new one")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS), metavar="PICTURE")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        demo = options.demo or Path(work) / "demo"
        if options.demo is None:
            _run([sys.executable, ROOT / "training" / "demo.py", "--folder", demo])
        for name in options.only:
            PARTS[name](Path(work), demo.resolve())


def gallery(work: Path, demo: Path) -> None:
    """The gallery of a synthetic NEU-DET set."""
    page = work / "gallery.html"
    _tool("preview", _neu_det(work), "--output", page, "--images", 60)
    _save(_page(page, 1280, 800), "gallery")


def contact_sheet(work: Path, demo: Path) -> None:
    """A contact sheet of synthetic DeepPCB boards beside their templates."""
    raw, sheet = work / "deeppcb", work / "sheet.png"
    _tool("sample", "deeppcb", raw)
    _tool("preview", "deeppcb", "--data-dir", raw, "--output", sheet, "--images", 4)
    with Image.open(sheet) as image:
        _save(image.convert("RGB"), "contact-sheet")


def leaks(work: Path, demo: Path) -> None:
    """The page of leaks of a synthetic NEU-DET set in which some images were saved again under other names."""
    raw, page = work / "leaky", work / "leaks.html"
    _tool("sample", "neu_det", raw, "--images", 90)
    for name in ("crazing", "inclusion", "patches", "scratches"):
        for old, new in ((3, 7), (4, 9)):
            image = next(raw.rglob(f"{name}_{old}.jpg"))
            with Image.open(image) as opened:
                opened.save(image.with_name(f"{name}_{new}.jpg"), quality=60)
            note = next(raw.rglob(f"{name}_{old}.xml"))
            text = note.read_text(encoding="utf-8").replace(f"{name}_{old}", f"{name}_{new}")
            note.with_name(f"{name}_{new}.xml").write_text(text, encoding="utf-8")
    _tool("verify", "neu_det", "--data-dir", raw, "--deep", "--html", page)
    _save(_page(page, 1280, 1000), "leaks")


def statistics(work: Path, demo: Path) -> None:
    """The page of plots of a synthetic NEU-DET set."""
    page = work / "statistics.html"
    _tool("stats", _neu_det(work), "--html", page)
    _save(_page(page, 1280, 1100), "statistics")


def predictions(work: Path, demo: Path) -> None:
    """The demo's page: predictions beside the ground truth."""
    page = _page(demo / "index.html", 1280, 1600)
    _save(page.crop((0, 720, 1280, 1580)), "predictions")  # the images, below the text


def report(work: Path, demo: Path) -> None:
    """Confusion matrix and precision over recall, side by side."""
    folder = demo / "run" / "report" / "validation"
    plots = [Image.open(folder / f"{name}.png").convert("RGB") for name in ("confusion_matrix", "precision_recall")]
    height = 460
    plots = [plot.resize((round(plot.width * height / plot.height), height)) for plot in plots]
    both = Image.new("RGB", (sum(plot.width for plot in plots), height), "white")
    both.paste(plots[0], (0, 0))
    both.paste(plots[1], (plots[0].width, 0))
    _save(both, "report")


def audit(work: Path, demo: Path) -> None:
    """The audit report of the demo's run, its beginning."""
    _save(_page(demo / "run" / "report" / "index.html", 1280, 1000), "audit")


def heat_maps(work: Path, demo: Path) -> None:
    """The heat maps of one image, by all methods."""
    pages = sorted((demo / "explanations" / "images").glob("*.html"))
    page = pages[0]
    _save(_page(page, 1280, 1000), "heat-maps")


def trust(work: Path, demo: Path) -> None:
    """The index of explanations: which method passes which test."""
    _save(_page(demo / "explanations" / "index.html", 1280, 900), "trust")


def _neu_det(work: Path) -> Path:
    """Return a folder that prepare wrote, of a synthetic NEU-DET tree."""
    raw, hub = work / "neu_det", work / "hub" / "neu_det"
    if not hub.is_dir():
        _tool("sample", "neu_det", raw, "--images", 120)
        _tool("prepare", "neu_det", "--data-dir", raw, "--output-dir", hub)
    return hub


def _page(page: Path, width: int, height: int) -> Image.Image:
    """Return a screenshot of an HTML file, (width, height) pixels."""
    chromium = next((found for name in CHROMIUM if (found := shutil.which(name))), None)
    if chromium is None:
        sys.exit("Chromium is not installed. On Debian: apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder) / "shot.png"
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=4000"]
        _run([chromium, *flags, f"--window-size={width},{height}", f"--screenshot={shot}", page.resolve().as_uri()])
        with Image.open(shot) as image:
            return image.convert("RGB")


def _save(image: Image.Image, name: str) -> None:
    """Write a WebP of under 200 kB, at the best quality that fits."""
    for quality in (90, 80, 70, 60, 50, 40, 30):
        buffer = io.BytesIO()
        image.save(buffer, "webp", quality=quality, method=6)
        if buffer.tell() < MOST_BYTES:
            (PICTURES / f"{name}.webp").write_bytes(buffer.getvalue())
            print(f"{name}.webp: {image.width} x {image.height}, {buffer.tell():,} bytes, quality {quality}")
            return
    sys.exit(f"{name}: {image.width} x {image.height} pixels do not fit into {MOST_BYTES:,} bytes. Make it smaller.")


def _tool(*arguments: object) -> None:
    _run([sys.executable, "-m", "radikal_datasets.cli", *arguments])


def _run(command: list) -> None:
    done = subprocess.run([str(part) for part in command], check=False, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")


PARTS: dict[str, Callable[[Path, Path], None]] = {
    part.__name__.replace("_", "-"): part
    for part in (gallery, contact_sheet, leaks, statistics, predictions, report, audit, heat_maps, trust)
}

if __name__ == "__main__":
    main()
