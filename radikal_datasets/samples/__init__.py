"""Small made-up raw trees in each source's own layout, drawn from a seed: for tests, the demo and anybody's dry run.

No pixel of them comes from a real data set. What was planted in a tree is written beside it, never into it.
"""

from __future__ import annotations

import importlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ..raw.archives import new_folder
from ..sources import source_info


@dataclass(frozen=True)
class Trap:
    """Something planted in a sample tree.

    Attributes:
        kind: the counter of `radikal_datasets.report` under which it must show up.
        path: the file it sits in, below the root.
        what: in words.
        count: how often that counter must count it.
    """

    kind: str
    path: str
    what: str
    count: int = 1


def make_sample(source: str, out: str | Path, *, images: int = 24, seed: int = 0, broken: bool = False) -> list[Trap]:
    """Draws a sample tree.

    Args:
        source: name of a source.
        out: the root to make; must not exist, or be empty.
        images: how many images load for each configuration, whatever is planted.
        seed: the same seed gives the same bytes.
        broken: plant mishaps that cost an image or a box as well, each on top of `images`. Without it only what the
            builder repairs is planted.

    Returns:
        What was planted; also in `<out>.traps.json`.

    Raises:
        UnknownSourceError: no such source.
        FileExistsError: `out` holds something already.
        ValueError: fewer than 12 images, too few to plant every trap in.
    """
    source_info(source)
    out = Path(out)
    if images < 12:
        raise ValueError(f"images={images}: a sample needs at least 12, so that every split and trap has one.")
    if out.exists():
        if not out.is_dir() or any(out.iterdir()):
            raise FileExistsError(f"{out} is there already. Give a new folder or remove it.")
        out.rmdir()
    module = importlib.import_module(f"{__name__}.{source}")
    with new_folder(out) as unfinished:
        traps: list[Trap] = module.write(unfinished, images, np.random.default_rng(seed), broken)
    notes = {
        "made_up": "Every image of this tree is drawn by a program. None is real.",
        "source": source,
        "seed": seed,
        "images": images,
        "broken": broken,
        "traps": [asdict(trap) for trap in traps],
    }
    out.with_name(f"{out.name}.traps.json").write_text(json.dumps(notes, indent=1), encoding="utf-8")
    return traps
