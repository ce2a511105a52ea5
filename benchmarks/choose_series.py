"""Choose the split of each annotated casting of GDXray. Prints what `radikal_datasets/sources/gdxray.py` contains.

    python benchmarks/choose_series.py GDXray        (complete Castings: 67 series, 34 of them annotated)

Tries two million random assignments and takes the one that minimizes the largest deviation, in percentage points, from
15 % of the images, of the images with boxes and of the boxes outside C0055, for both validation and test. C0055 (42 %
of all boxes) stays in train, and so do C0001 and C0002, the only series of their kind. Validation and test each get a
wheel at 256x256 and a knuckle.
"""

from __future__ import annotations

import sys
from collections import defaultdict

import numpy as np

from radikal_datasets.sources import builder_class

SHARE, ROUNDS, TRIES = 15.0, 400, 5000
ALWAYS_TRAIN = {"C0001", "C0002", "C0055"}
KINDS = ({"C0045", "C0047", "C0051"}, {"C0054", "C0057", "C0060", "C0062", "C0065"})


def counts(root: str) -> dict[str, np.ndarray]:
    """Map each annotated series to its counts of images, images with boxes, and boxes."""
    table: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(3))
    builder = builder_class("gdxray")(config_name="castings", data_dir=root)
    for examples in builder.index().splits.values():
        for example in examples:
            if example.annotated:
                row = (1, bool(example.instances), len(example.instances))
                table[str(example.group).rpartition("/")[2]] += row
    return dict(sorted(table.items()))


def main() -> None:
    table = counts(sys.argv[1])
    total = sum(table.values())
    total[2] -= table["C0055"][2]
    names = [series for series in table if series != "C0055"]
    part = 100 * np.array([table[series] for series in names]) / total  # percent, (series, 3)
    kinds = [np.isin(names, sorted(kind)) for kind in KINDS]
    fixed = np.isin(names, sorted(ALWAYS_TRAIN))
    rng = np.random.default_rng(0)
    best = (np.inf, None, None)
    for _ in range(ROUNDS):
        draw = rng.random((TRIES, len(names)))
        chosen = [draw < SHARE / 100, (draw >= SHARE / 100) & (draw < 2 * SHARE / 100)]
        worst = np.max([np.abs(c @ part - SHARE).max(axis=1) for c in chosen], axis=0)
        allowed = np.all([c[:, kind].any(axis=1) for c in chosen for kind in kinds], axis=0)
        allowed &= ~np.any([c[:, fixed].any(axis=1) for c in chosen], axis=0)
        worst[~allowed] = np.inf
        k = int(worst.argmin())
        if worst[k] < best[0]:
            best = (worst[k], chosen[0][k], chosen[1][k])
    print(
        f"{len(table)} series; totals without C0055's boxes: {total.astype(int).tolist()}; worst {best[0]:.2f} points"
    )
    for split, mask in (("validation", best[1]), ("test", best[2])):
        print(f"{split}: {', '.join(np.array(names)[mask])}   " + "  ".join(f"{v:.1f} %" for v in mask @ part))


if __name__ == "__main__":
    main()
