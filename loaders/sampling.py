"""Which rows of a dataset make an epoch: pure functions of the rows' labels, a seed and the epoch's number.

Random numbers are PCG64's raw 64-bit integers, and all arithmetic that decides is on integers or correctly rounded: the
same rows on every machine and with every numpy; torch's and numpy's global generators are neither read nor moved.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow.compute as pc
from datasets import Dataset

from loaders.ordering import mix
from radikal_datasets.schema import require_columns

_ONE = 1 << 32  # fractions of repeat factors are kept as 32-bit fixed-point numbers


class Sampler(Protocol):
    """Decides which rows of the dataset it was made for an epoch shows."""

    def rows(self, seed: int, epoch: int) -> np.ndarray:
        """int64 row numbers of the dataset, in the order to show them; may repeat; equally many every epoch."""
        ...


class ClassBalancedSampler:
    """Every class that the dataset holds is drawn equally often, and so is "defect-free" where there are such images.

    The draws of an epoch are dealt evenly to the classes (counts differ by one at most; which classes get one more
    changes by epoch), and a class's draws evenly to its images: none comes again before all have come. An image with
    several classes is drawn for each of them.
    """

    def __init__(self, dataset: Dataset, num_samples: int | None = None) -> None:
        """Reads labels, no image.

        Args:
            dataset: a split with radikal_datasets' columns.
            num_samples: rows an epoch; None: as many as there are annotated images.

        Raises:
            ValueError: no annotated image, a column missing, `num_samples` below 1.
        """
        truth = _read(dataset)
        if num_samples is not None and num_samples < 1:
            raise ValueError(f"num_samples is {num_samples}; it must be at least 1, or None")
        self.num_samples = len(truth.annotated) if num_samples is None else num_samples
        self._classes = list(truth.rows_of_class.values())
        if len(truth.defect_free):
            self._classes.append(truth.defect_free)

    def rows(self, seed: int, epoch: int) -> np.ndarray:
        """int64 (num_samples,): see `Sampler`."""
        bits = np.random.PCG64(mix(seed, epoch))
        count, more = divmod(self.num_samples, len(self._classes))
        counts = np.full(len(self._classes), count)
        counts[_order(bits, len(counts))[:more]] += 1
        drawn = [_evenly(bits, rows, count) for rows, count in zip(self._classes, counts.tolist(), strict=True)]
        return _shuffled(bits, np.concatenate(drawn))


class RepeatFactorSampler:
    """Images of rare classes come more often: the repeat factors of LVIS (Gupta et al. 2019, section 5).

    A class in the share f of the annotated images has the factor max(1, sqrt(threshold / f)), an image the largest
    factor of its classes, a defect-free image 1. An image comes as often as its factor's whole part, and once more in
    some epochs, as its fractional part says. So that every epoch is equally long, these are picked by systematic
    sampling (equidistant points over the fractions, in an order that changes by epoch), and they are the sum of all
    fractions, rounded down: over all images together, less than one repeat an epoch falls short.

    Attributes:
        factors: float64, one for each annotated image, in row order.
    """

    def __init__(self, dataset: Dataset, threshold: float = 0.1) -> None:
        """Reads labels, no image.

        Args:
            dataset: a split with radikal_datasets' columns.
            threshold: classes in a smaller share of the images are repeated; LVIS, with 1,203 classes, has 0.001.

        Raises:
            ValueError: no annotated image, a column missing, `threshold` outside (0, 1].
        """
        truth = _read(dataset)
        if not 0 < threshold <= 1:
            raise ValueError(f"threshold is {threshold}; it is a share of the images, above 0 and at most 1")
        factors = np.ones(truth.num_rows)
        for rows in truth.rows_of_class.values():
            factor = np.sqrt(threshold * len(truth.annotated) / len(rows))
            factors[rows] = np.maximum(factors[rows], factor)
        self._annotated = truth.annotated
        self.factors = factors[truth.annotated]
        self._whole = self.factors.astype(np.int64)
        self._fractions = ((self.factors - self._whole) * _ONE).astype(np.int64)

    def rows(self, seed: int, epoch: int) -> np.ndarray:
        """int64, the sum of the factors rounded down many: see `Sampler`."""
        bits = np.random.PCG64(mix(seed, epoch))
        counts = self._whole.copy()
        total = int(self._fractions.sum())
        if more := total // _ONE:
            order = _order(bits, len(counts))
            step = total // more  # at least _ONE: no fraction is that large, so no image is picked twice
            points = int(bits.random_raw()) % step + step * np.arange(more)
            counts[order[np.searchsorted(np.cumsum(self._fractions[order]), points, side="right")]] += 1
        return _shuffled(bits, np.repeat(self._annotated, counts))


class DefectFreeRatioSampler:
    """All images with defects, and so many defect-free ones that they make up the share `ratio` of the epoch.

    Where there are more of these than an epoch takes, epochs take them in turn: in a run of as many epochs as the
    images suffice for, none comes twice. Where there are fewer, none comes again before all have come.
    """

    def __init__(self, dataset: Dataset, ratio: float) -> None:
        """Reads labels, no image.

        Args:
            dataset: a split with radikal_datasets' columns.
            ratio: defect-free images among all of an epoch, from 0 to below 1; met as closely as whole images can.

        Raises:
            ValueError: no image with a defect, no defect-free one though `ratio` is above 0, a column missing, `ratio`
                outside [0, 1).
        """
        truth = _read(dataset)
        if not 0 <= ratio < 1:
            raise ValueError(f"ratio is {ratio}; it is the share of defect-free images, from 0 to below 1")
        self._defective = np.setdiff1d(truth.annotated, truth.defect_free)
        self._defect_free = truth.defect_free
        if not len(self._defective):
            raise ValueError(
                f"none of the {len(truth.annotated)} annotated images has a defect: there is no share to keep"
            )
        if ratio > 0 and not len(self._defect_free):
            raise ValueError(
                f"ratio is {ratio}, but all {len(truth.annotated)} annotated images have a defect. Give ratio=0, or "
                "add defect-free images (annotated=True and no boxes)"
            )
        self._count = round(ratio / (1 - ratio) * len(self._defective))

    def rows(self, seed: int, epoch: int) -> np.ndarray:
        """int64, as many as images with a defect and the defect-free ones for them: see `Sampler`."""
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
class _Truth:
    """Row numbers, ascending: of the annotated images, of those without boxes, and by class of those that hold it."""

    num_rows: int
    annotated: np.ndarray
    defect_free: np.ndarray
    rows_of_class: dict[int, np.ndarray]


def _read(dataset: Dataset) -> _Truth:
    """One pass over two small Arrow columns.

    Raises:
        ColumnsError: a column is missing.
        ValueError: no annotated image, a streamed set.
    """
    if not isinstance(dataset, Dataset):
        raise ValueError(f"a sampler needs a Dataset, whose rows have numbers, not {type(dataset).__name__}")
    require_columns(dataset, ("labels", "annotated"), what="The dataset given to a sampler")
    table = dataset.select_columns(["labels", "annotated"]).with_format("arrow")[:]
    annotated = table["annotated"].to_numpy().astype(bool)
    if not annotated.any():
        raise ValueError(f"none of the {len(dataset)} images is annotated: there is nothing to train on")
    lengths = pc.call_function("list_value_length", [table["labels"]]).fill_null(0).to_numpy()
    rows = np.repeat(np.arange(len(lengths)), lengths)
    labels = pc.call_function("list_flatten", [table["labels"]]).to_numpy()
    rows, labels = rows[annotated[rows]], labels[annotated[rows]]
    rows_of_class = {int(label): np.unique(rows[labels == label]) for label in np.unique(labels)}
    return _Truth(len(lengths), np.flatnonzero(annotated), np.flatnonzero(annotated & (lengths == 0)), rows_of_class)


def _order(bits: np.random.PCG64, count: int) -> np.ndarray:
    """A permutation of 0..count-1. (numpy's own may change between versions; the raw stream does not.)"""
    return np.argsort(bits.random_raw(count), kind="stable")


def _shuffled(bits: np.random.PCG64, rows: np.ndarray) -> np.ndarray:
    return rows[_order(bits, len(rows))].astype(np.int64)


def _evenly(bits: np.random.PCG64, rows: np.ndarray, count: int) -> np.ndarray:
    """`count` of the rows, each as often as any other or once more."""
    if count == 0:
        return rows[:0]
    every, more = divmod(count, len(rows))
    return np.concatenate([np.repeat(rows, every), rows[_order(bits, len(rows))[:more]]])
