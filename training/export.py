"""Export a detector to one ONNX file that takes unprocessed images and returns boxes, and compare it with torch.

python training/export.py outputs/neu_det --output neu_det.onnx
python training/export.py outputs/neu_det --output neu_det.onnx --check_images NEU-DET/IMAGES/Validation_Images
"""

from __future__ import annotations

import importlib
import inspect
import json
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # as in train.py
    from training.run.arguments import exit_early

    exit_early("export-model")

import numpy as np
import onnx
import onnxruntime
import torch
import transformers
from transformers.utils import logging as transformers_logging

import radikal_datasets
from radikal_datasets.errors import ExportError, RadikalError, SettingsError
from radikal_datasets.files import atomic_file
from training.models.gray_scale import stored_gray_scale
from training.run.arguments import export_parser
from training.using.onnx_comparison import compared, on_canvas, samples_to_compare
from training.using.onnx_module import ExportedDetector
from training.using.trained_model import OpenedModel, open_model, trained_resize, trained_tiles

#: Largest difference from torch when both get the same pixels; boxes in pixels of the model's canvas.
BOX_TOLERANCE, SCORE_TOLERANCE = 0.5, 0.005
#: The same when each resizes the images itself, and the minimum fraction of detections within these tolerances.
RESIZED_BOX_TOLERANCE, RESIZED_SCORE_TOLERANCE, RESIZED_PART = 1.0, 0.02, 0.9
# Families that call `len(tensor)`, which fixes the number of images to that of the example.
_ASK_LENGTH = ("rt_detr", "rt_detr_v2", "d_fine", "deimv2")


@dataclass(frozen=True)
class Exported:
    """The exported file, and its differences from torch.

    Attributes:
        file, opset: the file and its opset version.
        images: number of images compared.
        box_difference, score_difference: the maxima, in pixels of the canvas, on images of the canvas's own size.
        resized_part: fraction of the detections on the original images within `RESIZED_BOX_TOLERANCE` and
            `RESIZED_SCORE_TOLERANCE`. onnxruntime's resize differs from torch's by one gray level in up to 1 % of the
            pixels, enough to swap two queries with nearly equal scores.
    """

    file: Path
    opset: int
    images: int
    box_difference: float
    score_difference: float
    resized_part: float


def export(opened: OpenedModel, output: Path, opset: int | None = None, check_images: Path | None = None) -> Exported:
    """Write `output`, and keep it only if onnxruntime finds the same with it as torch.

    For the file's inputs and outputs see `onnx_module.ExportedDetector`, for its metadata `metadata`.

    Args:
        opset: version of ONNX's operators; None: torch's default.
        check_images: folder of images to compare on; None: synthetic images. For a model of pairs, DeepPCB's `_test`
            and `_temp` files.

    Raises:
        ExportError: the model can't be exported, or the file differs from torch by more than the tolerances.
        ModelError: the model's images are not resized to one size.
        ImageFileError: there are no images to compare on.
    """
    detector = ExportedDetector(opened).eval()
    samples = samples_to_compare(opened, check_images)
    with atomic_file(output) as part:
        session = _write(detector, opened, part, opset)
        same = np.concatenate([compared(detector, opened, session, on_canvas(s, opened.canvas)) for s in samples])
        own = np.concatenate([compared(detector, opened, session, sample) for sample in samples])
        written = next(one.version for one in onnx.load(part).opset_import if one.domain in ("", "ai.onnx"))
        near = (own <= (RESIZED_BOX_TOLERANCE, RESIZED_SCORE_TOLERANCE)).all(1).mean()
        box, score = same.max(0).tolist()
        done = Exported(output, written, len(samples), box, score, float(near))
        if (same > (BOX_TOLERANCE, SCORE_TOLERANCE)).any() or near < RESIZED_PART:
            raise ExportError(
                f"{output} was not written, because onnxruntime does not find what torch finds: "
                f"{describe_differences(done)} (allowed are {BOX_TOLERANCE} and {SCORE_TOLERANCE}, and at least "
                f"{RESIZED_PART:.0%}). This is normal for a barely trained model, whose queries have nearly equal "
                "scores. For a trained one, pass --check_images with images like its training images, and report it if "
                "they still differ."
            )
    return done


def describe_differences(done: Exported) -> str:
    """Return the differences as text for the user."""
    return (
        f"on {done.images} images at most {done.box_difference:.2g} pixels of the model's canvas and "
        f"{done.score_difference:.2g} in score, and with its own resize {done.resized_part:.1%} of detections within "
        f"{RESIZED_BOX_TOLERANCE:g} pixel and {RESIZED_SCORE_TOLERANCE:g}"
    )


def metadata(opened: OpenedModel) -> dict[str, str]:
    """Return the file's metadata, as text; `classes`, `image_size` (height, width) and `gray_scale` are JSON.

    `gray_scale` is there if the model was trained on images of more than 8 bits: [low, high], see `GrayScale`.
    `tile_size` (height, width; JSON) and `tile_overlap` are there if it was trained on tiles, and `resize` says how its
    images were resized; for `Predictor`.
    """
    threshold = {} if opened.threshold is None else {"threshold": f"{opened.threshold:.6g}"}
    scale = stored_gray_scale(opened.model)
    gray_scale = {} if scale is None else {"gray_scale": json.dumps(scale.to_list())}
    tiles = trained_tiles(opened.settings)
    shape = {} if tiles is None else {"tile_size": json.dumps(tiles.shape), "tile_overlap": f"{tiles.overlap:.6g}"}
    return {
        "classes": json.dumps(opened.class_names),
        "image_size": json.dumps(opened.canvas),
        "model_type": opened.model.config.model_type,
        "channels": opened.channels,
        **threshold,
        **gray_scale,
        "resize": trained_resize(opened),
        **shape,
        "radikal_datasets": radikal_datasets.__version__,
        "transformers": transformers.__version__,
        "torch": torch.__version__,
    }


def _write(
    detector: ExportedDetector, opened: OpenedModel, file: Path, opset: int | None
) -> onnxruntime.InferenceSession:
    """Export to `file` and open it."""
    height, width = opened.canvas
    names = list(inspect.signature(detector.forward).parameters)[: 2 if opened.channels == "pair" else 1]
    # Two images and odd sizes: a size of 1, or of the canvas, would become a constant. One tensor per input: a tensor
    # that is passed twice becomes a single input.
    examples = tuple(torch.zeros(2, height + 7 + i, width + 13 + i, 3, dtype=torch.uint8) for i in range(len(names)))
    batch = torch.export.Dim("batch", min=1, max=4096)
    sizes = [
        {0: batch, 1: torch.export.Dim(f"{n}_height", min=2), 2: torch.export.Dim(f"{n}_width", min=2)} for n in names
    ]
    problem: Exception | None = None
    # torch 2.14's optimizer loses constants of deformable_detr; onnxruntime optimizes anyway when it opens the file.
    for optimize in (True, False):
        try:
            with _quiet(), _exportable(opened.model):
                program: Any = torch.onnx.export(
                    detector,
                    examples,
                    dynamo=True,
                    verbose=False,
                    optimize=optimize,
                    input_names=names,
                    output_names=["boxes", "scores", "labels"],
                    dynamic_shapes=tuple(sizes),
                    opset_version=opset,
                )
                program.save(str(file))
            model = onnx.load(file)
            onnx.helper.set_model_props(model, metadata(opened))
            onnx.save(model, file)
            return onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        except Exception as error:  # torch, onnxscript and onnxruntime raise a dozen kinds
            problem = error
    first = str(problem).strip().split("\n")[0]
    raise ExportError(f"Cannot export {opened.where} ({opened.model.config.model_type}) to ONNX: {first}") from problem


@contextmanager
def _exportable(model: Any) -> Iterator[None]:
    """Keep code of transformers that torch.export can't trace out of the graph."""
    modules = [importlib.import_module(f"transformers.models.{name}.modeling_{name}") for name in _ASK_LENGTH]
    before = os.environ.get("TRANSFORMERS_DISABLE_TORCH_CHECK")
    os.environ["TRANSFORMERS_DISABLE_TORCH_CHECK"] = "1"  # shape checks, which have no ONNX counterpart
    for module in modules:
        setattr(module, "len", _length)  # noqa: B010
    try:
        yield
    finally:
        for module in modules:
            delattr(module, "len")
        if before is None:
            del os.environ["TRANSFORMERS_DISABLE_TORCH_CHECK"]
        else:
            os.environ["TRANSFORMERS_DISABLE_TORCH_CHECK"] = before


def _length(value: Any) -> Any:
    return value.shape[0] if isinstance(value, torch.Tensor) else len(value)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's log, which is about torch's internals."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    before = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    known = export_parser().parse_args(arguments)
    transformers_logging.disable_progress_bar()
    try:
        if known.opset is not None and known.opset < 18:
            raise SettingsError(
                f"--opset is {known.opset}; it must be at least 18, the first with antialiased Resize, which the model "
                "needs."
            )
        opened = open_model(known.model)
        done = export(opened, known.output, known.opset, known.check_images)
    except RadikalError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{done.file}: {done.file.stat().st_size / 1e6:.1f} MB, ONNX opset {done.opset}")
    synthetic = " (synthetic images)" if known.check_images is None else ""
    print(f"Compared with torch: {describe_differences(done)}{synthetic}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
