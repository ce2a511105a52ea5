"""Synthetic hot-rolled steel in NEU-DET's original layout: six kinds of defect, VOC files with its quirks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from . import Trap, drawing, mishaps

SIDE = 200
#: 0-based, half-open: x_min, y_min, x_max, y_max.
_Box = tuple[int, int, int, int]
_Objects = list[tuple[str, _Box]]
#: Where defects may lie: the quarters of an image, in pixels.
_QUARTERS = [(x, y) for y in (0, SIDE // 2) for x in (0, SIDE // 2)]


def write(root: Path, images: int, rng: np.random.Generator, broken: bool) -> list[Trap]:
    """Draw `images` images; see `radikal_datasets.samples.make_sample`."""
    classes = list(_PAINTERS)
    count = dict.fromkeys(classes, 0)
    drawn: dict[str, _Objects] = {}
    # At least three of the first class, so that no split is empty.
    for name in [classes[k % len(classes)] for k in range(images - 1)] + classes[:1]:
        count[name] += 1
        stem = f"{name}_{count[name]}"
        if stem == "patches_2":
            (root / _image(stem)).write_bytes((root / _image("patches_1")).read_bytes())
            objects = drawn["patches_1"][:1]
        else:
            # 188 boxes of the real set have a class other than the one in their file's name.
            picture, objects = _draw(rng, name, also="scratches" if stem == "inclusion_1" else None)
            drawing.save(root / _image(stem), picture, rgb=True)
        drawn[stem] = objects
    drawn["crazing_1"].append(drawn["crazing_1"][0])
    traps = [
        Trap("class_not_file_name", _annotation("inclusion_1"), "a scratch on an image named inclusion"),
        Trap("identical_images", _image("patches_1"), "patches_2.jpg has the same bytes and other boxes", 2),
        Trap("duplicate_box", _annotation("crazing_1"), "the first object again"),
    ]
    if broken:
        traps += _lost(root, rng, drawn, count["crazing"])
    for stem, objects in drawn.items():
        bare = stem in ("rolled-in_scale_1", "scratches_1")
        if bare:
            traps.append(Trap("filename_without_extension", _annotation(stem), "<filename> without .jpg"))
        _write_annotation(root / _annotation(stem), stem if bare else f"{stem}.jpg", objects)
    if broken:
        traps += _damage_annotations(root, count["crazing"])
    return traps


def _lost(root: Path, rng: np.random.Generator, drawn: dict[str, _Objects], count: int) -> list[Trap]:
    """Add faults in images and boxes; new images follow the `count` of crazing, so that the others stay unchanged."""
    extra = [f"crazing_{count + k}" for k in range(1, 8)]
    for stem in extra[:5]:
        picture, drawn[stem] = _draw(rng, "crazing")
        drawing.save(root / _image(stem), picture, rgb=True)
    drawing.truncate(root / _image(extra[0]))
    mishaps.decompression_bomb(root / _image(extra[1]))
    drawn[extra[2]].append(("dent", (10, 10, 40, 40)))
    drawn[extra[5]] = [("crazing", (10, 10, 40, 40))]
    drawn["pitted_surface_2"].append(("pitted_surface", (SIDE + 5, 20, SIDE + 30, 60)))
    del drawn["pitted_surface_1"]
    traps = [
        Trap("unreadable_image", _image(extra[0]), "an image cut off"),
        Trap("unreadable_image", _image(extra[1]), "a header that claims 60,000 x 60,000 pixels"),
        Trap("unknown_class", _annotation(extra[2]), "a dent"),
        Trap("missing_image", _annotation(extra[5]), "an XML without its image"),
        Trap("empty_box", _annotation("pitted_surface_2"), "a box to the right of the image"),
        Trap("missing_truth", _image("pitted_surface_1"), "no XML"),
    ]
    if mishaps.link_out_of_tree(root, root / _image(extra[6])):
        traps.append(Trap("unsafe_path", _image(extra[6]), "a link out of the tree"))
    return traps


def _damage_annotations(root: Path, count: int) -> list[Trap]:
    """Damage the XML of two of the images that `_lost` added."""
    cut_off, bomb = (_annotation(f"crazing_{count + k}") for k in (4, 5))
    drawing.truncate(root / cut_off)
    entities = "".join(f'<!ENTITY e{k} "{f"&e{k - 1};" * 10}">' for k in range(1, 10))
    text = (root / bomb).read_text("utf-8").replace(".jpg", "&e9;")
    (root / bomb).write_text(f'<!DOCTYPE annotation [<!ENTITY e0 "ha">{entities}]>\n{text}', "utf-8")
    return [
        Trap("malformed_annotation", cut_off, "a truncated XML"),
        Trap("malformed_annotation", bomb, "an XML entity bomb of 10^9 words"),
    ]


def _image(stem: str) -> str:
    return f"IMAGES/{stem}.jpg"


def _annotation(stem: str) -> str:
    return f"ANNOTATIONS/{stem}.xml"


def _write_annotation(path: Path, filename: str, objects: _Objects) -> None:
    """Write a VOC file like the real ones: no declaration, depth 1 on three-channel images, 1-based inclusive boxes."""
    size = f"<size><width>{SIDE}</width><height>{SIDE}</height><depth>1</depth></size>"
    lines = ["<annotation>", f"\t<filename>{filename}</filename>", f"\t{size}"]
    for name, (x_min, y_min, x_max, y_max) in objects:
        corners = {"xmin": x_min + 1, "ymin": y_min + 1, "xmax": x_max, "ymax": y_max}
        box = "".join(f"<{tag}>{value}</{tag}>" for tag, value in corners.items())
        lines += ["\t<object>", f"\t\t<name>{name}</name>", f"\t\t<bndbox>{box}</bndbox>", "\t</object>"]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*lines, "</annotation>", ""]), "utf-8", newline="")


def _draw(rng: np.random.Generator, name: str, also: str | None = None) -> tuple[np.ndarray, _Objects]:
    """Draw an image with one to three defects of a class, and one of another class if requested."""
    level, grain, _ = _PAINTERS[name]
    fine, light = (drawing.smooth_noise(rng, SIDE, SIDE, scale) for scale in (1.0, 40.0))
    picture = level + grain * fine + 0.04 * light
    labels = [name] * int(rng.integers(2, 4)) + ([also] if also else [])
    objects: _Objects = []
    for label, number in zip(labels, rng.permutation(len(_QUARTERS)), strict=False):
        x, y = _QUARTERS[number]
        x_min, y_min = x + int(rng.integers(4, 18)), y + int(rng.integers(4, 18))
        width, height = int(rng.integers(60, 80)), int(rng.integers(60, 80))
        mask = _PAINTERS[label][2](rng, picture[y_min : y_min + height, x_min : x_min + width])
        left, top, right, bottom = drawing.box_of(mask)
        objects.append((label, (x_min + left, y_min + top, x_min + right, y_min + bottom)))
    return picture, objects


# Each paints its defect into a view of the image, shape (height, width), and returns the mask of its pixels.


def _crazing(rng: np.random.Generator, view: np.ndarray) -> np.ndarray:
    """Paint a net of fine dark cracks: the zero lines of a smooth field."""
    height, width = view.shape
    field = drawing.smooth_noise(rng, height, width, (3.0, 6.0))
    cracks = np.abs(field) < 0.16
    view[cracks] -= 0.3
    return cracks


def _inclusion(rng: np.random.Generator, view: np.ndarray) -> np.ndarray:
    """Paint a few dark slivers along the rolling direction."""
    height, width = view.shape
    mask = np.zeros(view.shape, dtype=bool)
    for _ in range(int(rng.integers(2, 4))):
        center = (height / 2 + rng.uniform(-12, 12), width / 2 + rng.uniform(-8, 8))
        mask |= drawing.blob(rng, height, width, center, (rng.uniform(12, 24), rng.uniform(2, 4)))
    view[mask] -= 0.22
    return mask


def _patches(rng: np.random.Generator, view: np.ndarray) -> np.ndarray:
    """Paint one large dark patch with a grainy surface."""
    height, width = view.shape
    mask = drawing.blob(rng, height, width, (height / 2, width / 2), (height * 0.36, width * 0.32))
    view[mask] -= 0.45 + 0.06 * drawing.smooth_noise(rng, height, width, 1.0)[mask]
    return mask


def _pitted_surface(rng: np.random.Generator, view: np.ndarray) -> np.ndarray:
    """Paint many small round pits."""
    height, width = view.shape
    mask = drawing.smooth_noise(rng, height, width, 1.7) > 1.3
    view[mask] -= 0.35
    return mask


def _rolled_in_scale(rng: np.random.Generator, view: np.ndarray) -> np.ndarray:
    """Paint dark flecks, drawn out sideways."""
    height, width = view.shape
    mask = drawing.smooth_noise(rng, height, width, (1.2, 5.0)) > 1.2
    view[mask] -= 0.28
    return mask


def _scratches(rng: np.random.Generator, view: np.ndarray) -> np.ndarray:
    """Paint a bright straight line."""
    height, width = view.shape
    y, x = drawing.grid(height, width)
    slope, half = rng.uniform(-0.5, 0.5), rng.uniform(1.5, 3.5)
    mask = np.abs(x - width / 2 - slope * (y - height / 2)) < half
    view[mask] += 0.5
    return mask


#: Class -> brightness and grain of the steel on which it is found, and the function that paints it.
_PAINTERS: dict[str, tuple[float, float, Callable[[np.random.Generator, np.ndarray], np.ndarray]]] = {
    "crazing": (0.65, 0.06, _crazing),
    "inclusion": (0.42, 0.02, _inclusion),
    "patches": (0.72, 0.09, _patches),
    "pitted_surface": (0.75, 0.02, _pitted_surface),
    "rolled-in_scale": (0.5, 0.04, _rolled_in_scale),
    "scratches": (0.3, 0.02, _scratches),
}
