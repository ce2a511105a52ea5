"""Arrow rows to batches on the device.

`DetectionLoader` turns one split of a dataset with radikal_datasets' schema into the dicts that transformers' detection
models take. Imports go one way: `training -> loaders -> radikal_datasets`.
"""

from loaders.augmentation import Augmentation
from loaders.detection import DetectionLoader
from loaders.normalization import IMAGENET_MEAN, IMAGENET_STD

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "Augmentation", "DetectionLoader"]
