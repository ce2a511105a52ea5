"""Synthetic circuit boards in DeepPCB's layout: binarized traces, planes and pads, with the six kinds of defect."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from . import Trap, drawing, mishaps

#: The real images have 640 pixels at the same scale: these are a quarter of one.
SIDE = 320
_TYPES = ("open", "short", "mousebite", "spur", "spurious_copper", "pin_hole")
#: Board -> its first number. Together these boards fill every split of every protocol.
_BOARDS = {"20085": 0, "44000": 11, "12100": 0}
_TRACE, _PLANE, _GAP = 18, 46, 24
#: Minimum distance between defects, in pixels, so that no box holds two.
_APART = 52


@dataclass
class _Board:
    """A crop of a board. `u` is x straightened: traces run along constant u; x = u + shift[y].

    Attributes:
        copper: boolean (SIDE, SIDE), the template.
        lanes: (u_min, u_max) of each strip of copper, left to right.
        voids: u of the center of the wide strips without copper.
        shift: of each row, in pixels.
        taken: (y, x) of pads and of defects.
    """

    copper: np.ndarray
    lanes: list[tuple[float, float]]
    voids: list[float]
    shift: np.ndarray
    taken: list[tuple[float, float]] = field(default_factory=list)


def write(root: Path, images: int, rng: np.random.Generator, broken: bool) -> list[Trap]:
    """Draw `images` pairs; see `radikal_datasets.samples.make_sample`."""
    few = max(2, images // 6)
    share = {"20085": images - 2 * few, "44000": few, "12100": few}
    lists: dict[str, list[str]] = {"trainval.txt": [], "test.txt": []}
    traps = []
    for board, count in share.items():
        for k in range(count):
            key = _key(board, _BOARDS[board] + k)
            main = board == "20085"
            _write_pair(root, key, rng, rgb=main and k == 3)
            if main:
                traps += _repaired(root, key, k)
            if broken and main and k == 6:  # the official protocol has no split for it
                traps.append(Trap("unlisted_pair", f"{key}_test.jpg", "a pair that neither list names"))
            else:
                # Like 7 of the real boards, the first is in both of the publisher's lists.
                in_test = board == "12100" or (main and k % 8 == 7)
                lists["test.txt" if in_test else "trainval.txt"].append(key)
    orphan = "group90100/90100/90100034_temp.jpg"
    drawing.save(root / orphan, _as_image(_draw_board(rng).copper))
    traps.append(Trap("orphan_template", orphan, "a template without a tested image"))
    if broken:
        traps += _lost(root, rng, share["20085"], lists)
    for name, keys in lists.items():
        # The lists name a .jpg that never exists, and have no final newline.
        (root / name).write_text(
            "\n".join(f"{key}.jpg {_annotation(key)}" for key in keys), encoding="utf-8", newline=""
        )
    return traps


def _key(board: str, number: int) -> str:
    return f"group{board}/{board}/{board}{number:03d}"


def _annotation(key: str) -> str:
    folder, _, stem = key.rpartition("/")
    return f"{folder}_not/{stem}.txt"


def _repaired(root: Path, key: str, k: int) -> list[Trap]:
    """Make the annotation of the first board's pair `k` unusual; most variants occur in the real files, too."""
    path = root / _annotation(key)
    lines = path.read_text(encoding="utf-8").splitlines()
    traps = []
    if k == 0:
        lines = [line.replace(" ", ",") for line in lines]
    elif k == 4:
        lines.append(lines[0])
        traps.append(Trap("duplicate_box", _annotation(key), "the first line repeated at the end"))
    elif k == 5:
        x1, y1, x2, y2, kind = lines[0].split()
        lines[0] = f"{x2} {y1} {x1} {y2} {kind}"
        traps.append(Trap("swapped_corners", _annotation(key), "x2 before x1 in the first line"))
    end = "\r\n" if k == 1 else "\n"
    path.write_text(end.join(lines) + ("" if k == 2 else end), encoding="utf-8", newline="")
    return traps


def _lost(root: Path, rng: np.random.Generator, count: int, lists: dict[str, list[str]]) -> list[Trap]:
    """Add faults: to the first pairs, where the image is kept, and to additional pairs, where it is not."""
    first = [_key("20085", k) for k in range(7)]
    traps = [
        Trap("unreadable_reference", f"{first[0]}_temp.jpg", "a truncated template"),
        Trap("unreadable_reference", f"{first[1]}_temp.jpg", "no template"),
        Trap("empty_box", _annotation(first[2]), "a box to the right of the image"),
        Trap("missing_truth", _annotation(first[3]), "no text file"),
        Trap("missing_truth", _annotation(first[6]), "an empty text file"),
    ]
    drawing.truncate(root / f"{first[0]}_temp.jpg")
    (root / f"{first[1]}_temp.jpg").unlink()
    with (root / _annotation(first[2])).open("a", encoding="utf-8") as file:
        file.write(f"\n{SIDE + 10} 20 {SIDE + 40} 50 1")
    (root / _annotation(first[3])).unlink()
    (root / _annotation(first[6])).write_bytes(b"")

    extra = [_key("20085", count + k) for k in range(6)]
    lists["trainval.txt"] += extra[:5]
    for key in extra[:4]:
        _write_pair(root, key, rng)
    drawing.truncate(root / f"{extra[0]}_test.jpg")
    mishaps.decompression_bomb(root / f"{extra[1]}_test.jpg")
    (root / _annotation(extra[2])).write_text("10 10 40 40\n", encoding="utf-8")
    (root / _annotation(extra[3])).write_text("10 10 40 40 7\n", encoding="utf-8")
    traps += [
        Trap("unreadable_image", f"{extra[0]}_test.jpg", "a truncated test image"),
        Trap("unreadable_image", f"{extra[1]}_test.jpg", "a header that claims 60,000 x 60,000 pixels"),
        Trap("malformed_annotation", _annotation(extra[2]), "a line of four numbers"),
        Trap("unknown_class", _annotation(extra[3]), "type 7"),
        Trap("missing_image", "trainval.txt", f"a line for {extra[4]}, which does not exist"),
    ]
    if mishaps.link_out_of_tree(root, root / f"{extra[5]}_test.jpg"):
        traps.append(Trap("unsafe_path", f"{extra[5]}_test.jpg", "a link out of the tree"))
    return traps


def _write_pair(root: Path, key: str, rng: np.random.Generator, rgb: bool = False) -> None:
    board = _draw_board(rng)
    drawing.save(root / f"{key}_temp.jpg", _as_image(board.copper), rgb=rgb)
    tested = board.copper.copy()
    lines = []
    for number in rng.permutation(np.arange(int(rng.integers(6, 9))) % len(_TYPES)):
        changed = _draw_defect(rng, board, tested, _TYPES[number])
        if changed is not None:
            # The publisher's boxes leave some margin around a defect.
            x_min, y_min, x_max, y_max = drawing.box_of(changed)
            box = (max(x_min - 5, 0), max(y_min - 5, 0), min(x_max + 5, SIDE - 1), min(y_max + 5, SIDE - 1))
            lines.append(" ".join(map(str, (*box, number + 1))))
    drawing.save(root / f"{key}_test.jpg", _as_image(tested), rgb=rgb)
    annotation = root / _annotation(key)
    annotation.parent.mkdir(parents=True, exist_ok=True)
    annotation.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="")


def _as_image(copper: np.ndarray) -> np.ndarray:
    return np.where(copper, np.uint8(0), np.uint8(255))


def _draw_board(rng: np.random.Generator) -> _Board:
    y, x = drawing.grid(SIDE, SIDE)
    # All traces bend together, at 45 degrees.
    start, length = rng.uniform(60, 200), rng.choice([-1, 1]) * rng.uniform(0, 50)
    shift = np.sign(length) * np.clip(y[:, 0] - start, 0, abs(length))
    u = x - shift[:, None] + 0.5 * drawing.smooth_noise(rng, SIDE, SIDE, 1.0)
    lanes: list[tuple[float, float]] = []
    voids: list[float] = []
    edge = -rng.uniform(60, 80)
    # Every crop has traces, planes and voids, in a different order, so that each kind of defect fits somewhere.
    while edge < SIDE + 60:
        for strip in rng.permutation(["trace", "trace", "trace", "plane", "void"]):
            if strip == "void":
                voids.append(edge + 8)
                edge += 40
                continue
            width = _TRACE if strip == "trace" else _PLANE
            lanes.append((edge, edge + width))
            edge += width + _GAP
    copper = np.zeros((SIDE, SIDE), dtype=bool)
    for u_min, u_max in lanes:
        copper |= (u >= u_min) & (u < u_max)
    board = _Board(copper, lanes, voids, shift)
    for u_min, u_max in lanes:
        if rng.random() < 0.5:
            row = int(rng.integers(20, SIDE - 20))
            center = (row, (u_min + u_max) / 2 + shift[row])
            distance = np.hypot(y - center[0], x - center[1])
            copper |= distance < (u_max - u_min) / 2 + 5
            copper &= distance > 5
            board.taken.append(center)
    return board


def _draw_defect(rng: np.random.Generator, board: _Board, tested: np.ndarray, kind: str) -> np.ndarray | None:
    """Draw one defect into `tested`; return the pixels that changed, or None if no room was found."""
    for _ in range(60):
        row = int(rng.integers(24, SIDE - 24))
        lane = int(rng.integers(len(board.lanes)))
        u_min, u_max = board.lanes[lane]
        side = rng.choice([u_min, u_max])
        broad = u_max - u_min > _TRACE + 1
        size = rng.uniform(5, 7)
        if kind == "open":
            u, radii, adds, fits = (u_min + u_max) / 2, (size, _TRACE * 0.85), False, not broad
        elif kind == "short":
            following = board.lanes[lane + 1][0] if lane + 1 < len(board.lanes) else np.inf
            u, radii, adds, fits = u_max + _GAP / 2, (size, _GAP * 0.75), True, following - u_max <= _GAP + 1
        elif kind == "mousebite":
            u, radii, adds, fits = side, (size, size + 2), False, True
        elif kind == "spur":
            u, radii, adds, fits = side, (size, size + 2), True, True
        elif kind == "spurious_copper":
            u, radii, adds, fits = rng.choice(board.voids), (size, size), True, True
        else:
            u, radii, adds, fits = (u_min + u_max) / 2 + rng.uniform(-8, 8), (size, size), False, broad
        center = (row, u + board.shift[row])
        near = min((np.hypot(row - y, center[1] - x) for y, x in board.taken), default=np.inf)
        if fits and 24 <= center[1] < SIDE - 24 and near >= _APART:
            board.taken.append(center)
            drawn = drawing.blob(rng, SIDE, SIDE, center, radii)
            changed = drawn & (tested != adds)
            tested[drawn] = adds
            return changed
    return None
