"""Find defects in plain image files with a trained detector.

python training/predict.py outputs/neu_det IMAGES --output found              a folder, searched recursively
python training/predict.py outputs/neu_det a.png b.png --output found --threshold 0.5
python training/predict.py outputs/deeppcb BOARDS --references TEMPLATES --output found

python training/predict.py neu_det.onnx --watch CAMERA --csv found.csv           files as they arrive, a JSON line each

The output folder gets predictions.json (COCO results), images.json (the images and categories they refer to),
overlays/ (the images with the detections drawn in) and index.html. Exit code: 0 all images were processed, 3 some
images could not be read and are listed, 1 an error. With --exit-code, 4: a detection in at least one image.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # as in train.py
    from training.run.arguments import exit_early

    exit_early("predict")

# As in train.py: OpenMP reads it when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from loaders.tiling import Tiling
from radikal_datasets.errors import ImageFileError, OutputError, RadikalError, SettingsError
from radikal_datasets.files import refuse_inside
from training.run.arguments import DEFAULT_THRESHOLD, FOUND, PARTLY, predict_parser
from training.using.image_files import ImageFile, find_images, find_references
from training.using.watch_command import watch

if TYPE_CHECKING:  # torch and its relatives are imported when needed: --watch with an ONNX file works without them
    from training.using.inference import InferenceResult
    from training.using.trained_model import OpenedModel

_PREDICTIONS = "predictions.json"


def predict(
    opened: OpenedModel,
    images: list[ImageFile],
    output: Path,
    threshold: float,
    *,
    tiles: Tiling | None = None,
    batch_size: int = 8,
    overlays: str = "all",
) -> InferenceResult:
    """Detect defects in the images and write the output folder.

    Args:
        threshold: detections with a lower score are left out.
        tiles: split images into overlapping tiles.
        overlays: which images to draw: "all", "found" (those with a detection) or "none".

    Raises:
        OutputError: the output folder holds something other than predictions.
        ImageFileError: no image can be read.
    """
    from training.using.inference import detect_defects
    from training.using.results import write_gallery, write_overlays, write_results

    _make_room(output)
    result = detect_defects(opened, images, threshold, tiles=tiles, batch_size=batch_size)
    write_results(output, result, opened.class_names)
    write_overlays(output, result, opened.class_names, overlays, opened.gray_scale)
    write_gallery(output, result, opened, threshold)
    return result


def _make_room(output: Path) -> None:
    """Remove older predictions; refuse a folder with anything else."""
    if output.exists():
        if not output.is_dir() or (any(output.iterdir()) and not (output / _PREDICTIONS).is_file()):
            raise OutputError(f"{output} holds something other than predictions. Choose another --output.")
        shutil.rmtree(output / "overlays", ignore_errors=True)
    output.mkdir(parents=True, exist_ok=True)


def tiling(opened: OpenedModel, size: str | None, overlap: float | None) -> Tiling | None:
    """Return the requested tiling ("256", "256,512" or "none"), else the one the run was trained with.

    Raises:
        SettingsError: the size or overlap is invalid.
    """
    from training.using.trained_model import trained_tiles

    trained = trained_tiles(opened.settings)
    if size == "none" or (size is None and trained is None):
        return None
    if overlap is None:
        overlap = 0.2 if opened.settings is None else opened.settings.tile_overlap
    try:
        if size is None:
            return None if trained is None else Tiling(trained.size, overlap)
        edges = [int(edge) for edge in size.split(",")]
        height, width = edges * 2 if len(edges) == 1 else edges
        return Tiling((height, width), overlap)
    except ValueError as error:
        raise SettingsError(
            f"--tile-size {size}, --tile-overlap {overlap}: {error}. --tile-size takes an edge length, or "
            "HEIGHT,WIDTH, in pixels of the images."
        ) from error


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    known = predict_parser().parse_args(arguments)
    if known.watch is not None:
        return watch(known)
    if not known.images or known.output is None:
        predict_parser().error("IMAGES and --output are required without --watch.")
    if known.model.endswith(".onnx"):
        print(
            f"error: predict writes overlays and a page with the folder of a model, and {known.model} is an ONNX file. "
            "Pass the folder; or use the file with --watch FOLDER, or in a program with radikal_datasets.Predictor.",
            file=sys.stderr,
        )
        return 1
    from transformers.utils import logging as transformers_logging

    from training.using.trained_model import open_model

    transformers_logging.disable_progress_bar()
    try:
        if known.csv is not None or known.stop_after is not None:
            raise SettingsError("--csv and --stop-after need --watch.")
        opened = open_model(known.model)
        stored = DEFAULT_THRESHOLD if opened.threshold is None else opened.threshold
        threshold = stored if known.threshold is None else known.threshold
        if not 0 <= threshold <= 1 or known.batch_size < 1:
            raise SettingsError("--threshold must be between 0 and 1, and --batch-size at least 1.")
        # Among the images, the overlays would be taken for images at the next call.
        refuse_inside(known.output, known.images, what="the folder of images")
        pairs = opened.channels == "pair"
        images = find_images(known.images, pairs=pairs)
        if not images:
            raise ImageFileError(f"There is no image (jpg, png, bmp, tif) in {', '.join(map(str, known.images))}.")
        if pairs:
            images = find_references(images, known.references)
        elif known.references is not None:
            raise SettingsError(f"{known.model} does not use templates. Omit --references.")
        tiles = tiling(opened, known.tile_size, known.tile_overlap)
        started = time.perf_counter()
        result = predict(
            opened,
            images,
            known.output,
            threshold,
            tiles=tiles,
            batch_size=known.batch_size,
            overlays=known.overlays,
        )
    except RadikalError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    for name, reason in sorted(result.unreadable.items()):
        print(f"Cannot read {name}: {reason}", file=sys.stderr)
    origin = "from --threshold" if known.threshold is not None else "of the run" if opened.threshold else "default"
    boxes = sum(len(one.scores) for one in result.detections)
    print(
        f"{len(result.detections)} images, {sum(bool(one.scores) for one in result.detections)} with a detection, "
        f"{boxes} detections with a score of at least {threshold:.3g} ({origin}); {len(result.unreadable)} could not "
        "be read"
    )
    rest = time.perf_counter() - started - result.seconds
    print(
        f"{len(result.detections) / max(result.seconds, 1e-9):.1f} images/s on {result.device}, {result.seconds:.1f} s "
        f"in total, plus {rest:.1f} s for overlays and page; see {known.output / 'index.html'}"
    )
    return FOUND if known.exit_code and boxes else PARTLY if result.unreadable else 0


if __name__ == "__main__":
    sys.exit(main())
