"""A synthetic GDXray: five groups of drawn images; series have names of real ones, which determine their splits."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import scipy.io

from . import Trap
from . import gdxray_scenes as scenes
from .drawing import save, save_mask, truncate
from .mishaps import decompression_bomb, link_out_of_tree

_TEXT = "ground_truth.txt"
_MAT = "BoundingBox.mat"

# Series and the weight of each in the number of images. Castings' splits are a fact of the source: C0032 and C0037 are
# validation, C0010 and C0024 test. C0003 has no annotation; C0034's and C0044's prove nothing.
_CASTINGS = {
    **{"C0001": 48, "C0002": 20, "C0029": 24, "C0041": 24, "C0055": 10, "C0032": 16, "C0037": 18, "C0010": 16},
    **{"C0024": 18, "C0003": 3, "C0034": 2, "C0044": 2},
}
_WELDS = {"W0001": 4, "W0003": 4, "W0004": 4, "W0005": 1}
_BAGGAGE = {"B0001": 4, "B0004": 4, "B0031": 2, "B0046": 4, "B0002": 1}
_NATURE = {"N0001": 4, "N0002": 4, "N0003": 4, "N0004": 1}
_SETTINGS = {"S0001": 4, "S0002": 4, "S0003": 4, "S0004": 1}

Row = tuple[float, ...]


def write(root: Path, images: int, rng: np.random.Generator, broken: bool) -> list[Trap]:
    """Draw `images` images per group; see `radikal_datasets.samples.make_sample`."""
    return [
        *_castings(root / "Castings", images, rng, broken),
        *_welds(root / "Welds", images, rng, broken),
        *_baggage(root / "Baggages", images, rng),
        *_simple_group(root / "Nature", _NATURE, images, rng, scenes.fruit),
        *_simple_group(root / "Settings", _SETTINGS, images, rng, scenes.phantom),
        *(_broken_table(root / "Nature" / "N0005", rng) if broken else []),
    ]


def _castings(group: Path, images: int, rng: np.random.Generator, broken: bool) -> list[Trap]:
    traps: list[Trap] = []
    for series, count in _shares(_CASTINGS, images).items():
        folder = group / series
        part = scenes.Casting(rng, series)
        rows: list[Row] = []
        for number in range(1, count + 1):
            # Every fifth image is clean. C0041 has an even number of rows: 5 would be its known partial annotation.
            defects = 2 if series == "C0041" else 0 if number % 5 == 0 else int(rng.integers(1, 4))
            at_edge = series == "C0024" and number == 1
            image, boxes = part.draw(rng, number, defects, at_edge)
            save(folder / f"{series}_{number:04d}.png", image)
            rows += [_integer_row(number, box) for box in boxes]
        if series == "C0003":
            continue
        _write_readme(folder, "wheel", count)
        traps += _write_casting(folder, series, rows)
        if broken and series in ("C0001", "C0002"):
            traps += _break_casting(folder, series, count, part, rng)
    if broken:
        traps += _cut_off_series(group / "C0043", rng)
    return traps


def _write_casting(folder: Path, series: str, rows: list[Row]) -> list[Trap]:
    """Write a series' annotation with the peculiarities of the real one."""
    where = f"Castings/{series}"
    if series == "C0034":
        _write_mat(folder / _MAT, rows[:1])
        return [Trap("partial_truth", f"{where}/{_MAT}", "one row of image 1 and no text: series is unlabeled")]
    if series == "C0044":
        _write_mat(folder / _MAT, [])
        return [Trap("empty_truth", f"{where}/{_MAT}", "a 0x0 table and no text: series is unlabeled")]
    if series == "C0029":
        _write_mat(folder / _MAT, rows)
        return [Trap("mat_truth", f"{where}/{_MAT}", "an annotation only as a MATLAB file")]
    if series == "C0037":
        name = "Xgdxannotate('C',37)"
        _write_rows(folder / name, rows)
        return [Trap("misnamed_truth", f"{where}/{name}", "an annotation under another name, without extension")]
    _write_rows(folder / _TEXT, rows)
    if series == "C0001":
        _write_mat(folder / _MAT, rows)
        _write_rows(folder / "ManipulatorPosition.txt", [(1.27, 88.0, 510.0, 0.03, 0.0, 0.01 * k) for k in range(3)])
        (folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    if series == "C0002":
        (folder / "display_demo.m").write_text("% synthetic\n", encoding="ascii")
    if series == "C0041":
        _write_rows(folder / "ground_truth.txt;", rows[:1])
        return [
            Trap("stray_truth", f"{where}/ground_truth.txt;", "a second annotation file that holds some of the rows")
        ]
    if series == "C0024":
        return [Trap("clipped_box", f"{where}/{_TEXT}", "a box that ends at x = width + 1")]
    return []


def _break_casting(folder: Path, series: str, count: int, part: scenes.Casting, rng: np.random.Generator) -> list[Trap]:
    """Add faults in images after the `count` good ones."""
    where = f"Castings/{series}"
    new = [f"{series}_{count + k:04d}.png" for k in (1, 2, 3)]
    image, boxes = part.draw(rng, count + 1, 1, False)
    save(folder / new[0], image)
    if series == "C0001":
        truncate(folder / new[0])
        _write_rows(folder / _TEXT, [_integer_row(count + 70, boxes[0]), (1, 900, 940, 20, 50)], "a")
        decompression_bomb(folder / new[1])
        traps = [
            Trap("unreadable_image", f"{where}/{new[0]}", "truncated after 60 % of its bytes"),
            Trap("unreadable_image", f"{where}/{new[1]}", "a header that claims 60,000 x 60,000 pixels"),
            Trap("missing_image", f"{where}/{_TEXT}", "a row for an image that does not exist"),
            Trap("empty_box", f"{where}/{_TEXT}", "a box outside the image"),
        ]
        if link_out_of_tree(folder.parent.parent, folder / new[2]):
            traps.append(Trap("unsafe_path", f"{where}/{new[2]}", "a link out of the tree"))
        return traps
    with (folder / _TEXT).open("a", encoding="ascii", newline="\n") as file:
        file.write(f"   {count + 1:.7e}   1.0000000e+01   abc   2.0000000e+01   4.0000000e+01\n")
    return [Trap("malformed_annotation", f"{where}/{_TEXT}", "a word where a number belongs")]


def _cut_off_series(folder: Path, rng: np.random.Generator) -> list[Trap]:
    part = scenes.Casting(rng, folder.name)
    rows = []
    for number in (1, 2):
        image, boxes = part.draw(rng, number, 2, False)
        save(folder / f"{folder.name}_{number:04d}.png", image)
        rows += [_integer_row(number, box) for box in boxes]
    _write_rows(folder / _TEXT, rows)
    truncate(folder / _TEXT, 0.8)
    what = "a truncated annotation file: which images lack a row is unknown"
    return [Trap("malformed_annotation", f"Castings/{folder.name}/{_TEXT}", what, 2)]


def _welds(group: Path, images: int, rng: np.random.Generator, broken: bool) -> list[Trap]:
    traps: list[Trap] = []
    for series, count in _shares(_WELDS, images).items():
        rows: list[Row] = []
        wrong = broken and series == "W0001"
        for number in range(1, count + 1 + wrong):
            image, mask, boxes = scenes.weld(rng, defects=0 if number % 4 == 0 else 2)
            save(group / series / f"{series}_{number:04d}.png", image)
            rows += [_integer_row(number, box) for box in boxes]
            if series == "W0001":
                save_mask(group / "W0002" / f"W0002_{number:04d}.png", mask if number <= count else mask[:, :-8])
        if wrong:
            path = f"Welds/W0002/W0002_{count + 1:04d}.png"
            traps.append(Trap("mask_size", path, "a mask 8 pixels narrower than its image"))
        if series in ("W0003", "W0004"):
            _write_rows(group / series / _TEXT, rows)
    return traps


def _baggage(group: Path, images: int, rng: np.random.Generator) -> list[Trap]:
    traps: list[Trap] = []
    for series, count in _shares(_BAGGAGE, images).items():
        rows: list[Row] = []
        outside = 0
        for number in range(1, count + 1):
            image, corners, clipped = scenes.bag(rng, over_the_edge=series == "B0046" and number == 1)
            save(group / series / f"{series}_{number:04d}.png", image)
            outside += clipped
            if series == "B0046":
                rows.append((number, *(corners + 0.5).ravel()))
            else:
                # Half pixels, as in real rows of baggage.
                (x1, y1), (x2, y2) = np.floor(corners.min(axis=0)), np.ceil(corners.max(axis=0))
                ys = (y2, y1) if series == "B0031" else (y1, y2)
                rows.append((number, x1 + 0.5, x2 + 0.5, ys[0] + 0.5, ys[1] + 0.5))
        if series != "B0002":
            _write_rows(group / series / _TEXT, rows)
        where = f"Baggages/{series}/{_TEXT}"
        if series == "B0031":
            traps.append(Trap("swapped_corners", where, "y in the wrong order in every row", len(rows)))
        if outside:
            traps.append(Trap("clipped_box", where, "nine columns, corners outside the image", outside))
        if series == "B0004":
            _write_rows(group / series / "razor_blades.txt", rows[:1])
    return traps


def _simple_group(
    group: Path,
    weights: Mapping[str, int],
    images: int,
    rng: np.random.Generator,
    scene: Callable[[np.random.Generator, int], tuple[np.ndarray, list[scenes.Box]]],
) -> list[Trap]:
    """Draw series with simple annotations, except for the last, which is unannotated."""
    for series, count in _shares(weights, images).items():
        rows: list[Row] = []
        for number in range(1, count + 1):
            image, boxes = scene(rng, number)
            save(group / series / f"{series}_{number:04d}.png", image)
            rows += [_integer_row(number, box) for box in boxes]
        if series != list(weights)[-1]:
            _write_rows(group / series / _TEXT, rows)
    return []


def _broken_table(folder: Path, rng: np.random.Generator) -> list[Trap]:
    image, _ = scenes.fruit(rng, 1)
    save(folder / f"{folder.name}_0001.png", image)
    (folder / _MAT).write_bytes(b"not a table" * 20)
    return [Trap("malformed_annotation", f"Nature/{folder.name}/{_MAT}", "a file that is not a MATLAB file")]


def _shares(weights: Mapping[str, int], images: int) -> dict[str, int]:
    """Divide a number of images among series by weight; at least one each, the remainder to the first."""
    total = sum(weights.values())
    counts = {series: max(1, images * weight // total) for series, weight in weights.items()}
    counts[next(iter(counts))] += images - sum(counts.values())
    return counts


def _integer_row(number: int, box: scenes.Box) -> Row:
    """Return integers a half pixel outside the object: pixel k spans k - 0.5 to k + 0.5 in MATLAB's frame."""
    x_min, y_min, x_max, y_max = box
    return (number, x_min, x_max + 1, y_min, y_max + 1)


def _write_rows(path: Path, rows: Sequence[Row], mode: str = "w") -> None:
    with path.open(mode, encoding="ascii", newline="\n") as file:
        file.writelines("".join(f"{value:16.7e}" for value in row) + "\n" for row in rows)


def _write_mat(path: Path, rows: Sequence[Row]) -> None:
    table = np.array(rows, dtype=np.uint16).reshape(len(rows), 5) if rows else np.zeros((0, 0), np.uint8)
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, {"bb": table})
    # The first 116 bytes are free text, where scipy writes the time: same seed, same bytes.
    path.write_bytes(b"MATLAB 5.0 MAT-file, synthetic".ljust(116) + buffer.getvalue()[116:])


def _write_readme(folder: Path, part: str, count: int) -> None:
    text = f"Synthetic, drawn by a program.\n\n   set: {folder.name} <{part}>\nimages: {count}\n"
    (folder / f"{folder.name}_readme.txt").write_text(text, encoding="ascii", newline="\n")
