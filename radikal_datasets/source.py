"""Facts about a source that are known without its data."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from . import splits
from .errors import ConfigNameError
from .raw.layout_root import open_layout
from .raw.tree import Tree

#: The name of the config if a source has only one.
DEFAULT_CONFIG = "default"


@dataclass(frozen=True)
class License:
    """The terms under which a source is available.

    Attributes:
        name: an SPDX identifier, or another name if there is none.
        redistributable: whether converted copies may be passed on at all; False keeps `push` from making one public.
        summary: what the license allows and forbids, in one sentence.
        spdx: whether `name` is an SPDX identifier.
    """

    name: str
    redistributable: bool
    summary: str
    spdx: bool = False


#: The former name, kept for one version.
Licence = License  # alias


@dataclass(frozen=True)
class Download:
    """An archive that may be downloaded.

    Attributes:
        url: where to download it.
        keep: regular expression over the paths inside, below the archive's own top folder; selects what is kept.
        sha256: over the sorted "path, tab, sha256 of the file, newline" lines of the files that are kept.
        bytes: approximate size of the archive, shown before the download; 0 if unknown.
    """

    url: str
    keep: str
    sha256: str
    bytes: int = 0


@dataclass(frozen=True)
class NotRead:
    """Files that are known to lie in copies of a source and that nothing needs.

    Attributes:
        name: what they are, for people.
        pattern: regular expression over paths below the root, in any letter case.
        beside: "stem": only if an annotation file with the same name but for its extension was read, so that they say
            the same again; "folder": only if one in the same folder was read; "": in any case.
    """

    name: str
    pattern: str
    beside: str = ""


@dataclass(frozen=True)
class Config:
    """One configuration of a source.

    Attributes:
        name: as in `load_dataset(source, name)`.
        classes: class names, constants of the source, in label order.
        images, boxes: the published or measured counts of the complete set, None if they were never counted.
        images_by_class: number of images in the complete set that hold each class; orders the strata of a split,
            rarest first.
        files: regular expression over paths below the root: the files this configuration reads.
        parts: names of the configurations it combines; its class names are then `<part>_<class>`.
    """

    name: str
    classes: tuple[str, ...]
    images: int | None = None
    boxes: int | None = None
    images_by_class: Mapping[str, int] = field(default_factory=dict)
    files: str = ".*"
    parts: tuple[str, ...] = ()

    def rarest_first(self) -> list[str]:
        """Return the class names by published frequency; unknown counts last, in label order."""
        unknown = 1 << 60
        return sorted(self.classes, key=lambda name: self.images_by_class.get(name, unknown))


@dataclass(frozen=True)
class Measured:
    """A training that was run and timed, with one seed or several, in the benchmark setting of docs/benchmark.md.

    Attributes:
        recipe: the file in training/configs that the benchmark setting is based on.
        seeds: number of seeds; the figures are their means.
        minutes: from start to end, including scoring and saving.
        map_50: on the source's test split (protocol recommended), a fraction.
        commits: of this repository.
        hardware: where it ran.
    """

    recipe: str
    seeds: int
    minutes: float
    map_50: float
    commits: tuple[str, ...]
    hardware: str = "2 CPU cores (AMD EPYC, shared with other work)"


@dataclass(frozen=True)
class Source:
    """Facts about a source that are known without its data.

    Attributes:
        name: as in `load_dataset("radikal_datasets/<name>")`.
        title, homepage, download_page, citation (BibTeX), license: as stated by the publisher.
        configs: its configurations, in the order in which they are listed.
        layout: a drawing of the folder as the publisher ships it, for messages.
        marker: regular expression over the end of a path; what precedes a match is the root.
        protocols: the available split protocols.
        keeps_publisher_test: whether `recommended` keeps the publisher's test set.
        split_of_group: protocol -> group -> split, for sources with fewer than 100 groups; computed once, then frozen.
        download: what `radikal-datasets download` fetches; None if users have to download it themselves.
        kaggle_competition: its name at Kaggle, which `download` leaves to the user's own `kaggle` program.
        modality, real, annotations, best_use: for the table from which to choose a source.
        image_sizes: in pixels, in words. (S) marks what a third party reports, (R) what is from memory.
        defect_free: how many annotated images have no defect, in words; marks as in `image_sizes`.
        split_notes: protocol -> how it splits this source, in words, where that is not what protocols do otherwise.
        measured: a training on it, copied by hand from benchmarks/results/accuracy.md; None if there is none.
        publisher_scores: scores by the publisher's own rules that a report adds, see `training.scoring.report`.
        notes: what to know about the data, one sentence each.
        augmentations: fields of `loaders.augmentation.Augmentation` whose changes keep the images as a camera could
            have taken them, and the annotation valid.
        layouts: name of each layout -> regular expression over the images in it; a group `split` is a folder.
        annotation_files: kind of annotation file -> regular expression over their paths.
        not_read: files that are known and not needed; all other files that nobody reads are reported.
        split_folders: regular expression over the folders of splits; what lies beside one is reported.
        part_folders: regular expression over the names of folders that may be given alone as `data_dir`.
        expected_repairs: kind of repair -> why it is right even where it applies to many rows.
        most_unlabeled: the share of the images, of those that should have an annotation, that may lack it.
        decided: of own data, what was recognized or stated by their owner; `prepare` writes it into the manifest.
    """

    name: str
    title: str
    homepage: str
    download_page: str
    license: License
    citation: str
    configs: tuple[Config, ...]
    layout: str
    marker: str
    protocols: tuple[str, ...] = (splits.RECOMMENDED, splits.BY_SHARE)
    keeps_publisher_test: bool = False
    split_of_group: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    download: Download | None = None
    kaggle_competition: str = ""
    modality: str = ""
    real: bool = True
    annotations: str = "boxes"
    best_use: str = ""
    image_sizes: str = ""
    defect_free: str = ""
    split_notes: Mapping[str, str] = field(default_factory=dict)
    measured: Measured | None = None
    publisher_scores: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    augmentations: tuple[str, ...] = ()
    layouts: Mapping[str, str] = field(default_factory=dict)
    annotation_files: Mapping[str, str] = field(default_factory=dict)
    not_read: tuple[NotRead, ...] = ()
    split_folders: str = ""
    part_folders: str = ""
    expected_repairs: Mapping[str, str] = field(default_factory=dict)
    most_unlabeled: float = 0.5
    decided: Mapping[str, Any] = field(default_factory=dict)

    @property
    def licence(self) -> License:  # alias
        """The former name of `license`, kept for one version."""
        return self.license

    @property
    def truth(self) -> str:
        """The former name of `annotations`, kept for one version."""
        return self.annotations

    @property
    def short_title(self) -> str:
        """What people call it: `NEU-DET`."""
        return self.title.partition(":")[0]

    @property
    def subject(self) -> str:
        """What it shows: `surface defects of hot-rolled steel strip`."""
        return self.title.partition(": ")[2]

    @property
    def config_names(self) -> list[str]:
        """Names of its configurations."""
        return [config.name for config in self.configs]

    def config(self, name: str | None) -> Config:
        """Return a configuration by name; None stands for the only one.

        Raises:
            ConfigNameError: the name is unknown, or none was given and there are several to choose from.
        """
        if name is None and len(self.configs) == 1:
            return self.configs[0]
        for config in self.configs:
            if config.name == name:
                return config
        what = "has several configs and no name was given" if name is None else f"has no config {name!r}"
        raise ConfigNameError(
            f"{self.name} {what}. Choose one of {self.config_names}, "
            f'as in load_dataset("radikal_datasets/{self.name}", "{self.configs[0].name}").'
        )

    def files_of(self, config: Config) -> str:
        """Return a regular expression over the paths that a configuration reads."""
        return "|".join(f"(?:{self.config(part).files})" for part in config.parts) or config.files

    def open_tree(self, data_dir: str | os.PathLike[str]) -> Tree:
        """Open the raw tree at a folder, anywhere below it, or inside an archive; see `raw.layout_root.open_layout`.

        Raises:
            SourceNotFoundError: the path does not exist.
            LayoutError: it does not hold this source's layout, or holds it more than once.
        """
        return open_layout(
            data_dir, self.name, self.marker, self.layout, self.part_folders, several=len(self.configs) > 1
        )
