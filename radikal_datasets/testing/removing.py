"""Checks of what happens when a file is missing: no defective image turns clean, no annotation is lost unreported."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import PurePosixPath

from ..building.builder import InspectionBuilder
from ..errors import RadikalError
from ..report import Effect
from ..schema import Example
from .sample_trees import SampleTrees, examples_of, spread

_PER_FOLDER = 4  # files that are removed, one at a time, of each folder and suffix
_PER_CONFIG = 16


def removed_annotations(trees: SampleTrees) -> Iterator[str]:
    """A file with annotations that is missing makes no defective image a defect-free one."""
    for config in trees.configs:
        builder = trees.open(config.name)
        before = examples_of(builder)
        for path in _annotation_files(builder, before):
            with trees.without(path) as tree:
                try:
                    after = examples_of(trees.open(config.name, tree))
                except RadikalError:
                    continue  # refusing the tree is an answer as well
            for image_id, (_, example) in after.items():
                had = image_id in before and before[image_id][1].instances
                if had and example.annotated and not example.instances:
                    yield (
                        f"{config.name}: without {path}, {example.image} counts as defect-free, although it is not. "
                        "Report missing_truth and set example.annotated = False."
                    )


def _annotation_files(builder: InspectionBuilder, examples: dict[str, tuple[str, Example]]) -> list[str]:
    """Return some of the files that the configuration reads and that are no images of the dataset."""
    images = {path for _, example in examples.values() for path in (example.image, example.reference)}
    by_folder: dict[tuple[str, str], list[str]] = defaultdict(list)
    for path in builder.tree.files:
        if path not in images and builder._wanted_path(path):
            pure = PurePosixPath(path)
            by_folder[str(pure.parent), pure.suffix].append(path)
    return spread([path for paths in by_folder.values() for path in spread(paths, _PER_FOLDER)], _PER_CONFIG)


def removed_images(trees: SampleTrees) -> Iterator[str]:
    """An annotation whose image is missing is reported."""
    for config in trees.configs:
        builder = trees.open(config.name)
        defective = [example for _, example in examples_of(builder).values() if example.instances]
        before = _lost(builder)
        for example in spread(sorted(defective, key=lambda e: e.image), _PER_FOLDER):
            with trees.without(example.image) as tree:
                try:
                    after = _lost(trees.open(config.name, tree))
                except RadikalError:
                    continue
            if after <= before:
                yield (
                    f"{config.name}: {example.image} was removed, and its annotation stayed, but no counter says so. "
                    "Raise MissingImageError for it inside report.costs_image()."
                )


def _lost(builder: InspectionBuilder) -> int:
    return sum(problem.count for problem in builder.index().report.problems if problem.effect == Effect.IMAGE_LOST)
