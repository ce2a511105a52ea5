"""Make plain `datasets.load_dataset("radikal_datasets/X", ...)` work too, by wrapping one function of `datasets`."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import datasets.inspect
import datasets.load

if TYPE_CHECKING:
    from datasets.load import DatasetModule


def install() -> None:
    """Replace `dataset_module_factory` in the two modules of `datasets` that hold it.

    An earlier ``from datasets import load_dataset`` works as well, since that function looks the factory up when it is
    called. The loading code is imported at the first call: this runs while `datasets` itself may be being imported.
    """
    original = datasets.load.dataset_module_factory
    if getattr(original, "_radikal_datasets", False):
        return

    @functools.wraps(original)
    def dataset_module_factory(path: str, revision: Any = None, *args: Any, **kwargs: Any) -> DatasetModule:
        from .loading.loading import module_for

        return module_for(original, path, revision, *args, **kwargs)

    dataset_module_factory._radikal_datasets = True  # type: ignore[attr-defined]  # a mark: replaced once only
    for module in (datasets.load, datasets.inspect):
        module.dataset_module_factory = dataset_module_factory  # type: ignore[assignment]  # its annotations differ
