"""YOLO files, read back line by line, and by ultralytics' own label reader where it is installed.

ultralytics brings another OpenCV and is not in [dev]: docs/exports.md says how to run these.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from radikal_datasets.export.yolo import yolo_line
from tests.export.conftest import SETS, Export, Named, check_same

SHORT = {"validation": "val"}


def unscaled(shares: list[float], width: int, height: int) -> tuple[float, ...]:
    x, y, w, h = shares
    return (x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height


def pairs(export: Export) -> list[tuple[str, Path, Path]]:
    """image_id, image and label file of every image, found as ultralytics finds them."""
    ids = export.image_ids()
    images = (export.folder / "images").glob("*/*")
    return [(ids[p.stem], p, export.folder / "labels" / p.parent.name / f"{p.stem}.txt") for p in images]


@pytest.mark.parametrize(("source", "config"), SETS)
def test_read_back(source: str, config: str | None, exported: Callable[..., Export]) -> None:
    export, found = exported(source, config, "yolo"), {}
    data = yaml.safe_load((export.folder / "data.yaml").read_text(encoding="utf-8"))
    assert list(data["names"].values()) == export.classes
    assert data["train"] == "images/train"
    for image_id, image, labels in pairs(export):
        truth = export.truth[image_id]
        assert image.parent == export.folder / data[SHORT.get(truth.split, truth.split)]
        assert image.read_bytes() == truth.data
        named: Named = []
        for line in labels.read_text().splitlines():
            label, *shares = line.split()
            assert all(0 <= float(share) <= 1 for share in shares)
            named.append((data["names"][int(label)], unscaled([float(share) for share in shares], *truth.size)))
        found[image_id] = named
    check_same(found, export.truth, off=0.001)


@pytest.mark.parametrize(("source", "config"), SETS)
def test_ultralytics_reads_the_same(
    source: str, config: str | None, exported: Callable[..., Export], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YOLO_OFFLINE", "true")  # otherwise it asks a name server on import whether it is online
    utils = pytest.importorskip("ultralytics.data.utils")
    export, found = exported(source, config, "yolo"), {}
    data = utils.check_det_dataset(str(export.folder / "data.yaml"), autodownload=False)
    assert list(data["names"].values()) == export.classes
    for image_id, image, labels in pairs(export):
        width, height = export.truth[image_id].size
        read = utils.verify_image_label((str(image), str(labels), "", False, data["nc"], 0, 0, False))
        _, boxes, shape, _, _, missing, _, _, corrupt, message = read
        assert (missing, corrupt, message) == (0, 0, ""), message
        assert tuple(shape) == (height, width)
        found[image_id] = [
            (data["names"][int(label)], unscaled(shares, width, height)) for label, *shares in boxes.tolist()
        ]
    check_same(found, export.truth)


@given(st.data(), st.integers(1, 3000), st.integers(1, 3000))
def test_a_line_is_near_its_box(data: st.DataObject, width: int, height: int) -> None:
    edges = [sorted(data.draw(st.tuples(*[st.floats(0, size, width=32)] * 2))) for size in (width, height)]
    box = (edges[0][0], edges[1][0], edges[0][1], edges[1][1])
    shares = [float(share) for share in yolo_line(0, box, width, height).split()[1:]]
    assert all(0 <= share <= 1 for share in shares)
    assert unscaled(shares, width, height) == pytest.approx(box, abs=0.001)
