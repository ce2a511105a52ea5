"""Severstal: four kinds of defect on flat steel, as pixel masks.

Facts measured on a complete copy: 12,568 training images of 1600x256, 7,095 masks (one per image and class, of up to
3,686 runs), 5,902 images without a defect. A third party reports 5,506 test images, whose annotation was never
published.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..annotations.rle import RleMask, components
from ..building.builder import InspectionBuilder
from ..errors import MalformedAnnotationError, MaskSizeError, MissingImageError, UnknownClassError
from ..raw.images import image_size
from ..raw.tree import Tree
from ..report import Effect, Kind, Report
from ..schema import Example, Instance, InstanceMask
from ..source import DEFAULT_CONFIG, Config, License, Source

#: Width and height of every image, in pixels. The run lengths refer to this frame and mean nothing in another.
SIZE = (1600, 256)
_CLASSES = {str(number): f"defect_{number}" for number in range(1, 5)}
_NAME = r"(?P<stem>[^/]+)(?i:\.jpg)"
_CSV = "train.csv"
_REMEDY = "Get train.csv again."

ROWS_WITHOUT_IMAGE = Kind("rows_without_image", Effect.REPAIRED, "rows in the csv that hold only commas: skipped")

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
            files=r"(?:train|test)_images/.*|train\.csv",
        ),
    ),
    layout="""severstal-steel-defect-detection/
  train.csv                         ImageId,ClassId,EncodedPixels
  train_images/0002cc93b.jpg ...    12,568 JPEG, 1600x256
  test_images/004f40c73.jpg ...     5,506 JPEG without annotation
  sample_submission.csv             not read""",
    marker=r"(?:train|test)_images/[^/]+(?i:\.jpg)",
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
)


@dataclass
class _Annotations:
    """The contents of train.csv.

    Attributes:
        rows: image name -> (line, class number as written, run-length code), in file order; codes may be empty.
        covers_all: the header is the one that lists only defective images, so that an image without a row is clean.
        cut_off: for a file that ends within a line: the image this line concerns, and the error that costs it.
            covers_all then holds only for the images before it.
    """

    rows: dict[str, list[tuple[int, str, str]]] = field(default_factory=dict)
    covers_all: bool = False
    cut_off: tuple[str, MalformedAnnotationError] | None = None

    def covers(self, name: str) -> bool:
        """Return whether an image without a row is clean."""
        return self.covers_all and (self.cut_off is None or name < self.cut_off[0])


class Severstal(InspectionBuilder):
    """Reader for the competition's folder."""

    SOURCE = SOURCE

    def read(self, tree: Tree, part: str, report: Report) -> Iterator[Example]:
        """Read all masks from one csv; see `InspectionBuilder.read`."""
        annotations = _Annotations()
        with report.costs_image():
            annotations = _read_csv(tree, report)
        in_train: set[str] = set()
        for path, match in tree.matching(f"train_images/{_NAME}"):
            name = f"{match['stem']}.jpg"
            in_train.add(name)
            with report.costs_image():
                example = Example(f"severstal/{match['stem']}", path, *image_size(tree, path))
                if annotations.cut_off and annotations.cut_off[0] == name:
                    raise annotations.cut_off[1]
                rows = annotations.rows.get(name, [])
                if not rows and not annotations.covers(name):
                    report.add(
                        "missing_truth",
                        path,
                        f"no row in {_CSV}" if annotations.rows else f"{_CSV} is missing or unusable",
                    )
                    example.annotated = False
                example.instances = [instance for row in rows for instance in _instances(example, *row)]
                yield example
        for path, match in tree.matching(f"test_images/{_NAME}"):
            with report.costs_image():
                yield Example(f"severstal/{match['stem']}", path, *image_size(tree, path), annotated=False)
        if annotations.cut_off and annotations.cut_off[0] not in in_train:
            report.add_error(annotations.cut_off[1])
            in_train.add(annotations.cut_off[0])
        for name in sorted(annotations.rows.keys() - in_train):
            with report.costs_image():
                line = annotations.rows[name][0][0]
                remedy = "Copy the image here, or remove the row."
                raise MissingImageError(_CSV, f"there is no image train_images/{name}", remedy, line)


def _instances(example: Example, line: int, number: str, code: str) -> Iterator[Instance]:
    if number not in _CLASSES:
        remedy = f"The classes are {', '.join(_CLASSES)}. {_REMEDY}"
        raise UnknownClassError(_CSV, f"class {number!r}", remedy, line)
    if not code:
        return
    if (example.width, example.height) != SIZE:
        found = f"{example.width}x{example.height} pixels, but its mask refers to {SIZE[0]}x{SIZE[1]}"
        raise MaskSizeError(example.image, found, "Use the original image.")
    _, boxes = components(code, *SIZE, _CSV, line)
    mask = RleMask(code)
    for component, box in enumerate(boxes, start=1):
        yield Instance(_CLASSES[number], box, InstanceMask(mask, component))


def _read_csv(tree: Tree, report: Report) -> _Annotations:
    """Read a csv with either header, by column name; empty if there is no file."""
    annotations = _Annotations()
    if _CSV not in tree:
        return annotations
    text = tree.read_text(_CSV)
    one_a_row, rows = _csv_rows(text)
    last = None
    if rows and not text.endswith(("\n", "\r")):
        line, name, number, _ = rows[-1]
        name = name or ("" if one_a_row else number)  # a truncated name is not followed by a class
        if name:
            last = line, name
            rows.pop()
    blank_lines = []
    for line, name, number, code in rows:
        if name:
            annotations.rows.setdefault(name, []).append((line, number, code))
        elif number or code:
            with report.costs_image():
                raise MalformedAnnotationError(_CSV, "the row has no image name", _REMEDY, line)
        else:
            blank_lines.append(line)
    if blank_lines:
        found = f"{len(blank_lines):,} rows of commas"
        report.add(ROWS_WITHOUT_IMAGE, _CSV, found, line=blank_lines[0], count=len(blank_lines))
    # A table without rows proves nothing.
    annotations.covers_all = one_a_row and bool(annotations.rows)
    if last:
        _cut_off(annotations, *last)
    return annotations


def _cut_off(annotations: _Annotations, line: int, name: str) -> None:
    """Discard the last row, which has no line ending, and all it may have said: half a code is a valid mask, too."""
    names = list(annotations.rows)
    if names and names[-1].startswith(name):  # a truncated name: the image of the previous row may have another row
        name = names[-1]
    annotations.cut_off = name, MalformedAnnotationError(_CSV, "the file is truncated here", _REMEDY, line)
    # If the names are sorted, the rows of those before it are complete.
    annotations.covers_all &= names == sorted(names)


def _csv_rows(text: str) -> tuple[bool, list[tuple[int, str, str, str]]]:
    """Return whether the header is the newer one, and each row's line, image name, class number and run-length code.

    Raises:
        MalformedAnnotationError: the columns match neither header, or quotation marks may hide rows.
    """
    limit = csv.field_size_limit(max(len(text), 1))  # a code may have any length: an invalid one costs its image
    # Strict: an unclosed quotation mark swallows the rows after it, and their images would pass for clean.
    reader = csv.DictReader(io.StringIO(text, newline=""), restval="", strict=True)
    try:
        columns = reader.fieldnames or ()
        one_a_row = {"ImageId", "ClassId", "EncodedPixels"} <= set(columns)
        if not one_a_row and not {"ImageId_ClassId", "EncodedPixels"} <= set(columns):
            found = f"unknown columns: {', '.join(columns)[:200] or 'none'}"
            remedy = f"ImageId, ClassId, EncodedPixels, or ImageId_ClassId, EncodedPixels are expected. {_REMEDY}"
            raise MalformedAnnotationError(_CSV, found, remedy, 1)
        rows = []
        for row in reader:
            values = {column: row[column].strip() for column in columns}
            # So does a quotation mark that a later one closes.
            if any("\n" in value or "\r" in value for value in values.values()):
                raise MalformedAnnotationError(_CSV, "a quoted field spans lines", _REMEDY, reader.line_num)
            if one_a_row:
                name, number = values["ImageId"], values["ClassId"]
            else:
                name, _, number = values["ImageId_ClassId"].rpartition("_")
            rows.append((reader.line_num, _canonical(name), number, values["EncodedPixels"]))
    except csv.Error as error:
        raise MalformedAnnotationError(_CSV, str(error), _REMEDY, reader.line_num) from None
    finally:
        csv.field_size_limit(limit)
    return one_a_row, rows


def _canonical(name: str) -> str:
    """Return the name with its extension in lower case, as the publisher writes it."""
    return f"{name[:-4]}.jpg" if name.lower().endswith(".jpg") else name
