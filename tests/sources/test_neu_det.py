from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import PIL.Image
import pytest

from radikal_datasets import errors
from radikal_datasets.samples import make_sample
from radikal_datasets.sources import builder_class
from radikal_datasets.sources.neu_det import SOURCE

CLASSES = ("crazing", "inclusion", "patches", "pitted_surface", "rolled-in_scale", "scratches")
SIZE = 20


def build(root, tmp_path, **options):
    return builder_class("neu_det")(data_dir=str(root), cache_dir=str(tmp_path / "cache"), **options)


def examples(builder):
    return {
        example.image_id.removeprefix("neu_det/"): (split, example)
        for split, found in builder.index().splits.items()
        for example in found
    }


def facts(builder):
    """What must not depend on the layout: split, group, size, and classes with boxes."""
    return {
        stem: (split, e.group, e.width, e.height, e.annotated, [(i.label, i.box) for i in e.instances])
        for stem, (split, e) in examples(builder).items()
    }


def write_image(root: Path, stem: str, side: int = SIZE, shade: int = 0) -> None:
    path = root / "IMAGES" / f"{stem}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.new("RGB", (side, side), (shade, shade, shade)).save(path)


def write_truth(root: Path, stem: str, *objects: tuple, filename: str | None = None) -> None:
    path = root / "ANNOTATIONS" / f"{stem}.xml"
    path.parent.mkdir(parents=True, exist_ok=True)
    tags = ("xmin", "ymin", "xmax", "ymax")
    boxes = [
        f"<object><name>{name}</name><bndbox>"
        + "".join(f"<{tag}>{value}</{tag}>" for tag, value in zip(tags, box, strict=True))
        + "</bndbox></object>"
        for name, *box in objects
    ]
    size = f"<size><width>{SIZE}</width><height>{SIZE}</height><depth>1</depth></size>"
    name = f"<filename>{filename or stem + '.jpg'}</filename>"
    path.write_text("\n".join(["<annotation>", name, size, *boxes, "</annotation>"]))


@pytest.fixture
def steel(tmp_path):
    root = tmp_path / "NEU-DET"
    for number, stem in enumerate(("crazing_1", "patches_1", "scratches_1")):
        write_image(root, stem, shade=80 * number)
        write_truth(root, stem, (stem.partition("_")[0], 1, 2, 11, 12))
    return root


def to_kaggle(root: Path, out: Path) -> None:
    """Rearrange the original layout into Kaggle's: a fifth is `validation`; one XML file is in the wrong folder."""
    for number, path in enumerate(sorted((root / "IMAGES").iterdir())):
        part = "validation" if number % 5 == 4 else "train"
        folder = out / part / "images" / path.stem.rpartition("_")[0]
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder)
        truth_part = "validation" if number == 0 else part
        truth_folder = out / truth_part / "annotations"
        truth_folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / "ANNOTATIONS" / f"{path.stem}.xml", truth_folder)


def to_resized(root: Path, out: Path) -> None:
    """Images resized to 416x416; the XML still says 200x200."""
    shutil.copytree(root / "ANNOTATIONS", out / "ANNOTATIONS")
    (out / "IMAGES").mkdir()
    for path in (root / "IMAGES").iterdir():
        PIL.Image.open(path).resize((416, 416)).save(out / "IMAGES" / path.name)


def test_boxes_are_half_open_from_zero(steel, tmp_path):
    _, example = examples(build(steel, tmp_path))["crazing_1"]
    assert (example.image, example.width, example.height) == ("IMAGES/crazing_1.jpg", SIZE, SIZE)
    assert [(i.label, i.box, i.mask) for i in example.instances] == [("crazing", (0, 1, 11, 12), None)]
    assert example.group == "neu_det/crazing_1"


def test_class_is_that_of_the_box_not_of_the_file(steel, tmp_path):
    write_truth(steel, "crazing_1", ("patches", 1, 1, 9, 9), ("crazing", 1, 1, 9, 9), ("inclusion", 2, 2, 9, 9))
    builder = build(steel, tmp_path)
    assert [i.label for i in examples(builder)["crazing_1"][1].instances] == ["patches", "crazing", "inclusion"]
    assert builder.report().counts() == {"class_not_file_name": 2}
    assert builder.report().files("class_not_file_name") == ["ANNOTATIONS/crazing_1.xml"]
    assert not builder.report().loses_something


def test_filename_without_extension_is_repaired(steel, tmp_path):
    write_truth(steel, "crazing_1", ("crazing", 1, 2, 11, 12), filename="crazing_1")
    builder = build(steel, tmp_path)
    assert len(examples(builder)["crazing_1"][1].instances) == 1
    assert builder.report().counts() == {"filename_without_extension": 1}


def test_exact_duplicates_are_dropped_and_near_ones_kept(steel, tmp_path):
    box = (1, 2, 11, 12)
    write_truth(steel, "crazing_1", ("crazing", *box), ("crazing", *box), ("patches", *box), ("crazing", 1, 2, 11, 13))
    builder = build(steel, tmp_path)
    assert [(i.label, i.box) for i in examples(builder)["crazing_1"][1].instances] == [
        ("crazing", (0, 1, 11, 12)),
        ("patches", (0, 1, 11, 12)),
        ("crazing", (0, 1, 11, 13)),
    ]
    assert builder.report().counts() == {"class_not_file_name": 1, "duplicate_box": 1}


def test_identical_images_share_the_smallest_id_as_group(steel, tmp_path):
    for stem in ("patches_101", "patches_105"):
        write_image(steel, stem, shade=40)
        write_truth(steel, stem, ("patches", 1, 2, int(stem[-1]) + 5, 12))
    builder = build(steel, tmp_path)
    found = examples(builder)
    assert found["patches_101"][1].group == found["patches_105"][1].group == "neu_det/patches_101"
    assert found["patches_101"][0] == found["patches_105"][0]
    assert found["patches_101"][1].instances != found["patches_105"][1].instances
    assert builder.report().counts() == {"identical_images": 2}


def test_image_without_annotation_is_not_clean(steel, tmp_path):
    (steel / "ANNOTATIONS/crazing_1.xml").unlink()
    builder = build(steel, tmp_path)
    split, example = examples(builder)["crazing_1"]
    assert (split, example.annotated) == ("unlabeled", False)
    assert builder.report().counts() == {"missing_truth": 1}
    assert not builder.report().loses_something


def test_xml_without_object_proves_nothing(steel, tmp_path):
    """Every image of the set has a defect: the file is a labeling tool's empty save."""
    write_truth(steel, "crazing_1")
    builder = build(steel, tmp_path)
    split, example = examples(builder)["crazing_1"]
    assert (split, example.annotated, example.instances) == ("unlabeled", False, [])
    assert builder.report().files("empty_annotation") == ["ANNOTATIONS/crazing_1.xml"]


def cut_image(root):
    path = root / "IMAGES/crazing_1.jpg"
    path.write_bytes(path.read_bytes()[:-2])


def no_image(root):
    (root / "IMAGES/crazing_1.jpg").unlink()


def cut_truth(root):
    path = root / "ANNOTATIONS/crazing_1.xml"
    path.write_bytes(path.read_bytes()[:-30])


def entity_bomb(root):
    path = root / "ANNOTATIONS/crazing_1.xml"
    path.write_text(f'<!DOCTYPE annotation [<!ENTITY a "ha">]>{path.read_text()}')


def unknown_class(root):
    write_truth(root, "crazing_1", ("crazing", 1, 2, 11, 12), ("dent", 1, 2, 11, 12))


@pytest.mark.parametrize(
    ("spoil", "error", "where"),
    [
        (cut_image, errors.UnreadableImageError, r"IMAGES/crazing_1\.jpg: truncated: no EOI"),
        (no_image, errors.MissingImageError, r"ANNOTATIONS/crazing_1\.xml: there is no image crazing_1\.jpg"),
        (cut_truth, errors.MalformedAnnotationError, r"ANNOTATIONS/crazing_1\.xml, line \d: "),
        (entity_bomb, errors.MalformedAnnotationError, r"ANNOTATIONS/crazing_1\.xml, line 1: a document type"),
        (unknown_class, errors.UnknownClassError, r"ANNOTATIONS/crazing_1\.xml, line 5: class 'dent'"),
    ],
)
def test_one_bad_file_affects_one_image(steel, tmp_path, spoil, error, where):
    spoil(steel)
    builder = build(steel, tmp_path)
    assert set(examples(builder)) == {"patches_1", "scratches_1"}
    assert builder.report().counts() == {error.kind: 1}
    assert builder.report().loses_something
    with pytest.raises(error, match=where):
        build(steel, tmp_path, strict=True).index()


def test_extensions_in_upper_case(steel, tmp_path):
    before = facts(build(steel, tmp_path))
    for path in [*steel.rglob("*.jpg"), *steel.rglob("*.xml")]:
        path.rename(path.with_suffix(path.suffix.upper()))
    builder = build(steel, tmp_path)
    assert facts(builder) == before
    assert builder.report().counts() == {}


def test_xml_in_a_chinese_encoding(steel, tmp_path):
    path = steel / "ANNOTATIONS/crazing_1.xml"
    text = path.read_text().replace("<annotation>", "<annotation><folder>\u94a2\u677f</folder>")
    path.write_bytes(f'<?xml version="1.0" encoding="gb2312"?>\n{text}'.encode("gb2312"))
    builder = build(steel, tmp_path)
    assert len(examples(builder)["crazing_1"][1].instances) == 1
    assert builder.report().counts() == {}


def test_unknown_encoding_affects_its_image_only(steel, tmp_path):
    path = steel / "ANNOTATIONS/crazing_1.xml"
    path.write_text(f'<?xml version="1.0" encoding="foobar"?>\n{path.read_text()}')
    builder = build(steel, tmp_path)
    assert set(examples(builder)) == {"patches_1", "scratches_1"}
    assert builder.report().counts() == {"malformed_annotation": 1}


def test_classes_are_constants(steel, tmp_path):
    assert SOURCE.config(None).classes == CLASSES
    assert build(steel, tmp_path).info.features["labels"].feature.names == list(CLASSES)


def test_no_official_split(steel, tmp_path):
    with pytest.raises(errors.ProtocolError, match=r"recommended.*70-15-15"):
        build(steel, tmp_path, protocol="official")


@pytest.mark.parametrize("layout", ["parent", "zip"])
def test_same_batches_from_every_location(sample_tree, tmp_path, layout):
    root = sample_tree("neu_det")
    if layout == "parent":
        place = tmp_path / "downloads"
        shutil.copytree(root, place / "archive" / "NEU-DET")
    else:
        place = Path(shutil.make_archive(str(tmp_path / "neu"), "zip", root))
    assert facts(build(place, tmp_path)) == facts(build(root, tmp_path))


def test_kaggle_layout_gives_the_same_ids_splits_and_boxes(sample_tree, tmp_path):
    root = sample_tree("neu_det")
    kaggle = tmp_path / "kaggle" / "NEU-DET"
    to_kaggle(root, kaggle)
    original, rearranged = build(root, tmp_path), build(kaggle, tmp_path)
    assert facts(rearranged) == facts(original)
    assert rearranged.report().counts() == original.report().counts() | {"truth_elsewhere": 1}
    assert rearranged.report().files("truth_elsewhere") == ["validation/annotations/crazing_1.xml"]
    assert examples(rearranged)["crazing_1"][1].image == "train/images/crazing/crazing_1.jpg"


def test_resized_copy_gives_the_same_ids_and_splits_and_scaled_boxes(sample_tree, tmp_path):
    root = sample_tree("neu_det")
    to_resized(root, tmp_path / "resized")
    original, resized = build(root, tmp_path), build(tmp_path / "resized", tmp_path)
    assert resized.report().counts() == original.report().counts() | {"resized_image": 12}
    found = examples(resized)
    assert {i: s for i, (s, _) in found.items()} == {i: s for i, (s, _) in examples(original).items()}
    for stem, (_, example) in examples(original).items():
        same = found[stem][1]
        assert (same.width, same.height, same.group) == (416, 416, example.group)
        assert [i.label for i in same.instances] == [i.label for i in example.instances]
        for scaled, instance in zip(same.instances, example.instances, strict=True):
            assert scaled.box == pytest.approx([value * 2.08 for value in instance.box])


@pytest.mark.parametrize("broken", [False, True])
def test_sample_has_exactly_what_was_planted(sample_tree, tmp_path, broken):
    root = sample_tree("neu_det", broken=broken)
    planted: Counter[str] = Counter()
    for trap in json.loads(root.with_name("neu_det.traps.json").read_text())["traps"]:
        planted[trap["kind"]] += trap["count"]
    builder = build(root, tmp_path)
    assert builder.report().counts() == planted
    assert builder.report().loses_something == broken
    found = builder.index().splits
    assert set(found) - {"unlabeled"} == {"train", "validation", "test"}
    assert sum(map(len, found.values())) == 12


def test_same_seed_same_bytes_and_another_seed_others(tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        make_sample("neu_det", tmp_path / name, images=12, seed=seed)
    files = {
        name: {p.relative_to(tmp_path / name): p.read_bytes() for p in (tmp_path / name).rglob("*.*")} for name in "abc"
    }
    assert files["a"] == files["b"]
    assert files["a"] != files["c"]


def test_images_keep_their_bytes(sample_tree, tmp_path):
    root = sample_tree("neu_det")
    builder = build(root, tmp_path)
    builder.download_and_prepare()
    dataset = builder.as_dataset()
    assert sum(len(rows) for rows in dataset.values()) == 12
    parsed = examples(builder)
    for split, rows in dataset.items():
        for table in rows.with_format("arrow"):
            (row,) = table.to_pylist()
            stem = row["image_id"].removeprefix("neu_det/")
            assert row["image"] == {"path": f"IMAGES/{stem}.jpg", "bytes": (root / f"IMAGES/{stem}.jpg").read_bytes()}
            assert parsed[stem][0] == split
            assert row["boxes"] == [list(i.box) for i in parsed[stem][1].instances]
            assert [CLASSES[label] for label in row["labels"]] == [i.label for i in parsed[stem][1].instances]
            assert (row["masks"], row["reference"], row["annotated"]) == ([], None, True)


@pytest.mark.realdata
def test_real_neu_det(real_data, tmp_path):
    builder = build(real_data("neu_det"), tmp_path)
    report = builder.report()
    found = examples(builder)
    assert len(found) == 1800
    assert sum(len(example.instances) for _, example in found.values()) == 4186
    assert report.counts() == {
        "class_not_file_name": 188,
        "duplicate_box": 3,
        "filename_without_extension": 174,
        "identical_images": 2,
    }
    assert len(report.files("class_not_file_name")) == 123
    assert {Path(path).stem for path in report.files("duplicate_box")} == {"inclusion_62", "patches_198", "crazing_120"}
    assert found["patches_101"][1].group == found["patches_105"][1].group == "neu_det/patches_101"
    assert not report.loses_something

    sizes = {split: totals["images"] for split, totals in report.totals.items()}
    assert set(sizes) == {"train", "validation", "test"}
    for split, wanted in {"train": 1260, "validation": 270, "test": 270}.items():
        assert abs(sizes[split] - wanted) <= 3

    holding: dict[str, Counter[str]] = {name: Counter() for name in CLASSES}
    for split, example in found.values():
        for name in {instance.label for instance in example.instances}:
            holding[name][split] += 1
    assert {name: counter.total() for name, counter in holding.items()} == SOURCE.config(None).images_by_class
    for counter in holding.values():
        for split, share in {"train": 0.70, "validation": 0.15, "test": 0.15}.items():
            assert abs(counter[split] / counter.total() - share) <= 0.02


def splits_of(root: Path, cache: Path) -> dict[str, str]:
    index = build(root, cache).index()
    return {example.image_id: split for split, rows in index.splits.items() for example in rows}


def moved_by_each(root: Path, image_ids: Iterable[str], tmp_path: Path) -> dict[str, list[str]]:
    """Map each image_id to the images that change splits when only its files are deleted."""
    before = splits_of(root, tmp_path)
    found = {}
    copy, away = tmp_path / "copy", tmp_path / "away"
    shutil.copytree(root, copy)
    away.mkdir()
    for image_id in image_ids:
        files = list(copy.rglob(f"{image_id.removeprefix('neu_det/')}.*"))
        for path in files:
            path.rename(away / path.name)
        after = splits_of(copy, tmp_path)
        for path in files:
            (away / path.name).rename(path)
        assert before.keys() - after.keys() == {image_id}
        found[image_id] = [other for other in after if after[other] != before[other]]
    return found


def test_deleting_any_image_moves_at_most_two_others_duplicates_included(sample_tree, tmp_path):
    root = tmp_path / "NEU-DET"
    shutil.copytree(sample_tree("neu_det"), root)
    by_class: dict[str, list[Path]] = {}
    for path in sorted(root.rglob("*.jpg")):
        by_class.setdefault(path.stem.rsplit("_", 1)[0], []).append(path)
    identical = next(paths for paths in by_class.values() if len(paths) > 1)[:2]
    shutil.copyfile(identical[0], identical[1])
    groups = [e.group for rows in build(root, tmp_path).index().splits.values() for e in rows]
    assert max(Counter(groups).values()) >= 2
    found = moved_by_each(root, splits_of(root, tmp_path), tmp_path)
    assert max(len(moved) for moved in found.values()) <= 2, found


@pytest.mark.realdata
def test_deleting_a_real_image_moves_at_most_two_others(real_data, tmp_path):
    """The exact duplicates, and one image of each class in each split."""
    root = real_data("neu_det")
    chosen = {
        f"{split} {image_id.rsplit('_', 1)[0]}": image_id for image_id, split in splits_of(root, tmp_path).items()
    }
    found = moved_by_each(root, ["neu_det/patches_101", "neu_det/patches_105", *chosen.values()], tmp_path)
    assert len(found) >= 19
    assert max(len(moved) for moved in found.values()) <= 2, found
