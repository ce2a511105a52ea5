"""Run a detector on plain image files, with the same preprocessing as in training."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from accelerate import Accelerator
from PIL import Image
from tqdm import tqdm

from loaders import DetectionLoader, Tiling, merge_tiles
from loaders.decoding import Decoder
from radikal_datasets.errors import GrayScaleError, ImageFileError, UnreadableImageError
from radikal_datasets.gray_scale import GrayScale, levels_of
from radikal_datasets.raw.images import MAX_PIXELS, is_deep
from radikal_datasets.raw.orientation import displayed_size
from training import models
from training.scoring.detections import predict
from training.using.image_files import ImageFile
from training.using.trained_model import OpenedModel


@dataclass(frozen=True)
class Detections:
    """Detections in one image, highest score first.

    Attributes:
        image: the image's file.
        size: (width, height) in pixels of the file.
        boxes: x_min y_min x_max y_max, in pixels of the file.
        scores, labels: one per box.
    """

    image: ImageFile
    size: tuple[int, int]
    boxes: list[list[float]]
    scores: list[float]
    labels: list[int]


@dataclass
class InferenceResult:
    """Result of running a detector on images.

    Attributes:
        detections: of every readable image, sorted by name.
        unreadable: name -> reason, of the images that could not be read.
        seconds: time for reading, decoding and detecting; without opening the model.
        device: device the model ran on.
    """

    detections: list[Detections] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    device: str = "cpu"


def detect_defects(
    opened: OpenedModel,
    images: Sequence[ImageFile],
    threshold: float,
    *,
    tiles: Tiling | None = None,
    batch_size: int = 8,
) -> InferenceResult:
    """Return the detections of every image with a score of at least `threshold`.

    Unreadable images are reported in the result, they are not fatal.

    Raises:
        ImageFileError: none of the images can be read.
    """
    accelerator = Accelerator(mixed_precision="no")
    model: Any = opened.model.to(accelerator.device)  # pyright: ignore[reportArgumentType]
    result, started = InferenceResult(device=accelerator.device.type), time.perf_counter()
    files, sizes = _readable(images, opened, result.unreadable)
    if files:
        loader = _loader(opened, list(files.values()), sizes, batch_size, tiles, accelerator)
        batches = (predict(model, opened.processor, batch, accelerator) for batch in _batches(loader, files, result))
        with tqdm(total=len(images), initial=len(result.unreadable), unit="image", disable=None) as bar:
            every = (one for batch in batches for one in batch)
            # Tiles of an image are consecutive. Detections down to half the threshold may still suppress boxes that a
            # tile's edge cut.
            for name, parts in groupby(every, key=lambda one: one[0]):
                seen = [_above(part, threshold / 2 if tiles else threshold) for _, part in parts]
                merged = _merged(name, seen, threshold) if tiles else seen[0]
                result.detections.append(Detections(files[name], sizes[name], **_best_first(merged)))
                bar.update(1)
    result.detections = [one for one in result.detections if one.image.name not in result.unreadable]
    result.seconds = time.perf_counter() - started
    if not result.detections:
        name, reason = next(iter(result.unreadable.items()))
        raise ImageFileError(
            f"None of the {len(images)} images can be read; the first one is {name}: {reason}. Check the files."
        )
    return result


def _readable(
    images: Sequence[ImageFile], opened: OpenedModel, unreadable: dict[str, str]
) -> tuple[dict[str, ImageFile], dict[str, tuple[int, int]]]:
    """Return the files with an image header, by name, and their (width, height); add the others to `unreadable`."""
    files, sizes = {}, {}
    without_scale = models.stored_gray_scale(opened.model) is None
    for one in images:
        try:
            with Image.open(one.file) as image:
                size, deep = displayed_size(image), is_deep(image)
            if size[0] * size[1] > MAX_PIXELS:
                raise ValueError(f"header claims {size[0]}x{size[1]} pixels; treated as a decompression bomb")
            if deep and without_scale:
                _check_gray_levels(one.file, opened.gray_scale)
            files[one.name], sizes[one.name] = one, size
        except Exception as error:  # Pillow's plugins raise OSError, SyntaxError, struct.error, ValueError ...
            unreadable[one.name] = _reason(error)
    return files, sizes


def _check_gray_levels(file: Path, gray_scale: GrayScale) -> None:
    """Reject an image of more than 8 bits that a model without a scale of its own would be shown nearly black."""
    levels = levels_of([str(file)])
    if levels is not None and levels.problem(gray_scale):
        raise GrayScaleError(
            f"gray levels of more than 8 bits ({levels}), but the model was trained on images of 8 bits and has no "
            "gray scale for others. Convert the image as the training images were."
        )


def _loader(
    opened: OpenedModel,
    files: Sequence[ImageFile],
    sizes: dict[str, tuple[int, int]],
    batch_size: int,
    tiles: Tiling | None,
    accelerator: Accelerator,
) -> DetectionLoader:
    resize: Any = "exact" if opened.settings is None else opened.settings.resize
    channels: Any = opened.channels
    # Not "auto": the detections in an image must not depend on the other images.
    return DetectionLoader(
        _as_dataset(files, sizes, opened.class_names),
        batch_size,
        opened.canvas,
        device=accelerator.device,
        channels=channels,
        shuffle=False,
        resize=resize,
        gray_scale=opened.gray_scale,
        tiles=tiles,
        on_error="skip",
        **models.normalization(opened.processor),
    )


def _as_dataset(files: Sequence[ImageFile], sizes: dict[str, tuple[int, int]], names: list[str]) -> datasets.Dataset:
    """Return the files as a split of paths, without annotations."""
    features = datasets.Features(
        {
            "image_id": datasets.Value("string"),
            "image": datasets.Image(decode=False),
            "reference": datasets.Image(decode=False),
            "width": datasets.Value("int32"),
            "height": datasets.Value("int32"),
            "boxes": datasets.List(datasets.List(datasets.Value("float32"), 4)),
            "labels": datasets.List(datasets.ClassLabel(names=names)),
            "annotated": datasets.Value("bool"),
        }
    )
    templates = [None if one.reference is None else {"path": str(one.reference), "bytes": None} for one in files]
    columns = {
        "image_id": [one.name for one in files],
        "image": [{"path": str(one.file), "bytes": None} for one in files],
        "reference": templates,
        "width": [sizes[one.name][0] for one in files],
        "height": [sizes[one.name][1] for one in files],
        "boxes": [[] for _ in files],
        "labels": [[] for _ in files],
        "annotated": [True] * len(files),  # otherwise the loader would leave them out
    }
    return datasets.Dataset.from_dict(columns, features=features)


def _batches(loader: DetectionLoader, files: dict[str, ImageFile], result: InferenceResult) -> Iterator[dict[str, Any]]:
    """Yield the loader's batches. A batch without a readable image ends its loop, which is then resumed after it."""
    names = list(files)
    tile_counts = [1 if loader.tiles is None else len(loader.tiles.windows(s)) for s in _sizes_of(loader)]
    owners = np.repeat(np.arange(len(names)), tile_counts)
    while True:
        try:
            yield from loader
            break
        except UnreadableImageError:
            state = loader.state_dict()
            at = state["position"] * loader.batch_size
            for i in np.unique(owners[at : at + loader.batch_size]):
                result.unreadable[names[i]] = _diagnose(files[names[i]], loader.gray_scale)
            loader.load_state_dict({**state, "position": state["position"] + 1})
    for name in loader.skipped:
        result.unreadable[name] = _diagnose(files[name], loader.gray_scale)


def _sizes_of(loader: DetectionLoader) -> list[tuple[int, int]]:
    """Return (height, width) of every row."""
    table: Any = loader.dataset.with_format(None)
    return list(zip(table["height"], table["width"], strict=True))


def _diagnose(image: ImageFile, gray_scale: GrayScale | None) -> str:
    """Return a short reason why an image is unreadable; the loader's own message gives advice for datasets."""
    for file in (image.file, image.reference):
        try:
            if file is not None:
                Decoder(gray_scale)(str(file), color=True)
        except Exception as error:  # each image library raises its own kinds
            return _reason(error) if file == image.file else f"its template {file}: {_reason(error)}"
    return "the file changed while it was read"


def _reason(error: Exception) -> str:
    if isinstance(error, Image.UnidentifiedImageError):
        return "no image header"
    return " ".join(str(error).split()) or type(error).__name__


def _above(one: dict[str, Any], threshold: float) -> dict[str, Any]:
    """Keep the detections with at least this score, and all other entries."""
    keep = [i for i, score in enumerate(one["scores"]) if score >= threshold]
    return {**one, **{name: [one[name][i] for i in keep] for name in ("boxes", "scores", "labels")}}


def _merged(name: str, parts: list[dict[str, Any]], threshold: float) -> dict[str, Any]:
    merged = merge_tiles({"image_id": name, **part} for part in parts)[name]
    return _above({key: value.tolist() for key, value in merged.items()}, threshold)


def _best_first(one: dict[str, Any]) -> dict[str, Any]:
    order = sorted(range(len(one["scores"])), key=lambda i: -one["scores"][i])
    return {name: [one[name][i] for i in order] for name in ("boxes", "scores", "labels")}
