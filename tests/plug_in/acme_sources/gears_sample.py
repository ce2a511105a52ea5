"""Synthetic gears in the layout of Acme Gears."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from radikal_datasets.samples import Trap, mishaps
from radikal_datasets.samples.drawing import blob, save, save_mask, smooth_noise, truncate

SIDE = 64
KINDS = ("good", "chip", "crack")


def write(root: Path, images: int, rng: np.random.Generator, broken: bool) -> list[Trap]:
    """Draw a tree; returns a `Trap` for everything planted."""
    lines = ["image,split,verdict"]

    def part(number: int) -> str:
        kind, stem = KINDS[number % 3], f"{number:04}"
        lines.append(f"{stem},{'test' if number % 4 == 3 else 'train'},{kind}")
        _draw(root, stem, kind, rng)
        return stem

    for number in range(images):
        part(number)
    (root / "masks/0001.png").unlink()
    lines.remove(f"{images - 1:04},{'test' if (images - 1) % 4 == 3 else 'train'},{KINDS[(images - 1) % 3]}")
    (root / f"masks/{images - 1:04}.png").unlink(missing_ok=True)
    traps = [
        Trap("missing_truth", "images/0001.png", "a chip without its mask"),
        Trap("missing_truth", f"images/{images - 1:04}.png", "an image without a line in the table"),
    ]
    if broken:
        extra = [part(900 + 3 * number + 1) for number in range(4)]
        truncate(root / f"images/{extra[0]}.png")
        save_mask(root / f"masks/{extra[1]}.png", np.ones((SIDE // 2, SIDE // 2), dtype=bool))
        (root / f"images/{extra[2]}.png").unlink()
        (root / f"images/{extra[3]}.png").unlink()
        (root / f"masks/{extra[3]}.png").unlink()
        mishaps.decompression_bomb(root / "images/bomb.png")
        traps += [
            Trap("unreadable_image", f"images/{extra[0]}.png", "a truncated image"),
            Trap("mask_size", f"masks/{extra[1]}.png", "a mask of half the size"),
            Trap("missing_image", f"masks/{extra[2]}.png", "a mask whose image is missing"),
            Trap("missing_image", "verdicts.csv", "a line whose image is missing"),
            Trap("unreadable_image", "images/bomb.png", "a header that claims 60,000 x 60,000 pixels"),
        ]
    (root / "verdicts.csv").write_text("\n".join([*lines, ""]), encoding="utf-8")
    return traps


def _draw(root: Path, stem: str, kind: str, rng: np.random.Generator) -> None:
    body = blob(rng, SIDE, SIDE, (SIDE / 2, SIDE / 2), (26, 26))
    image = 0.15 + 0.45 * body + 0.04 * smooth_noise(rng, SIDE, SIDE, 1.5)
    if kind != "good":
        radii = (5, 5) if kind == "chip" else (9, 2)
        center = SIDE / 2 + rng.uniform(-10, 10), SIDE / 2 + rng.uniform(-10, 10)
        defect = blob(rng, SIDE, SIDE, center, radii)
        image[defect] = 0.9 if kind == "chip" else 0.05
        save_mask(root / f"masks/{stem}.png", defect)
    save(root / f"images/{stem}.png", np.uint8(255 * image.clip(0, 1)))
