"""From settings to the splits of a run and their loaders."""

from __future__ import annotations

from typing import Any

import datasets
from accelerate import Accelerator

from loaders import Augmentation, DetectionLoader
from radikal_datasets import load_dataset
from training.settings import Settings, SettingsError


def load_splits(settings: Settings) -> datasets.DatasetDict:
    """All splits of the run's dataset, by `radikal_datasets.load_dataset`.

    Raises:
        SettingsError: there is no train split.
        radikal_datasets.errors.RadikalError: as load_dataset raises it; SourceNotFoundError where there are no data.
    """
    protocol: dict[str, Any] = {} if settings.protocol is None else {"protocol": settings.protocol}
    splits = load_dataset(settings.dataset_name, settings.dataset_config_name, data_dir=settings.data_dir, **protocol)
    if "train" not in splits:
        raise SettingsError(f"{settings.dataset_name} has no train split; it has {', '.join(map(str, splits))}")
    return splits


def class_names(split: datasets.Dataset) -> list[str]:
    """Names of the classes, in the order of their indices."""
    return list(split.features["labels"].feature.names)


def train_loader(split: datasets.Dataset, settings: Settings, accelerator: Accelerator, **norm: Any) -> DetectionLoader:
    """Shuffled, augmented batches of this rank."""
    augment = Augmentation(
        settings.flip_horizontal, settings.flip_vertical, settings.scale_jitter, settings.brightness,
        settings.contrast, settings.noise,
    )  # fmt: skip
    loader = DetectionLoader(
        split, settings.per_device_train_batch_size, settings.canvas, device=accelerator.device,
        augment=augment if settings.augment else None, seed=settings.seed, drop_last=True,
        rank=accelerator.process_index, world_size=accelerator.num_processes,
        num_workers=settings.dataloader_num_workers, **norm,
    )  # fmt: skip
    if loader.num_images == 0:
        raise SettingsError(f"{settings.dataset_name}: the train split has no annotated image")
    return loader


def eval_loader(
    splits: datasets.DatasetDict, name: str, settings: Settings, accelerator: Accelerator, **norm: Any
) -> DetectionLoader | None:
    """The split in its own order without augmentation; None, told in a line, where there is nothing to score."""
    if name not in splits or not any(splits[name]["annotated"]):
        has = f"it has {', '.join(map(str, splits))}" if name not in splits else "none of its images is annotated"
        accelerator.print(f"no {name} split to score ({has}): the run goes on without {name} scores")
        return None
    return DetectionLoader(
        splits[name], settings.per_device_eval_batch_size or settings.per_device_train_batch_size, settings.canvas,
        device=accelerator.device, shuffle=False, rank=accelerator.process_index, world_size=accelerator.num_processes,
        num_workers=settings.dataloader_num_workers, **norm,
    )  # fmt: skip
