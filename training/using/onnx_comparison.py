"""Compare an exported ONNX file with torch, on the same images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import torch

from loaders.decoding import resize_into
from radikal_datasets.errors import ImageFileError
from training.using.image_files import find_images, find_references, read_pixels
from training.using.onnx_module import ExportedDetector, ModelOutput, differences, sample_images
from training.using.trained_model import OpenedModel

#: Number of detections per image that are compared, those with the highest scores.
COMPARED = 20

_CHECKED_IMAGES = 16


def samples_to_compare(opened: OpenedModel, folder: Path | None) -> list[list[np.ndarray]]:
    """Return the samples to compare on: the image and, for a model of pairs, its template; uint8 (H, W, 3)."""
    if folder is None:
        images = sample_images(opened.canvas)
        return [[image, image[::-1, 3:].copy()] if opened.channels == "pair" else [image] for image in images]
    files = find_images([folder], pairs=opened.channels == "pair")
    if not files:
        raise ImageFileError(f"--check_images {folder}: there is no image in this folder.")
    if opened.channels == "pair":
        files = find_references(files, None)
    step = max(1, len(files) // _CHECKED_IMAGES)
    chosen = files[::step][:_CHECKED_IMAGES]
    return [
        [read_pixels(file, opened.gray_scale) for file in (one.file, one.reference) if file is not None]
        for one in chosen
    ]


def on_canvas(images: list[np.ndarray], canvas: tuple[int, int]) -> list[np.ndarray]:
    """Resize the images to the canvas, so that neither torch nor onnxruntime has anything left to resize."""
    targets = [np.empty((*canvas, 3), np.uint8) for _ in images]
    for target, image in zip(targets, images, strict=True):
        resize_into(target, image, "exact")
    return targets


@torch.no_grad()
def compared(
    detector: ExportedDetector, opened: OpenedModel, session: onnxruntime.InferenceSession, images: list[np.ndarray]
) -> np.ndarray:
    """Return the `differences` between torch and the file on an image (or image and template), in canvas pixels."""
    inputs = {one.name: image[None] for one, image in zip(session.get_inputs(), images, strict=True)}
    boxes, scores, labels = (np.asarray(value)[0] for value in session.run(None, inputs))
    if len(images) == 1:
        given = opened.processor(images=images[0], return_tensors="pt")["pixel_values"]
    else:  # transformers has no processor of pairs
        given = detector.pixel_values(*(torch.from_numpy(image[None]) for image in images))
    outputs = opened.model(pixel_values=given)
    height, width = images[0].shape[:2]
    sizes = torch.tensor([[height, width]])
    (found,) = opened.processor.post_process_object_detection(outputs, threshold=0.0, target_sizes=sizes)
    limit = torch.tensor([width, height, width, height])
    torchs = ModelOutput(
        torch.minimum(found["boxes"].clamp_min(0), limit).numpy(), found["scores"].numpy(), found["labels"].numpy()
    )
    scale = np.array(opened.canvas[::-1] * 2) / limit.numpy()
    return differences(torchs, ModelOutput(boxes, scores, labels), scale, COMPARED)
