"""Load Arrow rows as batches on the device.

`DetectionLoader` and `ClassificationLoader` turn one split of a dataset with radikal_datasets' schema into the dicts
that transformers' and timm's models accept. Imports go one way: `training -> loaders -> radikal_datasets`. Names are
resolved when they are first used, so that decoding, resizing and tiles work without torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from loaders.augmentation import Augmentation
    from loaders.classification import ClassificationLoader
    from loaders.detection import DetectionLoader
    from loaders.loader import cpu_cores
    from loaders.normalization import GRAY_MEAN, GRAY_STD, IMAGENET_MEAN, IMAGENET_STD
    from loaders.sampling import ClassBalancedSampler, DefectFreeRatioSampler, RepeatFactorSampler
    from loaders.tiling import Tiling, merge_tiles

_MODULES = {
    "Augmentation": "augmentation",
    "ClassBalancedSampler": "sampling",
    "ClassificationLoader": "classification",
    "DefectFreeRatioSampler": "sampling",
    "DetectionLoader": "detection",
    "GRAY_MEAN": "normalization",
    "GRAY_STD": "normalization",
    "IMAGENET_MEAN": "normalization",
    "IMAGENET_STD": "normalization",
    "RepeatFactorSampler": "sampling",
    "Tiling": "tiling",
    "cpu_cores": "loader",
    "merge_tiles": "tiling",
}

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


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
