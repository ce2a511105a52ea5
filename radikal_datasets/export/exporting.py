"""`export`: every configuration of a source or folder, split by split, in one of the formats."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import DatasetDict
from datasets.utils import tqdm

from ..checks.splits import check_splits
from ..errors import LayoutError
from ..loading.sets import open_sets, rows
from ..prepared.manifest import MANIFEST_FILENAME, Manifest
from ..schema import IMAGE_LEVEL_REASON, is_image_level
from ..sources import builder_class, is_source, own_or_named, source_info
from .coco import CocoWriter, RoboflowWriter
from .mvtec import MvtecWriter
from .objects import ObjectsWriter
from .shared import About, Record, Writer, atomic_output, extension_of, file_stems, short_split
from .voc import VocWriter
from .yolo import YoloPolygonsWriter, YoloWriter

#: The formats by name.
FORMATS: dict[str, type[Writer]] = {
    "coco": CocoWriter,
    "roboflow": RoboflowWriter,
    "yolo": YoloWriter,
    "yolo-polygons": YoloPolygonsWriter,
    "voc": VocWriter,
    "mvtec": MvtecWriter,
    "objects": ObjectsWriter,
}

#: File of every export that states the license, where it is known.
LICENSE_FILE = "LICENSE.txt"
_COLUMNS = ("image_id", "image", "width", "height", "boxes", "labels", "masks", "reference", "annotated", "group")
# Images are up to 10 MB each.
_ROWS_AT_ONCE = 16


@dataclass(frozen=True)
class Exported:
    """What was written for one configuration.

    Attributes:
        title: of the dataset, `neu_det` or `gdxray/castings`.
        folder: where it was written.
        images: number of images per split, with or without boxes; the splits are the dataset's own.
        boxes: in total.
        left_out: unannotated images, which are not written.
        not_held: what the format could not keep, one phrase each.
        remark: what to know about class numbers and files.
    """

    title: str
    folder: Path
    images: dict[str, int]
    boxes: int
    left_out: int
    not_held: list[str]
    remark: str

    def lines(self) -> list[str]:
        """Return the same in words."""
        splits = ", ".join(f"{name} {count:,}" for name, count in self.images.items())
        total = sum(self.images.values())
        lines = [f"{self.title}: {total:,} images ({splits}), {self.boxes:,} boxes in {self.folder}", self.remark]
        if self.left_out:
            lines.append(f"left out because unannotated: {self.left_out:,} (they must not pass for defect-free)")
        return lines + [f"not held: {phrase}" for phrase in self.not_held]


def export_sets(
    name: str,
    config: str | None = None,
    *,
    format: str,
    output: str | os.PathLike[str],
    data_dir: str | os.PathLike[str] | None = None,
    protocol: str | None = None,
) -> list[Exported]:
    """Write a dataset into a folder, atomically.

    Images are the files' own bytes. Unannotated images are left out; defect-free ones are written.

    Args:
        name: a source, or a folder written by `prepare` (or any other folder with the schema's columns).
        config: one configuration, written into `output` itself. None: all that are present, each in a folder of its
            name below `output`; for a dataset with a single one, in `output` itself.
        format: a key of `FORMATS`.
        output: a folder that is empty or does not exist yet.
        data_dir, protocol: of a source, as in `load_dataset`.

    Raises:
        OutputError: `output` holds files, or is inside the tree or folder that is read.
        LayoutError: no image is annotated, a column is missing, or an image_id occurs twice.
        ValueError: no such format.
        RadikalError: as raised by `load_dataset`.
    """
    if format not in FORMATS:
        raise ValueError(f"There is no format {format!r}. The formats are {', '.join(FORMATS)}.")
    final = Path(output)
    license = _license(name, data_dir, config)
    done: list[Exported] = []
    unlabeled: list[str] = []
    with atomic_output(final, data_dir, None if is_source(name) else name) as stage:
        for title, splits in open_sets(name, config, data_dir=data_dir, protocol=protocol):
            part = title.partition("/")[2] if config is None else ""
            if any(any(split["annotated"]) for split in _checked(title, splits).values()):
                (stage / part).mkdir(exist_ok=True)
                done.append(_export(splits, stage / part, final / part, FORMATS[format], About(title, license)))
            else:
                unlabeled.append(title)
        if not done:
            raise LayoutError(f"No image of {', '.join(unlabeled)} is annotated, so there is nothing to export.")
    return done


def _export(splits: DatasetDict, folder: Path, final: Path, writer_type: type[Writer], about: About) -> Exported:
    classes = next(iter(splits.values())).features["labels"].feature.names
    images: Counter[str] = Counter()
    boxes = masks = 0
    lacking = _Lacking()
    with writer_type(folder, classes, about) as writer:
        for record in _records(splits, lacking, about.title):
            writer.add(record)
            images[record.split] += 1
            boxes += len(record.boxes)
            masks += len(record.masks)
    if about.license:
        (folder / LICENSE_FILE).write_text(f"{about.license}\n", encoding="utf-8")
    not_held = [f"{masks:,} masks, one per box"] if masks and not writer.HOLDS_MASKS else []
    if lacking.references:
        not_held.append(f"{lacking.references:,} reference images (the defect-free counterparts)")
    not_held += writer.not_held()
    return Exported(about.title, final, dict(images), boxes, lacking.unlabeled, not_held, writer.REMARK)


@dataclass
class _Lacking:
    """What no format accepts, counted while the rows are read."""

    unlabeled: int = 0
    references: int = 0


def _records(splits: DatasetDict, lacking: _Lacking, title: str) -> Iterator[Record]:
    """Yield the annotated images of all splits, in order."""
    stems = file_stems(image_id for split in splits.values() for image_id in split["image_id"])
    number = 0
    with tqdm(total=sum(split.num_rows for split in splits.values()), unit=" images", desc=title) as bar:
        for name, split in splits.items():
            for row in rows(split, _COLUMNS, _ROWS_AT_ONCE):
                bar.update()
                if not row["annotated"]:
                    lacking.unlabeled += 1
                    continue
                number += 1
                lacking.references += row["reference"] is not None
                yield _record(row, number, str(name), stems[row["image_id"]])


def _record(row: dict[str, Any], number: int, split: str, stem: str) -> Record:
    data = _bytes(row["image"])
    return Record(
        number=number,
        image_id=row["image_id"],
        split=split,
        stem=stem,
        extension=extension_of(row["image"]["path"], data),
        data=data,
        width=row["width"],
        height=row["height"],
        boxes=[(box[0], box[1], box[2], box[3]) for box in row["boxes"]],
        labels=row["labels"],
        masks=[_bytes(mask) for mask in row["masks"] or ()],
        group=row["group"],
    )


def _bytes(image: dict[str, Any]) -> bytes:
    """Return the bytes of an undecoded image, which third-party datasets may keep in a separate file."""
    return image["bytes"] if image["bytes"] is not None else Path(image["path"]).read_bytes()


def _checked(title: str, splits: DatasetDict) -> DatasetDict:
    short = Counter(short_split(str(name)) for name in splits)
    if twice := [name for name, count in short.items() if count > 1]:
        raise LayoutError(
            f"{title}: two of the splits {', '.join(map(str, splits))} would be called {twice[0]}. Rename one of them."
        )
    check_splits(splits, _COLUMNS, what=f"{title}, split {{split}},")
    if is_image_level(splits):
        raise LayoutError(f"{title}: {IMAGE_LEVEL_REASON}")
    return splits


def _license(name: str, data_dir: str | os.PathLike[str] | None, config: str | None) -> str:
    """Return name and summary of a dataset's license; "" for a folder that `prepare` did not write."""
    name, data_dir = own_or_named(name, data_dir)
    if not is_source(name):
        if not Path(name, MANIFEST_FILENAME).is_file():
            return ""
        license = Manifest.load(name).facts.license
        return f"{license.name}. {license.summary}"
    license = (
        builder_class(name).facts_of(data_dir, config).license if data_dir is not None else source_info(name).license
    )
    return f"{license.name}. {license.summary}"
