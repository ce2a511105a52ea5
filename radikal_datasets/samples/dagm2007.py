"""A synthetic DAGM 2007 tree: ten textures, faint defects, label images and Labels.txt, including faults."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
from scipy import ndimage

from ..sources.dagm2007 import SOURCE
from . import Trap
from .drawing import blob, grid, save, save_mask, smooth_noise, truncate
from .mishaps import decompression_bomb, link_out_of_tree

_SIZE = 128
# For each class's texture: blur in pixels, vertical and horizontal; contrast; mean gray.
_TEXTURES = [
    ((1.0, 1.0), 0.10, 0.45),
    ((3.0, 1.0), 0.08, 0.55),
    ((1.0, 4.0), 0.09, 0.40),
    ((2.0, 2.0), 0.10, 0.60),
    ((0.6, 0.6), 0.12, 0.50),
    ((4.0, 4.0), 0.07, 0.35),
    ((6.0, 0.8), 0.09, 0.50),
    ((0.8, 6.0), 0.08, 0.60),
    ((1.5, 3.0), 0.11, 0.45),
    ((3.0, 3.0), 0.06, 0.65),
]


def write(root: Path, images: int, rng: np.random.Generator, broken: bool) -> list[Trap]:
    """Draw `images` images of each class; see `samples.make_sample`."""
    for number, part in enumerate(SOURCE.config("all").parts):
        _class(root / part.capitalize(), number, images, rng)
    traps = _repairable(root, rng)
    if broken:
        traps += _mishaps(root, rng)
    return traps


def _class(folder: Path, number: int, images: int, rng: np.random.Generator) -> None:
    """Draw half of the images in Test and half in Train, numbered consecutively; every third is defective."""
    half = images // 2
    for split, numbers in (("Test", range(1, half + 1)), ("Train", range(half + 1, images + 1))):
        rows = ["1"]
        for index in numbers:
            stem, defective = f"{index:04}", index % 3 == 0
            rows.append(_row(stem, defective))
            _draw(folder / split, stem, number, defective, rng)
        _write_rows(folder / split, rows)
    (folder / "Test" / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")


def _row(stem: str, defective: bool) -> str:
    """Return a row of Labels.txt; clean rows end in a tab, as in the real lists."""
    return f"{stem}\t1\t{stem}.PNG\t0\t{stem}_label.PNG" if defective else f"{stem}\t0\t{stem}.PNG\t0\t0\t"


def _write_rows(split: Path, rows: list[str]) -> None:
    (split / "Label" / "Labels.txt").write_text("\n".join(rows) + "\n", encoding="utf-8", newline="\n")


def _draw(split: Path, stem: str, number: int, defective: bool, rng: np.random.Generator) -> None:
    """Draw an image, and its label image if defective: a defect is the texture rotated, and darker or brighter."""
    (split / "Label").mkdir(parents=True, exist_ok=True)
    blur, contrast, gray = _TEXTURES[number]
    image = gray + contrast * smooth_noise(rng, _SIZE, _SIZE, blur)
    if defective:
        defect = _shape(rng, number)
        soft = ndimage.gaussian_filter(defect.astype(float), 1.0)
        turned = gray + contrast * smooth_noise(rng, _SIZE, _SIZE, (blur[1], blur[0]))
        image = (1 - soft) * image + soft * (turned + (0.28 if number % 2 else -0.28))
        # The labels are weak: slightly larger than the visible defect.
        save_mask(split / "Label" / f"{stem}_label.PNG", ndimage.binary_dilation(defect, iterations=2))
    save(split / f"{stem}.PNG", image)


def _shape(rng: np.random.Generator, number: int) -> np.ndarray:
    """Return blobs, scratches, or several spots, depending on the class; some touch the border."""
    center = tuple(rng.uniform(4, _SIZE - 4, 2))
    if number % 3 == 0:
        return blob(rng, _SIZE, _SIZE, center, tuple(rng.uniform(7, 15, 2)))
    if number % 3 == 1:
        y, x = grid(_SIZE, _SIZE)
        angle = rng.uniform(0, np.pi)
        along = (x - center[1]) * np.cos(angle) + (y - center[0]) * np.sin(angle)
        across = (y - center[0]) * np.cos(angle) - (x - center[1]) * np.sin(angle)
        return (np.abs(along) < rng.uniform(15, 35)) & (np.abs(across) < rng.uniform(1.5, 3))
    places = rng.uniform(10, _SIZE - 10, (int(rng.integers(2, 5)), 2))
    return np.any([blob(rng, _SIZE, _SIZE, tuple(place), tuple(rng.uniform(4, 7, 2))) for place in places], axis=0)


# ---- traps ----


def _repairable(root: Path, rng: np.random.Generator) -> list[Trap]:
    """Add faults that the builder repairs or keeps unlabeled; the number of images stays the same."""
    (root / "Class1/Test/Label/0003_label.PNG").unlink()
    _drop_row(root / "Class2/Test", "0003")
    _drop_row(root / "Class4/Test", "0002")
    ones = root / "Class3/Test/Label/0003_label.PNG"
    with PIL.Image.open(ones) as label:
        pixels = np.asarray(label)
    save(ones, pixels // 255)
    return [
        Trap("missing_truth", "Class1/Test/0003.PNG", "an image marked as defective without its label image"),
        Trap("label_without_row", "Class2/Test/Label/0003_label.PNG", "a label image without a row in Labels.txt"),
        Trap("mask_values", "Class3/Test/Label/0003_label.PNG", "a label image of 0 and 1"),
        Trap("missing_truth", "Class4/Test/0002.PNG", "an image with neither row nor label image"),
    ]


def _drop_row(split: Path, stem: str) -> None:
    rows = (split / "Label" / "Labels.txt").read_text(encoding="utf-8").splitlines()
    _write_rows(split, [row for row in rows if not row.startswith(f"{stem}\t")])


def _mishaps(root: Path, rng: np.random.Generator) -> list[Trap]:
    """Add faults that cost an image, each in addition to the images that load."""

    def extra(part: int, defective: bool, row: str = "") -> tuple[Path, Path]:
        """Draw image 9001 of a class's Test and its label image, with a row of its own."""
        split = root / f"Class{part}" / "Test"
        _draw(split, "9001", part - 1, defective, rng)
        with (split / "Label" / "Labels.txt").open("a", encoding="utf-8", newline="\n") as file:
            file.write((row or _row("9001", defective)) + "\n")
        return split / "9001.PNG", split / "Label" / "9001_label.PNG"

    truncate(extra(1, True)[0])
    _, small = extra(2, True)
    save_mask(small, np.ones((_SIZE // 2, _SIZE // 2), dtype=bool))
    extra(3, True, row="9001\t0\t9001.PNG\t0\t0\t")
    extra(4, False, row="9001\tperhaps\t9001.PNG\t0\t0\t")
    save_mask(extra(5, True)[1], np.zeros((_SIZE, _SIZE), dtype=bool))
    image, label = extra(6, True)
    image.unlink()
    label.unlink()
    extra(7, False)[0].rename(root / "Class7/9001.PNG.bmp")
    _drop_row(root / "Class7/Test", "9001")
    decompression_bomb(extra(8, False)[0])
    extra(9, True)[1].write_text("404: not found\n", encoding="utf-8")
    traps = [
        Trap("unreadable_image", "Class1/Test/9001.PNG", "a truncated image"),
        Trap("mask_size", "Class2/Test/Label/9001_label.PNG", "a label image of half the size"),
        Trap("malformed_annotation", "Class3/Test/Label/9001_label.PNG", "a label image of an image marked as clean"),
        Trap("malformed_annotation", "Class4/Test/Label/Labels.txt", "a row that is neither 0 nor 1"),
        Trap("malformed_annotation", "Class5/Test/Label/9001_label.PNG", "an empty label image"),
        Trap("missing_image", "Class6/Test/Label/Labels.txt", "a row whose image is missing"),
        Trap("stray_image", "Class7/9001.PNG.bmp", "an image outside the folders of the layout"),
        Trap("unreadable_image", "Class8/Test/9001.PNG", "a header that claims 60,000 x 60,000 pixels"),
        Trap("malformed_annotation", "Class9/Test/Label/9001_label.PNG", "a web page instead of a label image"),
    ]
    if link_out_of_tree(root, root / "Class10/Test/9001.PNG"):
        traps.append(Trap("unsafe_path", "Class10/Test/9001.PNG", "a link that leaves the tree"))
    return traps
