"""NEU-DET: six kinds of surface defect on hot-rolled steel strip.

Facts measured on a complete copy: 1,800 JPEG of 200x200, 4,189 boxes of which 3 are exact duplicates; 188 boxes in 123
images have a class other than the one in the file name, and the `<name>` element is correct.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from ..annotations.voc import VocAnnotation, parse_voc
from ..building.builder import InspectionBuilder
from ..errors import MissingImageError, UnknownClassError
from ..raw.images import image_size
from ..raw.tree import Tree
from ..report import Effect, Kind, Report
from ..schema import Example, Instance
from ..source import DEFAULT_CONFIG, Config, License, Measured, NotRead, Source

#: Kaggle has train and validation; copies of it have one or two of the others beside train.
_SPLIT = "train(?:ing)?|val(?:id|idation)?|test(?:ing)?"
_IMAGE = rf"(?i:(?:images|(?P<part>{_SPLIT})/images/[^/]+)/(?P<stem>[^/]+)\.(?:jpg|jpeg|png|bmp))"
_ANNOTATION = rf"(?i:(?:annotations|(?P<part>{_SPLIT})/annotations)/(?P<stem>[^/]+)\.xml)"

CLASS_NOT_FILE_NAME = Kind(
    "class_not_file_name", Effect.REPAIRED, "a box whose class differs from the file name: its <name> is used", "boxes"
)
FILENAME_WITHOUT_EXTENSION = Kind(
    "filename_without_extension",
    Effect.REPAIRED,
    "<filename> has no extension: the XML file's own name is used",
    "annotation files",
)
ANNOTATION_ELSEWHERE = Kind(
    "truth_elsewhere",
    Effect.REPAIRED,
    "the annotation is in the other split's folder than its image: used",
    "annotation files",
)

SOURCE = Source(
    name="neu_det",
    title="NEU-DET: surface defects of hot-rolled steel strip",
    homepage="http://faculty.neu.edu.cn/songkechen/zh_CN/zhym/263269/list/index.htm",
    download_page="http://faculty.neu.edu.cn/songkechen/zh_CN/zhym/263269/list/index.htm",
    license=License(
        "NEU-DET research use", False, "Free for research; no license text exists, so passing it on is not allowed."
    ),
    citation="""@article{he2020neudet,
  title   = {An End-to-End Steel Surface Defect Detection Approach via Fusing Multiple Hierarchical Features},
  author  = {He, Yu and Song, Kechen and Meng, Qinggang and Yan, Yunhui},
  journal = {IEEE Transactions on Instrumentation and Measurement},
  volume  = {69}, number = {4}, pages = {1493--1504}, year = {2020}
}""",
    configs=(
        Config(
            DEFAULT_CONFIG,
            ("crazing", "inclusion", "patches", "pitted_surface", "rolled-in_scale", "scratches"),
            images=1800,
            boxes=4186,
            images_by_class={
                "crazing": 300,
                "inclusion": 382,
                "patches": 342,
                "pitted_surface": 301,
                "rolled-in_scale": 300,
                "scratches": 300,
            },
            files=rf"(?i:(?:images|annotations|{_SPLIT})/.*)",
        ),
    ),
    layout="""NEU-DET/
  IMAGES/crazing_1.jpg ...          1,800 JPEG
  ANNOTATIONS/crazing_1.xml ...     1,800 VOC XML
or, as on Kaggle,
NEU-DET/
  train/images/<class>/crazing_1.jpg ...  train/annotations/crazing_1.xml ...
  validation/images/<class>/...           validation/annotations/...""",
    marker=rf"(?i:(?:images|(?:{_SPLIT})/images/[^/]+)/[^/]+\.(?:jpg|jpeg|png|bmp))",
    modality="camera, gray, 200x200",
    best_use="A first detector in minutes: small images, six balanced classes.",
    image_sizes="200x200",
    defect_free="none",
    measured=Measured("neu_det.yaml", 1, 43.4, 0.684, ("bc3d1a4",), "one CPU core (AMD EPYC, shared with other work)"),
    notes=(
        "Every XML states depth 1; the JPEGs are RGB with equal channels.",
        "Kaggle's train and validation folders are a layout, not a protocol: both layouts give the same splits.",
    ),
    # Rolling has a direction: scratches and rolled-in scale run along it, so no turns. The light already differs from
    # image to image.
    augmentations=(
        "flip_horizontal",
        "flip_vertical",
        "translate",
        "scale",
        "brightness",
        "contrast",
        "gamma",
        "noise",
        "blur",
    ),
    layouts={
        "original: IMAGES and ANNOTATIONS": r"images/.*",
        "Kaggle's: images by split and class": rf"(?P<split>{_SPLIT})/images/[^/]+/.*",
    },
    annotation_files={"VOC XML": r".*\.xml"},
    not_read=(
        NotRead("YOLO text with the boxes of the XML", r"(?:.*/)?[^/]+\.txt", "stem"),
        NotRead("class list of the YOLO text", r"(?:.*/)?(?:classes|labels|obj|predefined_classes)\.(?:txt|names)"),
    ),
    split_folders=_SPLIT,
    part_folders=_SPLIT,
    expected_repairs={
        "class_not_file_name": "the class is in <name>, and file names differ from it",
        "filename_without_extension": "174 of the 1,800 files of the original are so",
    },
)


class NeuDet(InspectionBuilder):
    """Reader for the original layout (IMAGES, ANNOTATIONS) and Kaggle's (train and validation, images by class)."""

    SOURCE = SOURCE

    def read(self, tree: Tree, part: str, report: Report) -> Iterator[Example]:
        """Read one VOC file per image; see `InspectionBuilder.read`."""
        annotations: dict[str, dict[str, str]] = {}  # stem -> part -> path
        for path, match in tree.matching(_ANNOTATION):
            annotations.setdefault(match["stem"].lower(), {}).setdefault((match["part"] or "").lower(), path)
        seen: set[str] = set()
        for path, match in tree.matching(_IMAGE):
            # Identities do not depend on letter case, in which copies differ.
            stem, part = match["stem"].lower(), (match["part"] or "").lower()
            seen.add(stem)
            there = annotations.get(stem, {})
            annotation = there.get(part) or next(iter(there.values()), None)
            tree.accounted_for.update([annotation] if annotation else [])  # that of a lost image is never opened
            with report.costs_image():
                width, height = image_size(tree, path)
                example = Example(f"neu_det/{stem}", path, width, height)
                if annotation is None:
                    report.add("missing_truth", path, f"no {stem}.xml")
                    example.annotated = False
                else:
                    if part not in there:
                        report.add(ANNOTATION_ELSEWHERE, annotation, f"its image is {path}")
                    example.instances = self._instances(tree, annotation, example, report)
                    example.annotated = bool(example.instances)  # every image of the set has a defect
                yield example
        for stem in sorted(annotations.keys() - seen):
            for path in annotations[stem].values():
                with report.costs_image():
                    remedy = "Copy the image here, or remove the XML."
                    raise MissingImageError(path, f"there is no image {stem}.jpg", remedy)

    def _instances(self, tree: Tree, path: str, example: Example, report: Report) -> list[Instance]:
        annotation = parse_voc(tree.read(path), path)
        report.chances["annotation files"] += 1
        if not annotation.objects:
            report.add("empty_annotation", path, "no <object>, though every image of the set has a defect")
        if annotation.filename and not PurePosixPath(annotation.filename).suffix:
            report.add(FILENAME_WITHOUT_EXTENSION, path, annotation.filename)
        scale_x, scale_y = example.width / annotation.width, example.height / annotation.height
        if (scale_x, scale_y) != (1, 1):
            found = (
                f"the XML states {annotation.width}x{annotation.height}, the file is {example.width}x{example.height}"
            )
            report.add("resized_image", example.image, found, proven=_is_resized(annotation, example))
        classes = SOURCE.config(DEFAULT_CONFIG).classes
        class_in_name = PurePosixPath(example.image).stem.rpartition("_")[0].lower()
        instances = []
        for voc in annotation.objects:
            if voc.swapped:
                report.add("swapped_corners", path, line=voc.line)
            if voc.name not in classes:
                remedy = f"The classes are {', '.join(classes)}. Correct the XML."
                raise UnknownClassError(path, f"class {voc.name!r}", remedy, voc.line)
            if voc.name != class_in_name:
                report.add(CLASS_NOT_FILE_NAME, path, voc.name, line=voc.line)
            x_min, y_min, x_max, y_max = voc.box
            box = (x_min * scale_x, y_min * scale_y, x_max * scale_x, y_max * scale_y)
            instances.append(Instance(voc.name, box))
        return instances


def _is_resized(annotation: VocAnnotation, example: Example) -> bool:
    """Return whether the file is the annotated image scaled: by one factor, and all boxes are in the annotated size."""
    factor = max(example.width / annotation.width, example.height / annotation.height)
    same = abs(annotation.width * factor - example.width) <= 1 and abs(annotation.height * factor - example.height) <= 1
    inside = all(
        min(one.box) >= 0 and one.box[2] <= annotation.width and one.box[3] <= annotation.height
        for one in annotation.objects
    )
    return same and inside
