"""A synthetic MVTec AD tree: fifteen small objects and textures with defects and their masks, including faults."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import PIL.Image
from scipy import ndimage

from ..sources.mvtec_ad import SOURCE
from . import Trap
from .drawing import blob, grid, save, save_mask, to_uint8, truncate
from .mishaps import decompression_bomb, link_out_of_tree
from .mvtec_ad_motifs import MOTIFS, SIZE

_GRAY = {"screw", "grid", "zipper"}
_TEXTURES = {"carpet", "grid", "leather", "tile", "wood"}

# How a defect type looks: these as lines, the next ones as colored spots, all others as dark spots.
_LINES = {
    *("crack", "cut", "fabric_border", "split_teeth", "fold", "bent_lead", "bent", "bent_wire", "thread"),
    *("scratch", "scratch_head", "scratch_neck", "gray_stroke", "fabric_interior", "thread_side", "thread_top"),
}
_RED, _WHITE, _BLACK, _BLUE = (0.8, 0.1, 0.1), (1.0, 1.0, 0.95), (0.02, 0.02, 0.02), (0.1, 0.2, 0.9)
_SPOTS: dict[str, tuple[float, float, float]] = {
    **dict.fromkeys(("color", "cable_swap", "combined", "defective"), _RED),
    **dict.fromkeys(("print", "faulty_imprint", "glue", "glue_strip", "flip", "broken_small"), _WHITE),
    **dict.fromkeys(("metal_contamination", "liquid", "contamination", "pill_type"), _BLUE),
}


def write(root: Path, images: int, rng: np.random.Generator, broken: bool) -> list[Trap]:
    """Draw `images` images of each category; see `samples.make_sample`."""
    for category in MOTIFS:
        _category(root / category, category, images, rng)
    traps = _repairable(root, rng)
    if broken:
        traps += _mishaps(root, rng)
    return traps


def _category(folder: Path, category: str, images: int, rng: np.random.Generator) -> None:
    """Draw a third without defects, a third of them in test; two thirds spread over the defect types."""
    folder.mkdir(parents=True)
    (folder / "readme.txt").write_text("Synthetic: every image below was drawn by a program.\n", encoding="utf-8")
    if category != "carpet":  # some copies lack it
        (folder / "license.txt").write_text("“Synthetic” sample, no license needed.\n", encoding="utf-8")
    good = images // 3
    for number in range(good):
        place = f"test/good/{number // 3:03}" if number % 3 == 0 else f"train/good/{number:03}"  # with gaps
        _save_image(folder / f"{place}.png", category, MOTIFS[category](rng)[0])
    classes = SOURCE.config(category).classes
    for number in range(images - good):
        _defective(folder, category, classes[number % len(classes)], number // len(classes), rng)


def _defective(folder: Path, category: str, defect: str, number: int, rng: np.random.Generator) -> np.ndarray:
    """Draw test/<defect>/<number>.png and its mask; return the mask."""
    image, body = MOTIFS[category](rng)
    if defect == "misplaced":
        image, mask = _misplaced(rng, image, body)
    else:
        mask = np.zeros((SIZE, SIZE), dtype=bool)
        brushes = [_line if defect in _LINES else _spot] * (1 + number % 3)
        for brush in [_spot, _line] if defect == "combined" else brushes:
            # Keep a distance from what is already drawn, so that components stay separate.
            free = body & np.logical_not(ndimage.binary_dilation(mask, iterations=4))
            if category in _TEXTURES and number % 2 == 0 and not mask.any():
                free[:, 3:] = False  # one that touches the border
            apart = np.logical_not(ndimage.binary_dilation(mask, iterations=2))
            new = brush(rng, free) & body & apart
            color = _SPOTS.get(defect, _BLACK)
            if brush is _line or category in _GRAY:
                color = _BLACK if image[new].mean() > 0.4 else _WHITE
            image[new] = 0.15 * image[new] + 0.85 * np.asarray(color)
            mask |= new
    _save_image(folder / "test" / defect / f"{number:03}.png", category, image)
    save_mask(folder / "ground_truth" / defect / f"{number:03}_mask.png", mask)
    return mask


def _save_image(path: Path, category: str, image: np.ndarray) -> None:
    save(path, to_uint8(image.mean(axis=2) if category in _GRAY else image))


def _center(rng: np.random.Generator, free: np.ndarray) -> tuple[float, float]:
    places = np.argwhere(free) if free.any() else np.array([[SIZE // 2, SIZE // 2]])
    y, x = places[rng.integers(len(places))]
    return float(y), float(x)


def _spot(rng: np.random.Generator, free: np.ndarray) -> np.ndarray:
    return blob(rng, SIZE, SIZE, _center(rng, free), tuple(rng.uniform(5, 9, 2)))


def _line(rng: np.random.Generator, free: np.ndarray) -> np.ndarray:
    y, x = grid(SIZE, SIZE)
    (y0, x0), angle = _center(rng, free), rng.uniform(0, np.pi)
    along = (x - x0) * np.cos(angle) + (y - y0) * np.sin(angle)
    across = (y - y0) * np.cos(angle) - (x - x0) * np.sin(angle)
    return (np.abs(along) < rng.uniform(12, 24)) & (np.abs(across - 2 * np.sin(along / 5)) < rng.uniform(1.2, 2.2))


def _misplaced(rng: np.random.Generator, image: np.ndarray, body: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shift the component askew off its position: about 40 % of the image is the defect."""
    board = image[:4].mean(axis=(0, 1))
    empty = np.where(body[..., None], board, image)
    turned = ndimage.rotate(np.dstack([image, body]), rng.uniform(20, 30), reshape=False, order=1, mode="nearest")
    by = rng.uniform(11, 15), rng.uniform(6, 10)
    there = ndimage.shift(turned[..., 3], by, order=0) > 0.5
    moved = np.dstack([ndimage.shift(turned[..., k], by, order=1, mode="nearest") for k in range(3)])
    return np.where(there[..., None], moved, empty), ndimage.binary_closing(body | there)


# ---- traps ----


def _repairable(root: Path, rng: np.random.Generator) -> list[Trap]:
    """Add faults that real copies have and the builder repairs; the number of images stays the same."""
    (root / "bottle/test/.DS_Store").write_bytes(b"\0\0\0\1Bud1")
    (root / "transistor/ground_truth/bent_lead/000_mask.png").unlink()
    for kind in ("test/color/{}.png", "ground_truth/color/{}_mask.png"):
        (root / "carpet" / kind.format("001")).unlink()
        shutil.copyfile(root / "carpet" / kind.format("000"), root / "carpet" / kind.format("000(1)"))
    (root / "wood/train/scratch").mkdir()
    (root / "wood/test/scratch/000.png").rename(root / "wood/train/scratch/000.png")
    ones, soft = root / "capsule/ground_truth/poke/000_mask.png", root / "leather/ground_truth/color/000_mask.png"
    save(ones, _pixels(ones) // 255)
    save(soft, ndimage.gaussian_filter(_pixels(soft), 0.8))
    return [
        Trap("missing_truth", "transistor/test/bent_lead/000.png", "a defect image without its mask"),
        Trap("identical_images", "carpet/test/color/000(1).png", "a copy of 000.png, as browsers name it", count=2),
        Trap("defect_in_train", "wood/train/scratch/000.png", "a defect image moved below train/"),
        Trap("mask_values", "capsule/ground_truth/poke/000_mask.png", "a mask of 0 and 1"),
        Trap("mask_values", "leather/ground_truth/color/000_mask.png", "a mask with soft edges"),
    ]


def _pixels(path: Path) -> np.ndarray:
    with PIL.Image.open(path) as mask:
        return np.asarray(mask)


def _mishaps(root: Path, rng: np.random.Generator) -> list[Trap]:
    """Add faults that cost an image, each in addition to the images that load."""

    def extra(category: str, defect: str, number: int = 50) -> tuple[Path, Path]:
        _defective(root / category, category, defect, number, rng)
        folder = root / category
        return folder / f"test/{defect}/{number:03}.png", folder / f"ground_truth/{defect}/{number:03}_mask.png"

    truncate(extra("bottle", "contamination")[0])
    _, small = extra("cable", "bent_wire")
    save(small, _pixels(small)[::2, ::2])
    save_mask(extra("capsule", "crack")[1], np.zeros((SIZE, SIZE), dtype=bool))
    extra("grid", "bent")[1].write_text("404: not found\n", encoding="utf-8")
    extra("hazelnut", "mold")
    extra("leather", "fold")[0].unlink()
    lost = extra("pill", "crack", 51)
    lost[0].rename(root / "pill/test/lost.png")
    lost[1].unlink()
    decompression_bomb(root / "screw/test/good/050.png")
    extra("wood", "good")
    shutil.copyfile(root / "zipper/test/rough/000.png", _with_folder(root / "zipper/train/rough/000.png"))
    traps = [
        Trap("unreadable_image", "bottle/test/contamination/050.png", "a truncated image"),
        Trap("mask_size", "cable/ground_truth/bent_wire/050_mask.png", "a mask of half the size"),
        Trap("malformed_annotation", "capsule/ground_truth/crack/050_mask.png", "an empty mask for a defect image"),
        Trap("malformed_annotation", "grid/ground_truth/bent/050_mask.png", "a web page instead of a mask"),
        Trap("unknown_class", "hazelnut/test/mold/050.png", "a folder that is not a defect type"),
        Trap("missing_image", "leather/ground_truth/fold/050_mask.png", "a mask whose image is missing"),
        Trap("stray_image", "pill/test/lost.png", "an image outside the folders of the layout"),
        Trap("unreadable_image", "screw/test/good/050.png", "a header that claims 60,000 x 60,000 pixels"),
        Trap("malformed_annotation", "wood/ground_truth/good/050_mask.png", "a mask with defects for a good image"),
        Trap("defect_in_train", "zipper/train/rough/000.png", "a defect image in train/ as well as in test/"),
        Trap("duplicate_image", "zipper/train/rough/000.png", "the same image as in test/"),
    ]
    if link_out_of_tree(root, root / "tile/test/good/050.png"):
        traps.append(Trap("unsafe_path", "tile/test/good/050.png", "a link that leaves the tree"))
    return traps


def _with_folder(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
