"""The page of one image: ground truth, detections, and every map with its scores."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from PIL import Image

from radikal_datasets.view import palette
from radikal_datasets.view.pages import embedded, table, write_page
from training.explaining.baselines import BASELINES
from training.explaining.drawing import overlay, picture, with_boxes
from training.explaining.explained import Explained, Explanation, MapScores
from training.explaining.verdicts import TITLES

#: Of the templates of image pages and index.
PACKAGE = "training.explaining"


@dataclass(frozen=True)
class Files:
    """Paths of an image's files, relative to the output folder."""

    page: str
    maps: str
    overlays: list[str]


def write_image(
    folder: Path,
    stem: str,
    explained: Explained,
    names: list[str],
    normalization: Mapping[str, Any],
    neighbors: tuple[str | None, str | None],
) -> Files:
    """Write the page, the overlays as PNG and the maps as one .npz file.

    In the .npz file, `d1_gradcam` is the Grad-CAM of the first detection: float16 (H, W), 0 to 1, in pixels of the
    model's input.

    Args:
        stem: stem of the files' names.
        names: class names.
        normalization: `mean` and `std` of the model's input.
        neighbors: stems of the previous and the next page.
    """
    plain = picture(explained.case, **normalization)
    arrays, overlays, sections = {}, [], []
    for number, one in enumerate(explained.explanations, start=1):
        figures = []
        for name, values in one.maps.items():
            if name in BASELINES:
                continue
            arrays[f"d{number}_{name}"] = values.astype(np.float16)
            drawn = _drawn(overlay(plain, values), explained, one)
            file = f"overlays/{stem}-d{number}-{name}.png"
            _save(folder / file, drawn)
            overlays.append(file)
            figures.append(_figure(drawn, TITLES[name], one.scores[name]))
        sections.append(_section(one, names, figures))
    maps = f"maps/{stem}.npz"
    (folder / maps).parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / maps, **arrays)
    page = f"images/{stem}.html"
    write_page(
        folder / page,
        "explained_image.html",
        PACKAGE,
        title=explained.case.name,
        sections=sections,
        palette=palette,
        **_about(explained, names, plain, neighbors),
    )
    return Files(page, maps, overlays)


def annotated_image(explained: Explained, normalization: Mapping[str, Any]) -> Image.Image:
    """Return the image with all true and all explained boxes."""
    case = explained.case
    shape = (case.pixels.shape[-2], case.pixels.shape[-1])
    ground_truth, detected = [box for box, _ in case.ground_truth], [one.box for one in case.detections]
    return with_boxes(picture(case, **normalization), shape, ground_truth, detected)


def _about(
    explained: Explained, names: list[str], plain: Image.Image, neighbors: tuple[str | None, str | None]
) -> dict[str, Any]:
    """Return what the template says of the image itself."""
    case = explained.case
    height, width = (case.pixels.shape[-2], case.pixels.shape[-1])
    drawn = with_boxes(
        plain, (height, width), [box for box, _ in case.ground_truth], [one.box for one in case.detections]
    )
    right = sum(partner is not None for partner in case.partners)
    links = [("../index.html", "all images")]
    links += [
        (quote(f"{stem}.html"), text)
        for stem, text in zip(neighbors, ("previous image", "next image"), strict=True)
        if stem
    ]
    numbers = {
        "true boxes": str(len(case.ground_truth)),
        "detections explained": str(len(case.detections)),
        "true / false positives": f"{right} / {len(case.detections) - right}",
        "seconds": f"{explained.total_seconds:.1f}",
    }
    true = ", ".join(names[label] for _, label in case.ground_truth) or "no defect"
    return {
        "links": links,
        "numbers": numbers,
        "image": embedded(drawn),
        "width": width,
        "height": height,
        "classes": true,
    }


def _section(one: Explanation, names: list[str], figures: list[dict[str, str]]) -> dict[str, Any]:
    verdict = "true positive" if one.partner else "false positive: IoU below 0.5 with every true box of its class"
    text = []
    if one.agreement is not None:
        text.append(f"Agreement of the methods: {one.agreement:.2f} (mean Spearman correlation; 1: identical).")
    text.append(f"On the blurred image, the detection's score is {one.hidden_score:.2f}.")
    if one.partner is None:
        text.append("Without a true box, energy and pointing are undefined.")
    scores = table(_HEADER, [_row(name, scores) for name, scores in one.scores.items()])
    return {
        "name": names[one.detection.label],
        "score": one.detection.score,
        "verdict": verdict,
        "text": " ".join(text),
        "figures": figures,
        "scores": scores,
    }


_HEADER = ["map", "energy in true box", "energy in detected box", "points into true box", "deletion", "insertion"]


def _row(name: str, scores: MapScores) -> list[object]:
    return [
        TITLES[name],
        number(scores.energy),
        number(scores.energy_in_call),
        "" if scores.pointing is None else ("yes" if scores.pointing >= 0.5 else "no"),
        number(scores.deletion),
        number(scores.insertion),
    ]


def number(value: float | None, digits: int = 2) -> str:
    """Format a number for a table cell; empty if there is none."""
    return "" if value is None else f"{value:.{digits}f}"


def _figure(drawn: Image.Image, title: str, scores: MapScores) -> dict[str, str]:
    values = {"energy in true box": scores.energy, "deletion": scores.deletion, "insertion": scores.insertion}
    known = ", ".join(f"{name} {value:.2f}" for name, value in values.items() if value is not None)
    return {"title": title, "image": embedded(drawn), "known": known}


def _drawn(image: Image.Image, explained: Explained, one: Explanation) -> Image.Image:
    shape = (explained.case.pixels.shape[-2], explained.case.pixels.shape[-1])
    return with_boxes(image, shape, [one.partner] if one.partner else [], [one.detection.box])


def _save(file: Path, image: Image.Image) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    out = io.BytesIO()
    image.save(out, "PNG")
    file.write_bytes(out.getvalue())


def numbers_of_image(done: Explained, files: Files, names: list[str]) -> dict[str, Any]:
    """Return the numbers of an image, for the JSON file."""
    case = done.case
    return {
        "name": case.name,
        "seconds": done.seconds,
        **dataclasses.asdict(files),
        "input_size": list(case.pixels.shape[-2:]),
        "truth": [{"box": box, "label": names[label]} for box, label in case.ground_truth],
        "detections": [
            {
                "box": one.detection.box,
                "label": names[one.detection.label],
                "score": one.detection.score,
                "true_box": one.partner,
                "true_area": one.area,
                "score_on_blurred": one.hidden_score,
                "agreement": one.agreement,
                "maps": {name: dataclasses.asdict(scores) for name, scores in one.scores.items()},
            }
            for one in done.explanations
        ],
    }
