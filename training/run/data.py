"""Load the splits of a run and create their loaders, from its settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import datasets
import datasets.exceptions
from accelerate import Accelerator

from loaders import Augmentation, ClassificationLoader, DetectionLoader, Tiling, cpu_cores
from loaders.loader import Loader
from loaders.records import COLUMNS
from radikal_datasets import combine, load_dataset
from radikal_datasets.checks.splits import check_splits
from radikal_datasets.errors import RadikalError, SettingsError, TrainingDataError
from training.run.settings import Settings

#: The settings that augment: every field of `Augmentation`, with the same name; its `scale` is `scale_jitter` here.
AUGMENTATIONS = tuple(field.name for field in dataclasses.fields(Augmentation) if field.name != "scale")


def load_splits(settings: Settings) -> datasets.DatasetDict:
    """Load all splits of the run's dataset with `radikal_datasets.load_dataset`.

    Raises:
        SettingsError: data_dir contradicts dataset_name.
        TrainingDataError: the dataset cannot be loaded, or has no train split.
        ColumnsError, AnnotationsError: see `radikal_datasets.checks`.
        radikal_datasets.errors.RadikalError: raised by load_dataset; SourceNotFoundError if there is no data.
    """
    protocol: dict[str, Any] = {} if settings.protocol is None else {"protocol": settings.protocol}
    name, folder = settings.dataset_name, Path(settings.dataset_name)
    is_folder = folder.is_dir() and not name.startswith("radikal_datasets/")
    if is_folder and settings.data_dir is not None and not (folder / settings.data_dir).exists():
        raise SettingsError(
            f"The dataset folder {name} (dataset_name) does not contain {settings.data_dir} (data_dir). Omit "
            "--data_dir, or pass another folder as --dataset_name."
        )
    own = {"name": settings.dataset_config_name, "data_dir": settings.data_dir, **protocol}
    try:
        if settings.combine_with is None:
            splits = load_dataset(name, **own)
        else:
            first = {"path": name, **{key: value for key, value in own.items() if value is not None}}
            splits = combine([first, *settings.combine_with], labels=settings.combine_labels)
    except RadikalError:
        raise
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise TrainingDataError(_not_loaded(settings, error)) from error
    if "train" not in splits:
        raise TrainingDataError(
            f"{name} has no train split, only {', '.join(map(str, splits))}. Training needs one: add it, or choose "
            "another dataset."
        )
    check_splits(splits, COLUMNS, what=f"Split {{split}} of {name}")
    return splits


def _not_loaded(settings: Settings, error: Exception) -> str:
    """Return a one-line message for a dataset that does not exist or cannot be read."""
    name, config = settings.dataset_name, settings.dataset_config_name
    cause = " ".join(str(error).split()) or type(error).__name__
    if config is not None and "not found. Available" in cause:
        cause += " Pass one of them as --dataset_config_name, or null for none."
    elif not Path(name).exists():
        cause = f"there is no such folder in {Path.cwd()}, and loading it as a Hub repository failed: {cause}"
    return f"Cannot load dataset_name {name}: {cause}"


def class_names(split: datasets.Dataset) -> list[str]:
    """Return the class names, in the order of their indices."""
    return list(split.features["labels"].feature.names)


def remarks(splits: Mapping[Any, datasets.Dataset]) -> list[str]:
    """Return warnings worth reading before hours of training: missing or unannotated splits, classes without images."""
    lines, missing = [], {}
    for name in ("validation", "test"):
        if name not in splits:
            missing[name] = f"There is no {name} split"
        elif not any(splits[name]["annotated"]):
            missing[name] = f"No image of the {name} split is annotated"
    if len(missing) == 2:
        lines.append(". ".join(missing.values()) + ". Nothing will be scored, and best/ will hold the last model.")
    elif "test" in missing:
        lines.append(f"{missing['test']}: only the validation split will be scored.")
    elif "validation" in missing:
        lines.append(
            f"{missing['validation']}: only the test split will be scored, with the last "
            "model, which best/ will hold. No operating point is chosen."
        )
    train = splits["train"].select_columns(["annotated", "labels"]).with_format("arrow")[:]
    rows = zip(train["annotated"].to_pylist(), train["labels"].to_pylist(), strict=True)
    held = {label for annotated, labels in rows if annotated for label in labels}
    if absent := [name for i, name in enumerate(class_names(splits["train"])) if i not in held]:
        lines.append(f"No training image contains these classes: {', '.join(absent)}.")
    return lines


def train_loader(split: datasets.Dataset, settings: Settings, accelerator: Accelerator, **options: Any) -> Loader:
    """Create the loader of this rank's shuffled, augmented training batches.

    Args:
        options: other arguments of the loader, such as `mean` and `std`; `target` selects ClassificationLoader.
    """
    augment = augmentation(settings)
    if augment is not None and augment.flaws and len(names := class_names(split)) > 1:
        raise SettingsError(
            f"flaws is {augment.flaws}, but a drawn blob has no class of its own among {', '.join(names[:5])}. Use it "
            "for sets with one class."
        )
    loader = _kind(options)(
        split,
        settings.per_device_train_batch_size,
        settings.canvas,
        augment=augment,
        seed=settings.seed,
        drop_last=True,
        masks=settings.augment and settings.copy_paste > 0,
        **_common(settings, settings.empty_tiles, settings.tile_jitter, accelerator),
        **options,
    )
    if loader.num_images == 0:
        raise TrainingDataError(
            f"No image in the train split of {settings.dataset_name} is annotated. Training needs annotated images; "
            "unannotated ones are left out."
        )
    return loader


def augmentation(settings: Settings, *, plain: bool = False) -> Augmentation | None:
    """Return the augmentation that the settings describe; None if it is switched off.

    Args:
        plain: leave out the augmentations that look unlike any real image: mosaic, copy_paste, flaws and erase.

    Raises:
        SettingsError: a strength is out of range.
    """
    if not settings.augment:
        return None
    strengths = {name: getattr(settings, name) for name in AUGMENTATIONS}
    try:
        complete = Augmentation(scale=settings.scale_jitter, **strengths)
    except ValueError as error:
        raise SettingsError(str(error)) from error
    return dataclasses.replace(complete, mosaic=0.0, copy_paste=0.0, erase=0.0, flaws=0.0) if plain else complete


def eval_loader(
    splits: datasets.DatasetDict, name: str, settings: Settings, accelerator: Accelerator, **options: Any
) -> Any:
    """Create a loader of the split in its own order, without augmentation; None if it can't be scored (see `remarks`).

    Args:
        options: as for `train_loader`.
    """
    if name not in splits or not any(splits[name]["annotated"]):
        return None
    return _kind(options)(
        splits[name],
        settings.per_device_eval_batch_size or settings.per_device_train_batch_size,
        settings.canvas,
        shuffle=False,
        **_common(settings, 1.0, 0.0, accelerator),
        **options,
    )


def _kind(options: dict[str, Any]) -> Any:
    return ClassificationLoader if "target" in options else DetectionLoader


def _common(settings: Settings, empty_tiles: float, jitter: float, accelerator: Accelerator) -> dict[str, Any]:
    """Return the loader arguments shared by training and scoring."""
    size = settings.tile_size
    if isinstance(size, list) and len(size) != 2:
        raise SettingsError(
            f"tile_size is {size}; it must be an edge length or [height, width], in pixels of the file."
        )
    try:
        shape = (size[0], size[1]) if isinstance(size, list) else size
        tiles = None if shape is None else Tiling(shape, settings.tile_overlap, empty_tiles, jitter=jitter)
    except ValueError as error:
        raise SettingsError(
            f"Cannot split images into tiles (tile_size {size}, tile_overlap, empty_tiles): {error}"
        ) from error
    return {
        "device": accelerator.device,
        "rank": accelerator.process_index,
        "world_size": accelerator.num_processes,
        "threads": settings.dataloader_num_workers or max(1, cpu_cores() // accelerator.num_processes),
        "resize": settings.resize,
        "tiles": tiles,
        "channels": settings.channels,
    }
