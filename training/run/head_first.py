"""Train neck and head on the feature maps of the frozen backbone, before the complete model is trained.

The maps are computed once (`feature_cache`), so that an epoch costs a fraction of a complete one, and the backbone is
not pulled about by the gradients of a random head.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm
from transformers import get_cosine_schedule_with_warmup

from loaders.loader import Loader
from radikal_datasets.errors import SettingsError
from training.models.dense import DenseDetector
from training.models.inputs import model_inputs
from training.run.feature_cache import FeatureMaps, key_of, open_cache, write_cache
from training.run.optimization import parameter_groups
from training.run.settings import Settings


def check_one_process(processes: int) -> None:
    """Refuse several processes: each would train a head of its own."""
    if processes > 1:
        raise SettingsError(
            f"head_first_epochs needs one process, but there are {processes}. Set it to 0, or start with it on one "
            "device and go on from its model with --model_name_or_path."
        )


def train_head(model: Any, loader: Loader, settings: Settings, *, folded: bool, shown: bool) -> None:
    """Train everything but the backbone for `head_first_epochs`, on the device of the model.

    Args:
        model: a `DenseDetector`; changed in place.
        loader: the run's training batches; at its beginning, and again afterwards.
        folded: see `model_inputs`.
        shown: draw progress bars.

    Raises:
        SettingsError: another kind of model, or maps that don't fit on the disk.
    """
    if not isinstance(model, DenseDetector):
        raise SettingsError(
            "head_first_epochs needs model_type dense: the other families' decoders learn too slowly for it. Set it to "
            "0, or choose dense."
        )
    maps = _feature_maps(model, loader, settings, folded=folded, shown=shown)
    batch = min(settings.per_device_train_batch_size, len(maps))
    steps = max(1, math.ceil(settings.head_first_epochs * len(maps) / settings.head_first_views / batch))
    trained = torch.nn.ModuleDict({name: part for name, part in model.named_children() if name != "backbone"})
    groups = parameter_groups(trained, settings.learning_rate, 0.0, settings.weight_decay)
    optimizer = torch.optim.AdamW(groups, fused=model.device.type == "cpu")
    schedule = get_cosine_schedule_with_warmup(optimizer, min(settings.warmup_steps, steps // 4), steps)
    random = np.random.default_rng(settings.seed)
    model.train()
    bar = _bar(steps, "head", "step", shown)
    order = np.empty(0, np.int64)
    for _ in range(steps):
        if len(order) < batch:
            order = np.concatenate([order, random.permutation(len(maps))])
        chosen, order = order[:batch], order[batch:]
        features, labels = maps.batch(chosen, model.device)
        features = [one.contiguous(memory_format=torch.channels_last) for one in features]
        output = model(feature_maps=features, labels=labels)
        output.loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(trained.parameters(), settings.max_grad_norm)
        if math.isfinite(norm):
            optimizer.step()
        schedule.step()
        model.zero_grad()
        bar.set_postfix(loss=f"{output.loss.item():.3f}", refresh=False)
        bar.update(1)
    bar.close()


def _feature_maps(
    model: DenseDetector, loader: Loader, settings: Settings, *, folded: bool, shown: bool
) -> FeatureMaps:
    """Return the cached maps of the training images; they are computed if they are not there."""
    facts = {
        "dataset": getattr(loader.dataset, "_fingerprint", None),
        "views": settings.head_first_views,
        "batch": loader.batch_size,
        "seed": loader.seed,
        "size": loader.image_size,
        "channels": loader.channels,
        "gray_scale": loader.gray_scale and loader.gray_scale.to_list(),
        "tiles": repr(loader.tiles),
        "augment": repr(loader.augment),
        "normalization": (loader.mean, loader.std),
        "resize": settings.resize,
        "folded": folded,
        "maps": model.config.feature_channels,
    }
    key = key_of(facts, model.backbone.state_dict().values())
    if (known := open_cache(key)) is not None:
        tqdm.write(f"feature maps of {len(known)} views: from the cache", file=sys.stderr) if shown else None
        return known
    views = settings.head_first_views * len(loader) * loader.batch_size
    bar = _bar(views, "feature maps", "view", shown)
    batches = _computed(model, loader, settings.head_first_views, folded=folded)
    maps = write_cache(key, batches, views, settings.feature_cache_gib, bar.update)
    bar.close()
    loader.set_epoch(0)
    return maps


@torch.no_grad()
def _computed(
    model: DenseDetector, loader: Loader, views: int, *, folded: bool
) -> Iterator[tuple[list[torch.Tensor], list[dict[str, torch.Tensor]]]]:
    """Yield maps and labels of every batch; each epoch of the loader is a view with an augmentation of its own."""
    model.backbone.eval()
    for epoch in range(views):
        loader.set_epoch(epoch)
        for batch in loader:
            inputs = model_inputs(batch, folded=folded, labels=True)
            pixels = inputs["pixel_values"].contiguous(memory_format=torch.channels_last)
            yield list(model.backbone(pixels).feature_maps), inputs["labels"]


def _bar(total: int, what: str, unit: str, shown: bool) -> tqdm[Any]:
    interval = 0.5 if sys.stderr.isatty() else 30
    return tqdm(total=total, desc=what, unit=unit, disable=not shown, mininterval=interval)
