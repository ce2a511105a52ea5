"""The statistics of one split, or of all splits together, computed from its columns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from .columns import FORMATS, Columns

#: Cells along each edge of the maps of positions.
GRID = 32
#: Edge in pixels to which `training/train.py` stretches an image by default, and the shorter side below which
#: a box is called tiny there: one cell of the finest feature map (stride 8) of the detectors.
IMAGE_SIZE, TINY = 640, 8
#: Limits of COCO's small and medium boxes, square pixels.
COCO_AREAS = (32**2, 96**2)
#: Shares of the values that lie below each reported quantile.
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)

_CHUNK = 1 << 14  # boxes whose cells are computed at once


@dataclass(frozen=True)
class BoxSizes:
    """Sizes of B boxes.

    Attributes:
        width, height: float64 (B,): pixels of the file.
        share: float64 (B,): of the image's area, 0 to 1.
        shortest: float64 (B,): shorter side in pixels when the image is stretched to `IMAGE_SIZE` square.
    """

    width: np.ndarray
    height: np.ndarray
    share: np.ndarray
    shortest: np.ndarray

    def of(self, chosen: np.ndarray) -> BoxSizes:
        """Return the sizes of some boxes; `chosen` is a bool array (B,)."""
        return BoxSizes(self.width[chosen], self.height[chosen], self.share[chosen], self.shortest[chosen])

    @property
    def coco(self) -> dict[str, int]:
        """Number of small (area below 32²), medium (below 96²) and large boxes as defined by COCO, in file pixels."""
        small, medium = (int((self.width * self.height < limit).sum()) for limit in COCO_AREAS)
        return {"small": small, "medium": medium - small, "large": len(self.width) - medium}

    @property
    def tiny(self) -> int:
        """Number of boxes with a side under `TINY` pixels when the image is stretched to `IMAGE_SIZE` square."""
        return int((self.shortest < TINY).sum())

    def to_dict(self) -> dict[str, Any]:
        """Return quantiles (see `QUANTILES`) and counts; an empty dict if there are no boxes."""
        if not len(self.width):
            return {}
        measures = {
            "width": self.width,
            "height": self.height,
            "area": self.width * self.height,
            "area_share": self.share,
            "aspect": self.width / self.height,
        }
        return {name: quantiles(values) for name, values in measures.items()} | self.coco | {"tiny": self.tiny}


@dataclass(frozen=True)
class SetStatistics:
    """Statistics of one split, or of all splits together.

    Everything about boxes and classes counts only annotated images.

    Attributes:
        classes: the class names, C of them.
        columns: what was read: about one number per image and five per box.
    """

    classes: list[str]
    columns: Columns

    @cached_property
    def images(self) -> dict[str, int]:
        """Counts: all, annotated, defect_free (annotated, without a box), unannotated."""
        annotated, total = int(self.columns.annotated.sum()), len(self.columns.annotated)
        clean = int((self.columns.annotated & (self.columns.counts == 0)).sum())
        return {"all": total, "annotated": annotated, "defect_free": clean, "unannotated": total - annotated}

    @property
    def defect_free_share(self) -> float | None:
        """Share of defect-free among the annotated images; None if there are none."""
        annotated = self.images["annotated"]
        return self.images["defect_free"] / annotated if annotated else None

    @cached_property
    def boxes_per_image(self) -> np.ndarray:
        """int64 (most boxes in an image + 1,): annotated images with 0, 1, 2 ... boxes."""
        return np.bincount(self.columns.counts[self.columns.annotated], minlength=1)

    @cached_property
    def class_boxes(self) -> np.ndarray:
        """int64 (C,): boxes of each class."""
        return np.bincount(self.columns.labels, minlength=len(self.classes))

    @cached_property
    def together(self) -> np.ndarray:
        """int64 (C, C): images that hold both classes; on the diagonal, images that hold the class."""
        count = len(self.columns.counts), len(self.classes)
        held = csr_array((np.ones(len(self.columns.labels), np.int64), (self._rows, self.columns.labels)), count)
        held.sum_duplicates()
        held.data[:] = 1
        return (held.T @ held).toarray()

    @property
    def class_images(self) -> np.ndarray:
        """int64 (C,): images that hold each class."""
        return self.together.diagonal()

    @cached_property
    def box_sizes(self) -> BoxSizes:
        """Sizes of all boxes."""
        boxes, sizes = self.columns.boxes.astype(np.float64), self.columns.sizes[self._rows]
        edges = boxes[:, 2:] - boxes[:, :2]
        relative = edges / sizes
        return BoxSizes(edges[:, 0], edges[:, 1], relative.prod(axis=1), relative.min(axis=1) * IMAGE_SIZE)

    @cached_property
    def places(self) -> np.ndarray:
        """float64 (C, GRID, GRID): boxes of a class that cover a cell, on average over the annotated images.

        Rows run from an image's top to its bottom, columns from left to right, whatever its size. A cell that a box
        partly covers counts by that part; overlapping boxes each count.
        """
        maps = np.zeros((len(self.classes), GRID, GRID))
        for label in np.unique(self.columns.labels):
            chosen = np.flatnonzero(self.columns.labels == label)
            for start in range(0, len(chosen), _CHUNK):
                part = chosen[start : start + _CHUNK]
                cells = self.columns.boxes[part] / np.tile(self.columns.sizes[self._rows[part]], 2) * GRID
                rows, across = _covered(cells[:, 1], cells[:, 3]), _covered(cells[:, 0], cells[:, 2])
                # Not `@`: on a busy machine BLAS's threads wait for each other, and take 20 times as long.
                maps[label] += np.einsum("ni,nj->ij", rows, across)
        return maps / max(1, self.images["annotated"])

    @cached_property
    def image_sizes(self) -> list[tuple[int, int, int]]:
        """Width, height and number of images, the most frequent first."""
        sizes, counts = np.unique(self.columns.sizes, axis=0, return_counts=True)
        order = np.argsort(-counts, kind="stable")
        return [(int(w), int(h), int(n)) for (w, h), n in zip(sizes[order], counts[order], strict=True)]

    @property
    def gray_histogram(self) -> np.ndarray | None:
        """float64 (256,): share of pixels at each gray level, every decoded image counting equally; or None."""
        return self.columns.gray.mean(axis=0, dtype=np.float64) if len(self.columns.gray) else None

    @property
    def brightness(self) -> np.ndarray:
        """float64 (S,): mean gray level of each decoded image."""
        return self.columns.gray @ np.arange(256.0)

    @property
    def contrast(self) -> np.ndarray:
        """float64 (S,): standard deviation of the gray levels of each decoded image."""
        squares = self.columns.gray @ np.arange(256.0) ** 2
        return np.sqrt(np.maximum(squares - self.brightness**2, 0))

    @property
    def files(self) -> dict[str, tuple[int, int]]:
        """File format -> (files, bytes), for the formats that occur."""
        held = ((name, self.columns.formats == number) for number, name in enumerate(FORMATS))
        return {name: (int(of.sum()), int(self.columns.file_bytes[of].sum())) for name, of in held if of.any()}

    @property
    def undecodable(self) -> int:
        """Number of images that should have been decoded and could not be."""
        return int(self.columns.undecodable[0])

    def boxes_of(self, label: int) -> BoxSizes:
        """Return the sizes of the boxes of one class."""
        return self.box_sizes.of(self.columns.labels == label)

    def to_dict(self, *, places_by_class: bool = False) -> dict[str, Any]:
        """Return everything, for JSON; maps are lists of rows."""
        counts = self.columns.counts[self.columns.annotated]
        gray = self.gray_histogram
        by_class = {
            name: {"boxes": int(boxes), "images": int(images), "box_sizes": self.boxes_of(label).to_dict()}
            for label, (name, boxes, images) in enumerate(
                zip(self.classes, self.class_boxes, self.class_images, strict=True)
            )
        }
        places: dict[str, Any] = {"all": _rounded(self.places.sum(axis=0), 6)}
        if places_by_class:
            places["by_class"] = dict(zip(self.classes, _rounded(self.places, 6), strict=True))
        return {
            "images": self.images,
            "defect_free_share": self.defect_free_share,
            "boxes": len(self.columns.labels),
            "boxes_an_image": {
                "mean": float(counts.mean()) if len(counts) else None,
                "histogram": [[n, int(images)] for n, images in enumerate(self.boxes_per_image) if images],
            },
            "classes": by_class,
            "together": self.together.tolist(),
            "box_sizes": self.box_sizes.to_dict(),
            "places": places,
            "image_sizes": [list(size) for size in self.image_sizes],
            "gray": {
                "images": len(self.columns.gray),
                "undecodable": self.undecodable,
                "histogram": None if gray is None else _rounded(gray, 8),
                "brightness": quantiles(self.brightness),
                "contrast": quantiles(self.contrast),
            },
            "files": {name: {"files": files, "bytes": size} for name, (files, size) in self.files.items()},
        }

    @cached_property
    def _rows(self) -> np.ndarray:
        """int64 (B,): the image of each box."""
        return np.repeat(np.arange(len(self.columns.counts)), self.columns.counts)


def quantiles(values: np.ndarray) -> list[float]:
    """Return the values at `QUANTILES`; an empty list if there are no values."""
    return _rounded(np.quantile(values, QUANTILES), 6) if len(values) else []


def _covered(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return float64 (n, GRID): the part of each cell k, k to k + 1, between low and high (n,), in cells."""
    cells = np.arange(GRID)
    return np.clip(np.minimum(high[:, None], cells + 1) - np.maximum(low[:, None], cells), 0, 1)


def _rounded(values: np.ndarray, digits: int) -> Any:
    return np.round(values.astype(np.float64), digits).tolist()
