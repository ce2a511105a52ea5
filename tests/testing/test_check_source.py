"""`check_source` passes every source of ours and the plug-in's, and names the fault of each mutant."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from radikal_datasets.building.builder import InspectionBuilder
from radikal_datasets.errors import SourceFaultError
from radikal_datasets.raw.tree import Tree
from radikal_datasets.report import Report
from radikal_datasets.samples import Trap, Writer, writer_of
from radikal_datasets.schema import Example
from radikal_datasets.sources import builder_class, built_in_names
from radikal_datasets.testing import check_source
from tests.plug_in.acme_sources.gears import Gears
from tests.plug_in.acme_sources.gears_sample import write as write_gears

PIXELS_ONLY = r".*\.(?i:png|jpe?g)"


@pytest.mark.parametrize("name", built_in_names())
def test_our_own_sources(name: str) -> None:
    check_source(builder_class(name))


def test_a_source_that_is_not_installed() -> None:
    check_source(Gears, write_gears)


def mutant(base: type[InspectionBuilder], **source: Any) -> type[InspectionBuilder]:
    """Return a subclass to be mutated; its SOURCE may differ in some fields."""
    return type("Mutant", (base,), {"SOURCE": dataclasses.replace(base.SOURCE, **source), "__module__": __name__})


def reading(base: type[InspectionBuilder], change: Callable[[Example], None]) -> type[InspectionBuilder]:
    """Return a mutant whose `read` changes every example."""
    found = mutant(base)

    def read(self: Any, tree: Tree, part: str, report: Report) -> Iterator[Example]:
        for example in base.read(self, tree, part, report):
            change(example)
            yield example

    found.read = read  # type: ignore[method-assign]
    return found


def silenced(base: type[InspectionBuilder], kind: str) -> type[InspectionBuilder]:
    """Return a mutant that no longer reports one kind of problem."""
    found = mutant(base)

    def read(self: Any, tree: Tree, part: str, report: Report) -> Iterator[Example]:
        yield from base.read(self, tree, part, report)
        report.problems[:] = [problem for problem in report.problems if problem.kind != kind]

    found.read = read  # type: ignore[method-assign]
    return found


def traps(write: Writer, change: Callable[[list[Trap]], list[Trap]]) -> Writer:
    """Return a writer that draws the same tree and says something else of it."""

    def written(root: Path, images: int, rng: np.random.Generator, broken: bool) -> list[Trap]:
        return change(write(root, images, rng, broken))

    return written


def faults_of(builder: type[InspectionBuilder], write: Writer) -> str:
    with pytest.raises(SourceFaultError) as error:
        check_source(builder, write)
    assert not isinstance(error.value.__cause__, KeyError)
    return str(error.value)


def annotate(example: Example) -> None:
    example.annotated = True


def forget_split(example: Example) -> None:
    example.publisher_split = None


SOURCES: list[tuple[type[InspectionBuilder], Writer]] = [
    (Gears, write_gears),
    (builder_class("neu_det"), writer_of("neu_det")),
    (builder_class("deeppcb"), writer_of("deeppcb")),
]
every = pytest.mark.parametrize(("base", "write"), SOURCES, ids=[base.SOURCE.name for base, _ in SOURCES])


# ---- the five mutants that the former tests of every source let pass ----


@every
def test_missing_truth_left_annotated(base: type[InspectionBuilder], write: Writer) -> None:
    said = faults_of(reading(base, annotate), write)
    assert "is counted as missing_truth, but has annotated=True: it becomes a defect-free image" in said
    assert "counts as defect-free, although it is not" in said


@pytest.mark.parametrize(("base", "write"), [SOURCES[0], SOURCES[2]], ids=["gears", "deeppcb"])
def test_publisher_split_never_set(base: type[InspectionBuilder], write: Writer) -> None:
    said = faults_of(reading(base, forget_split), write)
    assert "publisher_split is set for no image" in said
    assert "the publisher's test set would be mixed into train" in said


@every
def test_a_trap_planted_but_counted_otherwise(base: type[InspectionBuilder], write: Writer) -> None:
    def seven_times(planted: list[Trap]) -> list[Trap]:
        return [dataclasses.replace(planted[0], count=planted[0].count + 6), *planted[1:]]

    said = faults_of(base, traps(write, seven_times))
    assert re.search(r"\w+: the intact sample plants it \d+ times, but it is counted \d times", said)
    assert "the broken sample plants it" in said


@every
def test_an_annotation_without_its_image_is_not_reported(base: type[InspectionBuilder], write: Writer) -> None:
    said = faults_of(silenced(base, "missing_image"), write)
    assert "was removed, and its annotation stayed, but no counter says so" in said
    # Nor does it pass if the sample keeps silent about it as well.
    unplanted = traps(write, lambda planted: [trap for trap in planted if trap.kind != "missing_image"])
    assert "was removed, and its annotation stayed" in faults_of(silenced(base, "missing_image"), unplanted)


@every
def test_a_list_that_files_does_not_match(base: type[InspectionBuilder], write: Writer) -> None:
    configs = tuple(dataclasses.replace(config, files=PIXELS_ONLY) for config in base.SOURCE.configs)
    said = faults_of(mutant(base, configs=configs), write)
    assert "which Config.files does not match. An edit of it would leave old rows in the cache" in said


# ---- others ----


@every
def test_missing_truth_neither_counted_nor_unlabeled(base: type[InspectionBuilder], write: Writer) -> None:
    unplanted = traps(write, lambda planted: [trap for trap in planted if trap.kind != "missing_truth"])
    mutated = silenced(reading(base, annotate), "missing_truth")
    assert "counts as defect-free, although it is not" in faults_of(mutated, unplanted)


def shift_box(example: Example) -> None:
    example.instances = [
        dataclasses.replace(one, box=(one.box[0] + 6, one.box[1], one.box[2] + 6, one.box[3]))
        for one in example.instances
    ]


def swap_size(example: Example) -> None:
    example.width += 1


def change_prefix(example: Example) -> None:
    example.image_id = example.image_id.partition("/")[2]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (shift_box, "does not fill its box"),
        (swap_size, "the mask is 64x64, its image 65x64"),
        (change_prefix, "does not begin with 'gears/'"),
    ],
)
def test_wrong_examples(change: Callable[[Example], None], said: str) -> None:
    assert said in faults_of(reading(Gears, change), write_gears)


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"title": " "}, "Source.title is empty"),
        ({"citation": "Acme 2024"}, "Source.citation is not BibTeX"),
        ({"protocols": ("recommended",)}, "Source.keeps_publisher_test is set, but 'official'"),
        ({"split_of_group": {"recommended": {"a": "dev"}}}, "'dev'"),
        (
            {"configs": (dataclasses.replace(Gears.SOURCE.configs[0], images_by_class={"dent": 3}),)},
            "images_by_class has ['dent']",
        ),
    ],
)
def test_wrong_facts(facts: dict[str, Any], said: str) -> None:
    assert said in faults_of(mutant(Gears, **facts), write_gears)


def test_a_sample_that_draws_from_another_generator() -> None:
    def write(root: Path, images: int, rng: np.random.Generator, broken: bool) -> list[Trap]:
        return write_gears(root, images, np.random.default_rng(), broken)

    assert "the sample differs between two runs with the same seed" in faults_of(Gears, write)


def test_a_reader_that_raises_outside_costs_image() -> None:
    mutated = mutant(Gears)

    def read(self: Any, tree: Tree, part: str, report: Report) -> Iterator[Example]:
        for example in Gears.read(self, tree, part, report):
            if "0004" in example.image_id:
                raise ValueError("bad pixel")
            yield example

    mutated.read = read  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="bad pixel") as error:
        check_source(mutated, write_gears)
    assert "while check_source ran images_and_splits on Mutant" in error.value.__notes__[0]


def test_a_damaged_file_that_costs_every_image() -> None:
    mutated = mutant(Gears)

    def read(self: Any, tree: Tree, part: str, report: Report) -> Iterator[Example]:
        with report.costs_image():  # around all of them
            yield from list(Gears.read(self, tree, part, Report(strict=True)))

    mutated.read = read  # type: ignore[method-assign]
    said = faults_of(mutated, write_gears)
    assert "A fault may cost its own image only" in said
