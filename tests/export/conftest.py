"""Shared by the tests of exports: the ground truth of a dataset, read without the exporters, and exports made once."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from radikal_datasets.export import export_sets
from radikal_datasets.loading.sets import open_sets, rows

#: One configuration of every source, and all of GDXray's: the others are alike.
SETS = [
    ("neu_det", None),
    ("deeppcb", None),
    ("severstal", None),
    ("mvtec_ad", "transistor"),
    ("mvtec_ad", "all"),
    ("dagm2007", "class1"),
    ("dagm2007", "all"),
    ("gdxray", "castings"),
    ("gdxray", "welds"),
    ("gdxray", "baggage"),
    pytest.param("real/neu_det", None, marks=pytest.mark.realdata),
    pytest.param("real/deeppcb", None, marks=pytest.mark.realdata),
]

Named = list[tuple[str, tuple[float, ...]]]


@dataclass
class Truth:
    """What a reader should return for one image."""

    split: str
    size: tuple[int, int]
    named: Named
    data: bytes
    masks: list[bytes]


@dataclass
class Export:
    """An export, and the ground truth of its images by image_id."""

    folder: Path
    truth: dict[str, Truth]
    classes: list[str]

    def image_ids(self) -> dict[str, str]:
        """By the base name of the image file, without extension."""
        with (self.folder / "images.csv").open(encoding="utf-8", newline="") as file:
            return {Path(line["file"]).stem: line["image_id"] for line in csv.DictReader(file)}


def read_annotation(source: str, config: str | None, tree: Path) -> tuple[dict[str, Truth], list[str]]:
    ((_, splits),) = open_sets(source, config, data_dir=tree)
    names = next(iter(splits.values())).features["labels"].feature.names
    truth = {}
    for split, dataset in splits.items():
        for row in rows(dataset):
            if row["annotated"]:
                named = [(names[label], tuple(box)) for label, box in zip(row["labels"], row["boxes"], strict=True)]
                masks = [mask["bytes"] for mask in row["masks"]]
                size = row["width"], row["height"]
                truth[row["image_id"]] = Truth(str(split), size, named, row["image"]["bytes"], masks)
    return truth, names


@pytest.fixture(scope="session")
def exported(
    sample_tree: Callable[..., Path], real_data: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Export]:
    """`exported("neu_det", None, "coco")`, or `"real/neu_det"`: made once. Do not modify it."""
    made: dict[tuple[str, str | None, str], Export] = {}

    def get(source: str, config: str | None, format: str) -> Export:
        key = (source, config, format)
        if key not in made:
            name = source.removeprefix("real/")
            tree = sample_tree(name) if name == source else real_data(name)
            folder = tmp_path_factory.mktemp("exports") / "VOCdevkit" / "VOC2012"  # where torchvision looks for it
            export_sets(name, config, format=format, output=folder, data_dir=tree)
            made[key] = Export(folder, *read_annotation(name, config, tree))
        return made[key]

    return get


def check_same(found: dict[str, Named], truth: dict[str, Truth], off: float = 0.5) -> None:
    """Check that each image has the same boxes, edges at most `off` pixels away, and the same classes, in any order."""
    assert found.keys() == truth.keys()
    for image_id, named in found.items():
        left = list(truth[image_id].named)
        assert len(named) == len(left), image_id
        for name, box in named:
            close = [
                other
                for other in left
                if other[0] == name and max(abs(a - b) for a, b in zip(box, other[1], strict=True)) <= off
            ]
            assert close, (image_id, name, box, left)
            left.remove(min(close, key=lambda o: sum(abs(a - b) for a, b in zip(box, o[1], strict=True))))
