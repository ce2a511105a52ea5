"""A self-contained HTML page of a classifier's errors: image, true class, predicted class and its probability."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from radikal_datasets.gray_scale import GrayScale
from radikal_datasets.view.drawing import looks
from radikal_datasets.view.overlay import overlay
from radikal_datasets.view.pages import embedded_within
from radikal_datasets.view.viewer import Figure, Filter, write_viewer
from training.scoring.page_images import MAX_BYTES, SHOWN, image_files, try_to_write


def write_class_page(
    folder: Path,
    split: str,
    dataset: Any,
    predictions: Sequence[tuple[str, int, Sequence[float]]],
    class_names: Sequence[str],
    gray_scale: GrayScale | None = None,
) -> bool:
    """Write `index.html` with up to 24 misclassified images; print a warning where that fails.

    Args:
        dataset: the split, with its images.
        predictions: image id, true class and the probability of each class, per image.
        gray_scale: of images of more than 8 bits.

    Returns:
        Whether the page was written.
    """
    return try_to_write(
        folder / "index.html", lambda file: _write(file, split, dataset, predictions, class_names, gray_scale)
    )


def _write(
    file: Path,
    split: str,
    dataset: Any,
    predictions: Sequence[Any],
    class_names: Sequence[str],
    gray_scale: GrayScale | None,
) -> None:
    answers = [
        (image_id, true, max(range(len(row)), key=row.__getitem__), max(row)) for image_id, true, row in predictions
    ]
    wrong = sorted((one for one in answers if one[1] != one[2]), key=lambda one: -one[3])
    shown = wrong[:SHOWN]
    figures = []
    for (image_id, true, predicted, score), (data, width, height) in zip(
        shown, image_files(dataset, [one[0] for one in shown]), strict=True
    ):
        budget = MAX_BYTES / len(shown)
        image = embedded_within(data, budget, gray_scale)
        about = {"name": image_id, "true": class_names[true], "predicted": class_names[predicted], "score": score}
        figures.append(
            Figure(
                label=f"{image_id}, true: {about['true']}, predicted: {about['predicted']}",
                ratio=width / height,
                stacks=[overlay((width, height), image)],
                keys={"true": [str(true)], "predicted": [str(predicted)]},
                about=about,
            )
        )
    values = {str(i): name for i, name in enumerate(class_names)}
    order = "the most confident errors first" if len(wrong) <= SHOWN else f"the {SHOWN} most confident errors"
    write_viewer(
        file,
        "classes.html",
        "training.scoring",
        title=f"Misclassified images: {split}",
        figures=figures,
        looks=looks(class_names),
        layers=(),
        filters=[Filter("True class", "true", values), Filter("Predicted class", "predicted", values)],
        numbers={"images": f"{len(answers):,}", "misclassified": f"{len(wrong):,}"},
        about=f"Of the {split} split: {order}. The predicted class is the one with the highest probability."
        if wrong
        else f"No image of the {split} split is misclassified.",
    )
