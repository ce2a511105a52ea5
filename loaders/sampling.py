"""Choose the rows that make up an epoch: pure functions of the rows' labels, a seed and the epoch's number.

Random numbers are PCG64's raw 64-bit integers, and all arithmetic that decides is on integers or correctly rounded: the
same rows on every machine and with every numpy; torch's and numpy's global generators are neither used nor advanced.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow.compute as pc
from datasets import Dataset

from loaders.ordering import mix
from radikal_datasets.schema import require_columns

_ONE = 1 << 32  # fractions of repeat factors are stored as 32-bit fixed-point numbers


class Sampler(Protocol):
    """Chooses the rows of its dataset that an epoch shows."""

    def rows(self, seed: int, epoch: int) -> np.ndarray:
        """Return int64 row numbers of the dataset, in order; they may repeat, and each epoch has the same number."""
        ...


class ClassBalancedSampler:
    """Draw every class that the dataset holds equally often, and likewise "defect-free" if there are such images.

    The draws of an epoch are distributed evenly over the classes (counts differ by at most one; which classes get one
    more changes by epoch), and a class's draws evenly over its images: none repeats before all have occurred. An image
    with several classes is drawn for each of them.
    """

    def __init__(self, dataset: Dataset, num_samples: int | None = None) -> None:
        """Read the labels, but no images.

        Args:
            dataset: a split with radikal_datasets' columns.
            num_samples: rows per epoch; None: the number of annotated images.

        Raises:
            ValueError: no annotated image, a missing column, `num_samples` below 1.
        """
        rows = _read(dataset)
        if num_samples is not None and num_samples < 1:
            raise ValueError(f"num_samples is {num_samples}, but must be at least 1, or None.")
        self.num_samples = len(rows.annotated) if num_samples is None else num_samples
        self._classes = list(rows.rows_of_class.values())
        if len(rows.defect_free):
            self._classes.append(rows.defect_free)

    def rows(self, seed: int, epoch: int) -> np.ndarray:
        """Return int64 (num_samples,); see `Sampler.rows`."""
        bits = np.random.PCG64(mix(seed, epoch))
        count, more = divmod(self.num_samples, len(self._classes))
        counts = np.full(len(self._classes), count)
        counts[_order(bits, len(counts))[:more]] += 1
        drawn = [_evenly(bits, rows, count) for rows, count in zip(self._classes, counts.tolist(), strict=True)]
        return _shuffled(bits, np.concatenate(drawn))


class RepeatFactorSampler:
    """Show images of rare classes more often: the repeat factors of LVIS (Gupta et al. 2019, section 5).

    A class in the share f of the annotated images has the factor max(1, sqrt(threshold / f)), an image the largest
    factor of its classes, a defect-free image 1. An image occurs as often as the integer part of its factor, and once
    more in some epochs, according to the fractional part. To make every epoch equally long, these are picked by
    systematic sampling (equidistant points over the fractions, in an order that changes by epoch), and their number is
    the sum of all fractions, rounded down: over all images together, less than one repeat per epoch is lost.

    Attributes:
        factors: float64, one for each annotated image, in row order.
    """

    def __init__(self, dataset: Dataset, threshold: float = 0.1) -> None:
        """Read the labels, but no images.

        Args:
            dataset: a split with radikal_datasets' columns.
            threshold: classes in a smaller share of the images are repeated; LVIS, with 1,203 classes, has 0.001.

        Raises:
            ValueError: no annotated image, a missing column, `threshold` outside (0, 1].
        """
        rows = _read(dataset)
        if not 0 < threshold <= 1:
            raise ValueError(f"threshold is {threshold}, but must be a share of the images, above 0 and at most 1.")
        factors = np.ones(rows.num_rows)
        for rows_of_one in rows.rows_of_class.values():
            factor = np.sqrt(threshold * len(rows.annotated) / len(rows_of_one))
            factors[rows_of_one] = np.maximum(factors[rows_of_one], factor)
        self._annotated = rows.annotated
        self.factors = factors[rows.annotated]
        self._integers = self.factors.astype(np.int64)
        self._fractions = ((self.factors - self._integers) * _ONE).astype(np.int64)

    def rows(self, seed: int, epoch: int) -> np.ndarray:
        """Return an int64 array; its length is the sum of the repeat factors, rounded down. See `Sampler.rows`."""
        bits = np.random.PCG64(mix(seed, epoch))
        counts = self._integers.copy()
        total = int(self._fractions.sum())
        if more := total // _ONE:
            order = _order(bits, len(counts))
            step = total // more  # at least _ONE: no fraction is that large, so no image is picked twice
            points = int(bits.random_raw()) % step + step * np.arange(more)
            counts[order[np.searchsorted(np.cumsum(self._fractions[order]), points, side="right")]] += 1
        return _shuffled(bits, np.repeat(self._annotated, counts))


class DefectFreeRatioSampler:
    """Show all images with defects, and enough defect-free ones to make up the share `ratio` of the epoch.

    If there are more of these than an epoch needs, epochs use them in turn: in a run of as many epochs as the images
    suffice for, none repeats. If there are fewer, none repeats before all have occurred.
    """

    def __init__(self, dataset: Dataset, ratio: float) -> None:
        """Read the labels, but no images.

        Args:
            dataset: a split with radikal_datasets' columns.
            ratio: share of defect-free images in an epoch, from 0 to below 1; met as closely as possible.

        Raises:
            ValueError: no image with a defect, no defect-free one although `ratio` is above 0, a missing column, or
                `ratio` outside [0, 1).
        """
        rows = _read(dataset)
        if not 0 <= ratio < 1:
            raise ValueError(f"ratio is {ratio}, but must be the share of defect-free images, from 0 to below 1.")
        self._defective = np.setdiff1d(rows.annotated, rows.defect_free)
        self._defect_free = rows.defect_free
        if not len(self._defective):
            raise ValueError(
                f"None of the {len(rows.annotated)} annotated images has a defect, so no ratio can be kept."
            )
        if ratio > 0 and not len(self._defect_free):
            raise ValueError(
                f"ratio is {ratio}, but all {len(rows.annotated)} annotated images have a defect. Set ratio=0, or "
                "add defect-free images (annotated=True and no boxes)."
            )
        self._count = round(ratio / (1 - ratio) * len(self._defective))

    def rows(self, seed: int, epoch: int) -> np.ndarray:
        """Return int64 rows: all images with a defect and the chosen defect-free ones. See `Sampler.rows`."""
        bits = np.random.PCG64(mix(seed, epoch))
        there, count = len(self._defect_free), self._count
        if 0 < count <= there:
            run, place = divmod(epoch, there // count)
            turns = _order(np.random.PCG64(mix(seed, run, there)), there)  # the same for all epochs of a run
            drawn = self._defect_free[turns[place * count : (place + 1) * count]]
        else:
            drawn = _evenly(bits, self._defect_free, count)
        return _shuffled(bits, np.concatenate([self._defective, drawn]))


@dataclass(frozen=True)
class _Rows:
    """Row numbers, ascending: of the annotated images, of those without boxes, and by class of those that hold it."""

    num_rows: int
    annotated: np.ndarray
    defect_free: np.ndarray
    rows_of_class: dict[int, np.ndarray]


def _read(dataset: Dataset) -> _Rows:
    """Read two small Arrow columns in one pass.

    Raises:
        ColumnsError: a column is missing.
        ValueError: no annotated image, a streamed dataset.
    """
    if not isinstance(dataset, Dataset):
        raise ValueError(f"A sampler needs a Dataset, whose rows have numbers, but got a {type(dataset).__name__}.")
    require_columns(dataset, ("labels", "annotated"), what="The dataset given to a sampler")
    table = dataset.select_columns(["labels", "annotated"]).with_format("arrow")[:]
    annotated = table["annotated"].to_numpy().astype(bool)
    if not annotated.any():
        raise ValueError(f"None of the {len(dataset)} images is annotated, so there is nothing to train on.")
    lengths = pc.call_function("list_value_length", [table["labels"]]).fill_null(0).to_numpy()
    rows = np.repeat(np.arange(len(lengths)), lengths)
    labels = pc.call_function("list_flatten", [table["labels"]]).to_numpy()
    rows, labels = rows[annotated[rows]], labels[annotated[rows]]
    rows_of_class = {int(label): np.unique(rows[labels == label]) for label in np.unique(labels)}
    return _Rows(len(lengths), np.flatnonzero(annotated), np.flatnonzero(annotated & (lengths == 0)), rows_of_class)


def _order(bits: np.random.PCG64, count: int) -> np.ndarray:
    """Return a permutation of 0..count-1. (numpy's own may change between versions; the raw stream does not.)"""
    return np.argsort(bits.random_raw(count), kind="stable")


def _shuffled(bits: np.random.PCG64, rows: np.ndarray) -> np.ndarray:
    return rows[_order(bits, len(rows))].astype(np.int64)


def _evenly(bits: np.random.PCG64, rows: np.ndarray, count: int) -> np.ndarray:
    """Return `count` of the rows, each as often as any other or once more."""
    if count == 0:
        return rows[:0]
    every, more = divmod(count, len(rows))
    return np.concatenate([np.repeat(rows, every), rows[_order(bits, len(rows))[:more]]])
