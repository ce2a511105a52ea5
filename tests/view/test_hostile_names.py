"""Names that are markup appear on every page; parsed as a browser does, none of them is an element or an attribute."""

from __future__ import annotations

import base64
import json
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset, DatasetDict
from PIL import Image

from radikal_datasets.leaks.finding import find_leaks
from radikal_datasets.leaks.page import write_leaks_page
from radikal_datasets.preview.chosen_images import choose
from radikal_datasets.preview.gallery import write_gallery
from radikal_datasets.schema import features
from radikal_datasets.stats.page import write_statistics_page
from radikal_datasets.stats.statistics import statistics
from radikal_datasets.view import plots
from tests.training.audit_runs import data, write_cases, write_complete_run

#: Each closes, opens or ends a context that it may be in: an element, either kind of attribute, SVG, style, script.
EVIL = "<evil>\"evil='1'evil=\"2\" onload='evil()</title></text></svg></style></script><script>evil()</script>&lt;&amp;"
NAMES = [f"{EVIL} one", f"{EVIL} two"]


class _Page(HTMLParser):
    """Elements and attributes whose name or script is from a hostile name."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts, self.found, self.texts = 0, [], []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        self.found += [tag] if "evil" in tag else []
        # A name may be the value of an attribute, but not start another one, and never be one that runs or styles.
        self.found += [name for name, _ in attrs if "evil" in name or name.startswith("on")]
        self.found += [value for name, value in attrs if name in ("style", "class") and "evil" in (value or "")]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def check(page: str, scripts: int = 0, names: int = 1) -> None:
    """Check that at least `names` hostile names are text, nothing else; the page has this many scripts of its own."""
    parsed = _Page()
    parsed.feed(page)
    parsed.close()
    assert parsed.found == []
    assert parsed.scripts == scripts
    assert "".join(parsed.texts).count("<evil>") >= names


def png(seed: int) -> bytes:
    out = BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (64, 80), np.uint8)).save(out, "PNG")
    return out.getvalue()


def row(number: int, seed: int, boxes: list[list[float]] | None = None) -> dict[str, Any]:
    boxes = [[16.0, 15, 48, 45], [2.0, 2, 3, 60]] if boxes is None else boxes
    picture = {"bytes": png(seed), "path": None}
    return {
        "image_id": f"{EVIL} {number}",
        "image": picture,
        "width": 80,
        "height": 64,
        "boxes": boxes,
        "labels": [i % 2 for i in range(len(boxes))],
        "masks": [picture for _ in boxes],
        "reference": picture,
        "annotated": True,
        "group": f"{EVIL} {number % 2}",
    }


@pytest.fixture
def splits() -> DatasetDict:
    """Two splits with hostile names that share an image, with different boxes, and a group."""
    parts = {"train": [row(0, 0), row(1, 1), row(2, 2)], f"{EVIL}": [row(3, 0, [[1, 1, 9, 9]]), row(4, 4)]}
    return DatasetDict({name: Dataset.from_list(rows, features=features(NAMES)) for name, rows in parts.items()})


def test_statistics(splits: DatasetDict, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    found = statistics(splits)
    for sets in ({EVIL: found}, {EVIL: found, f"{EVIL} other": found}):
        write_statistics_page(page, EVIL, sets)
        check(page.read_text("utf-8"), names=10)


def test_leaks(splits: DatasetDict, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    found = find_leaks(splits)
    assert found.conflicts and found.groups and found.mistakes
    for sets in ({EVIL: found}, {EVIL: found, f"{EVIL} other": found}):
        write_leaks_page(page, EVIL, sets)
        check(page.read_text("utf-8"), names=10)


def test_gallery(splits: DatasetDict, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    write_gallery(page, choose([(EVIL, splits)], images=9))
    check(page.read_text("utf-8"), scripts=1, names=10)


def test_plots() -> None:
    counts = np.array([[3, 1], [1, 2]])
    drawn = [
        plots.key(NAMES),
        plots.bars({NAMES[0]: [1.0], NAMES[1]: [2.0]}, NAMES, EVIL),
        plots.columns([1, 2], NAMES, EVIL, EVIL),
        plots.lines({EVIL: np.arange(4.0)}, (NAMES[0], NAMES[1]), EVIL, EVIL),
        plots.scale(EVIL),
    ]
    for one in drawn:
        check(one)
    check(plots.matrix(NAMES, counts, EVIL), names=0)  # too long to be drawn at the rows
    short = plots.matrix(["<evil a>", "<evil b>"], counts, EVIL)
    assert "<evil" not in short and "&lt;evil a&gt;" in short
    for one in (plots.heat(counts / 3, 1, 1, EVIL), plots.scatter([(counts[0], counts[1])], (32,), EVIL)):
        check(one, names=0)  # the summary is an attribute


def test_prediction_pages(splits: DatasetDict, tmp_path: Path) -> None:
    from training.scoring.class_page import write_class_page
    from training.scoring.prediction_page import Picture, write_prediction_page, write_split_page

    split = splits["train"]
    ids = split["image_id"]
    targets = [{"boxes": one["boxes"], "labels": one["labels"]} for one in split]
    predictions = [{"boxes": [[16, 15, 48, 45], [0, 0, 9, 9]], "labels": [0, 1], "scores": [0.9, 0.8]} for _ in ids]
    assert write_split_page(tmp_path / "split", EVIL, split, (ids, predictions, targets), NAMES, 0.5, EVIL)
    check((tmp_path / "split" / "index.html").read_text("utf-8"), scripts=1, names=5)
    picture = Picture(EVIL, png(1), 80, 64, targets[0], predictions[0])
    write_prediction_page(
        tmp_path / "page.html",
        title=EVIL,
        numbers={EVIL: EVIL},
        pictures=[picture],
        class_names=NAMES,
        threshold=0.5,
        note=EVIL,
        about=EVIL,
        links={EVIL: EVIL},
    )
    check((tmp_path / "page.html").read_text("utf-8"), scripts=1, names=8)
    assert write_class_page(tmp_path, EVIL, split, [(one, 0, [0.3, 0.7]) for one in ids], NAMES)
    check((tmp_path / "index.html").read_text("utf-8"), scripts=1, names=8)


def test_results_of_predict(tmp_path: Path) -> None:
    from types import SimpleNamespace

    from training.using.image_files import ImageFile
    from training.using.inference import Detections, InferenceResult
    from training.using.results import write_gallery as write_found
    from training.using.results import write_overlays

    file = tmp_path / "image.png"
    file.write_bytes(png(1))
    boxes = [[16.0, 15.0, 48.0, 45.0], [2.0, 2.0, 9.0, 60.0]]
    name = EVIL.replace("/", "|")  # a file's name has no slash
    detections = [Detections(ImageFile(name, file), (80, 64), boxes, [0.9, 0.4], [0, 1])]
    result = InferenceResult(detections, {EVIL: EVIL})
    write_overlays(tmp_path, result, NAMES, "all")
    opened: Any = SimpleNamespace(class_names=NAMES, where=EVIL, shown_gray_scale=None)
    write_found(tmp_path, result, opened, 0.25)
    page = (tmp_path / "index.html").read_text("utf-8")
    check(page, scripts=1, names=8)
    assert 'href="overlays/%3Cevil' in page


def test_explanations(tmp_path: Path) -> None:
    import torch

    from training.explaining.calibration import calibration
    from training.explaining.cases import Case
    from training.explaining.explained import Explained, Explanation, MapScores
    from training.explaining.index_page import Entry, write_index
    from training.explaining.report import write_image
    from training.explaining.summary import summarize
    from training.explaining.targets import Detection
    from training.explaining.verdicts import TITLES

    box = (4.0, 4.0, 20.0, 20.0)
    detection = Detection(query=0, label=0, score=0.9, box=box)
    scores = {name: MapScores(0.5, 1.0, 0.4, 0.2, 0.8) for name in TITLES}
    maps = {name: np.full((32, 32), 0.5, np.float32) for name in TITLES}
    one = Explanation(detection, box, 0.2, 0.1, 0.6, maps, scores)
    case = Case(
        name=EVIL,
        pixels=torch.zeros(1, 3, 32, 32),
        size=(32, 32),
        ground_truth=[(box, 0)],
        detections=[detection],
        partners=[box],
        paired=False,
    )
    explained = Explained(case, [one], {"scoring": 1.0})
    normalization = {"mean": [0.5] * 3, "std": [0.2] * 3}
    files = write_image(tmp_path, "stem", explained, NAMES, normalization, ("before", None))
    check((tmp_path / files.page).read_text("utf-8"), names=4)
    write_index(
        tmp_path / "index.html",
        title=EVIL,
        threshold=EVIL,
        split=EVIL,
        summary=summarize([explained]),
        calibrations={EVIL: calibration([(0.9, True), (0.2, False)], 0.1), f"{EVIL} none": calibration([], 0.1)},
        entries=[Entry(explained, files.page, Image.new("RGB", (32, 32)))],
    )
    check((tmp_path / "index.html").read_text("utf-8"), names=6)


def test_audit_page(splits: DatasetDict, tmp_path: Path) -> None:
    from training.audit.page import write_audit
    from training.audit.scorings import record_scoring

    folder = tmp_path / EVIL.replace("/", "|")
    recorded = data(NAMES)
    recorded["sets"][0] |= dict.fromkeys(("name", "config", "data_dir", "version", "protocol"), EVIL)
    recorded["sets"][0]["counters"] = [{"kind": EVIL, "count": 1, "effect": EVIL, "meaning": EVIL}]
    recorded["sets"][0]["source"] |= {"title": EVIL, "homepage": EVIL, "notes": [EVIL], "modality": EVIL}
    recorded["sets"][0]["source"]["license"] = {"name": EVIL, "redistributable": True, "summary": EVIL}
    recorded["splits"][EVIL] = recorded["splits"].pop("train")
    run = write_complete_run(folder, names=NAMES, data=recorded)
    write_cases(run, splits["train"], NAMES)
    record_scoring(run, EVIL, [EVIL], {"map": 0.5})
    start = {"version": EVIL, "commit": EVIL, "changed": True, "recipe": EVIL, "differs_from_recipe": {EVIL: [EVIL, 1]}}
    start |= {"started": EVIL, "packages": {EVIL: EVIL}, "hardware": {"processor": EVIL, "cores": 2, "gpus": []}}
    (run / "provenance.json").write_text(json.dumps([start]), encoding="utf-8")
    found = {"images": 1, "pairs": {"identical_file": 1}, "held_out": {EVIL: 1}, "sha256": EVIL}
    found |= {"examples": [{"images": [EVIL, EVIL], "splits": [EVIL, EVIL]}]}
    found |= dict.fromkeys(("conflicts", "lookalike_sets", "boxes_to_check"), 0)
    (run / "report" / "data_check.json").write_text(json.dumps(found), encoding="utf-8")
    assert write_audit(run)
    check((run / "report" / "index.html").read_text("utf-8"), names=40)


def test_the_check_finds_what_is_not_escaped() -> None:
    for page in (f"<p>{EVIL}</p>", f'<p title="{EVIL}">', "<p style='evil'>", "<p onclick=1>"):
        with pytest.raises(AssertionError):
            check(page + "&lt;evil&gt;")


def test_images_are_data(splits: DatasetDict, tmp_path: Path) -> None:
    write_gallery(tmp_path / "page.html", choose([(EVIL, splits)], images=1))
    address = (tmp_path / "page.html").read_text("utf-8").partition('src="data:image/jpeg;base64,')[2].partition('"')[0]
    with Image.open(BytesIO(base64.b64decode(address))) as image:
        assert image.size == (80, 64)
