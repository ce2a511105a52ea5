"""Augmentation of whole batches on the device, with boxes and masks moved along.

`Augmentation` holds the strengths and the order; `Batch` is what it takes and gives.
"""

from loaders.augmentation.augmentation import Augmentation
from loaders.augmentation.batch import Augment, Batch

__all__ = ["Augment", "Augmentation", "Batch"]
