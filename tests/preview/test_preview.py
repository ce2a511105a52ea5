"""Drawing, choosing, and the contact sheet."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset, DatasetDict
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from radikal_datasets.errors import OutputError
from radikal_datasets.preview.chosen_images import DEFECT_FREE, ChoiceError, choose
from radikal_datasets.preview.preview import sheet_of, write_preview
from radikal_datasets.schema import features
from radikal_datasets.view.drawing import draw, looks

NAMES = ["hole", "long_crack"]
GRAY = (128, 128, 128)


def png(size: tuple[int, int] = (60, 40), mode: str = "L", color: object = 128) -> dict[str, bytes]:
    out = BytesIO()
    Image.new(mode, size, color).save(out, "PNG")  # type: ignore[arg-type]
    return {"bytes": out.getvalue(), "path": None}  # type: ignore[dict-item]


def row(image_id: str, labels: list[int], **changed: object) -> dict[str, object]:
    boxes = [[5.0 + 10 * i, 8, 12 + 10 * i, 20] for i in range(len(labels))]
    plain = {
        "image_id": image_id,
        "image": png(),
        "width": 60,
        "height": 40,
        "boxes": boxes,
        "labels": labels,
        "masks": [],
        "reference": None,
        "annotated": True,
        "group": image_id,
    }
    return {**plain, **changed}


def sets(title: str = "made", names: list[str] = NAMES, **splits: list[dict[str, object]]) -> tuple[str, DatasetDict]:
    return title, DatasetDict({s: Dataset.from_list(rows, features=features(names)) for s, rows in splits.items()})


# Drawing


@given(st.lists(st.text(max_size=12), max_size=60, unique=True))
def test_codes_are_short_and_unique(names: list[str]) -> None:
    codes = [look.code for look in looks(names)]
    assert len(set(codes)) == len(names)
    assert all(codes)


def test_styles_differ_even_if_colors_repeat() -> None:
    found = looks([f"class {i}" for i in range(28)])
    assert len({(look.color, look.pattern) for look in found}) == 28
    assert looks(["crazing", "pitted_surface", "defect_12"])[0].code == "Cr"
    assert [look.code for look in looks(["pitted_surface", "defect_12", "Pin_hole", "pin_hol"])] == [
        "PS",
        "D12",
        "PH",
        "PHo",
    ]


@given(st.data())
def test_a_box_is_drawn_outside_its_pixels(data: st.DataObject) -> None:
    """Nothing inside the box changes except where the text is, which is inside only if there is no room outside."""
    x, y = data.draw(st.integers(25, 60)), data.draw(st.integers(25, 60))
    w, h = data.draw(st.integers(1, 30)), data.draw(st.integers(1, 30))
    image = Image.new("L", (140, 120), 128)
    drawn = np.asarray(draw(image, [[x, y, x + w, y + h]], [0], NAMES))
    assert (drawn[y : y + h, x : x + w] == 128).all()
    color = tuple(bytes.fromhex(looks(NAMES)[0].color[1:]))
    rows, columns = slice(y, y + h), slice(x, x + w)  # between box and line is one pixel of halo
    for line in (drawn[y - 2, columns], drawn[y + h + 1, columns], drawn[rows, x - 2], drawn[rows, x + w + 1]):
        assert (line == color).all()
    assert np.asarray(image).min() == 128  # the input is unchanged


def test_masks_are_translucent_and_end_at_their_pixels() -> None:
    mask = np.zeros((40, 60), bool)
    mask[10:20, 30:40] = True
    for given_mask in (mask, Image.fromarray(mask.astype(np.uint8) * 255)):
        plain = np.asarray(draw(Image.new("RGB", (60, 40), GRAY), [[30, 10, 40, 20]], [1], NAMES))
        drawn = np.asarray(draw(Image.new("RGB", (60, 40), GRAY), [[30, 10, 40, 20]], [1], NAMES, [given_mask]))
        changed = (drawn != plain).any(-1)
        assert np.argwhere(changed).min(0).tolist() == [10, 30] and np.argwhere(changed).max(0).tolist() == [19, 39]
        color = np.array(list(bytes.fromhex(looks(NAMES)[1].color[1:])))
        assert np.abs(drawn[15, 35] - (0.6 * 128 + 0.4 * color)).max() <= 1.5


def test_edge_sets_the_size_and_boxes_move_along() -> None:
    drawn = np.asarray(draw(Image.new("L", (300, 200), 128), [[100, 100, 200, 160]], [0], NAMES, edge=600))
    assert drawn.shape == (400, 600, 3)
    color = tuple(bytes.fromhex(looks(NAMES)[0].color[1:]))
    assert (drawn[200:320, 198] == color).all() and (drawn[200:320, 200:400] == 128).all()


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "I;16", "I", "F"])
def test_any_mode_becomes_rgb(mode: str) -> None:
    drawn = draw(Image.new(mode, (30, 20)), [[2, 2, 9, 9]], [0], NAMES, scores=[0.5])
    assert (drawn.mode, drawn.size) == ("RGB", (30, 20))


def test_deep_images_keep_their_contrast() -> None:
    deep = Image.fromarray(np.linspace(30_000, 30_400, 100).astype(np.uint16).reshape(10, 10))
    drawn = np.asarray(draw(deep, [], [], NAMES))
    assert (drawn.min(), drawn.max()) == (0, 255)


def test_text_is_inside_the_image_and_hides_no_other_text() -> None:
    """Two boxes in one place: both codes are readable."""
    image = Image.new("L", (200, 200), 128)
    box = [0, 0, 30, 30]
    one = np.asarray(draw(image, [box], [0], NAMES)).astype(int)
    two = np.asarray(draw(image, [box, box], [0, 1], NAMES)).astype(int)
    inks = [look.color for look in looks(NAMES)]
    for drawn, colors in ((one, inks[:1]), (two, inks)):
        for color in colors:
            same = (drawn == list(bytes.fromhex(color[1:]))).all(-1)
            assert same.sum() > 50, color


@pytest.mark.parametrize(
    ("labels", "options", "reported"),
    [
        ([0, 1], {}, "2 labels"),
        ([0], {"scores": []}, "0 scores"),
        ([2], {}, "label 2 is none of the 2 classes"),
        ([-1], {}, "label -1"),
        ([0], {"masks": [np.zeros((5, 5))]}, r"a mask of \(5, 5\)"),
    ],
)
def test_incompatible_inputs_are_refused(labels: list[int], options: dict, reported: str) -> None:
    with pytest.raises(ValueError, match=reported):
        draw(Image.new("L", (60, 40)), [[1, 1, 5, 5]], labels, NAMES, **options)


# Choosing


def many(split: str, count: int) -> list[dict[str, object]]:
    """Of every ten images seven contain a hole, one a crack, one both, and one nothing."""
    kinds = [[0]] * 7 + [[1], [0, 1], []]
    return [row(f"{split}/{i}", kinds[i % 10]) for i in range(count)]


def test_classes_and_splits_come_in_turn() -> None:
    choice = choose([sets(train=many("train", 200), test=many("test", 50))], images=24)
    kinds = Counter(place.kind for place in choice.places)
    assert kinds == {"hole": 8, "long_crack": 8, DEFECT_FREE: 8}
    assert set(Counter(place.split for place in choice.places).values()) == {12}
    assert choice.total == 250
    assert len({place.image_id for place in choice.places}) == 24


@given(st.integers(1, 70), st.integers(0, 3))
def test_never_more_than_asked_never_twice_and_always_the_same(images: int, seed: int) -> None:
    made = [_MADE]
    choice = choose(made, images=images, seed=seed)
    ids = [place.image_id for place in choice.places]
    assert len(ids) == len(set(ids)) == min(images, 60)
    assert ids == [place.image_id for place in choose(made, images=images, seed=seed).places]
    if images >= 3:
        assert {place.kind for place in choice.places} == {"hole", "long_crack", DEFECT_FREE}


_MADE = sets(train=many("train", 40), test=many("test", 20))


def test_few_images_show_many_splits() -> None:
    choice = choose([sets(train=many("train", 40), validation=many("validation", 20), test=many("test", 20))], images=3)
    assert {place.split for place in choice.places} == {"train", "validation", "test"}


def test_another_seed_chooses_other_images() -> None:
    made = [sets(train=many("train", 200))]
    first, second = ([place.image_id for place in choose(made, seed=seed).places] for seed in (0, 1))
    assert first != second


def test_only_what_was_asked_for() -> None:
    made = [sets(train=many("train", 40), test=many("test", 20))]
    choice = choose(made, split="test", classes=["long_crack"], images=99)
    assert {place.split for place in choice.places} == {"test"}
    assert choice.total == len(choice.places) == 4
    assert all(1 in picture.labels for picture in choice.images())
    assert choose(made, classes=[DEFECT_FREE, "long_crack"], images=99).total == 18
    for options, reported in (
        ({"split": "tset"}, "made has no split 'tset'. Choose one of: train, test"),
        ({"classes": ["crack"]}, "made has no class 'crack'. Choose one of: hole, long_crack, defect-free"),
        ({"classes": [DEFECT_FREE], "split": "few"}, "no image of class defect-free in split few"),
    ):
        with pytest.raises(ChoiceError, match=reported):
            choose([*made, sets(few=[row("few/1", [0])])] if "few" in reported else made, **options)


def test_unannotated_is_not_negative() -> None:
    choice = choose([sets(unlabeled=[row("a", [], annotated=False)], train=[row("b", [])])])
    assert [picture.described(NAMES) for picture in choice.images()] == ["not annotated", "defect-free"]
    assert choose([sets(unlabeled=[row("a", [], annotated=False)], train=[row("b", [])])], classes=["defect-free"])


def test_several_sets_share_names_and_no_image() -> None:
    one = sets("one", train=[row("a", [0]), row("b", [1])])
    two = sets("two", names=["dent", "hole"], train=[row("c", [0, 1]), row("a", [0])])
    choice = choose([one, two])
    assert choice.names == ["hole", "long_crack", "dent"]
    assert [(p.title, p.image_id, p.labels) for p in choice.images()] == [
        ("one", "a", [0]),
        ("one", "b", [1]),
        ("two", "c", [2, 0]),
    ]


def test_undecodable_images_are_skipped_and_reported(caplog: pytest.LogCaptureFixture) -> None:
    bad = row("bad", [0], image={"bytes": b"no image", "path": None})
    named = row("named", [0], image={"bytes": None, "path": "/etc/hostname"})
    choice = choose([sets(train=[bad, named, row("good", [0])])])
    with caplog.at_level("WARNING"):
        assert [picture.image_id for picture in choice.images()] == ["good"]
    assert "bad is left out of the preview" in caplog.text and "only the path /etc/hostname" in caplog.text


def test_other_folders_are_refused() -> None:
    other = DatasetDict({"train": Dataset.from_list([{"image_id": "a"}])})
    with pytest.raises(ChoiceError, match="of other lacks the columns image, boxes, labels"):
        choose([("other", other)])


# The sheet


def test_the_sheet_shows_boxes_masks_template_and_text() -> None:
    mask = np.zeros((40, 60), np.uint8)
    mask[8:20, 5:12] = 255
    out = BytesIO()
    Image.fromarray(mask).save(out, "PNG")
    shown = row("a", [0], masks=[{"bytes": out.getvalue(), "path": None}], reference=png(color=30))
    sheet, count = sheet_of(choose([sets(train=[shown])]))
    colors = {color for _, color in sheet.getcolors(1 << 24) or ()}
    assert count == 1 and sheet.width == 1320
    assert (30, 30, 30) in colors  # the template
    color = bytes.fromhex(looks(NAMES)[0].color[1:])
    assert tuple(color) in colors  # the box and the legend
    assert any(np.abs(np.array(c) - (0.6 * 128 + 0.4 * np.array(list(color)))).max() <= 1.5 for c in colors)  # the mask
    bare, _ = sheet_of(choose([sets(train=[row("a", [])])]))
    assert tuple(color) not in {color for _, color in bare.getcolors(1 << 24) or ()}


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (1600, 20), (5000, 10)])
def test_odd_shapes_stay_on_the_sheet(size: tuple[int, int]) -> None:
    odd = row("odd", [0], image=png(size), boxes=[[0, 0, size[0], size[1]]], width=size[0], height=size[1])
    sheet, count = sheet_of(choose([sets(train=[odd, row("plain", [])])]))
    assert count == 2 and sheet.width == 1320 and sheet.height < 800


def test_a_contact_sheet_is_bounded(sample_tree, tmp_path: Path) -> None:
    with pytest.raises(ChoiceError, match="401 images do not fit on one contact sheet; the maximum is 400"):
        write_preview("neu_det", data_dir=sample_tree("neu_det"), output=tmp_path / "sheet.png", images=401)
    assert not (tmp_path / "sheet.png").exists()


def test_forbidden_output_locations(sample_tree) -> None:
    tree = sample_tree("neu_det")
    with pytest.raises(OutputError, match=r"must end in \.png"):
        write_preview("neu_det", data_dir=tree, output=Path("sheet.jpg"))
    with pytest.raises(OutputError, match="is inside the raw tree"):
        write_preview("neu_det", data_dir=tree, output=tree / "sheet.png")


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "radikal_datasets.cli", "preview", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=180)


def test_the_command_line(sample_tree, tmp_path: Path) -> None:
    sheet = tmp_path / "new" / "sheet.png"
    options = ["--data-dir", sample_tree("deeppcb"), "--images", 5, "--class", "open", "--split", "train"]
    done = run("deeppcb", *options, "--output", sheet)
    assert done.returncode == 0, done.stderr
    assert "5 of" in " ".join(done.stdout.split())  # a long path wraps the line
    with Image.open(sheet) as image:
        assert image.width == 1320
    assert [file.name for file in sheet.parent.iterdir()] == ["sheet.png"]
    done = run("deeppcb", "--data-dir", sample_tree("deeppcb"), "--class", "opne", "--output", sheet)
    assert done.returncode == 2
    assert "deeppcb has no class 'opne'. Choose one of: open, short" in done.stderr.replace("\n", " ")


@pytest.mark.realdata
@pytest.mark.parametrize(("source", "total"), [("neu_det", 1800), ("deeppcb", 409)])
def test_real_sheets(real_data, tmp_path: Path, source: str, total: int) -> None:
    done = write_preview(source, data_dir=real_data(source), output=tmp_path / "sheet.png")
    assert (done.shown, done.total) == (24, total)
