"""`ClassificationLoader`: load one split in batches for image classifiers."""

from __future__ import annotations

from typing import Any, Literal

import datasets
import numpy as np
import torch

from loaders.loader import Loader
from loaders.targets import Targets

#: Name of the class of images without a defect.
DEFECT_FREE = "defect_free"


class ClassificationLoader(Loader):
    """Batches for transformers' and timm's image classifiers.

    A batch is the dict that `DetectionLoader` returns, except that `labels` is one tensor on `device`:

    - `target="defect"`: int64 (B,), 1 if the image has a defect, else 0.
    - `target="class"`: int64 (B,), the class whose boxes cover most of the image (the first of equal ones); 0 if
      there is no defect, class i of the dataset is i + 1.
    - `target="classes"`: float32 (B, classes), 1 for each class that the image holds.

    With augmentation or tiles, the label describes what is shown.

    Args:
        target: what the labels mean.
        options: those of `DetectionLoader`.

    Attributes:
        class_names: of the labels.
    """

    def __init__(
        self,
        dataset: datasets.Dataset | datasets.IterableDataset,
        batch_size: int,
        image_size: int | tuple[int, int],
        *,
        target: Literal["defect", "class", "classes"] = "defect",
        **options: Any,
    ) -> None:
        if target not in ("defect", "class", "classes"):
            raise ValueError(f"target is {target!r}, but must be defect, class or classes.")
        super().__init__(dataset, batch_size, image_size, **options)
        names = dataset.features["labels"].feature.names  # type: ignore[index,union-attr]
        self.target = target
        self.class_names = target_names(names, target)
        self._classes = len(names)

    def _with_labels(self, result: dict[str, Any], targets: Targets, masks: torch.Tensor | None) -> dict[str, Any]:
        area = np.zeros((len(targets.counts), self._classes))
        np.add.at(area, (targets.owners, targets.labels), np.prod(targets.boxes[:, 2:] - targets.boxes[:, :2], axis=1))
        holds = area > 0
        if self.target == "defect":
            found = holds.any(1).astype(np.int64)
        elif self.target == "class":
            found = np.asarray(np.where(holds.any(1), area.argmax(1) + 1, 0))
        else:
            found = holds.astype(np.float32)
        result["labels"] = torch.from_numpy(found).to(self.device, non_blocking=True)
        return result


def target_names(classes: list[str], target: str) -> list[str]:
    """Return the names of a target's labels, in the order of their indices.

    Args:
        classes: of the dataset.
    """
    return {"defect": [DEFECT_FREE, "defect"], "class": [DEFECT_FREE, *classes], "classes": list(classes)}[target]
