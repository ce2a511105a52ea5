"""A self-contained HTML page of predictions beside the ground truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from radikal_datasets.gray_scale import GrayScale
from radikal_datasets.view.drawing import looks
from radikal_datasets.view.overlay import Mark, overlay
from radikal_datasets.view.pages import embedded_within
from radikal_datasets.view.palette import CORRECT, FALSE_POSITIVE, MISSED, ink
from radikal_datasets.view.viewer import Figure, Filter, write_viewer
from training.scoring.matching import detections_at
from training.scoring.operating_point import inspect_parts
from training.scoring.page_images import MAX_BYTES, SHOWN, image_files, try_to_write

_CORRECT_ONES = 6  # of `SHOWN`
_COLORS = {"found": CORRECT, "missed": MISSED, "false": FALSE_POSITIVE}
_RESULTS = {"missed": "a missed defect", "false": "a false positive", "correct": "all correct"}


@dataclass(frozen=True)
class Picture:
    """One image of the page: its file's bytes, size in pixels, true and predicted boxes (xyxy in its pixels)."""

    image_id: str
    data: bytes
    width: int
    height: int
    ground_truth: dict[str, Any]
    prediction: dict[str, Any]
    gray_scale: GrayScale | None = None


def write_split_page(
    folder: Path,
    split: str,
    dataset: Any,
    found: tuple[Sequence[str], Sequence[dict[str, Any]], Sequence[dict[str, Any]]],
    class_names: Sequence[str],
    threshold: float,
    chosen_on: str,
    gray_scale: GrayScale | None = None,
) -> bool:
    """Write `index.html` with the images that have the most errors, and some correct ones; a failure is a warning.

    Args:
        dataset: the split, with its images.
        found: image ids, predictions and ground truth, as `detections.predictions_and_ground_truth` returns them.
        threshold: the operating point, and `chosen_on` the images it was chosen on.
        gray_scale: of images of more than 8 bits.

    Returns:
        Whether the page was written.
    """
    image_ids, predictions, targets = found

    def write(file: Path) -> None:
        errors = error_counts(predictions, targets, threshold)
        chosen = most_errors(errors, SHOWN, _CORRECT_ONES)
        point = inspect_parts(predictions, targets, threshold).point
        wrong = sum(errors[i] > 0 for i in chosen)
        write_prediction_page(
            file,
            title=f"Predictions beside ground truth: {split}",
            numbers={
                "images": f"{len(image_ids):,}",
                "found": f"{point.true_positives:,}",
                "missed": f"{point.missed:,}",
                "false positives": f"{point.false_positives:,}",
                "images without an error": f"{sum(count == 0 for count in errors):,}",
            },
            about=f"At a score of at least {threshold:.2f}, chosen on {chosen_on}. A prediction is correct if its "
            "intersection with a true box of its class, divided by their union, is at least 0.5. "
            + _choice(wrong, len(chosen) - wrong, sum(count > 0 for count in errors)),
            pictures=pictures_of(dataset, found, chosen, gray_scale),
            class_names=class_names,
            threshold=threshold,
        )

    return try_to_write(folder / "index.html", write)


def _choice(wrong: int, right: int, all_wrong: int) -> str:
    """Return a sentence on which images are shown."""
    some = (
        f"the {wrong} of {all_wrong} images with the most errors" if wrong < all_wrong else f"all {wrong} with errors"
    )
    parts = [f"{some}, the worst first"] if wrong else []
    parts += [f"{right} without an error"] if right else []
    return f"Shown: {', and '.join(parts)}. This is not a fair sample of the split." if parts else ""


def pictures_of(
    dataset: Any,
    found: tuple[Sequence[str], Sequence[dict[str, Any]], Sequence[dict[str, Any]]],
    chosen: Sequence[int],
    gray_scale: GrayScale | None = None,
) -> list[Picture]:
    """Return the chosen images with their boxes; `dataset` and `found` as for `write_split_page`."""
    image_ids, predictions, targets = found
    files = image_files(dataset, [image_ids[i] for i in chosen])
    return [
        Picture(image_ids[i], *file, targets[i], predictions[i], gray_scale)
        for i, file in zip(chosen, files, strict=True)
    ]


def error_counts(
    predictions: Sequence[dict[str, Any]], targets: Sequence[dict[str, Any]], threshold: float
) -> list[int]:
    """Return the number of missed defects and false positives of each image."""
    counts = []
    for prediction, target in zip(predictions, targets, strict=True):
        _, matched = detections_at(prediction, target, threshold)
        correct = int((matched >= 0).sum())
        counts.append(len(matched) + len(target["labels"]) - 2 * correct)
    return counts


def most_errors(errors: Sequence[int], count: int, correct: int) -> list[int]:
    """Return the indices of `count` images, or all: those with the most errors, then at least `correct` without one.

    Correct images are spread over the entire sequence. If there are too few of one kind, the other takes their place.
    """
    wrong = sorted((i for i, number in enumerate(errors) if number), key=lambda i: -errors[i])
    right = [i for i, number in enumerate(errors) if not number]
    wanted = min(len(right), max(correct, count - len(wrong)), count)
    return [*wrong[: count - wanted], *(right[k * len(right) // wanted] for k in range(wanted))]


def evenly_mixed(right: Sequence[bool], count: int) -> list[int]:
    """Return the indices of `count` images (or all), with correct and wrong ones evenly mixed in their true proportion.

    Each kind is spread over the entire sequence, in its order.
    """
    kinds = [[i for i, value in enumerate(right) if value is kind] for kind in (True, False)]
    count = min(count, len(right))
    rights = round(count * len(kinds[0]) / max(1, len(right)))
    marked = [
        ((k + 0.5) / wanted, kind, members[k * len(members) // wanted])
        for kind, (members, wanted) in enumerate(zip(kinds, (rights, count - rights), strict=True))
        for k in range(wanted)
    ]
    return [index for _, _, index in sorted(marked)]


def write_prediction_page(
    file: Path,
    *,
    title: str,
    numbers: Mapping[str, str],
    pictures: Sequence[Picture],
    class_names: Sequence[str],
    threshold: float,
    note: str = "",
    about: str = "",
    links: Mapping[str, str] | None = None,
) -> None:
    """Write the page; it needs no other file and no network.

    Args:
        numbers: name to text, shown in large type.
        threshold: predictions with a lower score are not drawn.
        note: shown at the top, such as that the images are synthetic.
        about: what the numbers mean and how the images were chosen; shown below the numbers.
        links: relative addresses of other pages, with descriptions.
    """
    styles = looks(class_names)
    figures = [_figure(one, class_names, [look.code for look in styles], threshold, len(pictures)) for one in pictures]
    used = sorted({int(label) for figure in figures for label in figure.keys["class"]})
    write_viewer(
        file,
        "predictions.html",
        "training.scoring",
        title=title,
        figures=figures,
        looks=styles,
        note=note,
        filters=[
            Filter("Images with", "result", _RESULTS),
            Filter("Class", "class", {str(i): name for i, name in enumerate(class_names)}),
        ],
        numbers=numbers,
        about=about,
        links=links or {},
        threshold=threshold,
        codes=[(styles[i].code, class_names[i]) for i in used],
        colors=_COLORS,
        inks={name: ink(color) for name, color in _COLORS.items()},
    )


def _figure(
    picture: Picture, class_names: Sequence[str], codes: Sequence[str], threshold: float, pictures: int
) -> Figure:
    detections, matched = detections_at(picture.prediction, picture.ground_truth, threshold)
    taken = {int(i) for i in matched}
    ground_truth, shown = [], []
    for i, (box, label) in enumerate(zip(picture.ground_truth["boxes"], picture.ground_truth["labels"], strict=True)):
        look = "found" if i in taken else "missed"
        ground_truth.append(Mark(box, look, codes[int(label)], f"{class_names[label]}: {look}"))
    rows = zip(detections["boxes"], detections["labels"], detections["scores"], matched, strict=True)
    for box, label, score, partner in rows:
        look, word = ("found", "correct") if partner >= 0 else ("false", "false positive")
        shown.append(Mark(box, look, f"{codes[int(label)]} {score:.2f}", f"{class_names[label]} {score:.2f}: {word}"))
    found = sum(mark.look == "found" for mark in shown)
    counts = {"missed": len(ground_truth) - found, "false": len(shown) - found}
    text = f"{len(ground_truth)} true, {found} found, {counts['missed']} missed, {counts['false']} false positive"
    # Both sides hold the image.
    image = embedded_within(picture.data, MAX_BYTES / pictures / 2, picture.gray_scale)
    size = (picture.width, picture.height)
    labels = {*picture.ground_truth["labels"], *(int(label) for label in detections["labels"])}
    return Figure(
        label=f"{picture.image_id}: {text}",
        ratio=size[0] / size[1],
        stacks=[
            overlay(size, image, ground_truth, title="ground truth"),
            overlay(size, image, shown, title="predictions"),
        ],
        keys={
            "result": [name for name, count in counts.items() if count] or ["correct"],
            "class": [str(label) for label in sorted(labels)],
        },
        about={"name": picture.image_id, "text": text + ("s" if counts["false"] != 1 else "")},
    )
