"""`check_source`: run all checks on sample trees of a source and report everything that fails."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from datasets.exceptions import DatasetGenerationError

from ..building.builder import InspectionBuilder
from ..errors import RadikalError, SourceFaultError
from ..samples import Writer, writer_of
from .facts import stated_facts
from .reading import (
    costs_of_faults,
    counted_as_planted,
    files_that_are_read,
    images_and_splits,
    publisher_splits,
    strictness,
    unlabeled_images,
)
from .removing import removed_annotations, removed_images
from .rows import equal_rows, masks_and_boxes
from .sample_trees import SampleTrees
from .stability import other_roots, same_sample, stable_splits, untouched_tree

_Check = Callable[[SampleTrees], Iterator[str]]
#: In this order, since a source that fails an early one usually fails later ones for the same reason.
_CHECKS: tuple[_Check, ...] = (
    stated_facts,
    same_sample,
    images_and_splits,
    costs_of_faults,
    counted_as_planted,
    unlabeled_images,
    publisher_splits,
    files_that_are_read,
    removed_annotations,
    removed_images,
    strictness,
    other_roots,
    stable_splits,
    masks_and_boxes,
    equal_rows,
    untouched_tree,
)
_SHOWN = 3  # faults of one check


def check_source(
    builder: type[InspectionBuilder], write: Writer | None = None, *, images: int = 12, seed: int = 0
) -> None:
    """Check that a source does what every source must, on sample trees that it draws of itself.

    Among others: planted faults are counted, each exactly as often as it was planted; an image whose annotation is
    missing is never taken for a defect-free one; an annotation whose image is missing is reported; the publisher's
    test set is kept; `Config.files` covers every file that is read, so that no cache is stale; ids and splits are the
    same from a folder, its parent and an archive; cached, streamed and prepared rows are equal.

    Args:
        builder: the class, such as `acme_sources.gears.Gears`.
        write: the function that draws its sample; None: the one of the entry point, or of `radikal_datasets.samples`.
        images: how many images of each configuration the sample holds, at least 12.
        seed: of the sample.

    Raises:
        SourceFaultError: with every fault that was found.
        UnknownSourceError, PlugInError: no sample is drawn of this source.
    """
    write = write or writer_of(builder.SOURCE.name)
    found: list[str] = []
    with tempfile.TemporaryDirectory(prefix="radikal-check-", ignore_cleanup_errors=True) as folder:
        trees = SampleTrees(builder, write, Path(folder), images, seed)
        for check in _CHECKS:
            found += _faults(check, trees)
    if found:
        lines = "".join(f"\n- {fault}" for fault in found)
        raise SourceFaultError(f"{builder.SOURCE.name} ({builder.__name__}) has {len(found)} faults:{lines}")


def _faults(check: _Check, trees: SampleTrees) -> list[str]:
    """Return what one check finds; an error that the source raises on purpose is a fault as well."""
    found: list[str] = []
    try:
        found.extend(check(trees))
    except Exception as error:
        # `datasets` wraps what is raised while rows are written.
        raised = error.__cause__ if isinstance(error, DatasetGenerationError) else error
        if isinstance(raised, RadikalError):
            return [*found, f"{check.__name__}: {type(raised).__name__}: {raised}"]
        error.add_note(f"raised while check_source ran {check.__name__} on {trees.builder.__name__}")
        raise
    others = len(found) - _SHOWN
    return found if others <= 0 else [*found[:_SHOWN], f"{check.__name__}: {others} more like these"]
