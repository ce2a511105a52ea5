"""Choose the split of each of DeepPCB's 11 boards. Prints what `radikal_datasets/sources/deeppcb.py` contains.

    python benchmarks/choose_boards.py PCBData        (the complete set: 1,500 pairs)

A unit is an entire board, so there are few enough assignments to try all of them. The best one minimizes the largest
deviation, in percentage points, from the target share of the images, of all boxes and of the boxes of each of the six
classes.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

SHARE = 15.0
#: Boards in the partial dataset that this project's own tests train on: it should have a validation split as well.
PARTIAL_SET = {"group00041", "group12000", "group44000", "group90100"}
COLUMNS = ("images", "open", "short", "mousebite", "spur", "spurious_copper", "pin_hole", "boxes")

Counts = Mapping[str, np.ndarray]


def counts(root: Path, lists: Iterable[str]) -> Counts:
    """Map each board to its counts of images, boxes of type 1 to 6, and boxes, over the pairs in the lists."""
    table: dict[str, np.ndarray] = {}
    for name in lists:
        for line in (root / name).read_text().splitlines():
            _, label_file = line.split()
            row = table.setdefault(label_file.split("/")[0], np.zeros(len(COLUMNS)))
            kinds = [int(text.split()[4]) for text in (root / label_file).read_text().splitlines() if text.strip()]
            row[0] += 1
            row[-1] += len(kinds)
            np.add.at(row, kinds, 1)
    return table


def deviation(table: Counts, boards: Iterable[str]) -> float:
    """Return the largest deviation of the boards' shares from `SHARE` over all columns, in percentage points."""
    return float(np.abs(shares(table, boards) - SHARE).max())


def shares(table: Counts, boards: Iterable[str]) -> np.ndarray:
    """Return the boards' share of each column, in percent."""
    return 100 * sum(table[board] for board in boards) / sum(table.values())


def subsets(boards: Iterable[str]) -> list[frozenset[str]]:
    boards = sorted(boards)
    return [frozenset(c) for size in range(1, len(boards)) for c in itertools.combinations(boards, size)]


def show(title: str, table: Counts, boards: Iterable[str]) -> None:
    figures = "  ".join(f"{name} {share:.1f} %" for name, share in zip(COLUMNS, shares(table, boards), strict=True))
    print(f"{title}: {', '.join(sorted(boards))}\n   {figures}\n   worst {deviation(table, boards):.1f} points")


def main() -> None:
    root = Path(sys.argv[1])
    train = counts(root, ["trainval.txt"])
    tested = counts(root, ["test.txt"])
    print("boards with images in the publisher's train split only:", sorted(set(train) - set(tested)) or "none")
    ranked = sorted(subsets(train), key=lambda boards: deviation(train, boards))
    show("recommended, validation, any boards", train, ranked[0])
    show("recommended, validation, with a board of the partial set", train, next(b for b in ranked if b & PARTIAL_SET))

    everything = counts(root, ["trainval.txt", "test.txt"])
    near = [boards for boards in subsets(everything) if deviation(everything, boards) < 5]
    pairs = [(v, t) for v, t in itertools.permutations(near, 2) if not v & t]
    pairs.sort(key=lambda pair: (max(deviation(everything, b) for b in pair), sorted(pair[0])))
    for title, chosen in (
        ("any boards", pairs[0]),
        ("all splits in the partial set", next(p for p in pairs if all(b & PARTIAL_SET for b in p))),
    ):
        show(f"70-15-15, {title}, validation", everything, chosen[0])
        show(f"70-15-15, {title}, test", everything, chosen[1])


if __name__ == "__main__":
    main()
