"""Look for images that are in two splits of a run's dataset, once for each dataset, and record what was found."""

from __future__ import annotations

import hashlib
import json
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import datasets
import datasets.config

from radikal_datasets.errors import RadikalError
from radikal_datasets.files import write_atomically
from radikal_datasets.leaks import Leaks, examine
from radikal_datasets.leaks.image_set import of_rows
from training.audit.facts import DATA_CHECK

#: Larger sets are not examined after a run: 16,000 images take 208 s on two cores (benchmarks/results/leaks.md).
MOST_IMAGES = 20_000
_VERSION = 1
_SHOWN = 5


def check_data(run: Path, splits: Mapping[Any, datasets.Dataset]) -> None:
    """Write `report/data_check.json`; if that is impossible, the reason is written in its place, or printed.

    The result is kept in the cache of `datasets`, by the contents of the dataset, so that a second run finds it there.
    """
    file = run / "report" / DATA_CHECK
    try:
        write_atomically(file, json.dumps(_checked(splits), indent=2) + "\n")
    except KeyboardInterrupt:  # the run itself is complete
        print("The search for images in two splits was stopped. The run is complete.", file=sys.stderr, flush=True)
    except (RadikalError, OSError, ValueError) as error:
        print(f"warning: images in two splits were not searched for: {error}", file=sys.stderr, flush=True)


def _checked(splits: Mapping[Any, datasets.Dataset]) -> dict[str, Any]:
    count = sum(len(split) for split in splits.values())
    if count > MOST_IMAGES:
        return {"images": count, "not_checked": f"the dataset has more than {MOST_IMAGES:,} images"}
    images = of_rows(splits)
    digest = hashlib.sha256(f"{_VERSION}".encode())
    for item, data in zip(images.items, images.stream(), strict=True):
        digest.update(repr((item.split, item.image_id, item.group, item.labels, item.boxes)).encode())
        digest.update(hashlib.sha256(data or b"").digest())
    cached = Path(datasets.config.HF_DATASETS_CACHE, "radikal_data_checks", f"{digest.hexdigest()}.json")
    if cached.is_file():
        return json.loads(cached.read_text(encoding="utf-8"))
    print(f"Searching {count:,} images for copies in two splits, once for this dataset.", flush=True)
    found = {"images": count, "sha256": digest.hexdigest(), **summary(examine(images))}
    write_atomically(cached, json.dumps(found))
    return found


def summary(leaks: Leaks) -> dict[str, Any]:
    """Return counts of what was found, for JSON.

    `held_out`: for validation and test, the images that a less held-out split also shows: test outranks validation,
    validation outranks train. `pairs`: kind -> pairs across splits, `examples` some of them.
    """
    rank = {"test": 2, "validation": 1}
    held_out: dict[str, set[str]] = {}
    for pair in leaks.across:
        higher = max((pair.first, pair.second), key=lambda item: rank.get(item.split, 0))
        held_out.setdefault(higher.split, set()).add(higher.image_id)
    return {
        "pairs": dict(Counter(pair.kind for pair in leaks.across)),
        "held_out": {split: len(ids) for split, ids in sorted(held_out.items())},
        "examples": [
            {"images": [pair.first.image_id, pair.second.image_id], "splits": [pair.first.split, pair.second.split]}
            for pair in leaks.across[:_SHOWN]
        ],
        "groups_in_two_splits": len(leaks.groups),
        "conflicts": len(leaks.conflicts),
        "lookalike_sets": len(leaks.lookalikes),
        "boxes_to_check": len(leaks.mistakes),
        "undecodable": len(leaks.undecodable),
    }
