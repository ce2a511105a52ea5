"""Feature maps of a frozen backbone on disk, for some views of every training image: computed once, used by all trials.

A cache is a folder, named by a digest of everything its maps depend on, so that a changed set, backbone, size or
augmentation never meets the maps of another. Folders live together in the cache of Hugging Face's libraries; when they
exceed a limit, those unused for the longest are removed.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import config

from radikal_datasets.errors import SettingsError

_META, _LABELS = "meta.json", "labels.npz"
GIB = 2**30
_DAY = 24 * 60 * 60  # seconds


@dataclass(frozen=True)
class FeatureMaps:
    """Maps and ground truth of n views.

    Attributes:
        levels: per level, finest first, float16 (n, channels, H, W), mapped from disk.
        labels: per view `class_labels`, int64 (b,), and `boxes`, float32 (b, 4), center x, center y, width, height as
            fractions.
    """

    levels: Sequence[np.ndarray]
    labels: list[dict[str, torch.Tensor]]

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, chosen: np.ndarray, device: torch.device) -> tuple[list[torch.Tensor], list[dict[str, Any]]]:
        """Return the maps, float32, and the labels of some views."""
        maps = [torch.from_numpy(level[chosen]).to(device).float() for level in self.levels]
        return maps, [{k: v.to(device) for k, v in self.labels[number].items()} for number in chosen.tolist()]


def folder_of_caches() -> Path:
    """Return the folder of all caches, inside the cache of Hugging Face's libraries (`HF_HOME`)."""
    return Path(config.HF_CACHE_HOME) / "radikal_datasets" / "features"


def key_of(facts: Mapping[str, Any], weights: Iterable[torch.Tensor]) -> str:
    """Return a digest of plain values and of tensors."""
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode())
    for tensor in weights:
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]


def open_cache(key: str) -> FeatureMaps | None:
    """Return a complete cache; None if there is none. A damaged one is removed."""
    folder = folder_of_caches() / key
    if not folder.is_dir():
        return None
    try:
        meta = json.loads((folder / _META).read_text(encoding="utf-8"))
        levels = [
            np.memmap(folder / f"level{i}.f16", np.float16, "r", shape=tuple(shape))
            for i, shape in enumerate(meta["shapes"])
        ]
        with np.load(folder / _LABELS) as stored:
            boxes, classes, counts = (torch.from_numpy(stored[name]) for name in ("boxes", "classes", "counts"))
        if any((folder / f"level{i}.f16").stat().st_size != level.nbytes for i, level in enumerate(levels)):
            raise ValueError("a file of another size")
        parts = zip(classes.split(counts.tolist()), boxes.split(counts.tolist()), strict=True)
        labels = [{"class_labels": one, "boxes": box} for one, box in parts]
        if any(len(level) != len(labels) for level in levels):
            raise ValueError("another number of views")
        os.utime(folder)  # the last use
    except (OSError, ValueError, KeyError, TypeError):
        shutil.rmtree(folder, ignore_errors=True)
        return None
    return FeatureMaps(levels, labels)


def write_cache(
    key: str,
    batches: Iterable[tuple[list[torch.Tensor], list[dict[str, torch.Tensor]]]],
    views: int,
    limit_gib: float,
    advance: Callable[[int], object],
) -> FeatureMaps:
    """Compute and store a cache.

    Args:
        batches: maps (per level (B, channels, H, W)) and labels of each batch.
        views: number of images in all batches, at most.
        limit_gib: the most that all caches together may take.
        advance: called with the number of views done.

    Raises:
        SettingsError: this cache alone would exceed the limit, or the disk is too full.
    """
    root = folder_of_caches()
    staged = root / f".{key}-{uuid.uuid4().hex[:8]}"
    shapes, labels = list[list[int]](), list[dict[str, torch.Tensor]]()
    try:
        with ExitStack() as opened:
            files: list[Any] = []
            for maps, found in batches:
                if not files:
                    shapes = [list(one.shape[1:]) for one in maps]
                    _make_room(root, sum(2 * math.prod(shape) for shape in shapes) * views, limit_gib)
                    staged.mkdir(parents=True)
                    files = [opened.enter_context((staged / f"level{i}.f16").open("wb")) for i, _ in enumerate(shapes)]
                for file, one in zip(files, maps, strict=True):
                    file.write(one.half().contiguous().cpu().numpy().tobytes())
                labels += [{name: value.cpu() for name, value in one.items()} for one in found]
                advance(len(found))
        np.savez(
            staged / _LABELS,
            boxes=torch.cat([one["boxes"] for one in labels]).reshape(-1, 4).numpy(),
            classes=torch.cat([one["class_labels"] for one in labels]).numpy(),
            counts=np.array([len(one["class_labels"]) for one in labels]),
        )
        meta = {"shapes": [[len(labels), *shape] for shape in shapes]}
        (staged / _META).write_text(json.dumps(meta), encoding="utf-8")
        if not (root / key).exists():  # another run may have been faster
            staged.rename(root / key)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    cache = open_cache(key)
    assert cache is not None
    return cache


def _make_room(root: Path, size: int, limit_gib: float) -> None:
    """Remove caches, those unused for the longest first, until `size` bytes fit in.

    What another run is writing stays, unless nothing was added to it for a day: then that run was killed.

    Raises:
        SettingsError: they never will.
    """
    root.mkdir(parents=True, exist_ok=True)
    if size > limit_gib * GIB:
        raise SettingsError(
            f"The feature maps would take {size / GIB:.1f} GiB, but feature_cache_gib is {limit_gib:g}. Lower "
            "head_first_views or image_size, or raise feature_cache_gib."
        )
    known = sorted((folder for folder in root.iterdir() if folder.is_dir()), key=lambda folder: folder.stat().st_mtime)
    sizes = {folder: sum(file.stat().st_size for file in folder.iterdir()) for folder in known}
    for folder in known:
        if folder.name.startswith(".") and time.time() - folder.stat().st_mtime < _DAY:
            continue
        if sum(sizes.values()) + size <= limit_gib * GIB:
            break
        shutil.rmtree(folder, ignore_errors=True)
        del sizes[folder]
    if (free := shutil.disk_usage(root).free) < size + GIB // 2:
        raise SettingsError(
            f"The feature maps would take {size / GIB:.1f} GiB, but {root} has {free / GIB:.1f} GiB left. Lower "
            "head_first_views or image_size, or set HF_HOME to a larger disk."
        )
