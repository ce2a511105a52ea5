"""What the proposed settings depend on: the images and boxes of a set, and the machine."""

from __future__ import annotations

from dataclasses import dataclass

import datasets
import numpy as np
import torch

from loaders import cpu_cores


@dataclass(frozen=True)
class SetFacts:
    """What the settings depend on; counts are of the annotated images of the train split.

    Attributes:
        images, boxes, classes: their numbers.
        height, width: of the typical (median) image, in pixels.
        defect: edge of a small defect in pixels: of ten, one is smaller (the root of its box's area).
        templates: whether every image has one.
    """

    images: int
    boxes: int
    classes: int
    height: int
    width: int
    defect: float
    templates: bool

    @classmethod
    def of(cls, train: datasets.Dataset) -> SetFacts:
        """Measure them; no image is decoded."""
        table = train.select_columns(["annotated", "width", "height", "boxes"]).with_format("arrow")[:]
        rows = [row for row in table.to_pylist() if row["annotated"]]  # pyright: ignore[reportAttributeAccessIssue]
        boxes = np.array([box for row in rows for box in row["boxes"]], np.float64).reshape(-1, 4)
        edges = np.sqrt((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))
        sizes = np.array([(row["height"], row["width"]) for row in rows]).reshape(-1, 2)
        height, width = (int(np.median(edge)) if len(rows) else 0 for edge in sizes.T)
        templates = train.select_columns(["reference"]).with_format("arrow")[:]["reference"]
        return cls(
            len(rows),
            len(boxes),
            len(train.features["labels"].feature.names),
            height,
            width,
            float(np.quantile(edges, 0.1)) if len(edges) else 0.0,
            len(templates) > 0 and templates.null_count == 0,
        )

    def __str__(self) -> str:
        template = ", a template for each" if self.templates else ""
        return (
            f"{self.images:,} annotated training images, typically {self.width} x {self.height} pixels{template}; "
            f"{self.boxes:,} boxes of {self.classes} {'class' if self.classes == 1 else 'classes'}, one in ten smaller "
            f"than {self.defect:.0f} pixels"
        )


@dataclass(frozen=True)
class Machine:
    """What it has: cores, and the memory of its GPU in GiB (None: no GPU)."""

    cores: int
    gpu_gib: float | None

    @classmethod
    def here(cls) -> Machine:
        """Look at this one."""
        gpu = torch.cuda.get_device_properties(0).total_memory / 2**30 if torch.cuda.is_available() else None
        return cls(cpu_cores(), gpu)

    def __str__(self) -> str:
        if self.gpu_gib is None:
            return f"{self.cores} CPU cores, no GPU"
        return f"a GPU with {self.gpu_gib:.0f} GiB"
