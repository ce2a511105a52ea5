"""The output of predict.py: COCO results, images with the detections drawn in, and an HTML page."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from PIL import Image
from tqdm import tqdm

from radikal_datasets.gray_scale import GrayScale
from radikal_datasets.view.drawing import Look, draw, looks
from radikal_datasets.view.overlay import Mark, overlay
from radikal_datasets.view.pages import embedded, table, within
from radikal_datasets.view.viewer import Figure, Filter, write_viewer
from training.using.image_files import read_pixels
from training.using.inference import Detections, InferenceResult
from training.using.prediction import ModelFacts

PREDICTIONS, IMAGES = "predictions.json", "images.json"
#: Number of images shown on the page; the overlays folder has all of them.
SHOWN = 120
#: Bytes of all images of the page together.
MAX_BYTES = 12_000_000
#: Boxes drawn in one image of the page, those with the highest scores: more hide the image and one another.
DRAWN = 20


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


def write_overlays(
    output: Path, result: InferenceResult, names: list[str], which: str, gray_scale: GrayScale | None = None
) -> None:
    """Write the images as JPEG, at their own size, with the detections; `which` as `overlays` in `predict.predict`."""
    chosen = [one for one in result.detections if which == "all" or (which == "found" and one.scores)]
    for one in tqdm(chosen, unit="overlay", disable=None, leave=False):
        file = output / overlay_path(one)
        file.parent.mkdir(parents=True, exist_ok=True)
        drawn(one, names, gray_scale).save(file, quality=92)


def drawn(one: Detections, names: list[str], gray_scale: GrayScale | None = None) -> Image.Image:
    """Return the image with its detections, at its own size."""
    image = Image.fromarray(read_pixels(one.image.file, gray_scale))
    return draw(image, one.boxes, one.labels, names, scores=one.scores)


def write_gallery(output: Path, result: InferenceResult, facts: ModelFacts, threshold: float) -> None:
    """Write `index.html`: counts, images by their highest score, and the images that could not be read."""
    names, found = facts.class_names, result.detections
    shown = sorted(found, key=lambda one: -max(one.scores, default=0.0))[:SHOWN]
    counts = Counter(label for one in found for label in one.labels)
    holding = Counter(label for one in found for label in set(one.labels))
    rows = [(names[i], count, holding[i]) for i, count in counts.most_common()]
    styles = looks(names)
    values = {_NOTHING: "nothing found"} | {str(i): name for i, name in enumerate(names)}
    write_viewer(
        output / "index.html",
        "found.html",
        "training.using",
        title=f"Predictions for {len(found):,} images",
        figures=[
            _figure(output, one, styles, MAX_BYTES // max(1, len(shown)), facts.shown_gray_scale) for one in shown
        ],
        looks=styles,
        filters=[Filter("Class", "class", values, swatches=True)],
        about=f"Detections of {facts.where} with a score of at least {threshold:.3g}. They have not been reviewed.",
        numbers={
            "images": f"{len(found):,}",
            "with a detection": f"{sum(bool(one.scores) for one in found):,}",
            "detections": f"{counts.total():,}",
            "could not be read": f"{len(result.unreadable):,}",
        },
        classes=table(("class found", "boxes", "images"), rows) if rows else "",
        unreadable=table(("file", "reason"), sorted(result.unreadable.items())) if result.unreadable else "",
        left_out=f"The {len(shown)} of {len(found):,} images with the highest scores." if len(found) > SHOWN else "",
    )


_NOTHING = "nothing"  # value of the filter by class where a class's number would stand


def _figure(output: Path, one: Detections, styles: Sequence[Look], budget: int, gray_scale: GrayScale | None) -> Figure:
    image = Image.fromarray(read_pixels(one.image.file, gray_scale))
    (address,) = within(budget, lambda edge, quality: (embedded(image, edge, quality),))
    rows = list(zip(one.boxes, one.labels, one.scores, strict=True))[:DRAWN]
    marks = [
        Mark(box, f"c{label}", f"{styles[label].code} {score:.2f}", f"{styles[label].name} {score:.2f}")
        for box, label, score in rows
    ]
    there = (output / overlay_path(one)).is_file()
    counts = Counter(one.labels)
    what = ", ".join(f"{count} {styles[label].name}" for label, count in counts.items()) or "nothing found"
    return Figure(
        label=f"{one.image.name}: {what}",
        ratio=one.size[0] / one.size[1],
        stacks=[overlay(one.size, address, marks)],
        keys={"class": [str(label) for label in sorted(counts)] or [_NOTHING]},
        about={
            "name": one.image.name,
            "counts": list(counts.items()),
            "best": f"{one.scores[0]:.2f}" if one.scores else "",
            "weaker": len(one.scores) - len(rows),
            "overlay": quote(overlay_path(one).as_posix()) if there else "",
        },
    )
