"""Sample trees of a source, drawn for its checks, and the builders that read them."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ..building.builder import InspectionBuilder
from ..samples import Trap, Writer
from ..schema import Example
from ..source import Config

_Item = TypeVar("_Item")


@dataclass
class SampleTrees:
    """What the checks of one source share.

    Attributes:
        builder: the builder that is checked.
        write: draws its sample.
        folder: where trees and caches are kept; temporary.
        images: how many images of each configuration load from a sample.
        seed: of the samples.
    """

    builder: type[InspectionBuilder]
    write: Writer
    folder: Path
    images: int
    seed: int
    _traps: dict[str, list[Trap]] = field(default_factory=dict)

    @property
    def configs(self) -> list[Config]:
        """Its configurations that do not combine others."""
        return [config for config in self.builder.SOURCE.configs if not config.parts]

    @cached_property
    def intact(self) -> Path:
        """A tree with faults that the builder repairs, and no others."""
        return self.draw("intact")

    @cached_property
    def broken(self) -> Path:
        """A tree that also has faults which cost an image or a box."""
        return self.draw("broken", broken=True)

    @cached_property
    def disturbed(self) -> Path:
        """A copy of `intact` from which `without` takes files."""
        return Path(shutil.copytree(self.intact, self.folder / "disturbed"))

    def draw(self, name: str, *, broken: bool = False) -> Path:
        """Draw a tree; its traps are remembered for `planted`."""
        root = self.folder / name
        root.mkdir()
        self._traps[name] = self.write(root, self.images, np.random.default_rng(self.seed), broken)
        return root

    def planted(self, tree: Path) -> Counter[str]:
        """Return counter -> how often it must count, in a tree that `draw` drew."""
        counts: Counter[str] = Counter()
        for trap in self._traps[tree.name]:
            counts[trap.kind] += trap.count
        return counts

    def open(self, config: str, tree: Path | None = None, **options: Any) -> InspectionBuilder:
        """Return a new builder of a configuration for a tree, `intact` by default."""
        return self.builder(
            config_name=config, data_dir=str(tree or self.intact), cache_dir=str(self.folder / "cache"), **options
        )

    @contextmanager
    def without(self, path: str) -> Iterator[Path]:
        """Take one file out of `disturbed`, and put it back afterwards."""
        file, aside = self.disturbed / path, self.folder / "aside"
        file.rename(aside)
        try:
            yield self.disturbed
        finally:
            aside.rename(file)


def examples_of(builder: InspectionBuilder) -> dict[str, tuple[str, Example]]:
    """Return image_id -> split and example."""
    return {example.image_id: (split, example) for split, found in builder.index().splits.items() for example in found}


def spread(items: list[_Item], count: int) -> list[_Item]:
    """Return at most `count` items, evenly spread over the list."""
    step = max(1, -(-len(items) // count))
    return items[::step]
