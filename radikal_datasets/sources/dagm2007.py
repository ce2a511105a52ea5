"""DAGM 2007: ten synthetic textures with synthetic defects, from the competition on weakly supervised inspection.

Measured: images are 512x512 and gray, label images 0 and 255; the smallest defect has 2 pixels, one image has 19
components; Class8 holds 2,000 clean and 300 defective images. The counts of the other classes are from memory; their
sum, 16,100 images in equal halves, is what third parties report too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TypeVar

from ..annotations.dagm_labels import LabelRow, parse_labels
from ..annotations.ellipse import Ellipse, parse_ellipses
from ..annotations.mask_file import MASK_VALUES, mask_instances
from ..building.builder import InspectionBuilder
from ..errors import MalformedAnnotationError, MissingImageError
from ..raw.images import image_size
from ..raw.tree import Tree
from ..report import Effect, Kind, Report
from ..schema import Example, Instance, InstanceMask
from ..source import Config, License, Source
from ..splits import BY_SHARE, OFFICIAL, RECOMMENDED

__all__ = ["LABEL_WITHOUT_ROW", "MASK_VALUES", "SOURCE", "Dagm2007"]

LABEL_WITHOUT_ROW = Kind(
    "label_without_row",
    Effect.REPAIRED,
    "no row in Labels.txt, but a label image, which implies a defect: used",
    "label images",
)

_DEFECT = "defect"
#: Class -> (clean images, defective images).
_CLASSES = {f"class{number}": (1000, 150) if number <= 6 else (2000, 300) for number in range(1, 11)}
_SPLIT = "(?P<split>(?i:train|test))"

_Key = tuple[str, str]  # split ("Train", "Test" or ""), stem
_K = TypeVar("_K")
_R = TypeVar("_R")


def _config(name: str) -> Config:
    clean, defective = _CLASSES[name]
    by_class = {_DEFECT: defective}
    return Config(name, (_DEFECT,), clean + defective, images_by_class=by_class, files=rf"(?i:{name}(?:_def)?/.*)")


def _all() -> Config:
    by_class = {f"{name}_{_DEFECT}": defective for name, (_, defective) in _CLASSES.items()}
    images = sum(map(sum, _CLASSES.values()))
    return Config("all", tuple(by_class), images, images_by_class=by_class, parts=tuple(_CLASSES))


SOURCE = Source(
    name="dagm2007",
    title="DAGM 2007: synthetic defects on synthetic textures",
    homepage="https://hci.iwr.uni-heidelberg.de/content/weakly-supervised-learning-industrial-optical-inspection",
    download_page="https://zenodo.org/records/12750201",
    license=License(
        "DAGM 2007 research use", False, "Free for research; the files hold no license text, so may not be passed on."
    ),
    citation="""@misc{wieler2007dagm,
  title  = {Weakly Supervised Learning for Industrial Optical Inspection},
  author = {Wieler, Matthias and Hahn, Tobias},
  note   = {Competition at the 29th Annual Symposium of the German Association for Pattern Recognition (DAGM)},
  year   = {2007}
}""",
    configs=(*map(_config, _CLASSES), _all()),
    layout="""DAGM/
  Class1/
    Train/0576.PNG ...   Train/Label/Labels.txt  Train/Label/0576_label.PNG ...
    Test/0001.PNG ...    Test/Label/Labels.txt   Test/Label/0002_label.PNG ...
  Class2/ ...            ten classes; any of them may be missing
or, as for development,
DAGM/
  Class1/1.png ...       Class1_def/1.png ...   Class1_def/labels.txt""",
    marker=r"(?i:class(?:10|[1-9])/(?:train|test)/[^/]+\.png|class(?:10|[1-9])(?:_def)?/\d+\.png)",
    protocols=(RECOMMENDED, OFFICIAL, BY_SHARE),
    keeps_publisher_test=True,
    modality="generated, gray, 512x512",
    real=False,
    annotations="masks",
    best_use="Faint defects on textures, many clean images; independent of any plant's particulars.",
    image_sizes="512x512",
    defect_free="14,000 (R)",
    notes=(
        "The publisher calls the labels weak: they are not exact to the pixel.",
        "Image numbers run across train and test: Class8 has 0001-1150 in test and 1151-2300 in train.",
        "Others report CC BY 4.0 on the archive's record, which could not be read: it is not downloaded automatically.",
    ),
    # A generated texture fills the image and has no orientation. Nothing may bring in plain gray from beyond the edge:
    # on a texture that is an unannotated defect.
    augmentations=("flip_horizontal", "flip_vertical", "turn", "brightness", "contrast", "gamma", "noise", "blur"),
    layouts={
        "competition: Train, Test and label images": r"[^/]+/(?P<split>train|test)/.*",
        "development: Class1 and Class1_def": r"[^/]+/[^/]*\.png",
    },
    annotation_files={
        "Labels.txt": r"[^/]+/(?:[^/]+/)?labels\.txt",
        "label image": r"[^/]+/(?:[^/]+/)?label/.*_label\.png",
    },
    split_folders=r"[^/]+/(?:train|test|label)|[^/]+/(?:train|test)/label",
    part_folders=r"class(?:10|[1-9])(?:_def)?",
)


class Dagm2007(InspectionBuilder):
    """Reader for the competition layout (Train, Test, label images) and the older development layout (ellipses)."""

    SOURCE = SOURCE

    def read(self, tree: Tree, part: str, report: Report) -> Iterator[Example]:
        """Read one label image per defective image, or rows of ellipses; see `InspectionBuilder.read`."""
        yield from self._competition(tree, part, report)
        yield from self._development(tree, part, report)

    def _competition(self, tree: Tree, part: str, report: Report) -> Iterator[Example]:
        # The folder Label is in Train and in Test; a copy with one beside them is read as well.
        label_folder = rf"(?i:{part})/(?:{_SPLIT}/)?(?i:label)"
        rows: dict[_Key, list[LabelRow | MalformedAnnotationError]] = {}
        for path, match in tree.matching(rf"{label_folder}/(?i:labels\.txt)"):
            for stem, row in parse_labels(tree.read_text(path), path):
                _keep(rows, None if stem is None else _key(match, stem), row, report)
        labels: dict[_Key, str] = {}
        for path, match in tree.matching(rf"{label_folder}/(?P<stem>[^/]+)_(?i:label\.png)"):
            labels[_key(match, match["stem"])] = path
        tree.accounted_for.update(labels.values())  # one without an image is reported through its row in Labels.txt
        seen: set[_Key] = set()
        for path, match in tree.matching(rf"(?i:{part})/{_SPLIT}/(?P<stem>[^/]+)\.(?i:png)"):
            split, stem = key = _key(match, match["stem"])
            seen.update([key, ("", stem)])
            with report.costs_image():
                width, height = image_size(tree, path)
                image_id = f"{self.SOURCE.name}/{part}/{split}/{stem}"
                example = Example(image_id, path, width, height, publisher_split=split.lower())
                row = _one(rows.get(key) or rows.get(("", stem), []))
                _add_label(example, tree, row, labels.get(key) or labels.get(("", stem)), report)
                yield example
        for split, stem in sorted((rows.keys() | labels.keys()) - seen):
            with report.costs_image():
                row = _one(rows.get((split, stem), []))
                where, line = (row.path, row.line) if row else (labels[split, stem], None)
                remedy = "Get the image, or remove its row and label."
                raise MissingImageError(where, f"there is no image {stem}.PNG", remedy, line)

    def _development(self, tree: Tree, part: str, report: Report) -> Iterator[Example]:
        rows: dict[int, list[Ellipse | MalformedAnnotationError]] = {}
        list_path = ""
        for list_path, _ in tree.matching(rf"(?i:{part}_def/labels\.txt)"):
            for number, ellipse in parse_ellipses(tree.read_text(list_path), list_path):
                _keep(rows, number, ellipse, report)
        seen: set[int] = set()
        for path, match in tree.matching(rf"(?i:{part}(?P<def>_def)?/(?P<number>\d+)\.png)"):
            number = int(match["number"])
            with report.costs_image():
                if match["def"]:
                    seen.add(number)
                width, height = image_size(tree, path)
                kind = "def" if match["def"] else "clean"
                example = Example(f"{self.SOURCE.name}/{part}/{kind}/{number}", path, width, height)
                if match["def"]:
                    _add_ellipses(example, _trusted(rows.get(number, [])), list_path, report)
                yield example
        for number in sorted(rows.keys() - seen):
            with report.costs_image():
                _trusted(rows[number])
                found = f"an ellipse refers to image {number}, which does not exist"
                raise MissingImageError(list_path, found, "Get the image, or remove the row.")


def _key(match: re.Match[str], stem: str) -> _Key:
    return (match["split"] or "").capitalize(), stem


def _keep(
    rows: dict[_K, list[_R | MalformedAnnotationError]],
    key: _K | None,
    row: _R | MalformedAnnotationError,
    report: Report,
) -> None:
    """Collect the rows of an image; an invalid row that identifies none is counted immediately."""
    if key is not None:
        rows.setdefault(key, []).append(row)
    elif isinstance(row, MalformedAnnotationError):
        report.add_error(row)


def _trusted(rows: list[_R | MalformedAnnotationError]) -> list[_R]:
    """Return the rows of an image, or raise the error of the first invalid one: a partial annotation is not used."""
    trusted = []
    for row in rows:
        if isinstance(row, MalformedAnnotationError):
            raise row
        trusted.append(row)
    return trusted


def _one(rows: list[LabelRow | MalformedAnnotationError]) -> LabelRow | None:
    trusted = _trusted(rows)
    if len({row.defective for row in trusted}) > 1:
        last = trusted[-1]
        remedy = f"Compare it with line {trusted[0].line}, look at the image and keep the correct row."
        raise MalformedAnnotationError(last.path, "this row contradicts an earlier one", remedy, last.line)
    return trusted[0] if trusted else None


def _add_label(example: Example, tree: Tree, row: LabelRow | None, label: str | None, report: Report) -> None:
    """Set the instances from the label image; the row in Labels.txt decides whether there must be one."""
    if label is None:
        if row is None or row.defective:
            found = "marked as defective, but without label image" if row else "no row in Labels.txt and no label image"
            report.add("missing_truth", example.image, found)
            example.annotated = False
        return
    report.chances["label images"] += 1
    if row is None:
        report.add(LABEL_WITHOUT_ROW, label, f"Labels.txt has no row for {example.image}")
    example.instances = mask_instances(tree, label, _DEFECT, example.width, example.height, report)
    defective = row is None or row.defective
    if bool(example.instances) != defective:
        found = f"{len(example.instances)} defects, but the image is marked {'defective' if defective else 'clean'}"
        remedy = "Look at the image: label image and Labels.txt disagree."
        raise MalformedAnnotationError(label, found, remedy)


def _add_ellipses(example: Example, ellipses: list[Ellipse], path: str, report: Report) -> None:
    """Add one instance per ellipse."""
    if not ellipses:
        report.add("missing_truth", example.image, "no row in labels.txt")
        example.annotated = False
    for ellipse in ellipses:
        box = ellipse.box(example.width, example.height)
        if box is None:
            raise MalformedAnnotationError(path, f"{ellipse} lies outside {example.image}", "Correct its row.")
        example.instances.append(Instance(_DEFECT, box, InstanceMask(ellipse)))
