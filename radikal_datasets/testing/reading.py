"""Checks of what a builder reads from sample trees: images, splits, counters, and which files it opens."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ..building.builder import InspectionBuilder
from ..errors import BadFileError, ProtocolError
from ..report import Effect
from ..splits import OFFICIAL, RECOMMENDED, SPLITS, TEST, TRAIN, UNLABELED
from .sample_trees import SampleTrees, examples_of


def images_and_splits(trees: SampleTrees) -> Iterator[str]:
    """Every configuration loads from the sample, with unique ids, all splits and nothing lost."""
    for config in trees.builder.SOURCE.configs:
        builder = trees.open(config.name)
        index, examples = builder.index(), examples_of(builder)
        at_least = trees.images * (len(config.parts) or 1)
        if len(examples) < at_least:
            yield f"{config.name}: {len(examples)} images load from a sample of {at_least}. Each of them has to."
        if missing := [split for split in SPLITS if split not in index.splits and split != UNLABELED]:
            yield f"{config.name}: the sample has no image in {', '.join(missing)}."
        elif not any(example.instances for example in index.splits[TEST]):
            yield f"{config.name}: no image of the sample's test split has a defect."
        prefix = f"{builder.SOURCE.name}/"
        if wrong := [image_id for image_id in examples if not image_id.startswith(prefix)]:
            yield f"{config.name}: image_id {wrong[0]!r} does not begin with {prefix!r}."
        if index.report.loses_something:
            yield f"{config.name}: the sample without broken=True loses something: {index.report.counts()}."
        for image_id, (split, example) in examples.items():
            if (split == UNLABELED) == example.annotated:
                yield f"{config.name}: {image_id} is in {split} although annotated is {example.annotated}."
            if example.instances and not example.annotated:
                yield f"{config.name}: {image_id} has defects although it is not annotated."


def counted_as_planted(trees: SampleTrees) -> Iterator[str]:
    """Every counter counts what the sample planted, as often as it planted it, and nothing else."""
    for tree in (trees.intact, trees.broken):
        planted, counted = trees.planted(tree), _counted(trees, tree)
        for kind in sorted(planted.keys() | counted.keys()):
            if planted[kind] != counted[kind]:
                yield (
                    f"{kind}: the {tree.name} sample plants it {planted[kind]} times, but it is counted "
                    f"{counted[kind]} times. Correct the Trap, or the counting in read()."
                )


def costs_of_faults(trees: SampleTrees) -> Iterator[str]:
    """A fault costs its own image and no other."""
    for config in trees.configs:
        if (found := len(examples_of(trees.open(config.name, trees.broken)))) < trees.images:
            yield (
                f"{config.name}: {found} of {trees.images} images load from the broken sample. A fault may cost its "
                "own image only: use `with report.costs_image():` around each."
            )


def _counted(trees: SampleTrees, tree: Path) -> Counter[str]:
    """Return how often each counter counts in all configurations; a file that two of them read counts once."""
    most: dict[tuple[str, str], int] = {}
    for config in trees.configs:
        found: Counter[tuple[str, str]] = Counter()
        for problem in trees.open(config.name, tree).index().report.problems:
            found[problem.kind, problem.path] += problem.count
        most |= {key: max(count, most.get(key, 0)) for key, count in found.items()}
    counts: Counter[str] = Counter()
    for (kind, _), count in most.items():
        counts[kind] += count
    return counts


def unlabeled_images(trees: SampleTrees) -> Iterator[str]:
    """An image of which a counter says that its annotation is missing is unlabeled, and never defect-free."""
    for tree in (trees.intact, trees.broken):
        for config in trees.configs:
            builder = trees.open(config.name, tree)
            by_path = {example.image: example for _, example in examples_of(builder).values()}
            for problem in builder.index().report.problems:
                example = by_path.get(problem.path)
                if problem.effect == Effect.UNLABELED and example is not None and example.annotated:
                    yield (
                        f"{config.name}: {problem.path} is counted as {problem.kind}, but has annotated=True: it "
                        "becomes a defect-free image. Set example.annotated = False."
                    )


def publisher_splits(trees: SampleTrees) -> Iterator[str]:
    """If the source offers the publisher's split, `read` states it, and `recommended` keeps what it says it keeps."""
    source = trees.builder.SOURCE
    if OFFICIAL not in source.protocols:
        return
    for config in trees.configs:
        try:
            official = trees.open(config.name, protocol=OFFICIAL).index().splits
        except ProtocolError:
            official = {}
        if not any(official.get(split) for split in (TRAIN, TEST)):
            kept = "the publisher's test set would be mixed into train" * source.keeps_publisher_test
            yield (
                f"{config.name}: publisher_split is set for no image, but Source offers the protocol {OFFICIAL!r}"
                f"{'; ' + kept if kept else ''}. Set example.publisher_split in read()."
            )
            continue
        if empty := [split for split in (TRAIN, TEST) if not official.get(split)]:
            yield f"{config.name}: publisher_split puts no image of the sample into {', '.join(empty)}."
        if source.keeps_publisher_test:
            theirs = {example.image_id for example in official.get(TEST, ())}
            ours = trees.open(config.name, protocol=RECOMMENDED).index().splits.get(TEST, ())
            if theirs != {example.image_id for example in ours}:
                yield f"{config.name}: the test set of {RECOMMENDED!r} is not the publisher's, although it is kept."


def files_that_are_read(trees: SampleTrees) -> Iterator[str]:
    """`Config.files` matches every file that is opened: the cache id covers those files only."""
    for config in trees.configs:
        builder = trees.open(config.name)
        opened = _record_opened(builder)
        builder.index()
        matches = re.compile(builder.SOURCE.files_of(config)).fullmatch
        if missing := sorted(path for path in opened if not matches(path)):
            some = ", ".join(missing[:3]) + " ..." * (len(missing) > 3)
            yield (
                f"{config.name}: reads {some}, which Config.files does not match. An edit of it would leave old rows "
                "in the cache. Add it to the pattern."
            )


def _record_opened(builder: InspectionBuilder) -> set[str]:
    """Return a set that will hold every path the builder opens."""
    opened: set[str] = set()
    tree = builder.tree
    open_file = tree.open_file

    def recording(path: str):
        opened.add(path)
        return open_file(path)

    tree.open_file = recording
    return opened


def strictness(trees: SampleTrees) -> Iterator[str]:
    """With `strict`, the intact sample loads, and the first fault of the broken one that costs an image is raised."""
    costs = False
    for config in trees.configs:
        trees.open(config.name, strict=True).index()
        lost = [
            p for p in trees.open(config.name, trees.broken).index().report.problems if p.effect == Effect.IMAGE_LOST
        ]
        costs = costs or bool(lost)
        if not lost:
            continue
        try:
            trees.open(config.name, trees.broken, strict=True).index()
            what = f"{lost[0].kind} of {lost[0].path}"
            yield f"{config.name}: {what} is not raised with strict=True. Use report.costs_image()."
        except BadFileError:
            pass
    if not costs:
        yield "the broken sample plants nothing that costs an image. Plant a truncated image at least."
