"""What a `Predictor` returns for one image, and what it knows of its model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from loaders.canvas import Channels
from loaders.decoding import Resize
from loaders.merging import Found
from loaders.tiling import Tiling
from radikal_datasets.gray_scale import GrayScale


@dataclass(frozen=True)
class Prediction:
    """Detections in one image, highest score first.

    Attributes:
        size: (width, height) in pixels of the image as it is displayed: EXIF orientation applied.
        boxes: x_min, y_min, x_max, y_max in these pixels, one list per detection.
        scores: from 0 to 1, one per box; all at least `threshold`.
        labels: class numbers, one per box.
        names: class names, one per box.
        threshold: the least score.
        verdict: "bad" if there is a detection, else "good", when the threshold is an operating point: the one stored
            with the model, or the `threshold` that was passed. None if there is neither.
    """

    size: tuple[int, int]
    boxes: list[list[float]]
    scores: list[float]
    labels: list[int]
    names: list[str]
    threshold: float
    verdict: str | None

    def to_dict(self) -> dict[str, Any]:
        """Return the prediction for JSON; boxes are rounded to 0.01 pixel and scores to six digits."""
        detections = [
            {
                "name": name,
                "label": label,
                "score": round(score, 6),
                "box": [round(edge, 2) for edge in box],
            }
            for name, label, score, box in zip(self.names, self.labels, self.scores, self.boxes, strict=True)
        ]
        width, height = self.size
        return {"verdict": self.verdict, "width": width, "height": height, "detections": detections}


@dataclass(frozen=True)
class ModelFacts:
    """How a model was trained to see images.

    Attributes:
        where: the path or name as the user gave it.
        class_names: in the order of their numbers.
        canvas: (height, width) in pixels of the model's input.
        channels: what the planes of its input are.
        resize: how images were resized.
        gray_scale: of images of more than 8 bits; None: it was trained on 8 bits.
        tiles: how images were split into tiles; None: they were not.
        threshold: the stored operating point; None if there is none.
        device: what it runs on.
    """

    where: str
    class_names: list[str]
    canvas: tuple[int, int]
    channels: Channels
    resize: Resize
    gray_scale: GrayScale | None
    tiles: Tiling | None
    threshold: float | None
    device: str

    @property
    def shown_gray_scale(self) -> GrayScale:
        """The scale on which images of more than 8 bits are drawn: a model of 8 bits gets the upper byte of 16."""
        return self.gray_scale or GrayScale.of_bits(16)


class Detector(Protocol):
    """A model that finds boxes in prepared images: by torch or by onnxruntime."""

    facts: ModelFacts

    def detect(self, planes: np.ndarray, sizes: Sequence[tuple[int, int]]) -> list[Found]:
        """Return the detections of each image, highest score first, boxes clipped to the image.

        Args:
            planes: uint8 (N, H, W) gray, (N, H, W, 3) RGB or (N, 3, H, W) pair, see `loaders.canvas.Canvas`.
            sizes: (height, width) of each image, in whose pixels the boxes are returned.
        """
        ...
