"""Augmentation of batches on the device; boxes and masks are transformed along.

`Augmentation` holds the strengths and the order; `Batch` is its input and output.
"""

from loaders.augmentation.augmentation import Augmentation
from loaders.augmentation.batch import Augment, Batch

__all__ = ["Augment", "Augmentation", "Batch"]
