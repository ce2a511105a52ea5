import shutil
import tarfile
import zipfile
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from scipy import ndimage

from radikal_datasets import splits
from radikal_datasets.errors import (
    ConfigNameError,
    LayoutError,
    MalformedAnnotationError,
    MaskSizeError,
    MissingImageError,
    UnknownClassError,
)
from radikal_datasets.samples import make_sample
from radikal_datasets.sources.mvtec_ad import SOURCE, MvtecAd

CATEGORIES = SOURCE.config("all").parts
IMAGES = 12


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """(root, traps) of a plain sample and of a broken one."""
    made = {}
    for broken in (False, True):
        root = tmp_path_factory.mktemp("mvtec") / f"broken-{broken}"
        made[broken] = root, make_sample("mvtec_ad", root, images=IMAGES, seed=3, broken=broken)
    return made


def builder(root: Path, cache: Path, config: str = "bottle", **settings) -> MvtecAd:
    return MvtecAd(config_name=config, data_dir=root, cache_dir=str(cache), **settings)


def draw(path: Path) -> None:
    """A small image with unique bytes, the same in every run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = zlib.crc32("/".join(path.parts[-4:]).encode())
    pixels = np.random.default_rng(seed).integers(0, 255, (8, 10), dtype=np.uint8)
    PIL.Image.fromarray(pixels).convert("RGB").save(path)


def draw_mask(path: Path, *boxes: tuple[int, int, int, int], size: tuple[int, int] = (10, 8)) -> None:
    pixels = np.zeros((size[1], size[0]), dtype=np.uint8)
    for x_min, y_min, x_max, y_max in boxes:
        pixels[y_min:y_max, x_min:x_max] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(pixels).save(path)


@pytest.fixture
def bottle(tmp_path) -> Path:
    """A root with six good and four defective bottles."""
    root = tmp_path / "raw"
    for number in range(4):
        draw(root / f"bottle/train/good/{number:03}.png")
    for number in range(2):
        draw(root / f"bottle/test/good/{number:03}.png")
        for defect in ("broken_large", "contamination"):
            draw(root / f"bottle/test/{defect}/{number:03}.png")
            draw_mask(root / f"bottle/ground_truth/{defect}/{number:03}_mask.png", (1, 2, 4, 5))
    return root


def examples(b: MvtecAd) -> dict:
    return {example.image_id: (split, example) for split, found in b.index().splits.items() for example in found}


# ---- facts ----


def test_the_counts_add_up_to_the_publishers():
    whole = SOURCE.config("all")
    assert whole.images == 3629 + 1725
    assert sum(SOURCE.config(name).images for name in CATEGORIES) == whole.images
    assert sum(whole.images_by_class.values()) == 1725 - 467  # 467 good images in test
    assert len(CATEGORIES) == 15 and len(whole.classes) == 73


def test_classes_are_in_alphabetical_order_and_prefixed_in_all():
    names = []
    for category in CATEGORIES:
        classes = SOURCE.config(category).classes
        assert list(classes) == sorted(classes)
        names += [f"{category}_{name}" for name in classes]
    assert list(SOURCE.config("all").classes) == names
    assert list(CATEGORIES) == sorted(CATEGORIES)
    assert SOURCE.config("transistor").classes == ("bent_lead", "cut_lead", "damaged_case", "misplaced")


def test_no_name_lists_the_sixteen_configs(tmp_path):
    with pytest.raises(ConfigNameError, match=r"'bottle'.*'all'"):
        MvtecAd(data_dir=tmp_path, cache_dir=str(tmp_path))


# ---- reading ----


def test_masks_become_boxes_and_good_images_are_clean(bottle, tmp_path):
    draw_mask(bottle / "bottle/ground_truth/broken_large/000_mask.png", (0, 0, 2, 3), (5, 6, 10, 8), (8, 1, 9, 2))
    found = examples(builder(bottle, tmp_path))
    assert len(found) == 10
    example = found["mvtec_ad/bottle/test/broken_large/000"][1]
    assert [(i.label, i.box) for i in example.instances] == [
        ("broken_large", (0, 0, 2, 3)),
        ("broken_large", (8, 1, 9, 2)),
        ("broken_large", (5, 6, 10, 8)),
    ]
    assert example.image == "bottle/test/broken_large/000.png"
    for place in ("train", "test"):
        clean = found[f"mvtec_ad/bottle/{place}/good/000"][1]
        assert clean.annotated and clean.instances == [] and clean.publisher_split == place


def test_a_defect_image_without_its_mask_is_never_clean(bottle, tmp_path):
    (bottle / "bottle/ground_truth/contamination/001_mask.png").unlink()
    b = builder(bottle, tmp_path)
    split, example = examples(b)["mvtec_ad/bottle/test/contamination/001"]
    assert (split, example.annotated, example.instances) == ("unlabeled", False, [])
    assert b.report().counts() == {"missing_truth": 1}
    assert not b.report().loses_something


def test_a_mask_without_its_image_is_counted(bottle, tmp_path):
    (bottle / "bottle/test/contamination/001.png").unlink()
    b = builder(bottle, tmp_path)
    assert len(examples(b)) == 9
    assert b.report().counts() == {"missing_image": 1}
    assert b.report().files("missing_image") == ["bottle/ground_truth/contamination/001_mask.png"]


def empty_mask(root: Path) -> None:
    draw_mask(root / "bottle/ground_truth/contamination/001_mask.png")


def small_mask(root: Path) -> None:
    draw_mask(root / "bottle/ground_truth/contamination/001_mask.png", (0, 0, 2, 2), size=(8, 10))


def no_mask_inside(root: Path) -> None:
    (root / "bottle/ground_truth/contamination/001_mask.png").write_bytes(b"<html>")


def contradicting_mask(root: Path) -> None:
    (root / "bottle/test/contamination/001.png").unlink()
    (root / "bottle/ground_truth/contamination/001_mask.png").unlink()
    draw(root / "bottle/test/good/007.png")
    draw_mask(root / "bottle/ground_truth/good/007_mask.png", (0, 0, 2, 2))


def unknown_folder(root: Path) -> None:
    for place, name in (("test", "001.png"), ("ground_truth", "001_mask.png")):
        (root / f"bottle/{place}/dust").mkdir()
        (root / f"bottle/{place}/contamination/{name}").rename(root / f"bottle/{place}/dust/{name}")


def lost_image(root: Path) -> None:
    (root / "bottle/test/contamination/001.png").unlink()


@pytest.mark.parametrize(
    ("spoil", "kind", "error"),
    [
        (empty_mask, "malformed_annotation", MalformedAnnotationError),
        (small_mask, "mask_size", MaskSizeError),
        (no_mask_inside, "malformed_annotation", MalformedAnnotationError),
        (contradicting_mask, "malformed_annotation", MalformedAnnotationError),
        (unknown_folder, "unknown_class", UnknownClassError),
        (lost_image, "missing_image", MissingImageError),
    ],
)
def test_a_lost_image_affects_no_other_and_raises_if_strict(bottle, tmp_path, spoil, kind, error):
    before = set(examples(builder(bottle, tmp_path)))
    spoil(bottle)
    b = builder(bottle, tmp_path)
    assert b.report().counts() == {kind: 1}
    assert set(examples(b)) == before - {"mvtec_ad/bottle/test/contamination/001"}
    with pytest.raises(error, match="bottle/"):
        builder(bottle, tmp_path, strict=True).index()


def test_a_good_image_may_come_with_an_empty_mask(bottle, tmp_path):
    draw_mask(bottle / "bottle/ground_truth/good/000_mask.png")
    b = builder(bottle, tmp_path)
    assert len(examples(b)) == 10
    assert b.report().counts() == {}


def test_a_defect_below_train_keeps_its_published_identity(bottle, tmp_path):
    before = examples(builder(bottle, tmp_path))
    (bottle / "bottle/train/contamination").mkdir()
    (bottle / "bottle/test/contamination/001.png").rename(bottle / "bottle/train/contamination/001.png")
    b = builder(bottle, tmp_path)
    after = examples(b)
    assert {i: split for i, (split, _) in after.items()} == {i: split for i, (split, _) in before.items()}
    assert after["mvtec_ad/bottle/test/contamination/001"][1].publisher_split == "test"
    assert b.report().counts() == {"defect_in_train": 1}


def test_the_same_defect_below_train_and_test_is_there_once(bottle, tmp_path):
    shutil.copytree(bottle / "bottle/test/contamination", bottle / "bottle/train/contamination")
    b = builder(bottle, tmp_path)
    assert len(examples(b)) == 10
    assert b.report().counts() == {"defect_in_train": 2, "duplicate_image": 2}


def test_images_outside_the_folders_are_reported(bottle, tmp_path):
    draw(bottle / "bottle/test/broken_large_000.png")
    draw(bottle / "bottle/ground_truth/contamination/000_other.png")
    draw(bottle / "bottle/test/contamination/005.bmp")
    b = builder(bottle, tmp_path)
    assert len(examples(b)) == 10
    assert b.report().counts() == {"stray_image": 3}
    assert b.report().loses_something


def test_unusual_names_gaps_and_stray_files_are_accepted(bottle, tmp_path):
    """`000(1).png` as browsers name a second download, numbers with gaps, .DS_Store; no license file, capitals."""
    draw(bottle / "bottle/test/contamination/000(1).png")
    draw_mask(bottle / "bottle/ground_truth/contamination/000(1)_mask.png", (0, 0, 1, 1))
    draw(bottle / "bottle/train/good/117.PNG")
    (bottle / "bottle/train/good/.DS_Store").write_bytes(b"Bud1")
    b = builder(bottle, tmp_path)
    assert "mvtec_ad/bottle/test/contamination/000(1)" in examples(b)
    assert "mvtec_ad/bottle/train/good/117" in examples(b)
    assert b.report().counts() == {}


def test_byte_identical_images_share_a_group_and_a_split(bottle, tmp_path):
    for place in ("test/contamination/009.png", "test/contamination/010.png"):
        shutil.copyfile(bottle / "bottle/test/contamination/000.png", bottle / "bottle" / place)
        draw_mask(bottle / f"bottle/ground_truth/contamination/{Path(place).stem}_mask.png", (0, 0, 2, 2))
    found = examples(builder(bottle, tmp_path))
    identical = [found[f"mvtec_ad/bottle/test/contamination/{stem}"] for stem in ("000", "009", "010")]
    assert {example.group for _, example in identical} == {"mvtec_ad/bottle/test/contamination/000"}
    assert len({split for split, _ in identical}) == 1


def test_other_categories_are_not_looked_at(bottle, tmp_path):
    before = builder(bottle, tmp_path)
    (bottle / "cable/test/nonsense").mkdir(parents=True)
    draw(bottle / "cable/test/nonsense/000.png")
    after = builder(bottle, tmp_path)
    assert after.report().counts() == {}
    assert before.config_id == after.config_id and before.hash == after.hash


# ---- layouts ----


def test_ids_and_splits_are_the_same_from_folder_parent_zip_and_tar(bottle, tmp_path):
    wanted = {i: split for i, (split, _) in examples(builder(bottle, tmp_path)).items()}
    archive = tmp_path / "mvtec.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(bottle.rglob("*.png")):
            file.write(path, f"mvtec_anomaly_detection/{path.relative_to(bottle).as_posix()}")
    tar = tmp_path / "bottle.tar.xz"  # one category, as the publisher offers it
    with tarfile.open(tar, "w:xz") as file:
        file.add(bottle / "bottle", "bottle")
    for place in (bottle.parent, archive, tar):
        assert {i: split for i, (split, _) in examples(builder(place, tmp_path)).items()} == wanted


def test_error_for_an_unrelated_folder_describes_the_expected_layout(tmp_path):
    draw(tmp_path / "raw/pictures/000.png")
    with pytest.raises(LayoutError, match=r"ground_truth/<defect>/000_mask\.png"):
        builder(tmp_path / "raw", tmp_path)


def test_a_missing_category_is_reported(bottle, tmp_path):
    with pytest.raises(LayoutError, match="no image of mvtec_ad/zipper"):
        builder(bottle, tmp_path, "zipper").download_and_prepare()


# ---- splits ----


def test_official_is_train_and_test_as_published(bottle, tmp_path):
    found = examples(builder(bottle, tmp_path, protocol="official"))
    for image_id, (split, _) in found.items():
        assert split == image_id.split("/")[2]


def test_recommended_puts_each_defect_type_into_every_split(tmp_path):
    root = tmp_path / "raw"
    for number in range(20):
        draw(root / f"pill/train/good/{number:03}.png")
        for defect in ("crack", "scratch"):
            draw(root / f"pill/test/{defect}/{number:03}.png")
            draw_mask(root / f"pill/ground_truth/{defect}/{number:03}_mask.png", (1, 1, 3, 3))
    found = examples(builder(root, tmp_path, "pill"))
    by_stratum = Counter((image_id.split("/")[3], split) for image_id, (split, _) in found.items())
    for kind in ("good", "crack", "scratch"):
        assert by_stratum[kind, "train"] in (13, 14, 15)
        assert by_stratum[kind, "validation"] in (2, 3, 4)
        assert by_stratum[kind, "test"] in (2, 3, 4)
    assert found == examples(builder(root, tmp_path, "pill", protocol="70-15-15"))


def test_the_complete_dataset_is_split_as_documented():
    total: Counter[str] = Counter()
    for category in CATEGORIES:
        config = SOURCE.config(category)
        good = config.images - sum(config.images_by_class.values())
        strata = {"": good, **config.images_by_class}
        units = [
            splits.Unit(f"{name}/{number}", (f"{name}/{number}",), 1, frozenset([name] if name else []))
            for name, images in strata.items()
            for number in range(images)
        ]
        found = Counter(splits.cut("mvtec_ad", units, config.rarest_first()).values())
        for split in ("validation", "test"):
            assert abs(found[split] / config.images - 0.15) < 0.015, (category, split)
        total += found
    assert total == {"train": 3746, "validation": 804, "test": 804}


# ---- the sample tree ----


def by_kind(traps, category: str | None = None) -> dict[str, int]:
    total: Counter[str] = Counter()
    for trap in traps:
        if category is None or trap.path.startswith(f"{category}/"):
            total[trap.kind] += trap.count
    return dict(total)


@pytest.mark.parametrize("broken", [False, True])
def test_everything_planted_is_counted_and_nothing_else(planted, tmp_path, broken):
    root, traps = planted[broken]
    report = builder(root, tmp_path, "all").report()
    assert report.counts() == by_kind(traps)
    assert report.loses_something is broken
    assert {(trap.kind, trap.path) for trap in traps} <= {(p.kind, p.path) for p in report.problems}
    for category in CATEGORIES:
        one = builder(root, tmp_path, category)
        assert one.report().counts() == by_kind(traps, category), category
        assert len(examples(one)) == IMAGES, category
        assert {"train", "validation", "test"} <= set(one.index().splits), category


def test_the_sample_converts_with_masks_equal_to_the_files(planted, tmp_path):
    root, _ = planted[True]
    b = builder(root, tmp_path / "cache", "all")
    b.download_and_prepare()
    dataset = b.as_dataset()
    assert sum(map(len, dataset.values())) == 15 * IMAGES
    assert list(dataset) == ["train", "validation", "test", "unlabeled"]
    names = SOURCE.config("all").classes
    seen_components, at_border = set(), 0
    for row in (row for split in dataset.values() for row in split):
        category, _, kind, stem = row["image_id"].split("/")[1:]
        assert row["image"].size == (row["width"], row["height"]) == (96, 96)
        assert row["image"].mode == ("L" if category in ("grid", "screw", "zipper") else "RGB")
        assert len(row["boxes"]) == len(row["labels"]) == len(row["masks"])
        if kind == "good" or not row["annotated"]:
            assert row["boxes"] == []
            continue
        assert {names[label] for label in row["labels"]} == {f"{category}_{kind}"}
        with PIL.Image.open(root / f"{category}/ground_truth/{kind}/{stem}_mask.png") as file:
            pixels = np.asarray(file)
        wanted, count = ndimage.label(pixels > (127 if pixels.max() > 1 else 0), structure=np.ones((3, 3)))
        assert len(row["boxes"]) == count
        seen_components.add(count)
        drawn = np.zeros(pixels.shape, dtype=int)
        for box, mask in zip(row["boxes"], row["masks"], strict=True):
            instance = np.asarray(mask)
            assert mask.mode == "L" and set(np.unique(instance)) == {0, 255}
            rows, columns = np.nonzero(instance)
            assert box == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert len(np.unique(wanted[instance > 0])) == 1
            drawn += instance > 0
            at_border += columns.min() == 0
        assert np.array_equal(drawn, wanted > 0)
    assert max(seen_components) > 1 and at_border > 0


def test_a_misplaced_transistor_covers_a_large_part(planted):
    root, _ = planted[False]
    for path in (root / "transistor/ground_truth/misplaced").glob("*.png"):
        with PIL.Image.open(path) as mask:
            assert 0.3 < (np.asarray(mask) > 0).mean() < 0.5


def test_the_same_seed_gives_the_same_bytes(planted, tmp_path):
    root, _ = planted[False]
    make_sample("mvtec_ad", tmp_path / "again", images=IMAGES, seed=3)
    files = sorted(p.relative_to(root) for p in root.rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(tmp_path / "again") for p in (tmp_path / "again").rglob("*") if p.is_file())
    assert all((root / p).read_bytes() == (tmp_path / "again" / p).read_bytes() for p in files)
