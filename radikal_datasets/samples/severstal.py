"""Synthetic steel strips in the layout of Severstal: four numbered kinds of defect, and their masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..annotations.rle import encode
from ..sources.severstal import SIZE
from . import Trap, drawing, mishaps

_WIDTH, _HEIGHT = SIZE
#: What successive training images hold: about half no defect, most others class 3, as in the real set.
_HELD = ((3,), (), (1,), (), (3,), (4, 3), (3,), (2,), (), (3,))
_BLANK_ROWS = 40
_QUALITY = 80


def write(root: Path, images: int, rng: np.random.Generator, broken: bool) -> list[Trap]:
    """Draw `images` strips, a sixth of them unannotated; see `radikal_datasets.samples.make_sample`."""
    tests = images // 6
    rows: list[tuple[str, int, str]] = []
    for k in range(images - tests):
        rows += _write_strip(root / "train_images", rng, _HELD[k % len(_HELD)])
    submission = ["ImageId,EncodedPixels,ClassId"]
    for k in range(tests):
        ((name, _, _), *_) = _write_strip(root / "test_images", rng, _HELD[2 * k % len(_HELD)] or (3,))
        submission.append(f"{name},1 409600,0")
    # A different column order and a class that does not exist: a file that must not be read.
    (root / "sample_submission.csv").write_text("\n".join(submission) + "\n", encoding="utf-8")
    traps = _lost(root, rng, rows) if broken else []
    lines = ["ImageId,ClassId,EncodedPixels", *(f"{name},{number},{code}" for name, number, code in rows)]
    lines += [",,"] * _BLANK_ROWS
    (root / "train.csv").write_text("\n".join(lines) + "\n", encoding="utf-8", newline="")
    return [Trap("rows_without_image", "train.csv", "rows of commas at the end", _BLANK_ROWS), *traps]


def _lost(root: Path, rng: np.random.Generator, rows: list[tuple[str, int, str]]) -> list[Trap]:
    """Add faults, each in an additional image."""
    train, traps = root / "train_images", []

    def strip(kind: str, what: str, at_image: bool = False) -> tuple[str, int, str]:
        row = _write_strip(train, rng, (3,))[0]
        traps.append(Trap(kind, f"train_images/{row[0]}" if at_image else "train.csv", what))
        return row

    cut_off = strip("unreadable_image", "a truncated image", at_image=True)
    drawing.truncate(train / cut_off[0])
    bomb = strip("unreadable_image", "a header that claims 60,000 x 60,000 pixels", at_image=True)
    mishaps.decompression_bomb(train / bomb[0])
    resized = strip("mask_size", "half the size to which its mask refers", at_image=True)
    drawing.save(train / resized[0], _steel(rng)[::2, ::2], rgb=True, quality=_QUALITY)
    odd = strip("malformed_annotation", "a run without length")
    outside = strip("malformed_annotation", "a run beyond the end of the image")
    unknown = strip("unknown_class", "class 5")
    rows += [
        cut_off,
        bomb,
        resized,
        (odd[0], 3, f"{odd[2]} 409000"),
        (outside[0], 3, f"{outside[2]} 409600 2"),
        (unknown[0], 5, unknown[2]),
        (_name(rng), 3, "1 10"),
        ("", 3, "1 10"),
    ]
    traps.append(Trap("missing_image", "train.csv", "a row for an image that does not exist"))
    traps.append(Trap("malformed_annotation", "train.csv", "a mask without an image name"))
    ((name, _, _), *_) = _write_strip(root / "test_images", rng, (3,))
    drawing.truncate(root / "test_images" / name)
    traps.append(Trap("unreadable_image", f"test_images/{name}", "a truncated test image"))
    link = f"train_images/{_name(rng)}"
    if mishaps.link_out_of_tree(root, root / link):
        traps.append(Trap("unsafe_path", link, "a link out of the tree"))
    return traps


def _name(rng: np.random.Generator) -> str:
    return f"{rng.integers(16**9):09x}.jpg"


def _write_strip(folder: Path, rng: np.random.Generator, held: tuple[int, ...]) -> list[tuple[str, int, str]]:
    """Draw a strip with a defect of each class in `held`; return its rows: file name, class, run-length code."""
    name, steel = _name(rng), _steel(rng)
    # The classes never overlap: each has its own part of the strip.
    edges = np.linspace(60, _WIDTH - 60, len(held) + 1).astype(int)
    rows = []
    for number, left, right in zip(held, edges, edges[1:], strict=False):
        mask = _PAINTERS[number](rng, steel, int(left), int(right))
        rows.append((name, number, encode(mask)))
    drawing.save(folder / name, steel, rgb=True, quality=_QUALITY)
    return rows


def _steel(rng: np.random.Generator) -> np.ndarray:
    fine = 0.02 * drawing.smooth_noise(rng, _HEIGHT, _WIDTH, (1.0, 4.0))
    light = 0.05 * drawing.smooth_noise(rng, 1, _WIDTH, (0.0, 90.0))
    rolled = 0.02 * drawing.smooth_noise(rng, _HEIGHT, 1, (3.0, 0.0))
    return 0.42 + fine + light + rolled


def _pits(rng: np.random.Generator, steel: np.ndarray, left: int, right: int) -> np.ndarray:
    """Paint class 1: a few dark pits close together."""
    mask = np.zeros(steel.shape, dtype=bool)
    x = rng.uniform(left + 120, right - 120)
    for row in rng.permutation([50, 100, 150, 200])[: rng.integers(2, 5)]:
        center = (row + rng.uniform(-8, 8), x + rng.uniform(-100, 100))
        mask |= drawing.blob(rng, _HEIGHT, _WIDTH, center, (rng.uniform(12, 18), rng.uniform(14, 22)))
    steel[mask] -= 0.25
    return mask


def _cracks(rng: np.random.Generator, steel: np.ndarray, left: int, right: int) -> np.ndarray:
    """Paint class 2: one thin, dark, upright line."""
    y, x = drawing.grid(_HEIGHT, _WIDTH)
    top, length = rng.uniform(10, 60), rng.uniform(100, 170)
    center = rng.uniform(left + 40, right - 40) + 4 * np.sin(y / rng.uniform(15, 30))
    mask = (np.abs(x - center) < 6) & (y >= top) & (y < top + length)
    steel[mask] -= 0.2 + 0.15 * (np.abs(x - center)[mask] < 3)
    return mask


def _scratches(rng: np.random.Generator, steel: np.ndarray, left: int, right: int) -> np.ndarray:
    """Paint class 3: bright streaks over the full height, so that runs continue from one column to the next."""
    y, x = drawing.grid(_HEIGHT, _WIDTH)
    mask = np.zeros(steel.shape, dtype=bool)
    slope = rng.uniform(-0.15, 0.15)
    for center in np.linspace(left, right, int(rng.integers(1, 4)) + 2)[1:-1]:
        half = rng.uniform(14, 30)
        mask |= np.abs(x - center - slope * (y - _HEIGHT / 2) - rng.uniform(-30, 30)) < half
    steel[mask] += 0.22 + 0.06 * drawing.smooth_noise(rng, _HEIGHT, _WIDTH, (8.0, 2.0))[mask]
    return mask


def _scale(rng: np.random.Generator, steel: np.ndarray, left: int, right: int) -> np.ndarray:
    """Paint class 4: a large mottled patch."""
    center = (rng.uniform(100, 156), rng.uniform(left + 200, right - 200))
    mask = drawing.blob(rng, _HEIGHT, _WIDTH, center, (rng.uniform(60, 85), rng.uniform(100, 150)))
    steel[mask] += 0.16 * drawing.smooth_noise(rng, _HEIGHT, _WIDTH, 4.0)[mask]
    return mask


_PAINTERS = {1: _pits, 2: _cracks, 3: _scratches, 4: _scale}
