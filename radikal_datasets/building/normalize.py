"""What happens to every parsed example of every source: boxes made to fit, groups completed; each change counted."""

from __future__ import annotations

import dataclasses

from ..errors import UnknownClassError
from ..raw.images import identical_files
from ..raw.tree import Tree
from ..report import Report
from ..schema import Example, Instance


def clean(example: Example, classes: tuple[str, ...], report: Report) -> Example:
    """Clips boxes, drops what is left without area and exact duplicates; counts each.

    An image of which no box is left is not annotated.
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
    # Where nothing is left of any box, something was there all the same: the image is no defect-free one.
    annotated = example.annotated and (bool(kept) or not example.instances)
    return dataclasses.replace(example, instances=list(kept), annotated=annotated)


def set_groups(examples: list[Example], tree: Tree, report: Report) -> None:
    """Where the source names no group: the image itself, or the smallest id among byte-identical twins."""
    alone = {example.image: example for example in examples if example.group is None}
    for example in alone.values():
        example.group = example.image_id
    for twins in identical_files(tree, alone):
        group = min(alone[path].image_id for path in twins)
        for path in twins:
            alone[path].group = group
        report.add("identical_images", twins[0], f"same bytes as {', '.join(twins[1:])}", count=len(twins))
