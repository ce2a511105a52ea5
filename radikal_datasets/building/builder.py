"""The builder from which every source derives.

A source module defines a `Source` and implements one method, `InspectionBuilder.read`: raw tree -> `Example`s.
Everything else (clipping and counting, groups, splits, Arrow, the cache) happens here, in the same way for all.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import datasets
import pyarrow as pa

from .. import splits
from ..errors import DuplicateImageError, LayoutError, ProtocolError, SourceNotFoundError, UnlistedImageError
from ..gray_scale import GrayScale, PixelSettings
from ..raw.archives import is_unsafe
from ..raw.tree import Tree, is_url
from ..report import REPORT_FILENAME, Report
from ..schema import SCHEMA_VERSION, Example, features, validate
from ..source import Source
from ..terminal import progress
from .account import Account, account_for
from .arrow_tables import tables
from .cached_files import remove_if_damaged, write_sizes
from .code_hash import code_hash
from .gray_levels import find_gray_scale
from .normalize import clean, set_groups, turn
from .set_checks import check_masks, check_repairs, check_unlabeled

logger = logging.getLogger(__name__)


@dataclass
class InspectionConfig(datasets.BuilderConfig):
    """BuilderConfig with two additional settings; both are part of the cache id.

    Attributes:
        protocol: split protocol, see `radikal_datasets.splits.PROTOCOLS`.
        strict: raise at the first problem that would cost an image or its reference.
    """

    protocol: str = splits.RECOMMENDED
    strict: bool = False


@dataclass
class Index:
    """Everything that is known about a configuration before any image is written."""

    splits: dict[str, list[Example]]
    report: Report = field(default_factory=Report)
    gray_scale: GrayScale | None = None  # of images of more than 8 bits
    account: Account = field(default_factory=Account)  # of the tree's files


class InspectionBuilder(datasets.ArrowBasedBuilder):
    """Base class of the builders: annotations are parsed once, then bytes and masks are attached batch by batch.

    It derives from ArrowBasedBuilder and not from GeneratorBasedBuilder because `datasets.Image.encode_example`
    discards an image's bytes whenever its path exists relative to the working directory, as it does for everyone who
    converts from inside the raw tree; and because only tables can be bounded by bytes.
    """

    SOURCE: ClassVar[Source]
    #: Whether `read` yields sizes and boxes of the stored pixels, which are then turned by EXIF orientation.
    TURNS: ClassVar[bool] = True
    #: Of the code that reads the tree; part of the cache id, so that nothing has to be raised after an edit.
    CODE_HASH: ClassVar[str]
    config: InspectionConfig
    VERSION = datasets.Version("1.0.0")
    BUILDER_CONFIG_CLASS = InspectionConfig

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.CODE_HASH = code_hash(cls)
        if "SOURCE" in cls.__dict__:
            cls.BUILDER_CONFIGS = [InspectionConfig(name=c.name, version=cls.VERSION) for c in cls.SOURCE.configs]

    def __init__(
        self,
        *args: Any,
        config_name: str | None = None,
        data_dir: str | os.PathLike[str] | None = None,
        protocol: str = splits.RECOMMENDED,
        strict: bool = False,
        **kwargs: Any,
    ):
        #: What is known about the source in this tree: `SOURCE`, unless the classes come from the tree.
        self.facts = self.SOURCE if data_dir is None else self.facts_of(data_dir, config_name)
        config = self.facts.config(config_name)
        if protocol not in self.facts.protocols:
            raise ProtocolError(
                f"{self.SOURCE.name} has no split protocol {protocol!r}. Choose one of {list(self.facts.protocols)}."
            )
        if data_dir is None:
            raise SourceNotFoundError(
                f"No data_dir was given for {self.SOURCE.name}. Call radikal_datasets.load_dataset, which looks for it."
            )
        data_dir = os.fspath(data_dir)
        self.tree = self.open_tree(data_dir)
        protocol = self.effective_protocol(protocol)
        self._wanted = re.compile(self.facts.files_of(config)).fullmatch
        if not is_url(data_dir):
            data_dir = str(Path(data_dir).expanduser().resolve())
        # Only settings that differ from the default go into the cache id, in a canonical spelling.
        settings: dict[str, Any] = {}
        if protocol != splits.RECOMMENDED:
            settings["protocol"] = protocol
        if strict:
            settings["strict"] = True
        self._index: Index | None = None
        kwargs["hash"] = self._fingerprint()
        arguments = {"config_name": config.name, "data_dir": data_dir, **settings, **kwargs}
        try:
            super().__init__(*args, **arguments)
        except ValueError:  # `datasets` reads the cache's dataset_info.json here
            if not remove_if_damaged(Path(getattr(self, "_cache_dir", ""))):
                raise
            super().__init__(*args, **arguments)

    @classmethod
    def facts_of(cls, data_dir: str | os.PathLike[str], config_name: str | None = None) -> Source:
        """Return the facts about the source in one tree: `SOURCE`, unless configurations and classes come from it."""
        return cls.SOURCE

    @classmethod
    def open_tree(cls, data_dir: str | os.PathLike[str]) -> Tree:
        """Open a tree at the source's root; see `Source.open_tree`."""
        return cls.SOURCE.open_tree(data_dir)

    def effective_protocol(self, protocol: str) -> str:
        """Return the split protocol that is used if this one is requested."""
        return protocol

    def review(self, examples: list[Example], split_of: dict[str, str], report: Report, account: Account) -> None:
        """Look at one part as a whole, once its splits are assigned; count what no single image shows.

        Args:
            examples: of the part.
            split_of: image_id -> split, of the annotated ones.
            report: is added to.
            account: of the part's files; gets the repairs that are frequent and right.
        """
        account.expected |= check_repairs(examples, report, self.facts.expected_repairs)
        if account.annotation_files or any(one.suspicious for one in account.unexplained):
            should_be = [example for example in examples if self.should_be_annotated(example)]
            check_unlabeled(should_be, report, self.facts.most_unlabeled)
        check_masks(examples, report, report.mask_shares)

    def read(self, tree: Tree, part: str, report: Report) -> Iterator[Example]:
        """Parse the annotations of one part (a configuration that does not combine others).

        Code that concerns one image runs inside ``with report.costs_image():``, so one bad file never costs the others.
        Boxes may extend beyond the image: they are clipped and counted afterwards.
        """
        raise NotImplementedError

    @property
    def class_names(self) -> tuple[str, ...]:
        """Class names of this configuration, in label order."""
        return self.facts.config(self.config.name).classes

    @property
    def covers_tree(self) -> bool:
        """Whether this configuration stands for the entire tree, and accounts for files that belong to none."""
        return len(self.facts.configs) == 1 or bool(self.facts.config(self.config.name).parts)

    @property
    def pixel_settings(self) -> PixelSettings | None:
        """How gray levels of more than 8 bits are scaled; None: as they are found."""
        return None

    @property
    def features(self) -> datasets.Features:
        """The columns of this configuration; with the gray scale of its images once they are indexed."""
        assert self.info.features is not None
        return self.info.features

    def index(self) -> Index:
        """Parse all annotations and assign the splits; done once."""
        if self._index is None:
            report = Report(strict=self.config.strict)
            for unsafe in self.tree.unsafe:
                # A link to a folder stands for every file below it; a member that leaves the archive, for any file.
                if is_unsafe(unsafe.path) or self._wanted(unsafe.path) or self._wanted(f"{unsafe.path}/x"):
                    report.add_error(unsafe)
            config = self.facts.config(self.config.name)
            found: dict[str, list[Example]] = {}
            account = Account()
            for part in config.parts or (config.name,):
                of_part = Report(strict=report.strict)
                for split, examples in self._index_part(part, of_part, account).items():
                    found.setdefault(split, []).extend(
                        _with_prefix(example, part) if config.parts else example for example in examples
                    )
                report.absorb(of_part)
            if self.covers_tree:
                account.add(self.account_outside(report))
            ordered = {
                split: [validate(e, config.classes) for e in sorted(found[split], key=lambda e: e.image_id)]
                for split in splits.SPLITS
                if found.get(split)
            }
            report.totals = {split: _totals(examples) for split, examples in ordered.items()}
            images = [example.image for examples in ordered.values() for example in examples]
            gray_scale = find_gray_scale(self.tree, images, self.pixel_settings, report)
            if gray_scale is not None:  # worker processes get it with `info`
                self.info.features = features(self.class_names, gray_scale)
            self._index = Index(ordered, report, gray_scale, account)
        return self._index

    def report(self) -> Report:
        """Return what was found and done about it, from the cache if the dataset is already there."""
        if self._index is None and Path(str(self._output_dir), REPORT_FILENAME).is_file():
            return Report.load(str(self._output_dir))
        return self.index().report

    def _index_part(self, part: str, report: Report, account: Account) -> dict[str, list[Example]]:
        classes = self.facts.config(part).classes
        kept: dict[str, Example] = {}
        for example in progress(self.read(self.tree, part, report), f"reading {part}", unit="image"):
            with report.costs_image():
                if example.image_id in kept:
                    taken = f"{example.image_id} is already {kept[example.image_id].image}"
                    raise DuplicateImageError(example.image, taken, "Remove one of the two files.")
                if self.TURNS and (orientation := self.tree.orientations.get(example.image)):
                    example = turn(example, orientation, report)
                kept[example.image_id] = clean(example, classes, report)
        examples = [example for example in kept.values() if not self._is_unlisted(example, report)]
        of_part = self._account(part, examples, report)
        # If the source defines a group, the group's own name determines its position in a split.
        places = {example.image_id: example.group or example.image_id for example in examples}
        set_groups(examples, self.tree, report)
        found: dict[str, list[Example]] = {}
        split_of = self._assign_splits(examples, places, part)
        self.review(examples, split_of, report, of_part)
        account.add(of_part)
        for example in examples:
            found.setdefault(split_of.get(example.image_id, splits.UNLABELED), []).append(example)
        return found

    def _is_unlisted(self, example: Example, report: Report) -> bool:
        """Count an image that the publisher's split does not name; the official protocol leaves it out."""
        # Without any publisher's split, the protocol is refused altogether.
        if self.config.protocol != splits.OFFICIAL or example.publisher_split or not example.annotated:
            return False
        if not self.publisher_split_in_tree():
            return False
        with report.costs_image():
            remedy = "Add it to a list, or use another protocol."
            raise UnlistedImageError(example.image, "the publisher's split does not name this image", remedy)
        return True

    def publisher_split_in_tree(self) -> bool:
        """Return whether the tree has the files that define the publisher's split, if it takes more than folders."""
        return False

    def _account(self, part: str, examples: list[Example], report: Report) -> Account:
        """Account for every file of a part; of the entire tree, if this configuration stands for it."""
        images = [example.image for example in examples]
        return account_for(self.tree, part, self.facts, images, report)

    def account_outside(self, report: Report) -> Account:
        """Account for the files that belong to no configuration."""
        return account_for(self.tree, None, self.facts, (), report)

    def should_be_annotated(self, example: Example) -> bool:
        """Return whether an image should have an annotation, by format and facts."""
        return True

    def _assign_splits(self, examples: Iterable[Example], places: dict[str, str], part: str) -> dict[str, str]:
        """Return image_id -> split for every annotated example; for `places` see `splits.Unit`."""
        annotated = [example for example in examples if example.annotated]
        publisher = {e.image_id: e.publisher_split or splits.TRAIN for e in annotated}
        protocol = self.config.protocol
        # DAGM's older layout does not define the publisher's split: it is split like any other source, or refused.
        has_publisher_split = any(example.publisher_split for example in annotated)
        if protocol == splits.OFFICIAL:
            if annotated and not has_publisher_split:
                others = [name for name in self.facts.protocols if name != splits.OFFICIAL]
                raise ProtocolError(
                    f"The layout in {self.tree.root} does not define the publisher's split. Use one of {others}."
                )
            return publisher
        keep_test = protocol == splits.RECOMMENDED and self.facts.keeps_publisher_test and has_publisher_split
        assigned = {i: split for i, split in publisher.items() if split == splits.TEST} if keep_test else {}
        pool = [example for example in annotated if example.image_id not in assigned]
        units = splits.units((e.group or e.image_id, places[e.image_id], (i.label for i in e.instances)) for e in pool)
        table = self.facts.split_of_group.get(protocol, {})
        split_of_group = {unit.group: table[unit.group] for unit in units if unit.group in table}
        split_of_group |= splits.cut(
            self.SOURCE.name,
            [unit for unit in units if unit.group not in table],
            self.facts.config(part).rarest_first(),
            test_share=0.0 if keep_test else splits.TEST_SHARE,
        )
        return assigned | {e.image_id: split_of_group[e.group or e.image_id] for e in pool}

    def _fingerprint(self) -> str:
        """Return a hash that changes with any file this configuration reads, the code that reads it, and the schema."""
        unsafe = sorted(e.path for e in self.tree.unsafe)
        about_files = f"{self.tree.fingerprint(self._wanted_path)}|{unsafe}"
        text = f"{about_files}|schema {SCHEMA_VERSION}|{self.VERSION}|code {self.CODE_HASH}"
        return hashlib.sha256(text.encode()).hexdigest()

    def _wanted_path(self, path: str) -> bool:
        return self._wanted(path) is not None

    # ---- what datasets calls ----

    def _info(self) -> datasets.DatasetInfo:
        source = self.facts
        return datasets.DatasetInfo(
            description=f"{source.title}. Configuration {self.config.name}, split protocol {self.config.protocol}.",
            citation=source.citation,
            homepage=source.homepage,
            license=source.license.name,
            features=features(self.class_names),
        )

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        index = self.index()
        if not index.splits:
            lost = f" All {len(index.report.problems)} that were found have problems. Run verify to see them." * bool(
                index.report.problems
            )
            raise LayoutError(
                f"{self.config.data_dir} holds no image of {self.SOURCE.name}/{self.config.name}.{lost} "
                f"The expected layout is:\n{self.facts.layout}"
            )
        return [
            datasets.SplitGenerator(name=split, gen_kwargs={"examples": examples})
            for split, examples in index.splits.items()
        ]

    def _download_and_prepare(self, dl_manager: Any, verification_mode: Any, **kwargs: Any) -> None:
        super()._download_and_prepare(dl_manager, verification_mode, **kwargs)
        self.index().report.save(str(self._output_dir))
        write_sizes(Path(str(self._output_dir)))

    def download_and_prepare(self, output_dir: str | None = None, *args: Any, **kwargs: Any) -> None:
        """As in `datasets`; a cache that is damaged is removed and built again."""
        if output_dir is None and not is_url(str(self._cache_dir)):
            remove_if_damaged(Path(str(self._cache_dir)))
        super().download_and_prepare(output_dir, *args, **kwargs)

    def as_dataset(self, *args: Any, **kwargs: Any) -> Any:
        """As in `datasets`; also logs in one line what was repaired or lost, even on a cache hit."""
        self._log_problems()
        return super().as_dataset(*args, **kwargs)

    def as_streaming_dataset(self, *args: Any, **kwargs: Any) -> Any:
        """As in `datasets`; also logs in one line what was repaired or lost."""
        dataset = super().as_streaming_dataset(*args, **kwargs)
        self._log_problems()
        return dataset

    def _log_problems(self) -> None:
        report = self.report()
        if report.problems:
            name = self.SOURCE.name + (f" {self.config.name}" if len(self.facts.configs) > 1 else "")
            counts = ", ".join(f"{kind} {count:,}" for kind, count in report.counts().items())
            level = logging.WARNING if report.loses_something or report.loses_reference else logging.INFO
            logger.log(level, "%s: %s (radikal-datasets verify lists them)", name, counts)

    def _generate_tables(self, examples: list[Example]) -> Iterator[tuple[str, pa.Table]]:
        return self.tables(examples)

    def tables(self, examples: Iterable[Example]) -> Iterator[tuple[str, pa.Table]]:
        """Yield rows as Arrow tables of bounded size, see `arrow_tables.tables`."""
        return tables(examples, self.tree, self.class_names, self.features)

    def __getstate__(self) -> dict[str, Any]:
        # Worker processes receive their examples as arguments.
        return {**self.__dict__, "_index": None}


def _with_prefix(example: Example, part: str) -> Example:
    instances = [dataclasses.replace(instance, label=f"{part}_{instance.label}") for instance in example.instances]
    return dataclasses.replace(example, instances=instances)


def _totals(examples: list[Example]) -> dict[str, int]:
    return {"images": len(examples), "boxes": sum(len(example.instances) for example in examples)}
