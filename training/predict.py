"""Find defects in plain image files with a trained detector.

python training/predict.py outputs/neu_det IMAGES --output found              a folder of images, with its folders
python training/predict.py outputs/neu_det a.png b.png --output found --threshold 0.5
python training/predict.py outputs/deeppcb BOARDS --references TEMPLATES --output found

Leaves in the output folder predictions.json (COCO results) and images.json (the images and categories they refer to),
overlays/ (the images with what was found drawn in) and index.html. Exit code: 0 all images were looked at, 3 some could
not be read and are named, 1 an error.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # as in train.py

# As in train.py: OpenMP reads it when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from transformers.utils import logging as transformers_logging

from loaders import Tiling
from radikal_datasets.errors import ImageFileError, OutputError, RadikalError, SettingsError
from radikal_datasets.files import refuse_inside
from training.using.image_files import PictureFile, find_pictures, find_references
from training.using.inference import Looked, look_for_defects
from training.using.results import PREDICTIONS, write_gallery, write_overlays, write_results
from training.using.trained_model import DEFAULT_THRESHOLD, OpenedModel, open_model

PARTLY = 3  # exit code


def predict(
    opened: OpenedModel,
    pictures: list[PictureFile],
    output: Path,
    threshold: float,
    *,
    tiles: Tiling | None = None,
    batch_size: int = 8,
    overlays: str = "all",
) -> Looked:
    """Look for defects in the images and write all of the output folder.

    Args:
        threshold: detections with a lower score are left out.
        tiles: cut images to overlapping tiles.
        overlays: which images are drawn: "all", "found" (those with a detection) or "none".

    Raises:
        OutputError: the output folder holds something else than predictions.
        ImageFileError: no image can be read.
    """
    _make_room(output)
    looked = look_for_defects(opened, pictures, threshold, tiles=tiles, batch_size=batch_size)
    write_results(output, looked, opened.class_names)
    write_overlays(output, looked, opened.class_names, overlays)
    write_gallery(output, looked, opened, threshold)
    return looked


def _make_room(output: Path) -> None:
    """Remove older predictions; anything else is not touched."""
    if output.exists():
        if not output.is_dir() or (any(output.iterdir()) and not (output / PREDICTIONS).is_file()):
            raise OutputError(f"{output} holds something else than predictions: choose another --output")
        shutil.rmtree(output / "overlays", ignore_errors=True)
    output.mkdir(parents=True, exist_ok=True)


def tiling(opened: OpenedModel, size: str | None, overlap: float | None) -> Tiling | None:
    """Tiles as asked for ("256", "256,512" or "none"), else as the run was trained with.

    Raises:
        SettingsError: a size or overlap that can't be.
    """
    settings = opened.settings
    if size is None:
        given = settings.tile_size if settings is not None else None
        size = None if given is None else ",".join(map(str, given if isinstance(given, list) else [given]))
    if size is None or size == "none":
        return None
    if overlap is None:
        overlap = settings.tile_overlap if settings is not None else 0.2
    try:
        edges = [int(edge) for edge in size.split(",")]
        height, width = edges * 2 if len(edges) == 1 else edges
        return Tiling((height, width), overlap)
    except ValueError as error:
        raise SettingsError(
            f"--tile_size {size}, --tile_overlap {overlap}: {error}. An edge, or HEIGHT,WIDTH, in pixels of the images"
        ) from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("model", help="output_dir of a training run, the folder of a saved model, or a name on the Hub")
    parser.add_argument("images", nargs="+", type=Path, help="folders (with the folders in them) and files")
    parser.add_argument(
        "--output", type=Path, required=True, help="the folder to write; older predictions are replaced"
    )
    parser.add_argument(
        "--threshold", type=float,
        help=f"least score (default: the operating point stored with the run, else {DEFAULT_THRESHOLD})",
    )  # fmt: skip
    parser.add_argument("--tile_size", help="edge, or HEIGHT,WIDTH, of tiles; none (default: as in training)")
    parser.add_argument("--tile_overlap", type=float, help="least part neighbours share (default: as in training)")
    parser.add_argument("--references", type=Path, help="folder of defect-free templates, for a model of pairs")
    parser.add_argument("--batch_size", type=int, default=8, help="images (or tiles) at once (default: 8)")
    parser.add_argument("--overlays", choices=("all", "found", "none"), default="all", help="which images are drawn")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    known = _parser().parse_args(arguments)
    transformers_logging.disable_progress_bar()
    try:
        opened = open_model(known.model)
        stored = DEFAULT_THRESHOLD if opened.threshold is None else opened.threshold
        threshold = stored if known.threshold is None else known.threshold
        if not 0 <= threshold <= 1 or known.batch_size < 1:
            raise SettingsError("--threshold must be from 0 to 1, --batch_size at least 1")
        # Among the images, the overlays would be taken for images at the next call.
        refuse_inside(known.output, known.images, what="the folder of images")
        pairs = opened.channels == "pair"
        pictures = find_pictures(known.images, pairs=pairs)
        if not pictures:
            raise ImageFileError(f"there is no image (jpg png bmp tif) in {', '.join(map(str, known.images))}")
        if pairs:
            pictures = find_references(pictures, known.references)
        elif known.references is not None:
            raise SettingsError(f"{known.model} looks at each image alone: leave --references out")
        tiles = tiling(opened, known.tile_size, known.tile_overlap)
        started = time.perf_counter()
        looked = predict(
            opened, pictures, known.output, threshold,
            tiles=tiles, batch_size=known.batch_size, overlays=known.overlays,
        )  # fmt: skip
    except RadikalError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for name, reason in sorted(looked.broken.items()):
        print(f"can't be read: {name}: {reason}", file=sys.stderr)
    origin = "as asked for" if known.threshold is not None else "of the run" if opened.threshold else "default"
    boxes = sum(len(one.scores) for one in looked.found)
    print(
        f"{len(looked.found)} images, {sum(bool(one.scores) for one in looked.found)} with a detection, {boxes} "
        f"detections with a score of at least {threshold:.3g} ({origin}); {len(looked.broken)} could not be read"
    )
    rest = time.perf_counter() - started - looked.seconds
    print(
        f"{len(looked.found) / max(looked.seconds, 1e-9):.1f} images/s on {looked.device}, {looked.seconds:.1f} s in "
        f"all, and {rest:.1f} s for overlays and page; {known.output / 'index.html'}"
    )
    return PARTLY if looked.broken else 0


if __name__ == "__main__":
    sys.exit(main())
