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

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # as in train.py
    from training.run.arguments import exit_early

    exit_early("predict")

# As in train.py: OpenMP reads it when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from loaders.tiling import Tiling
from radikal_datasets.errors import ImageFileError, OutputError, RadikalError, SettingsError
from radikal_datasets.files import refuse_inside
from training.run.arguments import FOUND, PARTLY, predict_parser
from training.using.image_files import ImageFile, find_images, find_references
from training.using.inference import InferenceResult, detect_defects
from training.using.predictor import Predictor
from training.using.results import write_gallery, write_overlays, write_results
from training.using.watch_command import watch

_PREDICTIONS = "predictions.json"


def predict(
    predictor: Predictor, images: list[ImageFile], output: Path, *, batch_size: int = 8, overlays: str = "all"
) -> InferenceResult:
    """Detect defects in the images and write the output folder.

    Args:
        overlays: which images to draw: "all", "found" (those with a detection) or "none".

    Raises:
        OutputError: the output folder holds something other than predictions.
        ImageFileError: no image can be read.
    """
    _make_room(output)
    facts = predictor.facts
    result = detect_defects(predictor, images, batch_size=batch_size)
    write_results(output, result, facts.class_names)
    write_overlays(output, result, facts.class_names, overlays, facts.shown_gray_scale)
    write_gallery(output, result, facts, predictor.threshold)
    return result


def _make_room(output: Path) -> None:
    """Remove older predictions; refuse a folder with anything else."""
    if output.exists():
        if not output.is_dir() or (any(output.iterdir()) and not (output / _PREDICTIONS).is_file()):
            raise OutputError(f"{output} holds something other than predictions. Choose another --output.")
        shutil.rmtree(output / "overlays", ignore_errors=True)
    output.mkdir(parents=True, exist_ok=True)


def tiling(trained: Tiling | None, size: str | None, overlap: float | None) -> Tiling | None:
    """Return the requested tiling ("256", "256,512" or "none"), else that of the training.

    Raises:
        SettingsError: the size or overlap is invalid.
    """
    if overlap is None:
        overlap = 0.2 if trained is None else trained.overlap
    try:
        if size is None:
            return None if trained is None else Tiling(trained.size, overlap)
        if size == "none":
            return None
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
    try:
        if known.csv is not None or known.stop_after is not None:
            raise SettingsError("--csv and --stop-after need --watch.")
        if not (known.threshold is None or 0 <= known.threshold <= 1) or known.batch_size < 1:
            raise SettingsError("--threshold must be between 0 and 1, and --batch-size at least 1.")
        predictor = Predictor(known.model, threshold=known.threshold)
        facts = predictor.facts
        # Among the images, the overlays would be taken for images at the next call.
        refuse_inside(known.output, known.images, what="the folder of images")
        pairs = facts.channels == "pair"
        images = find_images(known.images, pairs=pairs)
        if not images:
            raise ImageFileError(f"There is no image (jpg, png, bmp, tif) in {', '.join(map(str, known.images))}.")
        if pairs:
            images = find_references(images, known.references)
        elif known.references is not None:
            raise SettingsError(f"{known.model} does not use templates. Omit --references.")
        predictor.set_tiles(tiling(facts.tiles, known.tile_size, known.tile_overlap))
        started = time.perf_counter()
        options = {"batch_size": known.batch_size, "overlays": known.overlays}
        result = predict(predictor, images, known.output, **options)
    except RadikalError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    for name, reason in sorted(result.unreadable.items()):
        print(f"Cannot read {name}: {reason}", file=sys.stderr)
    origin = "from --threshold" if known.threshold is not None else "of the run" if facts.threshold else "default"
    boxes = sum(len(one.scores) for one in result.detections)
    print(
        f"{len(result.detections)} images, {sum(bool(one.scores) for one in result.detections)} with a detection, "
        f"{boxes} detections with a score of at least {predictor.threshold:.3g} ({origin}); {len(result.unreadable)} "
        "could not be read"
    )
    rest = time.perf_counter() - started - result.seconds
    print(
        f"{len(result.detections) / max(result.seconds, 1e-9):.1f} images/s on {result.device}, {result.seconds:.1f} s "
        f"in total, plus {rest:.1f} s for overlays and page; see {known.output / 'index.html'}"
    )
    return FOUND if known.exit_code and boxes else PARTLY if result.unreadable else 0


if __name__ == "__main__":
    sys.exit(main())
