"""Repairs that repeat, sets that are mostly unlabeled, and masks that may mean something else; on the samples."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from radikal_datasets.sources import builder_class
from radikal_datasets.verification import verify

CONFIG = {"gdxray": "castings", "mvtec_ad": "bottle", "dagm2007": "class8"}


@pytest.fixture
def tree(sample_tree: Callable[..., Path], tmp_path: Path) -> Callable[[str], Path]:
    def copy(source: str) -> Path:
        return Path(shutil.copytree(sample_tree(source), tmp_path / "tree" / source))

    return copy


def counts(source: str, root: Path) -> tuple[int, dict[str, int], dict[str, str]]:
    result = verify(source, CONFIG.get(source), data_dir=root)
    (report,) = result.reports.values()
    return result.exit_code, report.counts(), result.account.expected


def edit(root: Path, pattern: str, change: Callable[[str], str]) -> None:
    for path in root.rglob(pattern):
        path.write_text(change(path.read_text()))


@pytest.mark.parametrize("size", [(416, 416), (100, 100)])
def test_a_resized_copy_is_proven(size: tuple[int, int], tree) -> None:
    root = tree("neu_det")
    for path in (root / "IMAGES").glob("*.jpg"):
        PIL.Image.open(path).resize(size).save(path)
        path.with_suffix(".txt").write_text("0 .5 .5 .1 .1")
    code, found, expected = counts("neu_det", root)
    assert code == 0
    assert found["resized_image"] >= 12
    assert "systematic_resized_image" not in found
    assert "prove" in expected["resized_image"]


@pytest.mark.parametrize("width", ["300", "400", "150"])
def test_an_xml_of_another_size_is_not(width: str, tree) -> None:
    root = tree("neu_det")
    edit(root, "*.xml", lambda text: text.replace("<width>200", f"<width>{width}"))
    code, found, _ = counts("neu_det", root)
    assert (code, found["systematic_resized_image"]) == (1, found["resized_image"])


def test_width_and_height_in_place_of_corners(tree) -> None:
    """DeepPCB's text as x, y, width, height: the corners swap again and again."""
    root = tree("deeppcb")

    def sizes(text: str) -> str:
        rows = [line.replace(",", " ").split() for line in text.splitlines()]
        return "\n".join(f"{a} {b} {int(c) - int(a)} {int(d) - int(b)} {e}" for a, b, c, d, e in rows)

    for path in root.glob("group*/*_not/*.txt"):
        path.write_text(sizes(path.read_text()))
    code, found, _ = counts("deeppcb", root)
    assert code == 1
    assert "systematic_swapped_corners" in found


@pytest.mark.parametrize("source", ["neu_det", "deeppcb", "gdxray"])
def test_every_box_twice(source: str, tree) -> None:
    root = tree(source)
    edit(root, "*.xml", lambda text: re.sub(r"(?s)(\s*<object>.*?</object>)", r"\1\1", text))
    edit(root, "ground_truth.txt", lambda text: text + text)
    for path in root.glob("group*/*_not/*.txt"):
        path.write_text(path.read_text().rstrip() + "\n" + path.read_text())
    code, found, _ = counts(source, root)
    assert code == 1
    assert "systematic_duplicate_box" in found


def test_classes_unlike_file_names_are_a_fact_of_neu_det(tree) -> None:
    root = tree("neu_det")
    edit(root, "*.xml", lambda text: re.sub("<name>[^<]*", "<name>scratches", text))
    code, found, expected = counts("neu_det", root)
    assert code == 0
    assert found["class_not_file_name"] >= 10
    assert "class_not_file_name" in expected


@pytest.mark.parametrize(
    ("source", "pattern"), [("neu_det", "*.xml"), ("deeppcb", "*_not/*.txt"), ("mvtec_ad", "bottle/**/*_mask.png")]
)
def test_most_annotations_missing(source: str, pattern: str, tree) -> None:
    root = tree(source)
    files = sorted(root.rglob(pattern))
    for path in files[2:]:
        path.unlink()
    if source == "mvtec_ad":  # without defect-free images, which need none
        for folder in root.glob("bottle/*/good"):
            shutil.rmtree(folder)
    code, found, _ = counts(source, root)
    assert code == 1
    assert "mostly_unlabeled" in found


def test_series_that_nobody_annotated_are_normal(tree) -> None:
    root = tree("gdxray")
    assert counts("gdxray", root)[0] == 0
    for path in (*root.glob("Castings/*/ground_truth*"), *root.glob("Castings/*/BoundingBox.mat")):
        path.rename(path.with_name("boxes.bak"))
    shutil.copy(next(root.rglob("boxes.bak")), root / "Castings" / "boxes.txt")
    code, found, _ = counts("gdxray", root)
    assert code == 1
    assert "unread_file" in found


# ---- masks ----


def change_masks(root: Path, source: str, change: Callable[[np.ndarray], np.ndarray | PIL.Image.Image]) -> int:
    pattern = {"mvtec_ad": "bottle/ground_truth/*/*.png", "dagm2007": "Class8/*/Label/*.PNG", "gdxray": "Welds/W0002/*"}
    paths = sorted(root.glob(pattern[source]))
    for path in paths:
        changed = change(np.asarray(PIL.Image.open(path)) > 0)
        (changed if isinstance(changed, PIL.Image.Image) else PIL.Image.fromarray(changed)).save(path, format="PNG")
    assert paths
    return len(paths)


def halves(mask: np.ndarray, first: int, second: int) -> np.ndarray:
    """Return a mask whose upper half has one value and whose lower half has another."""
    rows = np.arange(len(mask))[:, None] < len(mask) // 2
    return np.where(mask, np.where(rows, first, second), 0).astype(np.uint8)


def palette(mask: np.ndarray) -> PIL.Image.Image:
    image = PIL.Image.fromarray(halves(mask, 1, 2), "P")
    image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    return image


def color(mask: np.ndarray) -> np.ndarray:
    return np.stack([halves(mask, 200, 10), halves(mask, 5, 90), halves(mask, 0, 30)], axis=-1)


MASKED = ["mvtec_ad", "dagm2007"]


@pytest.mark.parametrize("source", MASKED)
@pytest.mark.parametrize(
    "change", [lambda m: halves(m, 1, 2), lambda m: halves(m, 3, 7), palette, color, lambda m: m * np.uint8(60)]
)
def test_numbers_of_classes_palettes_and_colors_give_the_same_boxes(source: str, change, tree, tmp_path: Path) -> None:
    root = tree(source)

    def boxes() -> dict[str, list]:
        builder = builder_class(source)(config_name=CONFIG[source], data_dir=root, cache_dir=tmp_path)
        return {e.image_id: [i.box for i in e.instances] for rows in builder.index().splits.values() for e in rows}

    before = boxes()
    change_masks(root, source, change)
    assert boxes() == before
    code, found, _ = counts(source, root)
    assert code == 0
    assert not [kind for kind in found if kind.startswith("systematic")]


@pytest.mark.parametrize("source", MASKED)
@pytest.mark.parametrize(("first", "second"), [(60, 100), (38, 75), (100, 120)])
def test_low_values_cost_their_images(source: str, first: int, second: int, tree) -> None:
    root = tree(source)
    masks = change_masks(root, source, lambda mask: np.where(mask, *_scattered(mask, first, second)).astype(np.uint8))
    code, found, _ = counts(source, root)
    assert code == 1
    assert found["malformed_annotation"] == masks


def _scattered(mask: np.ndarray, first: int, second: int) -> tuple[np.ndarray, int]:
    """Return two values in alternation, so that every mask has both, and the background."""
    rows, columns = np.indices(mask.shape)
    return np.where((rows + columns) % 2, first, second), 0


@pytest.mark.parametrize("source", MASKED)
def test_inverted_masks_are_reported(source: str, tree) -> None:
    root = tree(source)
    change_masks(root, source, lambda mask: (~mask * np.uint8(255)).astype(np.uint8))
    code, found, _ = counts(source, root)
    assert code == 1
    assert "inverted_masks" in found
