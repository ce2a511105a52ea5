"""Checks that nothing depends on chance, on the place of a tree, or on a single image."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from .sample_trees import SampleTrees, examples_of, spread

_VICTIMS = 12  # images that are removed, one at a time


def same_sample(trees: SampleTrees) -> Iterator[str]:
    """The same seed draws the same files."""
    first, again = _hashes(trees.intact), _hashes(trees.draw("again"))
    if differ := sorted(path for path in first.keys() | again.keys() if first.get(path) != again.get(path)):
        some = ", ".join(differ[:3])
        yield f"the sample differs between two runs with the same seed, in {some}. Draw from `rng` only."


def untouched_tree(trees: SampleTrees) -> Iterator[str]:
    """Nothing was written into the tree that was read."""
    if _hashes(trees.intact) != _hashes(trees.folder / "again"):
        yield "reading the tree changed it. A tree is read-only."


def _hashes(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def other_roots(trees: SampleTrees) -> Iterator[str]:
    """Ids, groups and splits are the same from the folder, its parent and an archive."""
    parent = trees.folder / "parent"
    shutil.copytree(trees.intact, parent / "some name")
    archive = shutil.make_archive(str(trees.folder / "archive"), "zip", trees.intact)
    for config in trees.configs[:1]:
        here = _placed(trees, config.name, trees.intact)
        for what, root in (("its parent folder", parent), ("a zip archive", Path(archive))):
            if _placed(trees, config.name, root) != here:
                yield f"{config.name}: ids, groups or splits differ when the tree is read from {what}."


def _placed(trees: SampleTrees, config: str, root: Path) -> dict[str, tuple[str, str, str | None]]:
    found = examples_of(trees.open(config, root))
    return {image_id: (split, example.image, example.group) for image_id, (split, example) in found.items()}


def stable_splits(trees: SampleTrees) -> Iterator[str]:
    """Removing one image moves at most two other groups to another split."""
    for config in trees.configs:
        builder = trees.open(config.name)
        examples = [example for _, example in examples_of(builder).values()]
        ids = {example.image_id for example in examples}
        # Exact duplicates are named after one of them; any other group is one that the source names.
        places = {e.image_id: e.image_id if e.group is None or e.group in ids else e.group for e in examples}
        before = builder._assign_splits(examples, places, config.name)
        for victim in spread(examples, _VICTIMS):
            others = [example for example in examples if example is not victim]
            after = builder._assign_splits(others, places, config.name)
            moved = {e.group for e in others if before.get(e.image_id) != after.get(e.image_id)} - {victim.group}
            if len(moved) > 2:
                yield f"{config.name}: without {victim.image_id}, {len(moved)} other groups change their split."
