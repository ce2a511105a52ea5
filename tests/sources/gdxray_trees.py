"""Small GDXray trees that the tests of that source build and damage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import scipy.io

from radikal_datasets.sources import builder_class

CONFIGS = ["castings", "welds", "baggage", "nature", "settings"]
SIZE = (64, 48)


def build(root, tmp_path, config="castings", **options):
    return builder_class("gdxray")(config_name=config, data_dir=str(root), cache_dir=str(tmp_path / "cache"), **options)


def examples(builder):
    """`C0001_0001` -> (split, example)."""
    return {
        example.image_id.rpartition("/")[2]: (split, example)
        for split, found in builder.index().splits.items()
        for example in found
    }


def boxes(builder, name):
    return [instance.box for instance in examples(builder)[name][1].instances]


def write_series(group: Path, series: str, count: int = 3, truth: str | None = None, size=SIZE) -> Path:
    folder = group / series
    folder.mkdir(parents=True)
    for number in range(1, count + 1):
        PIL.Image.new("L", size, 20 * number).save(folder / f"{series}_{number:04d}.png")
    if truth is not None:
        (folder / "ground_truth.txt").write_text(truth)
    return folder


def write_mat(path: Path, rows) -> None:
    scipy.io.savemat(path, {"bb": np.array(rows, dtype=np.uint16) if rows else np.zeros((0, 0), np.uint8)})


def oriented(tmp_path, *rows, size=SIZE):
    write_series(tmp_path / "G" / "Baggages", "B0046", truth="\n".join(rows) + "\n", size=size)
    return build(tmp_path / "G", tmp_path, "baggage")


@pytest.fixture
def root(tmp_path):
    """GDXray/ with one annotated series, C0001: boxes in images 1 and 3, image 2 clean."""
    write_series(tmp_path / "GDXray" / "Castings", "C0001", truth="1 11 21 6 16\n3 11 21 6 16\n3 31 41 6 16\n")
    return tmp_path / "GDXray"


@pytest.fixture
def castings(root):
    return root / "Castings"


@pytest.fixture
def welds(tmp_path):
    """Welds/ with two images of W0001 and their masks: three components, and none."""
    group = tmp_path / "GDXray" / "Welds"
    write_series(group, "W0001", 2)
    mask = np.zeros(SIZE[::-1], np.uint8)
    mask[4:8, 4:9] = 255
    mask[20:26, 20:22] = 255
    mask[20:26, 30:32] = 255
    (group / "W0002").mkdir()
    PIL.Image.fromarray(mask).save(group / "W0002" / "W0002_0001.png")
    PIL.Image.fromarray(np.zeros_like(mask)).save(group / "W0002" / "W0002_0002.png")
    return group
