"""COCO, YOLO and VOC, read back by supervision where it is installed.

It brings another OpenCV and is not in [dev]: docs/exports.md says how to run these.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.export.conftest import SETS, Export, Named, check_same

supervision = pytest.importorskip("supervision")
SHORT = {"validation": "val"}


def read(export: Export, format: str, split: str) -> Any:
    folder, dataset = export.folder, supervision.DetectionDataset
    images = str(folder / "images" / split)
    if format == "coco":
        return dataset.from_coco(images, str(folder / "annotations" / f"instances_{split}.json"))
    if format == "yolo":
        return dataset.from_yolo(images, str(folder / "labels" / split), str(folder / "data.yaml"))
    return dataset.from_pascal_voc(str(folder / "JPEGImages"), str(folder / "Annotations"))


@pytest.mark.parametrize("format", ["coco", "yolo", "voc"])
@pytest.mark.parametrize(("source", "config"), SETS)
def test_supervision_reads_the_same(
    source: str, config: str | None, format: str, exported: Callable[..., Export]
) -> None:
    export, found = exported(source, config, format), {}
    ids = export.image_ids()
    splits = {SHORT.get(truth.split, truth.split) for truth in export.truth.values()}
    for split in sorted(splits) if format != "voc" else ["all of them"]:
        dataset = read(export, format, split)
        for path, _, detections in dataset:
            named: Named = [
                (dataset.classes[label], tuple(box))
                for label, box in zip(detections.class_id.tolist(), detections.xyxy.tolist(), strict=True)
            ]
            found[ids[Path(path).stem]] = named
    check_same(found, export.truth, off=0.501)
