"""The declarative bases: what pairs with what, what a list decides, and what is counted when something does not fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from radikal_datasets.annotations.components import box_of
from radikal_datasets.building.bases import CLEAN, Found, MaskBuilder, Shows, SplitList, TableBuilder, VocBuilder
from radikal_datasets.building.builder import InspectionBuilder
from radikal_datasets.errors import ProtocolError, UnlistedImageError
from radikal_datasets.source import DEFAULT_CONFIG, Config, License, Source
from radikal_datasets.splits import BY_SHARE, OFFICIAL, RECOMMENDED

SIZE = (20, 16)


def facts(name: str, **more) -> Source:
    config = Config(DEFAULT_CONFIG, ("crack", "dent"))
    license_ = License("none", False, "Drawn by a test.")
    protocols = (RECOMMENDED, OFFICIAL, BY_SHARE)
    texts = {"title": name, "homepage": "", "download_page": "", "citation": "", "layout": name}
    return Source(
        name=name, license=license_, configs=(config,), marker="images/.+", protocols=protocols, **texts, **more
    )


class Plates(MaskBuilder):
    SOURCE = facts("plates")
    IMAGE = r"images/(?P<kind>[^/]+)/(?P<stem>[^/]+)\.png"
    ANNOTATION = r"masks/(?P<stem>[^/]+)\.(?:png|PNG)"
    ID = "{kind}/{stem}"
    IGNORED = ((r"images/.*~\.png", "an editor's copy"),)
    SPLITS = SplitList("split.csv", key="{stem}")

    def shows(self, found: Found) -> Shows:
        kind = found.match["kind"]
        if kind == "mixed":
            return Shows({1: "crack", 2: "dent"}, defective=True)
        return CLEAN if kind == "good" else Shows(self.known_class(kind, found.match[0], found.part), defective=True)


class Sheets(VocBuilder):
    SOURCE = facts("sheets")
    IMAGE = r"images/(?P<stem>[^/]+)\.png"
    ANNOTATION = r"xml/(?P<stem>[^/]+)\.xml"
    ID = "{stem}"

    def label_of(self, name: str) -> str:
        return name.lower()


class Tubes(TableBuilder):
    SOURCE = facts("tubes")
    IMAGE = r"images/(?P<stem>[^/]+)\.png"
    ID = "{stem}"
    TABLE = "boxes.csv"


def image(path: Path, size: tuple[int, int] = SIZE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = sum(path.as_posix().encode())
    PIL.Image.fromarray(np.random.default_rng(seed).integers(0, 255, size[::-1], dtype=np.uint8)).save(path)


def mask(path: Path, *values: int, palette: bool = False) -> None:
    """Draw a mask of 3x2 pixels of each value, 4 pixels apart."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros(SIZE[::-1], dtype=np.uint8)
    for index, value in enumerate(values):
        pixels[4:6, 2 + 4 * index : 5 + 4 * index] = value
    picture = PIL.Image.fromarray(pixels)
    if palette:
        picture = picture.convert("P")
        picture.putpalette([0, 0, 0, 0, 200, 0, 90, 0, 0, *[7] * (3 * 253)])
    picture.save(path)


def read(kind: type[InspectionBuilder], root: Path, **settings) -> tuple[dict, dict[str, int]]:
    builder = kind(config_name=DEFAULT_CONFIG, data_dir=root, cache_dir=str(root.parent / "cache"), **settings)
    index = builder.index()
    found = {e.image_id.partition("/")[2]: (split, e) for split, rows in index.splits.items() for e in rows}
    return found, index.report.counts()


@pytest.fixture
def plates(tmp_path: Path) -> Path:
    root = tmp_path / "plates"
    for kind, stem in (("good", "a"), ("crack", "b"), ("dent", "c"), ("mixed", "d")):
        image(root / f"images/{kind}/{stem}.png")
    mask(root / "masks/b.png", 255, 255)
    mask(root / "masks/c.png", 255)
    mask(root / "masks/d.png", 2, 1, palette=True)
    (root / "split.csv").write_text("image,split\na,train\nB,Test\nc,train\nd,test\n", encoding="utf-8")
    return root


def test_masks_by_folder_and_by_class_number(plates: Path) -> None:
    found, counts = read(Plates, plates, protocol=OFFICIAL)
    assert counts == {}
    assert {name: split for name, (split, _) in found.items()} == {
        "good/a": "train",
        "crack/b": "test",
        "dent/c": "train",
        "mixed/d": "test",
    }
    assert found["good/a"][1].annotated and found["good/a"][1].instances == []
    assert [i.box for i in found["crack/b"][1].instances] == [(2, 4, 5, 6), (6, 4, 9, 6)]
    # The indices of a palette image, not the brightness of their colors, and each with its own pixels.
    assert [(i.label, i.box) for i in found["mixed/d"][1].instances] == [
        ("crack", (6, 4, 9, 6)),
        ("dent", (2, 4, 5, 6)),
    ]


def test_the_pixels_of_a_class_number_are_those_of_its_box(plates: Path, tmp_path: Path) -> None:
    builder = Plates(config_name=DEFAULT_CONFIG, data_dir=plates, cache_dir=str(tmp_path / "cache"))
    found = {e.image_id: e for split in builder.index().splits.values() for e in split}
    for instance in found["plates/mixed/d"].instances:
        assert instance.mask is not None
        pixels = instance.mask.source.labels(builder.tree, *SIZE) == instance.mask.component
        assert box_of(pixels) == instance.box and pixels.sum() == 6


def no_mask(root: Path) -> None:
    (root / "masks/b.png").unlink()


def empty(root: Path) -> None:
    mask(root / "masks/b.png")


def faint(root: Path) -> None:
    mask(root / "masks/b.png", 60, 100)


def on_a_clean_one(root: Path) -> None:
    mask(root / "masks/a.png", 255)


def two_masks(root: Path) -> None:
    mask(root / "masks/b.PNG", 255)


def unknown_value(root: Path) -> None:
    mask(root / "masks/d.png", 1, 3)


def colors(root: Path) -> None:
    PIL.Image.new("RGB", SIZE, (200, 0, 0)).save(root / "masks/d.png")


def web_page(root: Path) -> None:
    (root / "masks/d.png").write_text("404", encoding="utf-8")


def other_size(root: Path) -> None:
    PIL.Image.new("L", (16, 20), 1).save(root / "masks/d.png")


def unknown_folder(root: Path) -> None:
    (root / "images/crack").rename(root / "images/rust")


def lost_image(root: Path) -> None:
    (root / "images/dent/c.png").unlink()


def editors_copy(root: Path) -> None:
    image(root / "images/good/a~.png")


def elsewhere(root: Path) -> None:
    image(root / "images/loose.png")


def contradiction(root: Path) -> None:
    with (root / "split.csv").open("a", encoding="utf-8") as file:
        file.write("a,test\n")


def unknown_split(root: Path) -> None:
    text = (root / "split.csv").read_text(encoding="utf-8").replace("a,train", "a,maybe")
    (root / "split.csv").write_text(text, encoding="utf-8")


def nameless(root: Path) -> None:
    with (root / "split.csv").open("a", encoding="utf-8") as file:
        file.write(",train\n")


@pytest.mark.parametrize(
    ("spoil", "counts", "images"),
    [
        (no_mask, {"missing_truth": 1}, 4),
        (empty, {"malformed_annotation": 1}, 3),
        (faint, {"mask_values": 1, "malformed_annotation": 1}, 3),
        (on_a_clean_one, {"malformed_annotation": 1}, 3),
        (two_masks, {"malformed_annotation": 1}, 3),
        (unknown_value, {"unknown_class": 1}, 3),
        (colors, {"malformed_annotation": 1}, 3),
        (web_page, {"malformed_annotation": 1}, 3),
        (other_size, {"mask_size": 1}, 3),
        (unknown_folder, {"unknown_class": 1}, 3),
        (lost_image, {"missing_image": 2}, 3),  # its mask and its row
        (editors_copy, {"ignored_file": 1}, 4),
        (elsewhere, {"stray_image": 1}, 4),
        (contradiction, {"malformed_annotation": 1}, 3),
        (unknown_split, {"malformed_annotation": 1}, 3),
        (nameless, {"malformed_annotation": 1}, 4),
    ],
)
def test_what_does_not_fit_is_counted(
    plates: Path, spoil: Callable[[Path], None], counts: dict[str, int], images: int
) -> None:
    spoil(plates)
    found, counted = read(Plates, plates, protocol=OFFICIAL)
    assert counted == counts
    assert len(found) == images
    if spoil is no_mask:
        assert not found["crack/b"][1].annotated


def test_an_image_that_the_list_does_not_name_is_in_no_split_of_official(plates: Path) -> None:
    text = (plates / "split.csv").read_text(encoding="utf-8").replace("B,Test\n", "")
    (plates / "split.csv").write_text(text, encoding="utf-8")
    found, counts = read(Plates, plates, protocol=OFFICIAL)
    assert counts == {"unlisted_image": 1} and "crack/b" not in found
    with pytest.raises(UnlistedImageError, match=r"split\.csv does not name it"):
        read(Plates, plates, protocol=OFFICIAL, strict=True)
    found, counts = read(Plates, plates)
    assert counts == {"not_in_split_list": 1} and len(found) == 4


@pytest.mark.parametrize("how", ["missing", "without its column"])
def test_without_a_list_official_is_refused(plates: Path, how: str) -> None:
    if how == "missing":
        (plates / "split.csv").unlink()
    else:
        (plates / "split.csv").write_text("image,set\na,train\n", encoding="utf-8")
    with pytest.raises(ProtocolError, match="does not define the publisher's split"):
        read(Plates, plates, protocol=OFFICIAL)
    found, counts = read(Plates, plates)
    assert len(found) == 4 and counts == ({} if how == "missing" else {"malformed_annotation": 1})


def voc(name: str, size: tuple[int, int] = SIZE) -> str:
    box = "<bndbox><xmin>3</xmin><ymin>5</ymin><xmax>8</xmax><ymax>9</ymax></bndbox>"
    thing = f"<object><name>{name}</name>{box}</object>" if name else ""
    return f"<annotation><size><width>{size[0]}</width><height>{size[1]}</height></size>{thing}</annotation>"


def test_voc_files(tmp_path: Path) -> None:
    root = tmp_path / "sheets"
    (root / "xml").mkdir(parents=True)
    for stem in "abcde":
        image(root / f"images/{stem}.png")
    for stem, text in {
        "a": voc("Crack"),
        "b": voc(""),
        "c": voc("rust"),
        "d": voc("dent", (40, 32)),
        "f": voc("dent"),
    }.items():
        (root / f"xml/{stem}.xml").write_text(text, encoding="utf-8")
    found, counts = read(Sheets, root)
    assert counts == {"unknown_class": 1, "resized_image": 1, "missing_truth": 1, "missing_image": 1}
    assert [(i.label, i.box) for i in found["a"][1].instances] == [("crack", (2, 4, 8, 9))]
    assert found["b"][1].annotated and not found["b"][1].instances
    assert [i.box for i in found["d"][1].instances] == [(1, 2, 4, 4.5)]
    assert not found["e"][1].annotated


HEADER = "image,class,x_min,y_min,x_max,y_max\n"


def test_a_table_of_boxes(tmp_path: Path) -> None:
    root = tmp_path / "tubes"
    for stem in "abcdefg":
        image(root / f"images/{stem}.png")
    (root / "boxes.csv").write_text(
        HEADER + "A,crack,1,2,5,6\na,dent,2.5,2,5,6\nb,,,,,\nc,rust,1,2,5,6\nd,crack,1,2,x,6\ne,crack,1,2,5,6\ne,,,,,\n"
        "lost,crack,1,2,5,6\nlost,crack,1,3,5,6\n,crack,1,3,5,6\nf,crack,1,2,5,nan\n",
        encoding="utf-8",
    )
    found, counts = read(Tubes, root)
    assert counts == {"malformed_annotation": 4, "unknown_class": 1, "missing_truth": 1, "missing_image": 1}
    assert [(i.label, i.box) for i in found["a"][1].instances] == [("crack", (1, 2, 5, 6)), ("dent", (2.5, 2, 5, 6))]
    assert found["b"][1].annotated and not found["b"][1].instances
    assert not found["g"][1].annotated and set(found) == {"a", "b", "g"}


@pytest.mark.parametrize(
    "text", [None, "image,label,x_min,y_min,x_max,y_max\na,crack,1,2,5,6\n", HEADER + 'a,"crack,1,2,5,6\n']
)
def test_without_a_usable_table_no_image_is_clean(tmp_path: Path, text: str | None) -> None:
    root = tmp_path / "tubes"
    image(root / "images/a.png")
    if text is not None:
        (root / "boxes.csv").write_text(text, encoding="utf-8")
    found, counts = read(Tubes, root)
    assert not found["a"][1].annotated
    assert counts == {"missing_truth": 1} | ({} if text is None else {"malformed_annotation": 1})
