"""The sample tree of DAGM 2007, compared with what was planted in it."""

from collections import Counter

import numpy as np
import PIL.Image
import pytest
from scipy import ndimage
from test_dagm2007 import CLASSES, IMAGES, builder, examples

from radikal_datasets.samples import make_sample
from radikal_datasets.sources.dagm2007 import SOURCE


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    made = {}
    for broken in (False, True):
        root = tmp_path_factory.mktemp("dagm") / f"broken-{broken}"
        made[broken] = root, make_sample("dagm2007", root, images=IMAGES, seed=4, broken=broken)
    return made


def by_kind(traps, part: str | None = None) -> dict[str, int]:
    total: Counter[str] = Counter()
    for trap in traps:
        if part is None or trap.path.lower().startswith(f"{part}/"):
            total[trap.kind] += trap.count
    return dict(total)


@pytest.mark.parametrize("broken", [False, True])
def test_everything_planted_is_counted_and_nothing_else(planted, tmp_path, broken):
    root, traps = planted[broken]
    report = builder(root, tmp_path, "all").report()
    assert report.counts() == by_kind(traps)
    assert report.loses_something is broken
    assert {(trap.kind, trap.path) for trap in traps} <= {(p.kind, p.path) for p in report.problems}
    for part in CLASSES:
        one = builder(root, tmp_path, part)
        assert one.report().counts() == by_kind(traps, part), part
        assert len(examples(one)) == IMAGES, part
        assert {"train", "validation", "test"} <= set(one.index().splits), part


def test_the_sample_converts_with_masks_equal_to_the_files(planted, tmp_path):
    root, _ = planted[True]
    b = builder(root, tmp_path / "cache", "all")
    b.download_and_prepare()
    dataset = b.as_dataset()
    assert sum(map(len, dataset.values())) == 10 * IMAGES
    assert list(dataset) == ["train", "validation", "test", "unlabeled"]
    several, at_border = 0, 0
    for row in (row for split in dataset.values() for row in split):
        _, part, split, stem = row["image_id"].split("/")
        assert row["image"].mode == "L" and row["image"].size == (row["width"], row["height"])
        label = root / part.capitalize() / split / "Label" / f"{stem}_label.PNG"
        assert label.is_file() == bool(row["boxes"])
        assert {SOURCE.config("all").classes[k] for k in row["labels"]} <= {f"{part}_defect"}
        if not row["boxes"]:
            continue
        with PIL.Image.open(label) as file:
            wanted, count = ndimage.label(np.asarray(file) > 0, structure=np.ones((3, 3)))
        assert len(row["boxes"]) == len(row["masks"]) == count
        drawn = np.zeros(wanted.shape, dtype=int)
        for box, mask in zip(row["boxes"], row["masks"], strict=True):
            instance = np.asarray(mask) > 0
            rows, columns = np.nonzero(instance)
            assert box == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            drawn += instance
            at_border += 0 in (rows.min(), columns.min()) or wanted.shape[0] - 1 in (rows.max(), columns.max())
        assert np.array_equal(drawn, wanted > 0)
        several += count > 1
    assert several > 0 and at_border > 0


def test_the_same_seed_gives_the_same_bytes(planted, tmp_path):
    root, _ = planted[False]
    make_sample("dagm2007", tmp_path / "again", images=IMAGES, seed=4)
    files = sorted(p.relative_to(root) for p in root.rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(tmp_path / "again") for p in (tmp_path / "again").rglob("*") if p.is_file())
    assert all((root / p).read_bytes() == (tmp_path / "again" / p).read_bytes() for p in files)
