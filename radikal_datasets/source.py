"""What is known of a source without having it: its facts, as data."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from . import splits
from .errors import ConfigNameError, LayoutError
from .raw.tree import Tree, layout_roots

#: The config name of a source that has only one.
DEFAULT_CONFIG = "default"


@dataclass(frozen=True)
class Licence:
    """Under what terms a source is had.

    Attributes:
        name: an SPDX identifier, or a name where there is none.
        redistributable: whether converted copies may be passed on at all; False keeps `push` from making one public.
        summary: what it allows and forbids, in a sentence.
        spdx: whether `name` is an SPDX identifier.
    """

    name: str
    redistributable: bool
    summary: str
    spdx: bool = False


@dataclass(frozen=True)
class Download:
    """An archive that may be fetched.

    Attributes:
        url: where it is.
        keep: regular expression over paths inside, below the archive's own top folder: what is kept.
        sha256: over the sorted "path, tab, sha256 of the file, newline" lines of what is kept.
        bytes: size of the archive, roughly, for people who decide; 0 if unknown.
    """

    url: str
    keep: str
    sha256: str
    bytes: int = 0


@dataclass(frozen=True)
class Config:
    """One configuration of a source.

    Attributes:
        name: as in `load_dataset(source, name)`.
        classes: class names, constants of the source, in label order.
        images, boxes: the published or measured counts of the whole set, None where nobody counted.
        images_by_class: of the whole set, images that hold the class; orders the strata of a cut, rarest first.
        files: regular expression over paths below the root: the files this configuration reads.
        parts: names of the configurations it is made of; its class names are `<part>_<class>` then.
    """

    name: str
    classes: tuple[str, ...]
    images: int | None = None
    boxes: int | None = None
    images_by_class: Mapping[str, int] = field(default_factory=dict)
    files: str = ".*"
    parts: tuple[str, ...] = ()

    def rarest_first(self) -> list[str]:
        """Class names by published frequency; unknown counts last, in label order."""
        unknown = 1 << 60
        return sorted(
            self.classes, key=lambda name: (self.images_by_class.get(name, unknown), self.classes.index(name))
        )


@dataclass(frozen=True)
class Source:
    """What is known of a source without having it.

    Attributes:
        name: as in `load_dataset("radikal_datasets/<name>")`.
        title, homepage, download_page, citation (BibTeX), licence: as the publisher states them.
        configs: its configurations, in the order they are listed.
        layout: the folder as the publisher ships it, drawn, for people.
        marker: regular expression over the end of a path; what stands before a match is the root.
        protocols: the split protocols there are.
        keeps_publisher_test: whether `recommended` keeps the publisher's test set.
        split_of_group: protocol -> group -> split, for sources of fewer than 100 groups; found once, written down.
        download: what `radikal-datasets download` fetches; None where people have to fetch it themselves.
        modality, real, truth, best_use: for the table one chooses from.
        notes: what one should know of the data, a sentence each.
        augmentations: names of the changes that leave its images as the camera could have made them, and its truth
            true: fields of `loaders.augmentation.Augmentation`.
    """

    name: str
    title: str
    homepage: str
    download_page: str
    licence: Licence
    citation: str
    configs: tuple[Config, ...]
    layout: str
    marker: str
    protocols: tuple[str, ...] = (splits.RECOMMENDED, splits.BY_SHARE)
    keeps_publisher_test: bool = False
    split_of_group: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    download: Download | None = None
    modality: str = ""
    real: bool = True
    truth: str = "boxes"
    best_use: str = ""
    notes: tuple[str, ...] = ()
    augmentations: tuple[str, ...] = ()

    @property
    def config_names(self) -> list[str]:
        """Names of its configurations."""
        return [config.name for config in self.configs]

    def config(self, name: str | None) -> Config:
        """A configuration by name; None stands for the only one.

        Raises:
            ConfigNameError: unknown name, or none given and several to choose from.
        """
        if name is None and len(self.configs) == 1:
            return self.configs[0]
        for config in self.configs:
            if config.name == name:
                return config
        what = "has several configs and no name was given" if name is None else f"has no config {name!r}"
        raise ConfigNameError(
            f"{self.name} {what}. Pick one of {self.config_names}, "
            f'as in load_dataset("radikal_datasets/{self.name}", "{self.configs[0].name}").'
        )

    def files_of(self, config: Config) -> str:
        """Regular expression over the paths a configuration reads."""
        return "|".join(f"(?:{self.config(part).files})" for part in config.parts) or config.files

    def open_tree(self, data_dir: str | os.PathLike[str]) -> Tree:
        """The raw tree at, or anywhere below, a folder or in an archive.

        Raises:
            SourceNotFoundError: nothing is there.
            LayoutError: it does not hold this source's layout, or holds it twice.
        """
        tree = Tree.open(data_dir)
        roots = layout_roots(tree, self.marker)
        if not roots:
            some = ", ".join(list(tree.files)[:3]) or "nothing"
            if "manifest.json" in tree.files:
                raise LayoutError(
                    f"{data_dir} was written by prepare: load it, push it, or give the raw tree it was made of."
                )
            links = "".join(f"\nNot followed: {unsafe}" for unsafe in tree.unsafe[:3])
            raise LayoutError(
                f"{data_dir}: {len(tree.files):,} files, but none in the layout of {self.name} (found {some} ...). "
                f"It should look like this:\n{self.layout}\n"
                f"Give the folder that holds it, its parent, or the archive.{links}"
            )
        if len(roots) > 1:
            places = ", ".join(root or "the folder itself" for root in roots)
            raise LayoutError(f"{data_dir}: holds {self.name} more than once: {places}. Give one of them alone.")
        return tree.below(roots[0])
