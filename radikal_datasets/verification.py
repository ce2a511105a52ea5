"""`verify`: read a raw tree, compare it with the published counts, and report every problem and its effect."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import datasets
import PIL.Image

from . import splits
from .building.account import Account
from .errors import LayoutError
from .leaks import Leaks, examine
from .leaks.image_set import of_tree
from .raw.tree import Tree
from .report import KINDS, Report
from .schema import Example
from .source import Config, Source
from .sources import builder_class

OK, LOSES, UNREADABLE = 0, 1, 2


@dataclass(frozen=True)
class Verification:
    """What a raw tree holds, by configuration.

    Attributes:
        source: facts about the source.
        root: the tree that was read.
        reports: configuration -> `Report`, for those with an image in the tree.
        absent: configurations without any image.
        by_class: configuration -> class -> (images that hold it, boxes of it).
        leaks: configuration -> what `deep` found; empty without it.
        accounts: configuration -> what its files were taken for.
        outside: the files that belong to no configuration, if no configuration in `accounts` stands for them, and what
            is wrong about them.
        root_in: path of the root below the location that was given, empty if they are the same.
    """

    source: Source
    root: str
    reports: dict[str, Report]
    absent: list[str]
    by_class: dict[str, dict[str, tuple[int, int]]]
    leaks: dict[str, Leaks] = field(default_factory=dict)
    accounts: dict[str, Account] = field(default_factory=dict)
    outside: tuple[Account, Report] = field(default_factory=lambda: (Account(), Report()))
    root_in: str = ""

    @property
    def account(self) -> Account:
        """What the files of the entire tree were taken for."""
        total = Account()
        combining = {name for name in self.accounts if self.source.config(name).parts}
        # A configuration that combines others has their files, and those that belong to none.
        for name in combining or self.accounts:
            total.add(self.accounts[name])
        total.add(self.outside[0])
        return total

    @property
    def exit_code(self) -> int:
        """0: clean, or only known repairs; 1: an image or box would be lost."""
        return LOSES if any(report.loses_something for report in (*self.reports.values(), self.outside[1])) else OK

    def found(self, name: str) -> tuple[int, int]:
        """Return the number of images and boxes of a configuration."""
        totals = self.reports[name].totals.values()
        return sum(t["images"] for t in totals), sum(t["boxes"] for t in totals)

    def expected(self, name: str) -> Config:
        """Return the published or measured counts of a configuration."""
        return self.source.config(name)

    def to_dict(self) -> dict[str, Any]:
        """Return counts, expected counts and every problem, for `--json`."""
        configs = {}
        for name, report in self.reports.items():
            images, boxes = self.found(name)
            configs[name] = {
                "images": images,
                "boxes": boxes,
                "expected_images": self.expected(name).images,
                "expected_boxes": self.expected(name).boxes,
                "splits": report.totals,
                "classes": {label: list(counts) for label, counts in self.by_class[name].items()},
                "counts": report.counts(),
                "problems": [vars(problem) for problem in report.problems],
                "taken_for": self.accounts[name].to_dict(),
            }
            if name in self.leaks:
                configs[name]["leaks"] = self.leaks[name].to_dict()
        return {
            "source": self.source.name,
            "root": self.root,
            "root_in": self.root_in,
            "taken_for": self.account.to_dict(),
            "outside": [vars(problem) for problem in self.outside[1].problems],
            "exit_code": self.exit_code,
            "absent": self.absent,
            "configs": configs,
        }


def verify(
    source: str,
    config: str | None = None,
    *,
    data_dir: str | os.PathLike[str],
    protocol: str = splits.RECOMMENDED,
    deep: bool = False,
) -> Verification:
    """Parse a raw tree as the builder would, without writing anything.

    Args:
        source: name of a source.
        config: one configuration; None: all that the tree holds.
        data_dir: a raw tree, its parent, or its archive.
        protocol: split protocol for the counts by split.
        deep: also decode every image and look for leaks and mistakes (`leaks.examine`); otherwise only headers and
            end markers are checked. A configuration that combines others is examined only if it is requested: that
            finds what they share.

    Raises:
        SourceNotFoundError, LayoutError: the tree cannot be read at all.
    """
    builder_type = builder_class(source)
    facts = builder_type.facts_of(data_dir, config)
    reports: dict[str, Report] = {}
    absent: list[str] = []
    by_class: dict[str, dict[str, tuple[int, int]]] = {}
    leaks: dict[str, Leaks] = {}
    accounts: dict[str, Account] = {}
    outside = Account(), Report()
    builder = None
    for name in [facts.config(config).name] if config else facts.config_names:
        builder = builder_type(config_name=name, data_dir=data_dir, protocol=protocol)
        index = builder.index()
        if index.splits or index.report.problems:
            reports[name], accounts[name] = index.report, index.account
            examples = [example for rows in index.splits.values() for example in rows]
            by_class[name] = _by_class(examples, facts.config(name).classes)
            if deep and (config or not facts.config(name).parts):
                classes = facts.config(name).classes
                leaks[name] = examine(of_tree(builder.tree, index.splits, classes, index.gray_scale))
                _count_undecodable(builder.tree, examples, leaks[name], index.report)
        elif config:
            raise LayoutError(
                f"{data_dir} holds no image of {source}/{config}. The expected layout is:\n{facts.layout}"
            )
        else:
            absent.append(name)
    if builder is not None and not any(facts.config(name).parts or len(facts.configs) == 1 for name in accounts):
        outside = builder.account_outside(outside[1]), outside[1]
    prefix = builder.tree.prefix if builder is not None else ""
    return Verification(facts, str(data_dir), reports, absent, by_class, leaks, accounts, outside, prefix)


def _by_class(examples: list[Example], classes: tuple[str, ...]) -> dict[str, tuple[int, int]]:
    images, boxes = Counter[str](), Counter[str]()
    for example in examples:
        labels = [instance.label for instance in example.instances]
        boxes.update(labels)
        images.update(set(labels))
    return {label: (images[label], boxes[label]) for label in classes}


def _count_undecodable(tree: Tree, examples: list[Example], leaks: Leaks, report: Report) -> None:
    """Report the images that did not decode, and the references, which are decoded here."""
    for item, error in leaks.undecodable:
        report.add(KINDS["unreadable_image"], examples[item.number].image, error)
    references = [example.reference for example in examples if example.reference]
    for path in datasets.utils.tqdm(references, unit=" images", desc="decoding references"):
        try:
            with tree.open_file(path) as file, PIL.Image.open(file) as image:
                image.load()
        except Exception as error:  # a decoder may raise anything; the report names the file
            report.add(KINDS["unreadable_reference"], path, f"cannot be decoded: {error}")
