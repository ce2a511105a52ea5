"""What `verify --deep` finds in real datasets: all that is known, and what was seen by eye."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from datasets import Dataset, concatenate_datasets

from radikal_datasets.leaks import find_leaks
from radikal_datasets.loading.sets import open_sets


@pytest.mark.realdata
def test_real_neu_det(real_data: Callable[[str], Path]):
    ((_, splits),) = open_sets("neu_det", data_dir=real_data("neu_det"))
    found = find_leaks(splits)
    (identical,) = [pair for pair in found.pairs if pair.kind == "identical_file"]
    assert [identical.first.image_id, identical.second.image_id] == ["neu_det/patches_101", "neu_det/patches_105"]
    assert identical.conflict
    counts = Counter(mistake.kind for mistake in found.mistakes)
    assert counts["class_not_name"] == 123
    # Seen by eye: its images are cut from larger ones, and many overlap.
    near = {frozenset((p.first.image_id, p.second.image_id)) for p in found.pairs if p.kind == "near_identical"}
    for one, other in (
        ("pitted_surface_171", "pitted_surface_292"),
        ("patches_199", "patches_201"),
        ("crazing_132", "crazing_134"),
        ("inclusion_184", "inclusion_209"),
    ):
        assert frozenset((f"neu_det/{one}", f"neu_det/{other}")) in near


@pytest.fixture(scope="module")
def castings() -> tuple[Path, dict[str, Dataset]]:
    """The complete GDXray castings: the folder that contains `Castings`, named by RADIKAL_GDXRAY."""
    root = os.environ.get("RADIKAL_GDXRAY")  # its license forbids redistribution: not in shared/real
    if not root or not Path(root, "Castings").is_dir():
        pytest.skip("no real GDXray: set RADIKAL_GDXRAY to a folder that holds Castings")
    ((_, splits),) = open_sets("gdxray", "castings", data_dir=root)
    return Path(root), {str(split): dataset for split, dataset in splits.items()}


@pytest.mark.realdata
@pytest.mark.slow
def test_real_castings(castings):
    found = find_leaks(castings[1])
    files = [pair for pair in found.pairs if pair.kind == "identical_file"]
    assert len(files) == 10
    assert {item.group for pair in files for item in (pair.first, pair.second)} == {"gdxray/castings/C0002"}
    pixels = Counter((p.first.group[-5:], p.second.group[-5:]) for p in found.pairs if p.kind == "identical_pixels")
    assert pixels == {("C0002", "C0002"): 10, ("C0065", "C0066"): 10}


@pytest.mark.realdata
def test_the_published_split_of_castings_leaks(castings):
    """maxkferg/metal-defect-detection, metadata/gdxray/castings_{train,test}.txt, beside Castings."""
    root, splits = castings
    if not (root / "castings_test.txt").is_file():
        # A third party's files beside the images, which not every copy of Castings has.
        pytest.skip(f"no castings_train.txt and castings_test.txt in {root}")
    rows = concatenate_datasets(list(splits.values()))
    number = {image_id: i for i, image_id in enumerate(rows["image_id"])}
    published = {}
    for split in ("train", "test"):
        names = (root / f"castings_{split}.txt").read_text().split()
        published[split] = rows.select(
            [number[f"gdxray/{name[:-4].replace('Castings', 'castings')}"] for name in names]
        )
    assert (len(published["train"]), len(published["test"])) == (685, 171)
    found = find_leaks(published)
    assert len(found.groups) == 31
    assert set(published["test"]["group"]) == {group.group for group in found.groups}
    assert len({p.second.image_id for p in found.across}) > 40
