"""Folders of good and defective images, with masks beside them or in a parallel folder, or without."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

import numpy as np

from ..annotations.components import label_components
from ..annotations.mask_file import mask_instances
from ..errors import MalformedAnnotationError, MissingImageError, UnknownClassError
from ..raw.tree import Tree
from ..report import Report
from ..schema import Instance, InstanceMask
from .class_names import ClassNames
from .documents import text_lines
from .mask_files import GOOD, class_in
from .mask_sources import ValueMask, check_size, equal_to, mask_values
from .names import nfc, split_in
from .numbers import REMEDY
from .parsed import EMPTY_ANNOTATION, Entry, Parsed, Shape
from .recognize import Files

#: The class of defects that no folder names.
DEFECT = "defect"
#: Value of a mask -> class name. Values are numbers, palette indices or colors.
Values = Mapping[int | tuple[int, int, int], str]

_SAMPLED = 64
_VOID = 255  # the outline of objects in palette masks, which belongs to no class
_MOST_CLASSES_IN_ONE = 16


def read_masks(files: Files, parsed: Parsed) -> None:
    """Read folders and pair images with masks; the masks themselves are decoded by `mask_objects`."""
    classes = ClassNames(files.settings, parsed.findings)
    parsed.mask_values, stated = _values(files)
    if parsed.mask_values is not None:
        classes.stated(dict(enumerate(parsed.mask_values.values())), stated)
    parsed.image_level = not files.masks.of_image
    roots = sorted({folder.rpartition("/")[0] for folder in files.good_folders}, key=len, reverse=True)
    for image in files.images:
        folder = _class_folder(image, roots)
        masks = files.masks.of_image.get(image, [])
        if folder is None and not masks:
            continue  # nothing says what it shows
        good = folder is not None and folder.casefold() in GOOD
        with parsed.image(image):
            entry = parsed.entry(image, image, split=split_in(image))
            if not good and not masks and not parsed.image_level:
                entry.annotated = False
                parsed.findings.add("missing_truth", image, "no mask")
            elif parsed.image_level and not good:
                entry.shapes.append(Shape(classes.used(folder or DEFECT), entire=True, file=image))
            for mask in masks:
                label = class_in(mask, image) or (folder if folder and not good else DEFECT)
                if parsed.mask_values is None and not good:
                    classes.used(label)
                entry.shapes.append(Shape(label, mask_file=mask, file=mask))
            entry.must_show = None if folder is None else not good
    for mask in files.masks.lost:
        missing = MissingImageError(mask, "there is no image for this mask", "Get the image, or remove the mask.")
        parsed.findings.add_error(missing)
    parsed.classes = classes.listed(alphabetical=parsed.mask_values is None)


def _class_folder(image: str, roots: list[str]) -> str | None:
    """Return the name of the folder beside a folder of good images in which an image lies; None if in none."""
    folders = PurePosixPath(image).parts[:-1]
    for root in roots:
        depth = len(PurePosixPath(root).parts) if root else 0
        if "/".join(folders[:depth]) == root and len(folders) > depth:
            return nfc(folders[depth])
    # A split without a good image of its own: test/ beside train/good/.
    parents = {PurePosixPath(root).parent for root in roots if split_in(PurePosixPath(root).name)}
    for depth in range(1, len(folders)):
        if PurePosixPath(*folders[:depth]).parent in parents and split_in(folders[depth - 1]):
            return nfc(folders[depth])
    return None


def _values(files: Files) -> tuple[Values | None, str]:
    """Return the classes that values of masks stand for, and the file that says so; None for masks of one class."""
    masks = sorted({mask for masks in files.masks.of_image.values() for mask in masks})
    listed = _label_map(files)
    seen: set[int] = set()
    most = colors = 0
    for mask in masks[:: max(1, len(masks) // _SAMPLED)]:
        try:
            values = mask_values(files.tree, mask)
        except MalformedAnnotationError:
            continue  # counted when it is decoded
        if values.ndim == 3:
            colors += 1
        else:
            found = set(np.unique(values).tolist()) - {0}
            seen |= found
            most = max(most, len(found))
    if colors and listed[0]:
        return listed[0], listed[1]
    names: dict[int | tuple[int, int, int], str] = {**files.settings.numbered}
    if not names and files.settings.classes:
        names = dict(enumerate(files.settings.classes, start=1))
    if not names and listed[0]:
        names = dict(enumerate(listed[0].values(), start=1))
    several = len(seen - {_VOID}) > 1 or bool(seen - {_VOID} and _VOID in seen)
    low = any(value <= 127 for value in seen)
    if (
        colors
        or not low
        or most > _MOST_CLASSES_IN_ONE
        or (not several and not (files.settings.numbered and seen & {*names}))
    ):
        return None, ""
    return names, listed[1] or "radikal.yaml"


def _label_map(files: Files) -> tuple[dict[int | tuple[int, int, int], str], str]:
    """Return color -> class of `labelmap.txt`, without the background, and its path."""
    for path in files.tree.files:
        if PurePosixPath(path).name.lower() == "labelmap.txt":
            colors: dict[int | tuple[int, int, int], str] = {}
            for line in text_lines(files.tree, path):
                name, _, rest = line.partition(":")
                parts = rest.partition(":")[0].split(",")
                if not line.startswith("#") and len(parts) == 3 and all(part.strip().isdecimal() for part in parts):
                    red, green, blue = (int(part) for part in parts)
                    if (red, green, blue) != (0, 0, 0):
                        colors[red, green, blue] = nfc(name)
            return colors, path
    return {}, ""


def mask_objects(
    tree: Tree, entry: Entry, sizes: set[tuple[int, int]], values: Values | None, report: Report
) -> tuple[list[tuple[Instance, tuple[int, int]]], list[float]]:
    """Decode the masks of an image.

    Args:
        sizes: (width, height) of the image as stored and as displayed: a mask may have either.
        values: see `Values`; None for masks of one class.

    Returns:
        The objects, each with the size of its mask; and of every mask the share of its pixels that is defect.

    Raises:
        MaskSizeError, MalformedAnnotationError, UnknownClassError: the mask, or a value in it, cannot be used.
    """
    found: list[tuple[Instance, tuple[int, int]]] = []
    shares = []
    for shape in (shape for shape in entry.shapes if shape.mask_file is not None):
        path = shape.mask_file or ""
        pixels = mask_values(tree, path)
        check_size(pixels, sizes, path)
        size = pixels.shape[1], pixels.shape[0]
        if values is None:
            instances = mask_instances(tree, path, shape.label, *size, report)
            if pixels.any() and not instances:
                found_values = f"its values {sorted(np.unique(pixels).tolist())[:5]} show no defect"
                raise MalformedAnnotationError(path, found_values, "Draw the mask with 0 and 255.")
        else:
            instances = _of_values(path, pixels, values)
        shares.append(float((pixels.any(axis=-1) if pixels.ndim == 3 else pixels > 0).mean()))
        found += [(instance, size) for instance in instances]
        if not instances and entry.must_show is None:
            report.add(EMPTY_ANNOTATION, path)
    if entry.must_show is not None and shares and bool(found) != entry.must_show:
        shown = f"the mask shows {len(found)} defects, but the image lies in {PurePosixPath(entry.image).parent.name!r}"
        raise MalformedAnnotationError(entry.shapes[0].mask_file or "", shown, REMEDY)
    return found, shares


def _of_values(path: str, pixels: np.ndarray, values: Values) -> list[Instance]:
    """Return one instance per component of each value."""
    if pixels.ndim == 3:
        there = [tuple(color) for color in np.unique(pixels.reshape(-1, 3), axis=0).tolist() if any(color)]
    else:
        there = [
            value for value in np.unique(pixels).tolist() if value and not (value == _VOID and _VOID not in values)
        ]
    instances = []
    for value in there:
        if value not in values:
            remedy = "Name it under `classes` in radikal.yaml, as in `classes: {1: crack, 2: dent}`."
            raise UnknownClassError(path, f"the mask's value {value} has no name", remedy)
        _, boxes = label_components(equal_to(pixels, value))
        source = ValueMask(path, value)
        instances += [Instance(values[value], box, InstanceMask(source, i)) for i, box in enumerate(boxes, start=1)]
    return instances
