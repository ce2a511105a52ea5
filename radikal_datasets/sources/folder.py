"""`folder`: a plant's own images, in whatever format they were labeled.

Configurations are formats; they and the classes come from the folder, which is scanned before the builder exists.
"""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from .. import splits
from ..building.account import Account
from ..building.builder import InspectionBuilder
from ..errors import ConfigNameError, UnknownClassError
from ..gray_scale import PixelSettings
from ..own_data.frames import Framed
from ..own_data.names import nfc, split_in
from ..own_data.numbers import REMEDY
from ..own_data.parsed import Entry, Parsed, loss
from ..own_data.review import GROUP_IN_TWO_SPLITS, NO_SPLIT, OTHER_FORMAT, UNREAD_FILE, review
from ..own_data.scanning import Scan, group_of, open_root, scan_folder, scan_tree
from ..own_data.settings import CLEAN, FORMATS
from ..raw.images import image_header
from ..raw.tree import Tree
from ..report import Effect, Kind, Report
from ..schema import Example
from ..source import Config, License, Source

ASSUMED_CLEAN = Kind(
    "assumed_clean", Effect.NOTED, "no annotation mentions the image: defect-free, because radikal.yaml says so"
)
IMAGE_LEVEL = Kind(
    "image_level_box", Effect.NOTED, "only the folder says that the image is defective: its box is the complete image"
)

_OWNER = License("owner's images", False, "These are the owner's own images: they stay in private repositories.")

SOURCE = Source(
    name="folder",
    title="Own images",
    homepage="",
    download_page="",
    license=_OWNER,
    citation="",
    configs=tuple(Config(name, ()) for name in FORMATS),
    layout="""any folder of images with annotations as COCO, YOLO, VOC, masks, Label Studio, CVAT, LabelMe, imagefolder
or a table of boxes, and radikal.yaml if something has to be said that no file says: radikal-datasets init FOLDER""",
    marker="",
    protocols=(splits.RECOMMENDED, splits.OFFICIAL, splits.BY_SHARE),
    modality="as they were taken",
    annotations="boxes",
    best_use="Your own parts.",
)


class Folder(InspectionBuilder):
    """Reader for a plant's own images; see `radikal_datasets.own_data`."""

    SOURCE = SOURCE
    TURNS = False  # which frame an annotation refers to is found out for each image

    @classmethod
    def facts_of(cls, data_dir: str | os.PathLike[str], config_name: str | None = None) -> Source:
        """Return title, license, formats and classes of one folder."""
        scan = scan_folder(data_dir)
        formats = scan.formats(config_name)
        if len(formats) > 1:
            raise ConfigNameError(_several(scan, formats))
        configs = tuple(Config(name, scan.classes(name)) for name in formats)
        settings = scan.settings
        license = _OWNER
        if settings.license:
            summary = settings.license_summary or _OWNER.summary
            license = License(settings.license, settings.may_be_passed_on, summary)
        return dataclasses.replace(
            SOURCE,
            title=settings.title or settings.name or SOURCE.title,
            license=license,
            configs=configs,
            annotations=_annotations(scan, configs[0].name),
            notes=_notes(scan, configs[0]),
            decided=_decided(scan, configs),
        )

    @classmethod
    def open_tree(cls, data_dir: str | os.PathLike[str]) -> Tree:
        """Open the folder at its own root."""
        return open_root(data_dir)

    @property
    def scan(self) -> Scan:
        """What is known about the folder."""
        return scan_tree(self.tree)

    @property
    def pixel_settings(self) -> PixelSettings | None:
        """What `radikal.yaml` says about gray levels."""
        return self.scan.settings.pixels

    def effective_protocol(self, protocol: str) -> str:
        """Return `official` for `recommended` if the folder's own splits are to be kept."""
        keeps = protocol == splits.RECOMMENDED and self.scan.keeps_splits
        return splits.OFFICIAL if keeps else protocol

    def read(self, tree: Tree, part: str, report: Report) -> Iterator[Example]:
        """Read every image with what the annotations say about it; see `InspectionBuilder.read`."""
        scan = self.scan
        parsed = scan.parsed(part)
        scan.files.findings.replay(report)
        parsed.findings.replay(report)
        names = _ids(scan.files.images)
        for image in scan.files.images:
            if image in parsed.excluded:
                continue
            with report.costs_image():
                yield self._example(scan, parsed, image, names[image], report)
        self._count_unread(scan, part, report)

    def _example(self, scan: Scan, parsed: Parsed, image: str, name: str, report: Report) -> Example:
        header = image_header(self.tree, image)
        entry = parsed.entries.get(image)
        listed = parsed.listed.get(image)
        if entry is None:
            clean = scan.settings.unlabeled == CLEAN
            report.add(ASSUMED_CLEAN if clean else "missing_truth", image, "no annotation mentions it")
            entry = Entry(image, image, annotated=clean, split=listed.split if listed else split_in(image))
        framed = Framed(self.tree, entry, header, parsed, report)
        report.mask_shares += framed.mask_shares
        instances = [dataclasses.replace(one, label=self._label(scan, one.label, entry)) for one in framed.instances]
        if any(shape.entire for shape in entry.shapes):
            report.add(IMAGE_LEVEL, image, instances[0].label)
        annotated = entry.annotated and (bool(instances) or not entry.incomplete)
        if self.config.protocol == splits.OFFICIAL and annotated and entry.split is None:
            remedy = "Move it to train/, val/ or test/, or write `splits: recommended` into radikal.yaml."
            raise loss(NO_SPLIT, image, "neither its folder nor a list says which split it is in", remedy)
        group = listed.group if listed else group_of(scan, image, entry.group)
        return Example(
            listed.image_id or name if listed else scan.settings.prefix + name,
            image,
            *header.size,
            instances=instances if annotated else [],
            annotated=annotated,
            group=group,
            publisher_split=entry.split,
        )

    def _label(self, scan: Scan, label: str, entry: Entry) -> str:
        label = scan.settings.renamed.get(label, label)
        classes = self.facts.config(self.config.name).classes
        if label not in classes:
            found = f"class {label!r} is not under `classes` in radikal.yaml ({', '.join(classes)[:200]})"
            raise UnknownClassError(entry.file, found, REMEDY, entry.line)
        return label

    def _account(self, part: str, examples: list[Example], report: Report) -> Account:
        """Return what was read; `_count_unread` counts what was not."""
        files = self.scan.files
        return Account(Counter({part: len(examples)}), annotation_files=Counter({part: len(files.annotations[part])}))

    def account_outside(self, report: Report) -> Account:
        """Return nothing: no file lies outside of the folder's only configuration."""
        return Account()

    def _count_unread(self, scan: Scan, part: str, report: Report) -> None:
        files = scan.files
        for format_ in files.formats:
            others = files.annotations[format_]
            if format_ != part and others and format_ != "masks":
                found = f"{len(others):,} files of {format_}, such as {others[0]}"
                report.add(OTHER_FORMAT, others[0], found, count=len(others))
        by_folder: dict[tuple[PurePosixPath, str], list[str]] = {}
        for path in map(PurePosixPath, files.unread):
            by_folder.setdefault((path.parent, path.suffix.lower()), []).append(str(path))
        for (folder, suffix), some in by_folder.items():
            found = f"{len(some):,} {suffix or 'other'} files in {folder}, such as {PurePosixPath(some[0]).name}"
            report.add(UNREAD_FILE, some[0], found, count=len(some))

    def review(self, examples: list[Example], split_of: dict[str, str], report: Report, account: Account) -> None:
        """Count what no single image shows: systematic repairs, mass unlabeled images, inverted masks."""
        review(examples, report, expected_unlabeled=self.scan.settings.unlabeled == CLEAN)
        by_group: dict[str, set[str]] = {}
        for example in examples:
            if example.image_id in split_of:
                by_group.setdefault(example.group or example.image_id, set()).add(split_of[example.image_id])
        torn = sorted(group for group, found in by_group.items() if len(found) > 1)
        if torn:
            report.add(GROUP_IN_TWO_SPLITS, "radikal.yaml", ", ".join(torn[:5]), count=len(torn))


def _several(scan: Scan, formats: list[str]) -> str:
    """Return a message for a folder with annotations in several formats."""
    found = "; ".join(f"{name} ({', '.join(scan.files.annotations[name][:2])} ...)" for name in formats)
    return (
        f"{scan.tree.root} holds annotations in {len(formats)} formats: {found}. Name one of them as the config, "
        f'as in load_dataset("radikal_datasets/folder", "{formats[0]}", data_dir=...), or write `format: {formats[0]}` '
        "into radikal.yaml."
    )


def _ids(images: list[str]) -> dict[str, str]:
    """Return image -> path without extension, in Unicode NFC; with it where two files differ in nothing else."""
    stems = {image: nfc(str(PurePosixPath(image).with_suffix(""))) for image in images}
    times = Counter(stems.values())
    return {image: stem if times[stem] == 1 else nfc(image) for image, stem in stems.items()}


def _annotations(scan: Scan, format_: str) -> str:
    """Return what the annotations are, for the card."""
    parsed = scan.parsed(format_)
    shapes = [shape for entry in parsed.entries.values() for shape in entry.shapes]
    if parsed.image_level:
        return "image level"
    masks = [shape for shape in shapes if shape.polygons or shape.mask or shape.mask_file]
    return "masks" if masks and len(masks) == len(shapes) else "boxes; some masks" if masks else "boxes"


def _notes(scan: Scan, config: Config) -> tuple[str, ...]:
    """Return what was decided, in sentences for the card."""
    settings = scan.settings
    notes = [
        f"Read from annotations in the format {config.name}; classes: {', '.join(config.classes[:40])}.",
        f"Images that no annotation mentions are {'defect-free' if settings.unlabeled == CLEAN else 'not annotated'}.",
        "The splits are the folder's own." if scan.keeps_splits else "The splits are those of radikal-datasets.",
    ]
    if settings.group:
        notes.append(f"Images with the same {settings.group!r} are one group and never in two splits.")
    if scan.parsed(config.name).image_level:
        notes.append("Only the image is known to be defective: every box is the complete image.")
    return tuple(notes)


def _decided(scan: Scan, configs: tuple[Config, ...]) -> dict[str, Any]:
    """Return what was recognized, and what the owner states, as plain values."""
    settings = scan.settings
    decided: dict[str, Any] = {
        "title": settings.title or settings.name or SOURCE.title,
        "license": settings.license or _OWNER.name,
        "license_summary": settings.license_summary or _OWNER.summary,
        "may_be_passed_on": bool(settings.license) and settings.may_be_passed_on,
        "unlabeled": settings.unlabeled,
        "splits": "as_they_are" if scan.keeps_splits else "recommended",
        "classes": {config.name: list(config.classes) for config in configs},
        "boxes": "image_level" if scan.parsed(configs[0].name).image_level else "objects",
    }
    if settings.name:
        decided["name"] = settings.name
    if settings.group:
        decided["group"] = settings.group
    if settings.renamed:
        decided["renamed"] = dict(settings.renamed)
    if settings.pixels is not None:
        window = settings.pixels.window
        decided["pixels"] = {
            "bits": settings.pixels.bits,
            "window": window if isinstance(window, str) else list(window),
        }
    return decided
