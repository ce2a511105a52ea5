"""A synthetic KolektorSDD2 tree: narrow strips, one in three with defects, and a mask for each, including faults."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from . import Trap
from .drawing import save, save_mask, surface
from .mishaps import Mishaps

_HEIGHT, _WIDTH = 128, 48


def write(root: Path, images: int, rng: np.random.Generator, broken: bool) -> list[Trap]:
    """Draw two thirds of the images in train and the others in test; see `samples.make_sample`."""
    for number in range(images):
        split = "train" if number % 3 < 2 else "test"
        _strip(root, split, number, 1 + number % 2 if number % 4 < 2 else 0, rng)
    plant = Mishaps(root)
    traps = [plant.missing_truth("train/10000.png", "train/10000_GT.png"), plant.ones("train/10001_GT.png")]
    for name in ("10001", "10001_GT"):
        shutil.copyfile(root / f"train/{name}.png", root / f"train/{name} (copy).png")
        traps.append(Trap("ignored_file", f"train/{name} (copy).png", "a copy, as in the publisher's archive"))
    return traps + (_mishaps(root, rng) if broken else [])


def _strip(root: Path, split: str, number: int, defects: int, rng: np.random.Generator) -> str:
    """Draw one strip and its mask; return the path of the image without its extension."""
    height, width = _HEIGHT + int(rng.integers(0, 8)), _WIDTH + int(rng.integers(0, 6))
    image, masks = surface(rng, height, width, defects)
    stem = f"{split}/{(10_000 if split == 'train' else 20_000) + number}"
    save(root / f"{stem}.png", image, rgb=True)
    save_mask(root / f"{stem}_GT.png", np.any([np.zeros((height, width), bool), *masks], axis=0))
    return stem


def _mishaps(root: Path, rng: np.random.Generator) -> list[Trap]:
    """Add faults that cost an image, each in addition to the images that load."""
    plant = Mishaps(root)
    torn, half, page, lost, moved = (_strip(root, "train", 900 + number, 1, rng) for number in range(5))
    faint = _strip(root, "test", 900, 1, rng)
    _, masks = surface(rng, _HEIGHT, _WIDTH, 2)
    save(root / f"{faint}.png", surface(rng, _HEIGHT, _WIDTH)[0], rgb=True)
    save(root / f"{faint}_GT.png", np.uint8(60) * masks[0] + np.uint8(100) * masks[1])
    (root / f"{moved}_GT.png").unlink()
    return [
        plant.truncated(f"{torn}.png"),
        plant.half_mask(f"{half}_GT.png"),
        plant.web_page(f"{page}_GT.png"),
        plant.lost_image(f"{lost}.png", f"{lost}_GT.png"),
        plant.stray(f"{moved}.png", "train/moved.png"),
        Trap("mask_values", f"{faint}_GT.png", "a mask of low values"),
        Trap("malformed_annotation", f"{faint}_GT.png", "a mask of low values, of which nothing is left"),
        plant.bomb("test/29999.png"),
        *plant.link("test/29998.png"),
    ]
