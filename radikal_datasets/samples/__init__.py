"""Small synthetic raw trees in each source's own layout, drawn from a seed: for tests, the demo and dry runs.

No pixel comes from a real dataset. The faults in a tree are listed beside it, never inside it.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import numpy as np

from .. import plug_ins
from ..errors import PlugInError, UnknownSourceError
from ..raw.archives import new_folder
from ..sources import OWN, builder_class, built_in_names, plain_name, source_names


@dataclass(frozen=True)
class Trap:
    """A deliberate fault in a sample tree.

    Attributes:
        kind: the counter of `radikal_datasets.report` under which it must show up.
        path: the file that contains it, below the root.
        what: in words.
        count: how often that counter must count it.
    """

    kind: str
    path: str
    what: str
    count: int = 1


#: Draws a tree: root, number of images, generator, whether to add faults that cost images -> what was planted.
Writer = Callable[[Path, int, np.random.Generator, bool], list[Trap]]


def make_sample(source: str, out: str | Path, *, images: int = 24, seed: int = 0, broken: bool = False) -> list[Trap]:
    """Generate a sample tree.

    Args:
        source: name of a source.
        out: the root to create; must not exist, or be empty.
        images: how many images load for each configuration, whatever faults are added.
        seed: the same seed gives the same bytes.
        broken: also add faults that cost an image or a box, each in addition to `images`. Without it, there are only
            faults that the builder repairs.

    Returns:
        The faults; also written to `<out>.traps.json`.

    Raises:
        UnknownSourceError: no such source.
        PlugInError: the source is another package's, which draws no sample of it.
        FileExistsError: `out` is not empty.
        ValueError: fewer than 12 images, too few to hold every fault.
    """
    source = plain_name(source)
    builder_class(source)  # an unknown name is the first thing to say
    out = Path(out)
    if images < 12:
        raise ValueError(f"images={images} is too few. A sample needs at least 12 to fill every split.")
    if out.exists():
        if not out.is_dir() or any(out.iterdir()):
            raise FileExistsError(f"{out} already exists and is not empty. Choose a new folder or remove it.")
        out.rmdir()
    write = writer_of(source)
    with new_folder(out) as unfinished:
        traps = write(unfinished, images, np.random.default_rng(seed), broken)
    notes = {
        "made_up": "Every image in this tree was drawn by a program. None is real.",
        "source": source,
        "seed": seed,
        "images": images,
        "broken": broken,
        "traps": [asdict(trap) for trap in traps],
    }
    out.with_name(f"{out.name}.traps.json").write_text(json.dumps(notes, indent=1), encoding="utf-8")
    return traps


def writer_of(source: str) -> Writer:
    """Return the function that draws the sample of a source.

    Raises:
        UnknownSourceError: no sample is drawn of own images.
        PlugInError: the source is another package's, which draws no sample of it.
    """
    if source == OWN:
        raise UnknownSourceError(
            f"{OWN} stands for your own images, of which no sample is drawn. Choose one of {', '.join(source_names())}."
        )
    if source in built_in_names():
        return importlib.import_module(f"{__name__}.{source}").write
    try:
        write = plug_ins.load(plug_ins.SAMPLES, source)
    except KeyError:
        package = plug_ins.offering(plug_ins.SOURCES, source) or "radikal-datasets"
        raise PlugInError(
            f"{package} draws no sample of {source}. It needs an entry point in the group {plug_ins.SAMPLES}."
        ) from None
    if not callable(write):
        raise plug_ins.broken(plug_ins.SAMPLES, source, "it is not a function write(root, images, rng, broken)")
    return cast(Writer, write)
