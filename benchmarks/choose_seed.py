"""How the seed of the splits was chosen: the first one that balances the real NEU-DET (in RADIKAL_REAL)."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from pathlib import Path

from radikal_datasets import splits
from radikal_datasets.sources import builder_class

WANTED = {"train": (0.70, 1260), "validation": (0.15, 270), "test": (0.15, 270)}


def main() -> None:
    real = Path(os.environ.get("RADIKAL_REAL", Path(__file__).parents[2] / "shared" / "real"))
    with tempfile.TemporaryDirectory() as cache:
        builder = builder_class("neu_det")(data_dir=real / "neu_det", cache_dir=cache)
        examples = [example for rows in builder.index().splits.values() for example in rows]
    held = {e.image_id: {instance.label for instance in e.instances} for e in examples}
    units = splits.units((e.group, e.image_id, held[e.image_id]) for e in examples)
    total = Counter(label for labels in held.values() for label in labels)
    rarest_first = builder.SOURCE.configs[0].rarest_first()
    for seed in range(40):
        assigned = splits.cut("neu_det", units, rarest_first, seed=seed)
        worst, off = 0.0, 0
        for split, (share, images) in WANTED.items():
            rows = [example for example in examples if assigned[example.group] == split]
            labels = Counter(label for example in rows for label in held[example.image_id])
            worst = max(worst, *(abs(labels[label] / total[label] - share) for label in total))
            off = max(off, abs(len(rows) - images))
        verdict = "balanced" if worst <= 0.02 and off <= 3 else ""
        print(f"seed {seed:2}: a class off by at most {100 * worst:.2f} points, a split by {off} images {verdict}")


if __name__ == "__main__":
    main()
