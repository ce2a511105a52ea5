"""A detector over plain image files, prepared by the same loaders as in training."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import datasets
import numpy as np
from accelerate import Accelerator
from PIL import Image
from tqdm import tqdm

from loaders import DetectionLoader, Tiling, merge_tiles
from loaders.decoding import Decoder
from radikal_datasets.errors import ImageFileError, UnreadableImageError
from radikal_datasets.raw.images import MAX_PIXELS
from training import models
from training.scoring.detections import predict
from training.using.image_files import PictureFile
from training.using.trained_model import OpenedModel


@dataclass(frozen=True)
class Detections:
    """What was found in one image, best first.

    Attributes:
        picture: its file.
        size: (width, height) in pixels of the file.
        boxes: x_min y_min x_max y_max, in pixels of the file.
        scores, labels: one a box.
    """

    picture: PictureFile
    size: tuple[int, int]
    boxes: list[list[float]]
    scores: list[float]
    labels: list[int]


@dataclass
class Looked:
    """Of a whole run over images.

    Attributes:
        found: of every image that could be read, in the order of their names.
        broken: name -> what is wrong, of the others.
        seconds: for reading, decoding and detecting; without opening the model.
        device: where the model ran.
    """

    found: list[Detections] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    device: str = "cpu"


def look_for_defects(
    opened: OpenedModel,
    pictures: Sequence[PictureFile],
    threshold: float,
    *,
    tiles: Tiling | None = None,
    batch_size: int = 8,
) -> Looked:
    """Detections of every image with a score of at least `threshold`; images that can't be read are told, not fatal.

    Raises:
        ImageFileError: none of the images can be read.
    """
    accelerator = Accelerator(mixed_precision="no")
    model: Any = opened.model.to(accelerator.device)  # pyright: ignore[reportArgumentType]
    looked, started = Looked(device=accelerator.device.type), time.perf_counter()
    files, sizes = _readable(pictures, looked.broken)
    if files:
        loader = _loader(opened, list(files.values()), sizes, batch_size, tiles, accelerator)
        batches = (predict(model, opened.processor, batch, accelerator) for batch in _batches(loader, files, looked))
        with tqdm(total=len(pictures), initial=len(looked.broken), unit="image", disable=None) as bar:
            every = (one for batch in batches for one in batch)
            # Tiles of an image follow each other. What has half the threshold may still hide what a tile's edge cut.
            for name, parts in groupby(every, key=lambda one: one[0]):
                seen = [_above(part, threshold / 2 if tiles else threshold) for _, part in parts]
                whole = _merged(name, seen, threshold) if tiles else seen[0]
                looked.found.append(Detections(files[name], sizes[name], **_best_first(whole)))
                bar.update(1)
    looked.found = [one for one in looked.found if one.picture.name not in looked.broken]
    looked.seconds = time.perf_counter() - started
    if not looked.found:
        name, reason = next(iter(looked.broken.items()))
        raise ImageFileError(f"none of the {len(pictures)} images can be read, the first being {name}: {reason}")
    return looked


def _readable(
    pictures: Sequence[PictureFile], broken: dict[str, str]
) -> tuple[dict[str, PictureFile], dict[str, tuple[int, int]]]:
    """The files with an image header, by name, and the (width, height) it tells; the others go to `broken`."""
    files, sizes = {}, {}
    for one in pictures:
        try:
            with Image.open(one.file) as image:
                size = image.size
            if size[0] * size[1] > MAX_PIXELS:
                raise ValueError(f"header claims {size[0]}x{size[1]} pixels; taken for a decompression bomb")
            files[one.name], sizes[one.name] = one, size
        except Exception as error:  # Pillow's plugins raise OSError, SyntaxError, struct.error, ValueError ...
            broken[one.name] = _reason(error)
    return files, sizes


def _loader(
    opened: OpenedModel, files: Sequence[PictureFile], sizes: dict[str, tuple[int, int]], batch_size: int,
    tiles: Tiling | None, accelerator: Accelerator,
) -> DetectionLoader:  # fmt: skip
    resize: Any = "exact" if opened.settings is None else opened.settings.resize
    channels: Any = opened.channels
    # Not "auto": what is found in an image must not depend on the others.
    return DetectionLoader(
        _as_dataset(files, sizes, opened.class_names), batch_size, opened.canvas, device=accelerator.device,
        channels=channels, shuffle=False, resize=resize, tiles=tiles, on_error="skip",
        **models.normalization(opened.processor),
    )  # fmt: skip


def _as_dataset(files: Sequence[PictureFile], sizes: dict[str, tuple[int, int]], names: list[str]) -> datasets.Dataset:
    """The files as a split of paths, with nothing known of them."""
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
        "annotated": [True] * len(files),  # or the loader would leave them out
    }
    return datasets.Dataset.from_dict(columns, features=features)


def _batches(loader: DetectionLoader, files: dict[str, PictureFile], looked: Looked) -> Iterator[dict[str, Any]]:
    """The loader's batches; one without a single readable image ends its loop, which is begun again behind it."""
    names = list(files)
    windows = [1 if loader.tiles is None else len(loader.tiles.windows(s)) for s in _sizes_of(loader)]
    owners = np.repeat(np.arange(len(names)), windows)
    while True:
        try:
            yield from loader
            break
        except UnreadableImageError:
            state = loader.state_dict()
            at = state["position"] * loader.batch_size
            for i in np.unique(owners[at : at + loader.batch_size]):
                looked.broken[names[i]] = _what_is_wrong(files[names[i]])
            loader.load_state_dict({**state, "position": state["position"] + 1})
    for name in loader.skipped:
        looked.broken[name] = _what_is_wrong(files[name])


def _sizes_of(loader: DetectionLoader) -> list[tuple[int, int]]:
    """(height, width) of every row."""
    table: Any = loader.dataset.with_format(None)
    return list(zip(table["height"], table["width"], strict=True))


def _what_is_wrong(picture: PictureFile) -> str:
    """In a few words; the loader's own message gives advice for datasets."""
    for file in (picture.file, picture.reference):
        try:
            if file is not None:
                Decoder()(str(file), color=True)
        except Exception as error:  # as many kinds as there are image libraries
            return _reason(error) if file == picture.file else f"its template {file}: {_reason(error)}"
    return "it changed while it was read"


def _reason(error: Exception) -> str:
    if isinstance(error, Image.UnidentifiedImageError):
        return "no image header"
    return " ".join(str(error).split()) or type(error).__name__


def _above(one: dict[str, Any], threshold: float) -> dict[str, Any]:
    """The detections with at least that score; what else is there stays."""
    keep = [i for i, score in enumerate(one["scores"]) if score >= threshold]
    return {**one, **{name: [one[name][i] for i in keep] for name in ("boxes", "scores", "labels")}}


def _merged(name: str, parts: list[dict[str, Any]], threshold: float) -> dict[str, Any]:
    whole = merge_tiles({"image_id": name, **part} for part in parts)[name]
    return _above({key: value.tolist() for key, value in whole.items()}, threshold)


def _best_first(one: dict[str, Any]) -> dict[str, Any]:
    order = sorted(range(len(one["scores"])), key=lambda i: -one["scores"][i])
    return {name: [one[name][i] for i in order] for name in ("boxes", "scores", "labels")}
