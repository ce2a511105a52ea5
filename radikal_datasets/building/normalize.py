"""Normalize every parsed example of every source: clip boxes and complete groups, counting each change."""

from __future__ import annotations

import dataclasses

from ..errors import UnknownClassError
from ..raw.images import identical_files
from ..raw.orientation import TURNED, TurnedMask, turned_points
from ..raw.tree import Tree
from ..report import Report
from ..schema import Example, Instance, InstanceMask


def turn(example: Example, orientation: int, report: Report) -> Example:
    """Return an example that was parsed in the frame of the stored pixels in that of the displayed image; counts it."""
    stored = example.width, example.height
    report.add("exif_orientation", example.image, f"orientation {orientation}")
    if example.instances:
        report.add("exif_turned_annotation", example.image, count=len(example.instances))
    instances = []
    for instance in example.instances:
        x_min, y_min, x_max, y_max = instance.box
        (x1, y1), (x2, y2) = turned_points(((x_min, y_min), (x_max, y_max)), orientation, stored)
        box = (min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))
        mask = instance.mask
        if mask is not None:
            mask = InstanceMask(TurnedMask(mask.source, orientation, stored), mask.component)
        instances.append(dataclasses.replace(instance, box=box, mask=mask))
    width, height = stored[::-1] if orientation in TURNED else stored
    return dataclasses.replace(example, width=width, height=height, instances=instances)


def clean(example: Example, classes: tuple[str, ...], report: Report) -> Example:
    """Clip boxes, drop those left without area as well as exact duplicates, and count each.

    An image that loses all its boxes this way becomes unannotated.
    """
    kept: dict[Instance, None] = {}
    for instance in example.instances:
        if instance.label not in classes:
            remedy = f"The classes are {', '.join(classes)}. Correct the annotation."
            raise UnknownClassError(example.image, f"class {instance.label!r}", remedy)
        x_min, y_min, x_max, y_max = instance.box
        box = (max(x_min, 0.0), max(y_min, 0.0), min(x_max, example.width), min(y_max, example.height))
        if box[0] >= box[2] or box[1] >= box[3]:
            report.add("empty_box", example.image, f"{instance.label} {instance.box}")
            continue
        if box != instance.box:
            report.add("clipped_box", example.image, f"{instance.label} {instance.box}")
        instance = dataclasses.replace(instance, box=box)
        if instance in kept:
            report.add("duplicate_box", example.image, f"{instance.label} {instance.box}")
        kept[instance] = None
    # If no box is left, something was there nevertheless: the image must not count as defect-free.
    annotated = example.annotated and (bool(kept) or not example.instances)
    return dataclasses.replace(example, instances=list(kept), annotated=annotated)


def set_groups(examples: list[Example], tree: Tree, report: Report) -> None:
    """Set missing groups: the image itself, or the smallest id among byte-identical duplicates."""
    alone = {example.image: example for example in examples if example.group is None}
    for example in alone.values():
        example.group = example.image_id
    for duplicates in identical_files(tree, alone):
        group = min(alone[path].image_id for path in duplicates)
        for path in duplicates:
            alone[path].group = group
        others = ", ".join(duplicates[1:])
        report.add("identical_images", duplicates[0], f"same bytes as {others}", count=len(duplicates))
