"""Run a `Predictor` on many image files: read ahead by several threads, unreadable ones reported, not fatal."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from tqdm import tqdm

from radikal_datasets.errors import ImageFileError
from training.using.delivered import Preparation, Prepared
from training.using.image_files import ImageFile
from training.using.prediction import ModelFacts
from training.using.predictor import Predictor


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


def detect_defects(predictor: Predictor, images: Sequence[ImageFile], *, batch_size: int = 8) -> InferenceResult:
    """Return what the predictor finds in every image.

    Args:
        images: sorted by name, with the templates of a model of pairs.
        batch_size: images (or tiles) that the model gets at a time.

    Raises:
        ImageFileError: none of the images can be read.
    """
    result, started = InferenceResult(device=predictor.facts.device.partition(":")[0]), time.perf_counter()
    waiting: list[tuple[ImageFile, Prepared]] = []
    with tqdm(total=len(images), unit="image", disable=None) as bar:

        def finish() -> None:
            found = predictor.predictions([prepared for _, prepared in waiting], batch_size)
            for (image, _), one in zip(waiting, found, strict=True):
                result.detections.append(Detections(image, one.size, one.boxes, one.scores, one.labels))
            bar.update(len(waiting))
            waiting.clear()

        for image, prepared in _prepared(images, predictor.facts):
            if isinstance(prepared, ImageFileError):
                result.unreadable[image.name] = prepared.reason
                bar.update(1)
                continue
            waiting.append((image, prepared))
            if sum(len(one.planes) for _, one in waiting) >= batch_size:
                finish()
        finish()
    result.seconds = time.perf_counter() - started
    if not result.detections:
        name, reason = next(iter(result.unreadable.items()))
        raise ImageFileError(
            f"None of the {len(images)} images can be read; the first one is {name}: {reason}. Check the files."
        )
    return result


def _prepared(images: Sequence[ImageFile], facts: ModelFacts) -> Iterator[tuple[ImageFile, Prepared | ImageFileError]]:
    """Yield each image prepared, or the error that kept it from being so, in order."""
    own = threading.local()

    def prepare(image: ImageFile) -> Prepared | ImageFileError:
        if not hasattr(own, "preparation"):  # one per thread: it reuses memory
            own.preparation = Preparation(facts)
        try:
            return own.preparation(image.file, image.reference)
        except ImageFileError as error:
            return error

    threads = min(8, os.cpu_count() or 1)
    pending: deque[tuple[ImageFile, Future[Prepared | ImageFileError]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for image in images:
                pending.append((image, pool.submit(prepare, image)))
                if len(pending) > 2 * threads:
                    first, future = pending.popleft()
                    yield first, future.result()
            for first, future in pending:
                yield first, future.result()
        finally:
            pool.shutdown(cancel_futures=True)
