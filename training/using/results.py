"""The output of predict.py: COCO results, images with the detections drawn in, and an HTML page."""

from __future__ import annotations

import html
import json
from collections import Counter
from pathlib import Path
from urllib.parse import quote

from PIL import Image
from tqdm import tqdm

from radikal_datasets.view.drawing import draw, looks
from radikal_datasets.view.pages import embedded, facts, table, write_page
from training.using.image_files import read_pixels
from training.using.inference import Detections, InferenceResult
from training.using.trained_model import OpenedModel

PREDICTIONS, IMAGES = "predictions.json", "images.json"
#: Number of images shown on the page; the overlays folder has all of them.
SHOWN = 120
# Longer edge in pixels, about the size they are shown at, so that letters stay readable.
_EDGE = 420
_STYLE = """
.key { display: flex; flex-wrap: wrap; gap: .35rem 1.25rem; padding: 0; list-style: none; font-size: .9rem }
.key i { display: inline-block; min-width: 2.2em; padding: 0 .35em; margin-right: .4em; border-radius: 3px;
text-align: center; font-style: normal; font-weight: 600 } figure img { width: 100% }
figcaption b { color: var(--ink); font-weight: 600 }
"""


def write_results(output: Path, result: InferenceResult, names: list[str]) -> None:
    """Write `images.json` and `predictions.json`, COCO results for `COCO("images.json").loadRes("predictions.json")`.

    Ids of images and categories count from 1, in the order of the files' names and of the classes. Boxes are x, y,
    width, height in pixels.
    """
    ids = {one.image.name: i for i, one in enumerate(result.detections, start=1)}
    results = [
        {
            "image_id": ids[one.image.name],
            "category_id": label + 1,
            "bbox": [round(x, 2) for x in (box[0], box[1], box[2] - box[0], box[3] - box[1])],
            "score": round(score, 6),
            "file_name": one.image.name,
        }
        for one in result.detections
        for box, score, label in zip(one.boxes, one.scores, one.labels, strict=True)
    ]
    images = {
        "images": [
            {"id": ids[one.image.name], "file_name": one.image.name, "width": one.size[0], "height": one.size[1]}
            for one in result.detections
        ],
        "categories": [{"id": i, "name": name} for i, name in enumerate(names, start=1)],
        "annotations": [],
        "unreadable": dict(sorted(result.unreadable.items())),
    }
    (output / IMAGES).write_text(json.dumps(images, indent=1) + "\n", encoding="utf-8")
    lines = ",\n".join(json.dumps(one) for one in results)
    (output / PREDICTIONS).write_text(f"[\n{lines}\n]\n" if results else "[]\n", encoding="utf-8")


def overlay_path(one: Detections) -> Path:
    """Return the path of an image's overlay, relative to the output folder."""
    return Path("overlays") / f"{one.image.name}.jpg"


def write_overlays(output: Path, result: InferenceResult, names: list[str], which: str) -> None:
    """Write the images as JPEG, at their own size, with the detections; `which` as `overlays` in `predict.predict`."""
    chosen = [one for one in result.detections if which == "all" or (which == "found" and one.scores)]
    for one in tqdm(chosen, unit="overlay", disable=None, leave=False):
        file = output / overlay_path(one)
        file.parent.mkdir(parents=True, exist_ok=True)
        drawn(one, names).save(file, quality=92)


def drawn(one: Detections, names: list[str], edge: int | None = None) -> Image.Image:
    """Return the image with its detections; `edge` as in `drawing.draw`."""
    image = Image.fromarray(read_pixels(one.image.file))
    return draw(image, one.boxes, one.labels, names, scores=one.scores, edge=edge)


def write_gallery(output: Path, result: InferenceResult, opened: OpenedModel, threshold: float) -> None:
    """Write `index.html`: counts, images by their highest score, and the images that could not be read."""
    names, found = opened.class_names, result.detections
    shown = sorted(found, key=lambda one: -max(one.scores, default=0.0))[:SHOWN]
    counts = Counter(label for one in found for label in one.labels)
    holding = Counter(label for one in found for label in set(one.labels))
    rows = [(name, counts[i], holding[i]) for i, name in enumerate(names)]
    with_any = sum(bool(one.scores) for one in found)
    about = f"Detections of {opened.where} with a score of at least {threshold:.3g}. They have not been reviewed."
    left_out = (
        f" The {len(shown)} of {len(found)} images with the highest scores are shown below."
        if len(found) > SHOWN
        else ""
    )
    body = (
        f"<p>{html.escape(about)}{left_out}</p>"
        + facts(
            {
                "images": f"{len(found):,}",
                "with a detection": f"{with_any:,}",
                "detections": f"{counts.total():,}",
                "could not be read": f"{len(result.unreadable):,}",
            }
        )
        + table(("class", "boxes", "images"), rows)
        + _broken(result)
        + f'<h2>Images</h2>{_key(names)}<div class="grid">{"".join(_figure(output, one, names) for one in shown)}</div>'
    )
    write_page(output / "index.html", f"Predictions for {len(found):,} images", body, style=_STYLE)


def _broken(result: InferenceResult) -> str:
    if not result.unreadable:
        return ""
    return "<h2>Could not be read</h2>" + table(("file", "reason"), sorted(result.unreadable.items()))


def _key(names: list[str]) -> str:
    marks = (
        f'<li><i style="background:{one.color};color:{one.ink}">{html.escape(one.code)}</i>{html.escape(one.name)}</li>'
        for one in looks(names)
    )
    return f'<ul class="key">{"".join(marks)}</ul>'


def _figure(output: Path, one: Detections, names: list[str]) -> str:
    title = html.escape(one.image.name)
    picture = f'<img loading="lazy" alt="{title}" src="{embedded(drawn(one, names, edge=_EDGE))}">'
    if (output / overlay_path(one)).is_file():
        picture = f'<a href="{quote(overlay_path(one).as_posix())}">{picture}</a>'
    listed = Counter(names[label] for label in one.labels)
    what = ", ".join(f"{count} {html.escape(name)}" for name, count in listed.items())
    best = f", best {one.scores[0]:.2f}" if one.scores else ""
    return f"<figure>{picture}<figcaption><b>{title}</b><br>{what or 'nothing found'}{best}</figcaption></figure>"
