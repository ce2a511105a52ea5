"""Load Arrow rows as batches on the device.

`DetectionLoader` and `ClassificationLoader` turn one split of a dataset with radikal_datasets' schema into the dicts
that transformers' and timm's models accept. Imports go one way: `training -> loaders -> radikal_datasets`.
"""

from loaders.augmentation import Augmentation
from loaders.classification import ClassificationLoader
from loaders.detection import DetectionLoader
from loaders.loader import cpu_cores
from loaders.normalization import GRAY_MEAN, GRAY_STD, IMAGENET_MEAN, IMAGENET_STD
from loaders.sampling import ClassBalancedSampler, DefectFreeRatioSampler, RepeatFactorSampler
from loaders.tiling import Tiling, merge_tiles

__all__ = [
    "GRAY_MEAN",
    "GRAY_STD",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "Augmentation",
    "ClassBalancedSampler",
    "ClassificationLoader",
    "DefectFreeRatioSampler",
    "DetectionLoader",
    "RepeatFactorSampler",
    "Tiling",
    "cpu_cores",
    "merge_tiles",
]
