"""A synthetic VisA tree: twelve plain objects with spots, masks of class numbers and the list, including faults."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image

from ..sources.visa import SOURCE
from . import Trap
from .drawing import save, surface
from .mishaps import Mishaps

_HEIGHT, _WIDTH = 64, 96


def write(root: Path, images: int, rng: np.random.Generator, broken: bool) -> list[Trap]:
    """Draw `images` images of each object, half of them anomalous; see `samples.make_sample`."""
    tree = _Tree(root, rng)
    for name in SOURCE.config("all").parts:
        for number in range(images):
            tree.draw(name, number, anomalous=number % 2 == 1)
        (root / name / "image_anno.csv").write_text("image,label,mask\n", encoding="utf-8")
    plant = Mishaps(root)
    traps = [Trap("ignored_file", f"{name}/image_anno.csv", "a list") for name in SOURCE.config("all").parts]
    traps.append(plant.missing_truth(_image("candle", 1, True), _mask("candle", 1)))
    del tree.rows[_image("pcb2", 0, False)]
    traps.append(Trap("not_in_split_list", _image("pcb2", 0, False), "an image that the list does not name"))
    tree.as_palette(_mask("pcb1", 1))
    if broken:
        traps += _mishaps(tree, plant)
    tree.write_list()
    return traps


def _image(name: str, number: int, anomalous: bool) -> str:
    return f"{name}/Data/Images/" + (f"Anomaly/{number:03}.JPG" if anomalous else f"Normal/{number:04}.JPG")


def _mask(name: str, number: int) -> str:
    return f"{name}/Data/Masks/Anomaly/{number:03}.png"


class _Tree:
    """A tree in the making, and the rows of its list."""

    def __init__(self, root: Path, rng: np.random.Generator):
        self.root, self.rng = root, rng
        self.rows: dict[str, str] = {}

    def draw(self, name: str, number: int, *, anomalous: bool) -> tuple[str, str]:
        """Draw an image, its mask and its row; return their paths."""
        classes = SOURCE.config(name).classes
        order = SOURCE.config("all").parts.index(name)
        image, spots = surface(self.rng, _HEIGHT, _WIDTH, 1 + number % 3 if anomalous else 0, gray=0.3 + 0.03 * order)
        path, mask = _image(name, number, anomalous), _mask(name, number) if anomalous else ""
        save(self.root / path, image, rgb=True)
        if anomalous:
            values = np.zeros((_HEIGHT, _WIDTH), np.uint8)
            for index, spot in enumerate(spots):
                values[spot] = 1 + (number // 2 + index) % len(classes)
            save(self.root / mask, values)
        split = "test" if anomalous or number % 3 == 2 else "train"
        self.rows[path] = f"{name},{split},{'anomaly' if anomalous else 'normal'},{path},{mask}"
        return path, mask

    def as_palette(self, mask: str) -> None:
        """Store a mask as a palette image: the indices are its values, whatever their colors."""
        with PIL.Image.open(self.root / mask) as image:
            palette = PIL.Image.fromarray(np.asarray(image), "L").convert("P")
        palette.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0, 0, 0, 200, *[90] * (3 * 252)])
        palette.save(self.root / mask)

    def write_list(self) -> None:
        """Write the publisher's list."""
        path = self.root / "split_csv" / "1cls.csv"
        path.parent.mkdir()
        text = "\r\n".join(["object,split,label,image,mask", *self.rows.values(), ""])
        path.write_text(text, encoding="utf-8", newline="")


def _mishaps(tree: _Tree, plant: Mishaps) -> list[Trap]:
    """Add faults that cost an image, each in addition to the images that load."""
    torn, _ = tree.draw("candle", 900, anomalous=True)
    _, half = tree.draw("capsules", 901, anomalous=True)
    _, empty = tree.draw("cashew", 901, anomalous=True)
    _, page = tree.draw("chewinggum", 901, anomalous=True)
    lost, lost_mask = tree.draw("fryum", 901, anomalous=True)
    moved, _ = tree.draw("macaroni1", 900, anomalous=False)
    _, odd = tree.draw("macaroni2", 901, anomalous=True)
    save(tree.root / odd, np.full((_HEIGHT, _WIDTH), 77, np.uint8))
    unsure, _ = tree.draw("pcb3", 900, anomalous=False)
    tree.rows[unsure] = tree.rows[unsure].replace(",train,", ",perhaps,")
    bomb, _ = tree.draw("pcb4", 900, anomalous=False)
    del tree.rows[moved]
    return [
        plant.truncated(torn),
        plant.half_mask(half),
        plant.empty_mask(empty),
        plant.web_page(page),
        plant.lost_image(lost, lost_mask),
        Trap("missing_image", "split_csv/1cls.csv", "the row of an image that is missing"),
        plant.stray(moved, "macaroni1/Data/900.JPG"),
        Trap("unknown_class", odd, "a mask with a value that stands for no class"),
        Trap("malformed_annotation", "split_csv/1cls.csv", "a row with the split `perhaps`"),
        plant.bomb(bomb),
        *plant.link(_image("pipe_fryum", 998, False)),
    ]
