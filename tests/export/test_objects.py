"""The columns of transformers' detection example, read back by plain datasets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import datasets
import pytest

from radikal_datasets.export.objects import objects_features
from tests.export.conftest import SETS, Export, check_same


@pytest.mark.parametrize(("source", "config"), SETS)
def test_plain_datasets_reads_the_same(
    source: str, config: str | None, exported: Callable[..., Export], tmp_path: Path
) -> None:
    export, found, numbers = exported(source, config, "objects"), {}, []
    read = datasets.load_dataset(str(export.folder), cache_dir=str(tmp_path))
    assert isinstance(read, datasets.DatasetDict)
    assert set(read) == {truth.split for truth in export.truth.values()}
    for split, dataset in read.items():
        assert dataset.features == objects_features(export.classes)
        names = dataset.features["objects"]["category"].feature.names
        for row in dataset.cast_column("image", datasets.Image(decode=False)):
            image_id = row["image"]["path"].rpartition(".")[0]
            truth, objects = export.truth[image_id], row["objects"]
            assert (truth.split, truth.size) == (split, (row["width"], row["height"]))
            assert row["image"]["bytes"] == truth.data
            numbers.append(row["image_id"])
            found[image_id] = [
                (names[label], (x, y, x + w, y + h))
                for label, (x, y, w, h) in zip(objects["category"], objects["bbox"], strict=True)
            ]
            areas = zip(objects["area"], objects["bbox"], strict=True)
            assert all(0 < area <= w * h + 1e-3 for area, (_, _, w, h) in areas)
    check_same(found, export.truth, off=1e-3)
    assert sorted(numbers) == list(range(1, len(numbers) + 1))


def test_features_have_what_the_example_asks_for() -> None:
    objects = objects_features(["dent", "scratch"])["objects"]
    assert isinstance(objects, dict)  # its test for datasets 4 and newer
    assert objects["category"].feature.names == ["dent", "scratch"]
