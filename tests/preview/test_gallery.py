"""The gallery, mostly as a browser renders it: a copy of the page runs a script and leaves its findings in the DOM."""

from __future__ import annotations

import base64
import html
import json
import re
import shutil
import subprocess
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset, DatasetDict
from PIL import Image

from radikal_datasets.preview import gallery
from radikal_datasets.preview.chosen_images import Choice, ChoiceError, choose
from radikal_datasets.preview.preview import write_preview
from radikal_datasets.schema import features

NAMES = ["hole", "crack"]
SIZE = (80, 60)
BOX = [16.0, 15, 48, 45]  # 20 to 60 % of the width, 25 to 75 % of the height


def png(array: np.ndarray) -> dict[str, Any]:
    out = BytesIO()
    Image.fromarray(array).save(out, "PNG")
    return {"bytes": out.getvalue(), "path": None}


def row(image_id: str, labels: list[int], annotated: bool = True, size: tuple[int, int] = SIZE) -> dict[str, Any]:
    noise = np.random.default_rng(len(image_id)).integers(0, 255, (size[1], size[0]), np.uint8)
    mask = np.zeros((size[1], size[0]), np.uint8)
    mask[20:40, 20:40] = 255
    return {
        "image_id": image_id,
        "image": png(noise),
        "width": size[0],
        "height": size[1],
        "boxes": [BOX for _ in labels],
        "labels": labels,
        "masks": [png(mask) for _ in labels],
        "reference": png(noise // 2),
        "annotated": annotated,
        "group": image_id,
    }


def made(**splits: list[dict[str, Any]]) -> Choice:
    sets = DatasetDict({name: Dataset.from_list(rows, features=features(NAMES)) for name, rows in splits.items()})
    return choose([("made", sets)], images=200)


CHOICE = made(
    train=[row(f"t{i}", [0]) for i in range(5)] + [row("both", [0, 1]), row("clean", [])],
    test=[row(f"v{i}", [1]) for i in range(3)] + [row("clean/2", [])],
    unlabeled=[row("<b>", [], annotated=False)],
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("gallery") / "page.html"
    assert gallery.write_gallery(file, CHOICE) == 12
    return file


def in_browser(page: Path, script: str, width: int = 1280) -> dict[str, Any]:
    """What the script, an async function's body, returns; at a width below a window's least one in a frame of it."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium on this machine: install it to test the gallery in a browser")
    folder = page.parent / f"run-{len(list(page.parent.iterdir()))}"
    folder.mkdir()
    copy = folder / "copy.html"
    watch = "<script>const errors = []; addEventListener('error', (e) => errors.push(e.message));</script><main>"
    tell = (
        f"<script>(async () => {{ {script} }})().catch((e) => ({{ failed: String(e.stack) }})).then((found) => "
        "parent.postMessage(JSON.stringify({ ...found, errors }), '*'));</script>"
    )
    copy.write_text(page.read_text("utf-8").replace("<main>", watch, 1) + tell, "utf-8")
    frame = folder / "frame.html"
    frame.write_text(
        "<script>addEventListener('message', (e) => { const found = document.createElement('pre'); found.id = 'found';"
        " found.textContent = e.data; document.body.append(found); });</script>"
        f'<body style="margin:0"><iframe style="border:0" width="{width}" height="800" src="{copy.name}"></iframe>'
    )
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    options += ["--window-size=1400,900", "--virtual-time-budget=10000", "--dump-dom"]
    options.append(f"--user-data-dir={folder / 'profile'}")
    done = subprocess.run([chromium, *options, frame.as_uri()], capture_output=True, text=True, timeout=120)
    found = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, (done.stdout[-2000:], done.stderr[-2000:])
    result = json.loads(html.unescape(found[1]))
    assert "failed" not in result, result["failed"]
    assert result["errors"] == []
    return result


# What the scripts share. `visible`, `viewer`, `large` and `opener` are the page's own.
_TOOLS = """
const seen = (element) => element !== null && element.getClientRects().length > 0;
const shown = () => figures.filter(seen).map((figure) => figure.querySelector("figcaption b").textContent);
const tick = (name, value) => filters.querySelector(`input[name=${name}][value="${value}"]`).click();
const key = (name, options = {}) => document.activeElement.dispatchEvent(
  new KeyboardEvent("keydown", { key: name, bubbles: true, cancelable: true, ...options }));
const focused = () => figures.findIndex((figure) => figure.contains(document.activeElement));
const open = () => (viewer.open ? caption.querySelector("b").textContent : null);
const pause = () => new Promise((done) => setTimeout(done, 20));
"""


def ids(*, split: str | None = None, classes: tuple[int, ...] = ()) -> list[str]:
    return [
        picture.image_id
        for picture in CHOICE.images()
        if split in (None, picture.split) and (not classes or set(classes) & set(picture.labels))
    ]


def test_filters(page: Path) -> None:
    found = in_browser(
        page,
        _TOOLS
        + """
        const found = { all: shown(), reported: [count.textContent] };
        tick("class", 1); found.crack = shown(); found.reported.push(count.textContent);
        tick("class", 0); found.either = shown();
        tick("split", 0); found.either_in_first = shown();
        tick("class", 0); tick("class", 1); tick("class", "clean"); found.clean_in_first = shown();
        tick("split", 0); tick("class", "clean"); tick("class", "unknown"); found.unknown = shown();
        tick("split", 0); found.nothing = shown(); found.said = seen(document.getElementById("none"));
        document.querySelector("button[type=reset]").click(); await pause();
        found.reset = shown(); found.said_after = seen(document.getElementById("none"));
        found.chips = [...filters.querySelectorAll("label")].map((label) => label.textContent);
        return found;""",
    )
    assert found["all"] == found["reset"] == ids()
    assert found["crack"] == ids(classes=(1,)) and len(found["crack"]) == 4
    assert found["either"] == ids(classes=(0, 1)) and len(found["either"]) == 9
    assert found["either_in_first"] == ids(classes=(0, 1), split="train") and len(found["either_in_first"]) == 6
    assert found["clean_in_first"] == ["clean"]
    assert found["unknown"] == ["<b>"]
    assert found["nothing"] == [] and found["said"] and not found["said_after"]
    assert found["reported"] == ["12 images", "4 of 12 images"]
    assert found["chips"] == [
        "defect-free 2",
        "not annotated 1",
        "Hohole 6",
        "Crcrack 4",
        "train 7",
        "test 4",
        "unlabeled 1",
    ]


def test_keys(page: Path) -> None:
    found = in_browser(
        page,
        _TOOLS
        + """
        const found = { grid: [], large: [], layers: [] };
        for (const name of ["ArrowDown", "ArrowRight", "ArrowRight", "End", "ArrowRight", "Home", "ArrowLeft"]) {
          key(name); found.grid.push(focused());
        }
        key("ArrowDown"); found.below = figures[focused()].offsetTop > figures[0].offsetTop;
        found.same_column = figures[focused()].offsetLeft === figures[0].offsetLeft;
        key("ArrowUp"); found.grid.push(focused());
        document.activeElement.click(); found.large.push(open(), place.textContent);
        for (const name of ["ArrowRight", "End", "ArrowRight", "Home", "ArrowLeft", "ArrowRight"]) {
          key(name); found.large.push(open());
        }
        const layers = () => [seen(large.querySelector("svg")) && seen(large.querySelector(".tag")),
          seen(large.querySelector(".masks")), seen(large.querySelector(".template img"))];
        found.layers.push(layers());
        for (const name of ["b", "m", "t", "B", "m", "t"]) { key(name); found.layers.push(layers()); }
        key("b", { ctrlKey: true }); found.layers.push(layers());
        key("b"); found.pressed = [...document.querySelectorAll("[data-toggle=boxes]")].map((b) => b.ariaPressed);
        key("b");
        key("Escape"); await pause(); found.closed = open(); found.back_on = focused();
        tick("class", 1); opener(visible()[0]).focus();
        key("End"); document.activeElement.click(); found.last_crack = open();
        key("ArrowLeft"); found.crack_before = open(); found.place = place.textContent;
        return found;""",
    )
    order = ids()
    assert found["grid"] == [-1, 0, 1, 11, 11, 0, 0, 0]  # down scrolls the page where no image has the focus
    assert found["below"] and found["same_column"]
    assert found["large"] == [order[0], "1 of 12", order[1], order[-1], order[-1], order[0], order[0], order[1]]
    all_of_them = [True, True, True]
    assert found["layers"] == [
        all_of_them,
        [False, True, True],
        [False, False, True],
        [False, False, False],
        [True, False, False],
        [True, True, False],
        all_of_them,
        all_of_them,
    ]
    assert found["pressed"] == ["false", "false"]
    assert found["closed"] is None and found["back_on"] == 1
    cracks = ids(classes=(1,))
    assert (found["last_crack"], found["crack_before"], found["place"]) == (cracks[-1], cracks[-2], "3 of 4")


@pytest.mark.parametrize("width", [1280, 390])
def test_layout_and_touch(page: Path, width: int) -> None:
    found = in_browser(
        page,
        _TOOLS
        + """
        const found = { inner: innerWidth, wide: [document.documentElement.scrollWidth] };
        found.filters = filters.querySelector("details").open;
        found.columns = new Set(figures.map((figure) => figure.offsetLeft)).size;
        opener(figures[0]).click(); await pause();
        const images = [...large.querySelectorAll("img")];
        for (let i = 0; i < 100 && images.some((image) => !image.complete); i++) await pause();
        found.loaded = images.map((image) => image.naturalWidth);
        found.wide.push(document.documentElement.scrollWidth, viewer.scrollWidth);
        const part = (element) => { const [a, b] = [element, large.querySelector("img")].map((e) =>
          e.getBoundingClientRect()); return [(a.left - b.left) / b.width, (a.top - b.top) / b.height,
          a.width / b.width, a.height / b.height]; };
        found.box = part(large.querySelector("rect.line")); found.masks = part(large.querySelector(".masks"));
        const [tested, template] = [...large.querySelectorAll(".stack")].map((e) => e.getBoundingClientRect());
        found.tested = [tested.width, tested.height]; found.template = [template.width, template.height];
        found.beside = template.left >= tested.right; found.below = template.top >= tested.bottom;
        const target = () => large.querySelector("img");
        const touch = (x) => new Touch({ identifier: 1, target: target(), clientX: x, clientY: 300 });
        const send = (type, x, touches) =>
          target().dispatchEvent(new TouchEvent(type, { bubbles: true, touches, changedTouches: [touch(x)] }));
        const swipe = (from, to) => {
          send("touchstart", from, [touch(from)]); send("touchend", to, []); return open(); };
        found.swiped = [swipe(300, 100), swipe(100, 110), swipe(100, 300)];
        document.getElementById("next").click(); found.swiped.push(open());
        found.targets = [...viewer.querySelectorAll("button")].map((button) => button.offsetHeight);
        found.unnamed = [...document.querySelectorAll("button")].filter((b) => !b.ariaLabel && !b.textContent).length;
        document.getElementById("close").click(); await pause(); found.closed = !viewer.open;
        return found;""",
        width,
    )
    assert found["inner"] == width
    assert max(found["wide"]) <= width  # nothing to scroll sideways
    assert found["columns"] == (2 if width == 390 else 5)
    assert found["filters"] == (width != 390)
    assert found["box"] == pytest.approx([0.2, 0.25, 0.4, 0.5], abs=0.02)
    assert found["masks"] == pytest.approx([0, 0, 1, 1], abs=1e-6)
    assert found["loaded"] == [80, 80, 80]
    assert found["tested"] == found["template"]
    assert found["tested"][0] / found["tested"][1] == pytest.approx(SIZE[0] / SIZE[1], rel=0.01)
    assert found["tested"][0] > (350 if width == 390 else 500)
    assert (found["beside"], found["below"]) == ((False, True) if width == 390 else (True, False))
    order = ids()
    assert found["swiped"] == [order[1], order[1], order[0], order[1]]
    assert min(found["targets"]) >= 40 and found["unnamed"] == 0
    assert found["closed"]


def test_page_is_self_contained_and_escapes_text(page: Path) -> None:
    text = page.read_text("utf-8")
    assert not re.search(r'(?:src|href)="(?!data:|#)|url\(|@import|https?:', text)
    assert "<b><b>" not in text and "&lt;b&gt;" in text
    assert [file.name for file in page.parent.iterdir() if file.name.startswith(".")] == []


def test_masks_color_their_pixels_and_no_others() -> None:
    picture = next(p for p in CHOICE.images() if p.image_id == "both")
    address = gallery._masks(picture, gallery.looks(NAMES), 1280)
    with Image.open(BytesIO(_bytes(address))) as image:
        pixels = np.asarray(image.convert("RGBA"))
    assert pixels.shape == (60, 80, 4)
    inside = np.zeros((60, 80), bool)
    inside[20:40, 20:40] = True
    assert (pixels[~inside, 3] == 0).all() and (pixels[inside, 3] == 102).all()
    assert (pixels[inside][:, :3] == list(bytes.fromhex(gallery.ON_IMAGES[1][1:]))).all()


def test_a_thin_mask_survives_a_small_page() -> None:
    mask = np.zeros((1000, 1000), np.uint8)
    mask[500, 100:900] = 255
    noise = row("thin", [0], size=(1000, 1000)) | {"masks": [png(mask)]}
    picture = next(made(train=[noise]).images())
    with Image.open(BytesIO(_bytes(gallery._masks(picture, gallery.looks(NAMES), 100)))) as image:
        assert np.count_nonzero(np.asarray(image.convert("RGBA"))[:, :, 3]) == 80


def test_the_page_stays_within_its_size_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    choice = made(train=[row(f"n{i}", [0], size=(700, 700)) for i in range(4)])
    sizes = []
    for most in (24_000_000, 400_000):
        monkeypatch.setattr(gallery, "MAX_BYTES", most)
        assert gallery.write_gallery(tmp_path / "page.html", choice) == 4
        sizes.append((tmp_path / "page.html").stat().st_size)
        assert sizes[-1] < most + 40_000
    assert sizes[0] > 1_000_000  # noise compresses badly: only the size limit made the second one smaller
    monkeypatch.setattr(gallery, "MAX_IMAGES", 3)
    with pytest.raises(ChoiceError, match="4 images for one page; it holds 3"):
        gallery.write_gallery(tmp_path / "page.html", choice)


def _bytes(address: str) -> bytes:
    return base64.b64decode(address.partition(",")[2])


@pytest.mark.realdata
def test_real_boards_have_their_templates(real_data, tmp_path: Path) -> None:
    done = write_preview("deeppcb", data_dir=real_data("deeppcb"), output=tmp_path / "page.html")
    assert (done.shown, done.total) == (200, 409)
    assert done.size < gallery.MAX_BYTES + 1_000_000
    found = in_browser(
        done.file,
        _TOOLS
        + """tick("class", 5); opener(visible()[0]).click(); await pause();
        return { shown: shown().length, images: large.querySelectorAll("img").length,
          tags: large.querySelectorAll(".tag").length, reported: caption.textContent };""",
    )
    assert found["images"] == 2
    assert found["tags"] == sum(map(int, re.findall(r"(\d+) [A-Z]", found["reported"].partition("·")[2])))
    assert 0 < found["shown"] < 200
