"""COCO files, read back by pycocotools."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from radikal_datasets.annotations.rle import run_lengths
from tests.export.conftest import SETS, Export, check_same

pytest.importorskip("pycocotools")
from pycocotools import mask as coco_masks
from pycocotools.coco import COCO

SHORT = {"validation": "val"}


@pytest.mark.parametrize(("source", "config"), SETS)
def test_pycocotools_reads_the_same(source: str, config: str | None, exported: Callable[..., Export]) -> None:
    export = exported(source, config, "coco")
    ids, found = export.image_ids(), {}
    splits = {truth.split for truth in export.truth.values()}
    files = {path.name for path in (export.folder / "annotations").iterdir()}
    assert files == {f"instances_{SHORT.get(split, split)}.json" for split in splits}
    for split in sorted(splits):
        short = SHORT.get(split, split)
        coco = COCO(str(export.folder / "annotations" / f"instances_{short}.json"))
        assert [category["name"] for category in coco.loadCats(coco.getCatIds())] == export.classes
        assert coco.getCatIds() == list(range(1, len(export.classes) + 1))
        assert 0 not in coco.getAnnIds()
        assert 0 not in coco.getImgIds()
        for image in coco.loadImgs(coco.getImgIds()):
            path = export.folder / "images" / short / image["file_name"]
            truth = export.truth[ids[path.stem]]
            assert (truth.split, truth.size) == (split, (image["width"], image["height"]))
            assert path.read_bytes() == truth.data
            annotations = coco.loadAnns(coco.getAnnIds(imgIds=[image["id"]]))
            found[ids[path.stem]] = [
                (coco.cats[a["category_id"]]["name"], (x, y, x + w, y + h))
                for a in annotations
                for x, y, w, h in [a["bbox"]]
            ]
            for annotation, png in zip(annotations, truth.masks, strict=bool(truth.masks)):
                expected = np.asarray(PIL.Image.open(BytesIO(png))) > 0
                np.testing.assert_array_equal(coco.annToMask(annotation) > 0, expected)
                assert annotation["area"] == expected.sum()
    check_same(found, export.truth, off=1e-4)


@given(arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_run_lengths_are_what_pycocotools_decodes(mask: np.ndarray) -> None:
    rle = coco_masks.frPyObjects({"size": list(mask.shape), "counts": run_lengths(mask)}, *mask.shape)
    np.testing.assert_array_equal(coco_masks.decode(rle).astype(bool), mask)
