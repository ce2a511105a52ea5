"""Industrial-inspection datasets behind one `load_dataset` call and one schema.

Importing this package is cheap: names are resolved when they are first used, and `datasets` and `huggingface_hub` are
adapted when somebody imports them. The names in `__all__` are the public API; everything else may change.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ._version import __version__
from ._when_imported import when_imported

if TYPE_CHECKING:
    from loaders import Augmentation, ClassificationLoader, DetectionLoader
    from training.using.predictor import Predictor

    from .combining import combine
    from .errors import RadikalError
    from .export import export_sets
    from .gray_scale import GrayScale
    from .hub.push import PushResult, push_to_hub
    from .leaks import find_leaks, without_leaks
    from .loading import load_dataset
    from .loading.sets import open_sets
    from .prepared.folder import build_hub_folder
    from .preview.preview import write_preview
    from .source import Source
    from .sources import list_sources, source_info
    from .stats.statistics import statistics
    from .verification import verify

#: Public name -> module that defines it. `loaders` needs the extra [train], `Predictor` [predict] or [train].
_MODULES = {
    "Augmentation": "loaders",
    "ClassificationLoader": "loaders",
    "DetectionLoader": "loaders",
    "GrayScale": "radikal_datasets.gray_scale",
    "Predictor": "training.using.predictor",
    "PushResult": "radikal_datasets.hub.push",
    "RadikalError": "radikal_datasets.errors",
    "Source": "radikal_datasets.source",
    "build_hub_folder": "radikal_datasets.prepared.folder",
    "combine": "radikal_datasets.combining",
    "export_sets": "radikal_datasets.export",
    "find_leaks": "radikal_datasets.leaks",
    "list_sources": "radikal_datasets.sources",
    "load_dataset": "radikal_datasets.loading",
    "open_sets": "radikal_datasets.loading.sets",
    "push_to_hub": "radikal_datasets.hub.push",
    "source_info": "radikal_datasets.sources",
    "statistics": "radikal_datasets.stats.statistics",
    "verify": "radikal_datasets.verification",
    "without_leaks": "radikal_datasets.leaks",
    "write_preview": "radikal_datasets.preview.preview",
}

__all__ = [
    "Augmentation",
    "ClassificationLoader",
    "DetectionLoader",
    "GrayScale",
    "Predictor",
    "PushResult",
    "RadikalError",
    "Source",
    "__version__",
    "build_hub_folder",
    "combine",
    "export_sets",
    "find_leaks",
    "list_sources",
    "load_dataset",
    "open_sets",
    "push_to_hub",
    "source_info",
    "statistics",
    "verify",
    "without_leaks",
    "write_preview",
]


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        value = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        extra = {"loaders": "train", "training.using.predictor": "predict"}.get(module)
        ours = ("loaders", "training", "radikal_datasets")
        if extra is None or error.name is None or error.name.startswith(ours):
            raise
        raise ModuleNotFoundError(
            f"{name} needs {error.name}, which is not installed: pip install 'radikal-datasets[{extra}]'",
            name=error.name,
        ) from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _adapt_huggingface_hub() -> None:
    from .hub_client import endpoint, response_checks

    endpoint.stay_at_endpoint()
    response_checks.install()


def _adapt_datasets() -> None:
    from . import _patch_datasets
    from .hub_client import endpoint

    endpoint.stay_at_endpoint()
    _patch_datasets.install()


when_imported("huggingface_hub", _adapt_huggingface_hub)
when_imported("datasets", _adapt_datasets)
