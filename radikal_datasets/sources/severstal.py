"""Severstal: four kinds of defect on flat steel, as pixel masks.

Facts measured on a complete copy: 12,568 training images of 1600x256, 7,095 masks (one per image and class, of up to
3,686 runs), 5,902 images without a defect. A third party reports 5,506 test images, whose annotation was never
published.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..annotations.rle import RleMask, components
from ..annotations.severstal_csv import REMEDY, ROWS_WITHOUT_IMAGE, Annotations, read_csv
from ..building.builder import InspectionBuilder
from ..errors import MaskSizeError, MissingImageError, UnknownClassError
from ..raw.images import image_size
from ..raw.tree import Tree
from ..report import Effect, Kind, Report
from ..schema import Example, Instance, InstanceMask
from ..source import DEFAULT_CONFIG, Config, License, NotRead, Source

__all__ = ["ROWS_WITHOUT_IMAGE", "SOURCE", "UNNAMED_IMAGES", "Severstal"]

#: Width and height of every image, in pixels. The run lengths refer to this frame and mean nothing in another.
SIZE = (1600, 256)
_CSV = "train.csv"
_CLASSES = {str(number): f"defect_{number}" for number in range(1, 5)}
_NAME = r"(?P<stem>[^/]+)(?i:\.jpg)"

UNNAMED_IMAGES = Kind("unnamed_images", Effect.MISREAD, "images of train_images that no readable csv names")

SOURCE = Source(
    name="severstal",
    title="Severstal: steel defect detection",
    homepage="https://www.kaggle.com/competitions/severstal-steel-defect-detection",
    download_page="https://www.kaggle.com/competitions/severstal-steel-defect-detection/data",
    license=License(
        "Kaggle competition rules", False, "For those who accepted the competition's rules; may not be passed on."
    ),
    citation="""@misc{severstal2019,
  title        = {Severstal: Steel Defect Detection},
  author       = {{PAO Severstal}},
  year         = {2019},
  howpublished = {Kaggle competition},
  url          = {https://www.kaggle.com/competitions/severstal-steel-defect-detection}
}""",
    configs=(
        Config(
            DEFAULT_CONFIG,
            tuple(_CLASSES.values()),
            images=12_568 + 5_506,
            images_by_class=dict(zip(_CLASSES.values(), (897, 247, 5150, 801), strict=True)),
            files=r"(?i:(?:train|test)_images/.*|train\.csv(?:\.zip)?)",
        ),
    ),
    layout="""severstal-steel-defect-detection/
  train.csv                         ImageId,ClassId,EncodedPixels
  train_images/0002cc93b.jpg ...    12,568 JPEG, 1600x256
  test_images/004f40c73.jpg ...     5,506 JPEG without annotation
  sample_submission.csv             not read""",
    marker=r"(?i:(?:train|test)_images/[^/]+\.jpg)",
    kaggle_competition="severstal-steel-defect-detection",
    modality="line-scan camera, gray, 1600x256",
    annotations="masks",
    best_use="Segmentation and long, thin images; half of the images have no defect.",
    image_sizes="1600x256",
    defect_free="5,902 of 12,568 annotated",
    notes=(
        "The publisher does not name the defect types: the classes are numbers.",
        "A mask holds all defects of a class; instances are its 8-connected components.",
        "The test images' annotation was never published: they are the split `unlabeled`.",
    ),
    # The strip passes below the camera in one direction, so no turns; defects occur anywhere on it, so their masks may
    # be pasted. Light, exposure and focus differ from line to line.
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
        "copy_paste",
    ),
    layouts={"the competition's folder": r"(?P<split>(?:train|test)_images)/.*"},
    annotation_files={"csv of run-length codes": r"train\.csv(?:\.zip)?"},
    not_read=(
        NotRead("sample_submission.csv", r"sample_submission\.csv(?:\.zip)?"),
        NotRead("zipped copy of train.csv", r"train\.csv\.zip", "stem"),
    ),
    split_folders=r"(?:train|test)_images",
    most_unlabeled=1.0,  # each image that should have an annotation and has none is counted as unnamed
    expected_repairs={"rows_without_image": "copies with thousands of rows of commas at the end are known"},
)


class Severstal(InspectionBuilder):
    """Reader for the competition's folder."""

    SOURCE = SOURCE

    def read(self, tree: Tree, part: str, report: Report) -> Iterator[Example]:
        """Read all masks from one csv; see `InspectionBuilder.read`."""
        annotations = Annotations()
        tables = [path for path, _ in tree.matching(r"(?i:train\.csv(?:\.zip)?)")]
        path = min(tables, key=lambda path: (path.lower().endswith(".zip"), path != _CSV), default="")
        with report.costs_image():
            annotations = read_csv(tree, path, report) if path else annotations
        in_train: set[str] = set()
        unnamed: list[str] = []
        for path, match in tree.matching(f"(?i:train_images)/{_NAME}"):
            name = f"{match['stem']}.jpg"
            in_train.add(name)
            with report.costs_image():
                example = Example(f"severstal/{match['stem']}", path, *image_size(tree, path))
                if annotations.cut_off and annotations.cut_off[0] == name:
                    raise annotations.cut_off[1]
                rows = annotations.rows.get(name, [])
                if not rows and not annotations.covers(name):
                    unnamed.append(path)
                    report.add(
                        "missing_truth",
                        path,
                        f"no row in {annotations.path}" if annotations.rows else f"{_CSV} is missing or unusable",
                    )
                    example.annotated = False
                example.instances = [
                    instance for row in rows for instance in _instances(example, annotations.path, *row)
                ]
                yield example
        for path, match in tree.matching(f"(?i:test_images)/{_NAME}"):
            with report.costs_image():
                yield Example(f"severstal/{match['stem']}", path, *image_size(tree, path), annotated=False)
        if annotations.cut_off and annotations.cut_off[0] not in in_train:
            report.add_error(annotations.cut_off[1])
            in_train.add(annotations.cut_off[0])
        for name in sorted(annotations.rows.keys() - in_train):
            with report.costs_image():
                line = annotations.rows[name][0][0]
                remedy = "Copy the image here, or remove the row."
                raise MissingImageError(annotations.path, f"there is no image train_images/{name}", remedy, line)
        if unnamed and not report.loses_something:  # an unusable csv is counted as such
            report.add(UNNAMED_IMAGES, unnamed[0], f"{len(unnamed):,} of {len(in_train):,} images", count=len(unnamed))

    def should_be_annotated(self, example: Example) -> bool:
        """Return whether the image is one of the training set: the annotation of the others was never published."""
        return not example.image.lower().startswith("test_images/")


def _instances(example: Example, path: str, line: int, number: str, code: str) -> Iterator[Instance]:
    if number not in _CLASSES:
        remedy = f"The classes are {', '.join(_CLASSES)}. {REMEDY}"
        raise UnknownClassError(path, f"class {number!r}", remedy, line)
    if not code:
        return
    if (example.width, example.height) != SIZE:
        found = f"{example.width}x{example.height} pixels, but its mask refers to {SIZE[0]}x{SIZE[1]}"
        raise MaskSizeError(example.image, found, "Use the original image.")
    _, boxes = components(code, *SIZE, path, line)
    mask = RleMask(code)
    for component, box in enumerate(boxes, start=1):
        yield Instance(_CLASSES[number], box, InstanceMask(mask, component))
