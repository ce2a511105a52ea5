"""GDXray: X-ray images of castings, welds, baggage, natural objects and calibration patterns.

Facts about castings, measured on a complete copy: 67 series, 2,727 PNG, 34 series with boxes, 1,352 images in them, 890
of these with a box, 2,903 boxes. The other 33 are unannotated and prove nothing. Statements on W0002 are third-party.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ..annotations.gdxray_table import AnnotationRow, SeriesAnnotation, read_annotation
from ..annotations.mask_file import mask_instances
from ..annotations.polygon import PolygonMask, clip_polygon, hull
from ..building.builder import InspectionBuilder
from ..errors import MalformedAnnotationError, MissingImageError
from ..raw.images import image_size
from ..raw.tree import Tree
from ..report import Report
from ..schema import Example, Instance, InstanceMask
from ..source import Config, License, Measured, NotRead, Source
from ..splits import BY_SHARE, RECOMMENDED, TEST, TRAIN, VALIDATION

_FOLDERS = {
    "castings": "Castings",
    "welds": "Welds",
    "baggage": "Baggages?",
    "nature": "Nature",
    "settings": "Settings",
}
#: The series whose images are binary masks, and the series that they annotate, image by image.
MASK_SERIES, MASKED_SERIES = "W0002", "W0001"

_VALIDATION_SERIES = ("C0032", "C0037", "C0051", "C0054", "C0062")
_TEST_SERIES = ("C0010", "C0024", "C0030", "C0045", "C0057")
_TRAIN_SERIES = (
    *("C0001", "C0002", "C0007", "C0008", "C0015", "C0019", "C0021", "C0026", "C0029", "C0031", "C0033", "C0034"),
    *("C0035", "C0036", "C0038", "C0039", "C0040", "C0041", "C0042", "C0043", "C0047", "C0055", "C0060", "C0065"),
)
#: Computed once by benchmarks/choose_series.py; the 34 annotated series of castings.
SPLIT_OF_SERIES = {
    f"gdxray/castings/{series}": split
    for split, names in ((VALIDATION, _VALIDATION_SERIES), (TEST, _TEST_SERIES), (TRAIN, _TRAIN_SERIES))
    for series in names
}


def _config(name: str, class_name: str, **counts: Any) -> Config:
    return Config(name, (class_name,), files=rf"(?i:{_FOLDERS[name]}/.*)", **counts)


def _series(part: str) -> str:
    """Return a regular expression over the folders of a group's series: `Castings/C0001`."""
    return rf"(?i:{_FOLDERS[part]}/{part[0].upper()}\d{{4}})"


SOURCE = Source(
    name="gdxray",
    title="GDXray: the database of X-ray images for nondestructive testing",
    homepage="https://domingomery.ing.puc.cl/material/gdxray/",
    download_page="https://domingomery.ing.puc.cl/material/gdxray/",
    license=License(
        "GDXray research and education only",
        False,
        'Free for research and education; "Redistribution and commercial use is prohibited".',
    ),
    citation="""@article{mery2015gdxray,
  title   = {GDXray: The Database of X-ray Images for Nondestructive Testing},
  author  = {Mery, Domingo and Riffo, Vladimir and Zscherpel, Uwe and Mondrag\\'on, German and Lillo, Iv\\'an and
             Zuccar, Irene and Lobel, Hans and Carrasco, Miguel},
  journal = {Journal of Nondestructive Evaluation},
  volume  = {34}, number = {4}, pages = {42}, year = {2015}, doi = {10.1007/s10921-015-0315-7}
}""",
    configs=(
        _config("castings", "defect", images=2727, boxes=2903, images_by_class={"defect": 890}),
        _config("welds", "defect"),
        _config("baggage", "object"),
        _config("nature", "object"),
        _config("settings", "object"),
    ),
    layout="""GDXray/
  Castings/C0001/C0001_0001.png ...   any of the five group folders may be absent
  Castings/C0001/ground_truth.txt     image, x1, x2, y1, y2; series without one are not annotated
  Castings/C0001/BoundingBox.mat      the same, read if the text is missing
  Welds/W0001/ ...  Baggages/B0001/ ...  Nature/N0001/ ...  Settings/S0001/ ...""",
    marker=r"(?i:(?:Castings/C|Welds/W|Baggages?/B|Nature/N|Settings/S)\d{4}/[CWBNS]\d{4}_\d{4}\.png)",
    split_of_group=dict.fromkeys((RECOMMENDED, BY_SHARE), SPLIT_OF_SERIES),
    modality="X-ray, gray; castings mostly 768x572",
    annotations="boxes; masks where the annotations are polygons or images",
    best_use="Detecting defects in castings from a few hundred X-ray images, most images without labels.",
    image_sizes="castings 768x572, 768x574, 256x256",
    defect_free="462 of 1,352 annotated castings",
    split_notes={RECOMMENDED: "70/15/15 by series"},
    measured=Measured(
        "gdxray_castings_cpu.yaml", 1, 64.2, 0.510, ("b5cae70",), "one CPU core (AMD EPYC, shared with other work)"
    ),
    notes=(
        "It has no defect types: castings and welds have the class defect, the others object.",
        "33 of the 67 castings series were never annotated: split unlabeled, never negatives.",
        "C0055 alone holds 42 % of all castings boxes and is always in train.",
    ),
    # A part is in the beam in any pose, closer to the tube or further away. Dose, voltage and detector change
    # brightness, contrast and gamma; fewer quanta mean more noise; the focal spot blurs.
    augmentations=(
        "flip_horizontal",
        "flip_vertical",
        "turn",
        "rotation",
        "translate",
        "scale",
        "brightness",
        "contrast",
        "gamma",
        "noise",
        "blur",
    ),
    layouts={"the publisher's: groups and series": r"[^/]+/[^/]+/.*"},
    annotation_files={
        "table of boxes": r"[^/]+/[^/]+/(?:ground_truth(?:\.txt)?|Xgdxannotate\('.',\d+\)|BoundingBox\.mat)",
        "mask": r"welds/w0002/.*\.png",
    },
    not_read=(
        NotRead("BoundingBox.mat beside the text it repeats", r"[^/]+/[^/]+/BoundingBox\.mat", "folder"),
        NotRead("positions of the manipulator", r"[^/]+/[^/]+/ManipulatorPosition(?:bak)?\.txt"),
        NotRead("model of the distortion", r"[^/]+/[^/]+/HyperbolicModel\.txt"),
        NotRead("objects of another kind", r"[^/]+/[^/]+/razor_blades\.txt"),
        NotRead("statistics of castings", r"castings/statistics\.txt"),
        NotRead("a split that others published", r"castings_(?:train|test)\.txt"),
        NotRead("table of boxes of the series with masks", r"welds/w0001/ground_truth\.txt"),
    ),
    part_folders="|".join(_FOLDERS.values()),
    expected_repairs={
        "mat_truth": "BoundingBox.mat repeats the text",
        "misnamed_truth": "two copies of C0037 are named so",
    },
)


class GDXray(InspectionBuilder):
    """Reader for the publisher's group folders; any of them may be absent."""

    SOURCE = SOURCE

    def read(self, tree: Tree, part: str, report: Report) -> Iterator[Example]:
        """Read one annotation file per series, or none; see `InspectionBuilder.read`."""
        folders: dict[str, list[str]] = {}
        for _, match in tree.matching(rf"(?P<folder>{_series(part)})/(?P<name>[^/]+)"):
            folders.setdefault(match["folder"], []).append(match["name"])
        for folder in [folder for folder in folders if folder.upper().endswith(f"/{MASK_SERIES}")]:
            # Masks are read with their images, none of which may be present.
            of_images = folder[: -len(MASK_SERIES)] + MASKED_SERIES
            if of_images.lower() not in map(str.lower, folders):
                folders[of_images] = []
        for folder, names in folders.items():
            group, _, series = folder.rpartition("/")
            if series.upper() == MASK_SERIES:
                continue
            of_masks = next((f for f in folders if f.lower() == f"{group}/{MASK_SERIES}".lower()), "")
            masks = _images(of_masks, folders.get(of_masks, [])) if series.upper() == MASKED_SERIES else []
            if masks:
                yield from self._read_masked(tree, part, _images(folder, names), dict(masks), report)
            else:
                yield from self._read_boxed(tree, part, folder, names, report)

    def _read_masked(
        self, tree: Tree, part: str, images: list[tuple[int, str]], masks: dict[int, str], report: Report
    ) -> Iterator[Example]:
        tree.accounted_for.update(masks.values())  # the mask of an unreadable image is never opened
        for number, path in images:
            with report.costs_image():
                example = _example(tree, part, number, path)
                if number in masks:
                    size = example.width, example.height
                    example.instances = mask_instances(tree, masks[number], _label(part), *size, report)
                else:
                    report.add("missing_truth", path, f"no {MASK_SERIES}_{number:04d}.png")
                    example.annotated = False
                yield example
        for number in sorted(masks.keys() - dict(images).keys()):
            with report.costs_image():
                found = f"the mask belongs to image {number}, which does not exist"
                remedy = f"Copy {MASKED_SERIES}_{number:04d}.png to {MASKED_SERIES}, or remove the mask."
                raise MissingImageError(masks[number], found, remedy)

    def _read_boxed(self, tree: Tree, part: str, folder: str, names: list[str], report: Report) -> Iterator[Example]:
        images = _images(folder, names)
        try:
            found = read_annotation(tree, folder, names, report)
        except MalformedAnnotationError as error:
            if report.strict:
                raise
            cause = f"{error.found}: this may concern any image of the series, so none is kept"
            report.add(error.kind, error.path, cause, line=error.line, count=max(1, len(images)))
            tree.accounted_for.update(path for _, path in images)
            return
        annotation, annotation_path = found or (SeriesAnnotation(), "")
        for number, path in images:
            with report.costs_image():
                example = _example(tree, part, number, path)
                example.annotated = found is not None
                if number in annotation.errors:
                    raise annotation.errors[number]
                rows = annotation.rows.get(number, [])
                example.instances = [_instance(row, example, _label(part), annotation_path, report) for row in rows]
                yield example
        for number in sorted((annotation.rows.keys() | annotation.errors.keys()) - dict(images).keys()):
            with report.costs_image():
                line = annotation.first_line(number)
                remedy = f"Copy {folder.rpartition('/')[2]}_{number:04d}.png here, or remove its rows."
                found_row = f"the row refers to image {number}, which does not exist"
                raise MissingImageError(annotation_path, found_row, remedy, line)

    def should_be_annotated(self, example: Example) -> bool:
        """Return whether the series has an annotation, in this tree or in the publisher's."""
        return example.annotated or example.group in SPLIT_OF_SERIES


def _label(part: str) -> str:
    """Return the only class of a group."""
    return SOURCE.config(part).classes[0]


def _example(tree: Tree, part: str, number: int, path: str) -> Example:
    """Return an unannotated image of a series; `Castings/C0001/C0001_0001.png` is gdxray/castings/C0001/C0001_0001."""
    series = path.split("/")[1].upper()
    group = f"gdxray/{part}/{series}"
    return Example(f"{group}/{series}_{number:04d}", path, *image_size(tree, path), group=group)


def _images(folder: str, names: list[str]) -> list[tuple[int, str]]:
    """Return number and path of a series' images; a number occurs twice if it exists as .png and as .PNG."""
    pattern = re.compile(rf"(?i:{folder.rpartition('/')[2]}_(\d{{4}})\.png)")
    return [(int(match[1]), f"{folder}/{name}") for name in names if (match := pattern.fullmatch(name))]


def _instance(row: AnnotationRow, example: Example, label: str, path: str, report: Report) -> Instance:
    """Convert a row to an instance; an oriented rectangle is clipped, and its box is the hull of the part inside."""
    if row.swapped:
        report.add("swapped_corners", path, f"image {row.number}", line=row.line)
    if row.corners is None:
        return Instance(label, row.box)
    inside = clip_polygon(row.corners, example.width, example.height)
    box = hull(inside) if inside else (0.0, 0.0, 0.0, 0.0)
    if box != row.box and box[0] < box[2] and box[1] < box[3]:
        # Its corners may lie outside the image.
        report.add("clipped_box", path, f"image {row.number}: an oriented rectangle", line=row.line, proven=True)
    return Instance(label, box, InstanceMask(PolygonMask(row.corners)))
