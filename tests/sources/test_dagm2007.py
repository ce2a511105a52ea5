import shutil
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from radikal_datasets.errors import (
    LayoutError,
    MalformedAnnotationError,
    MaskSizeError,
    MissingImageError,
    UnreadableImageError,
)
from radikal_datasets.samples.drawing import truncate
from radikal_datasets.sources.dagm2007 import SOURCE, Dagm2007

CLASSES = SOURCE.config("all").parts
IMAGES = 12
SIZE = (12, 9)


def builder(root: Path, cache: Path, config: str = "class8", **settings) -> Dagm2007:
    return Dagm2007(config_name=config, data_dir=root, cache_dir=str(cache), **settings)


def draw(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = zlib.crc32("/".join(path.parts[-3:]).encode())  # unique bytes, the same in every run
    pixels = np.random.default_rng(seed).integers(0, 255, SIZE[::-1], dtype=np.uint8)
    PIL.Image.fromarray(pixels).save(path)


def draw_label(path: Path, *boxes: tuple[int, int, int, int], size: tuple[int, int] = SIZE) -> None:
    pixels = np.zeros(size[::-1], dtype=np.uint8)
    for x_min, y_min, x_max, y_max in boxes:
        pixels[y_min:y_max, x_min:x_max] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(pixels).save(path)


def rewrite(path: Path, old: str, new: str) -> None:
    text = path.read_bytes().decode()
    assert old in text
    path.write_bytes(text.replace(old, new).encode())


@pytest.fixture
def class8(tmp_path) -> Path:
    """Numbers run through: 0001-0004 in Test, 0005-0016 in Train; every second image is defective."""
    root = tmp_path / "raw"
    for split, numbers in (("Test", range(1, 5)), ("Train", range(5, 17))):
        folder = root / "Class8" / split
        rows = ["1"]
        for number in numbers:
            stem = f"{number:04}"
            draw(folder / f"{stem}.PNG")
            if number % 2:
                rows.append(f"{stem}\t0\t{stem}.PNG\t0\t0\t")
            else:
                rows.append(f"{stem}\t1\t{stem}.PNG\t0\t{stem}_label.PNG")
                draw_label(folder / f"Label/{stem}_label.PNG", (2, 3, 5, 7))
        (folder / "Label/Labels.txt").write_bytes("\n".join(rows).encode())
    (root / "Class8/Test/Thumbs.db").write_bytes(b"\xd0\xcf")
    return root


@pytest.fixture
def older(tmp_path) -> Path:
    """The development layout: 8 clean images, 7 with an ellipse."""
    root = tmp_path / "older"
    rows = []
    for number in range(1, 9):
        draw(root / f"Class1/{number}.png")
        if number < 8:
            draw(root / f"Class1_def/{number}.png")
            rows.append(f"{number}\t 3.0\t 1.5\t 0.0\t 5.0\t 4.0")
    (root / "Class1_def/labels.txt").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return root


def examples(b: Dagm2007) -> dict:
    return {example.image_id: (split, example) for split, found in b.index().splits.items() for example in found}


def boxes_by_image(b: Dagm2007) -> dict:
    return {i: (split, [instance.box for instance in e.instances]) for i, (split, e) in examples(b).items()}


# ---- facts ----


def test_the_counts_and_classes():
    whole = SOURCE.config("all")
    assert whole.images == 16_100
    assert sum(whole.images_by_class.values()) == 2_100
    assert SOURCE.config("class8").images == 2_300 and SOURCE.config("class8").images_by_class == {"defect": 300}
    assert SOURCE.config("class1").classes == ("defect",)
    assert whole.classes == tuple(f"class{number}_defect" for number in range(1, 11))


# ---- the competition's layout ----


def test_label_images_become_boxes_and_rows_say_what_is_clean(class8, tmp_path):
    draw_label(class8 / "Class8/Train/Label/0006_label.PNG", (0, 0, 2, 1), (9, 8, 12, 9), (5, 4, 6, 5))
    b = builder(class8, tmp_path)
    found = examples(b)
    assert len(found) == 16 and b.report().counts() == {}
    example = found["dagm2007/class8/Train/0006"][1]
    assert example.image == "Class8/Train/0006.PNG" and example.publisher_split == "train"
    assert [i.box for i in example.instances] == [(0, 0, 2, 1), (5, 4, 6, 5), (9, 8, 12, 9)]
    assert {i.label for i in example.instances} == {"defect"}
    clean = found["dagm2007/class8/Test/0001"][1]
    assert clean.annotated and clean.instances == [] and clean.publisher_split == "test"


def test_recommended_keeps_the_publishers_test(class8, tmp_path):
    found = examples(builder(class8, tmp_path))
    in_test = {image_id for image_id, (split, _) in found.items() if split == "test"}
    assert in_test == {f"dagm2007/class8/Test/{number:04}" for number in range(1, 5)}
    assert {split for split, _ in found.values()} == {"train", "validation", "test"}
    validation = [image_id for image_id, (split, _) in found.items() if split == "validation"]
    assert {int(image_id[-4:]) % 2 for image_id in validation} == {0, 1}  # both strata


def test_official_has_no_validation_and_70_15_15_splits_everything(class8, tmp_path):
    for image_id, (split, _) in examples(builder(class8, tmp_path, protocol="official")).items():
        assert split == image_id.split("/")[2].lower()
    mixed = examples(builder(class8, tmp_path, protocol="70-15-15"))
    assert {split for split, _ in mixed.values()} == {"train", "validation", "test"}
    assert any("/Train/" in image_id for image_id, (split, _) in mixed.items() if split == "test")


def test_marked_defective_without_a_label_image_is_never_clean(class8, tmp_path):
    (class8 / "Class8/Train/Label/0006_label.PNG").unlink()
    b = builder(class8, tmp_path)
    split, example = examples(b)["dagm2007/class8/Train/0006"]
    assert (split, example.annotated, example.instances) == ("unlabeled", False, [])
    assert b.report().counts() == {"missing_truth": 1}


def test_without_labels_txt_label_images_count_and_the_rest_is_unknown(class8, tmp_path):
    (class8 / "Class8/Test/Label/Labels.txt").unlink()
    b = builder(class8, tmp_path)
    found = examples(b)
    assert len(found["dagm2007/class8/Test/0002"][1].instances) == 1
    assert not found["dagm2007/class8/Test/0001"][1].annotated
    assert found["dagm2007/class8/Train/0005"][1].annotated
    assert b.report().counts() == {"label_without_row": 2, "missing_truth": 2}
    assert not b.report().loses_something


def conflicting_row(root: Path) -> None:
    rewrite(root / "Class8/Train/Label/Labels.txt", "0006\t1\t0006.PNG\t0\t0006_label.PNG", "0006\t0\t0006.PNG\t0\t0\t")


def label_named_wrong(root: Path) -> None:
    rewrite(root / "Class8/Train/Label/Labels.txt", "\t0006_label.PNG", "\t0008_label.PNG")


def no_flag(root: Path) -> None:
    rewrite(root / "Class8/Train/Label/Labels.txt", "0006\t1\t", "0006\tx\t")


def second_row(root: Path) -> None:
    rewrite(root / "Class8/Train/Label/Labels.txt", "1\n0005", "1\n0006\t0\t0006.PNG\t0\t0\t\n0005")


def empty_label(root: Path) -> None:
    draw_label(root / "Class8/Train/Label/0006_label.PNG")


def small_label(root: Path) -> None:
    draw_label(root / "Class8/Train/Label/0006_label.PNG", (0, 0, 1, 1), size=(9, 12))


def torn_label(root: Path) -> None:
    (root / "Class8/Train/Label/0006_label.PNG").write_bytes(b"<html>")


def torn_image(root: Path) -> None:
    truncate(root / "Class8/Train/0006.PNG")


def lost_image(root: Path) -> None:
    (root / "Class8/Train/0006.PNG").unlink()


def lost_image_and_row(root: Path) -> None:
    lost_image(root)
    rewrite(root / "Class8/Train/Label/Labels.txt", "0006\t1\t0006.PNG\t0\t0006_label.PNG\n", "")


def lost_image_and_label(root: Path) -> None:
    lost_image(root)
    (root / "Class8/Train/Label/0006_label.PNG").unlink()


def lost_image_with_a_wrong_row(root: Path) -> None:
    lost_image(root)
    no_flag(root)


@pytest.mark.parametrize(
    ("spoil", "kind", "error"),
    [
        (conflicting_row, "malformed_annotation", MalformedAnnotationError),
        (label_named_wrong, "malformed_annotation", MalformedAnnotationError),
        (no_flag, "malformed_annotation", MalformedAnnotationError),
        (second_row, "malformed_annotation", MalformedAnnotationError),
        (empty_label, "malformed_annotation", MalformedAnnotationError),
        (small_label, "mask_size", MaskSizeError),
        (torn_label, "malformed_annotation", MalformedAnnotationError),
        (torn_image, "unreadable_image", UnreadableImageError),
        (lost_image, "missing_image", MissingImageError),
        (lost_image_and_row, "missing_image", MissingImageError),
        (lost_image_and_label, "missing_image", MissingImageError),
        (lost_image_with_a_wrong_row, "malformed_annotation", MalformedAnnotationError),
    ],
)
def test_a_lost_image_affects_no_other_and_raises_if_strict(class8, tmp_path, spoil, kind, error):
    before = set(examples(builder(class8, tmp_path)))
    spoil(class8)
    b = builder(class8, tmp_path)
    assert b.report().counts() == {kind: 1}
    assert set(examples(b)) == before - {"dagm2007/class8/Train/0006"}
    with pytest.raises(error, match="Class8/Train/"):
        builder(class8, tmp_path, strict=True).index()


def test_a_row_that_names_no_image_is_counted_with_its_line(class8, tmp_path):
    rewrite(class8 / "Class8/Train/Label/Labels.txt", "1\n0005", "1\n<html>\n0005")
    b = builder(class8, tmp_path)
    assert len(examples(b)) == 16
    assert [(p.kind, p.line) for p in b.report().problems] == [("malformed_annotation", 2)]
    with pytest.raises(MalformedAnnotationError, match=r"Labels\.txt, line 2"):
        builder(class8, tmp_path, strict=True).index()


def test_the_same_row_twice_is_no_problem(class8, tmp_path):
    rewrite(class8 / "Class8/Train/Label/Labels.txt", "1\n0005", "1\n0005\t0\t0005.PNG\t0\t0\t\n0005")
    b = builder(class8, tmp_path)
    assert len(examples(b)) == 16 and b.report().counts() == {}


def test_ids_and_splits_do_not_depend_on_case(class8, tmp_path):
    wanted = {i: split for i, (split, _) in examples(builder(class8, tmp_path)).items()}
    small = tmp_path / "small"
    for path in class8.rglob("*"):
        if path.is_file():
            target = small / str(path.relative_to(class8)).lower()
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    b = builder(small, tmp_path)
    assert {i: split for i, (split, _) in examples(b).items()} == wanted
    assert b.report().counts() == {}


def test_a_label_folder_beside_train_and_test_is_read_as_well(class8, tmp_path):
    wanted = boxes_by_image(builder(class8, tmp_path))
    together = class8 / "Class8/Label"
    together.mkdir()
    rows = []
    for split in ("Test", "Train"):
        folder = class8 / "Class8" / split / "Label"
        rows += (folder / "Labels.txt").read_text().splitlines()[1:]
        for path in folder.glob("*.PNG"):
            path.rename(together / path.name)
        shutil.rmtree(folder)
    (together / "Labels.txt").write_text("\n".join(["1", *rows]))
    b = builder(class8, tmp_path)
    assert boxes_by_image(b) == wanted
    assert b.report().counts() == {}


def test_class1_does_not_read_class10(class8, tmp_path):
    shutil.copytree(class8 / "Class8", class8 / "Class10")
    (class8 / "Class8").rename(class8 / "Class1")
    (class8 / "Class10/Train/0006.PNG").unlink()
    assert builder(class8, tmp_path, "class1").report().counts() == {}
    assert builder(class8, tmp_path, "class10").report().counts() == {"missing_image": 1}
    assert builder(class8, tmp_path, "all").report().totals["test"]["images"] == 8


def test_images_outside_the_folders_are_reported(class8, tmp_path):
    draw(class8 / "Class8/Train/Label/0006.PNG")
    draw(class8 / "Class8/Train/0006.bmp")
    b = builder(class8, tmp_path)
    assert len(examples(b)) == 16
    assert b.report().counts() == {"stray_image": 2}


def test_ids_and_splits_are_the_same_from_folder_parent_zip_and_tar(class8, tmp_path):
    wanted = {i: split for i, (split, _) in examples(builder(class8, tmp_path)).items()}
    archive, tar = tmp_path / "Class8.zip", tmp_path / "Class8.tar"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(class8.rglob("*.*")):
            file.write(path, path.relative_to(class8).as_posix())
    with tarfile.open(tar, "w") as file:
        file.add(class8, "DAGM_KaggleUpload")
    for place in (class8.parent, archive, tar):
        assert {i: split for i, (split, _) in examples(builder(place, tmp_path)).items()} == wanted


def test_error_for_an_unrelated_folder_describes_the_expected_layout(tmp_path):
    draw(tmp_path / "raw/pictures/1.png")
    with pytest.raises(LayoutError, match=r"Labels\.txt"):
        builder(tmp_path / "raw", tmp_path)


# ---- the older layout ----


def test_ellipses_become_boxes_and_masks(older, tmp_path):
    b = builder(older, tmp_path, "class1")
    found = examples(b)
    assert len(found) == 15 and b.report().counts() == {}
    example = found["dagm2007/class1/def/3"][1]
    assert example.publisher_split is None and example.image == "Class1_def/3.png"
    [instance] = example.instances
    assert (instance.label, instance.box) == ("defect", (2, 3, 9, 6))
    drawn = instance.mask.source.labels(None, *SIZE)
    assert drawn.shape == SIZE[::-1]
    assert drawn[4].tolist() == [0, 0, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0]
    assert found["dagm2007/class1/clean/3"][1].instances == []
    assert len({split for split, _ in found.values()}) == 3  # no publisher's test split to keep: split 70/15/15


def test_the_older_layout_converts(older, tmp_path):
    b = builder(older, tmp_path, "class1")
    b.download_and_prepare()
    rows = [row for split in b.as_dataset().values() for row in split if "/def/" in row["image_id"]]
    assert len(rows) == 7
    for row in rows:
        assert row["boxes"] == [[2, 3, 9, 6]]
        mask = np.asarray(row["masks"][0])
        assert mask.shape == SIZE[::-1] and set(np.unique(mask)) == {0, 255}
        assert mask.sum() // 255 == 7 + 2 * 5  # rows of 5, 7 and 5 pixels


@pytest.mark.parametrize(
    ("old", "new", "counts", "kept"),
    [
        ("3\t 3.0\t 1.5\t 0.0\t 5.0\t 4.0\n", "", {"missing_truth": 1}, 15),
        ("3\t 3.0", "3\t wide", {"malformed_annotation": 1}, 14),
        ("3\t 3.0\t 1.5\t 0.0\t 5.0", "3\t 3.0\t 1.5\t 0.0\t 500", {"malformed_annotation": 1}, 14),
        ("1\t 3.0", "99\t 3.0\t 1.5\t 0.0\t 5.0\t 4.0\n1\t 3.0", {"missing_image": 1}, 15),
        ("1\t 3.0", "<html>\n1\t 3.0", {"malformed_annotation": 1}, 15),
        ("1\t 3.0", "1\t 1.0\t 1.0\t 0.0\t 1.0\t 1.0\n1\t 3.0", {}, 15),
    ],
)
def test_what_can_be_wrong_with_ellipses(older, tmp_path, old, new, counts, kept):
    rewrite(older / "Class1_def/labels.txt", old, new)
    b = builder(older, tmp_path, "class1")
    assert b.report().counts() == counts
    assert len(examples(b)) == kept
    if "malformed_annotation" in counts:
        with pytest.raises(MalformedAnnotationError, match=r"Class1_def/labels\.txt"):
            builder(older, tmp_path, "class1", strict=True).index()


def test_two_ellipses_of_an_image_are_two_instances(older, tmp_path):
    with (older / "Class1_def/labels.txt").open("a") as file:
        file.write("2\t 1.0\t 1.0\t 0.0\t 10.0\t 1.0\n")
    example = examples(builder(older, tmp_path, "class1"))["dagm2007/class1/def/2"][1]
    assert [i.box for i in example.instances] == [(2, 3, 9, 6), (9, 0, 12, 3)]


def test_without_its_list_no_image_of_def_is_clean(older, tmp_path):
    (older / "Class1_def/labels.txt").unlink()
    b = builder(older, tmp_path, "class1")
    assert b.report().counts() == {"missing_truth": 7}
    assert len(b.index().splits["unlabeled"]) == 7
