"""The dense detector: backbone, a small neck that mixes its maps, and heads that predict a box at every place.

The design follows published anchor-free detectors: a path-aggregation neck (PANet), separate towers for classes and
boxes (FCOS), distances to the four sides (FCOS), class scores that estimate the box's overlap (Generalized Focal Loss),
and task-aligned assignment of several places per box (TOOD). Duplicates are removed after the forward pass
(`image_processing`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.functional import interpolate
from transformers import AutoBackbone, PreTrainedModel
from transformers.utils.generic import ModelOutput

from training.models.dense.configuration import DenseDetectorConfig
from training.models.dense.losses import dense_loss

#: Initial probability of every class, as for the other families with a focal loss.
_CLASS_PRIOR = 0.01
#: Initial distance to a side, in strides (natural logarithm).
_FIRST_DISTANCE = 0.7


@dataclass
class DenseDetectorOutput(ModelOutput):
    """Predictions at P places of all levels, finest level first.

    Attributes:
        loss: if labels were given.
        loss_dict: its terms.
        logits: (N, P, classes).
        pred_boxes: (N, P, 4), center x, center y, width, height as fractions of the input.
    """

    loss: torch.Tensor | None = None
    loss_dict: dict[str, torch.Tensor] | None = None
    logits: torch.Tensor | None = None
    pred_boxes: torch.Tensor | None = None


class _ClassHead(nn.Conv2d):
    """The last layer of the class scores; a class of its own, so that it is known when it is initialized."""


class _BoxHead(nn.Conv2d):
    """The last layer of the box sides."""


class _Neck(nn.Module):
    """Adds every level to the next finer one, and the results to the next coarser ones."""

    def __init__(self, channels: list[int], width: int) -> None:
        super().__init__()
        steps = range(len(channels) - 1)
        self.lateral = nn.ModuleList(_convolution(one, width, kernel=1) for one in channels)
        self.finer = nn.ModuleList(_convolution(width, width) for _ in steps)
        self.down = nn.ModuleList(_convolution(width, width, stride=2) for _ in steps)
        self.coarser = nn.ModuleList(_convolution(width, width) for _ in steps)

    def forward(self, maps: list[torch.Tensor]) -> list[torch.Tensor]:
        """Mix maps of all levels, finest first; the same sizes come out, with `width` channels."""
        levels = [layer(one) for layer, one in zip(self.lateral, maps, strict=True)]
        for i in reversed(range(len(levels) - 1)):
            above = interpolate(levels[i + 1], size=levels[i].shape[-2:], mode="nearest")
            levels[i] = self.finer[i](levels[i] + above)
        for i in range(len(levels) - 1):
            below = self.down[i](levels[i])
            if below.shape[-2:] != levels[i + 1].shape[-2:]:  # odd sizes: backbones round down or up
                below = interpolate(below, size=levels[i + 1].shape[-2:], mode="nearest")
            levels[i + 1] = self.coarser[i](levels[i + 1] + below)
        return levels


class DenseDetector(PreTrainedModel):
    """Backbone, neck and heads. See the module's docstring for the parts' sources."""

    config_class = DenseDetectorConfig
    base_model_prefix = "model"
    main_input_name = "pixel_values"

    def __init__(self, config: DenseDetectorConfig) -> None:
        super().__init__(config)
        width, levels = config.width, len(config.feature_channels)
        self.backbone = AutoBackbone.from_config(config.backbone_config)
        self.neck = _Neck(config.feature_channels, width)
        self.class_towers = nn.ModuleList(_tower(width, config.tower_layers) for _ in range(levels))
        self.box_towers = nn.ModuleList(_tower(width, config.tower_layers) for _ in range(levels))
        self.class_head = _ClassHead(width, len(config.id2label or {}), 1)
        self.box_head = _BoxHead(width, 4 * max(1, config.distance_bins), 1)
        self.loss_function = dense_loss
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Initialize the neck and the heads; timm's backbone initializes itself."""
        if isinstance(module, _ClassHead):
            nn.init.normal_(module.weight, 0, 0.01)
            nn.init.constant_(module.bias, -math.log((1 - _CLASS_PRIOR) / _CLASS_PRIOR))  # pyright: ignore[reportArgumentType]  # a bias may be None, and here is not
        elif isinstance(module, _BoxHead):
            nn.init.normal_(module.weight, 0, 0.01)
            nn.init.constant_(module.bias, 0.0 if self.config.distance_bins else _FIRST_DISTANCE)  # pyright: ignore[reportArgumentType]  # as above

    def forward(
        self,
        pixel_values: torch.Tensor | None = None,
        pixel_mask: torch.Tensor | None = None,  # part of every detector's signature
        labels: list[dict[str, torch.Tensor]] | None = None,
        return_dict: bool | None = None,  # a pipeline may pass it
        feature_maps: list[torch.Tensor] | None = None,
        **_: Any,
    ) -> DenseDetectorOutput:
        """Predict boxes.

        Args:
            pixel_values: (N, channels, H, W).
            feature_maps: the backbone's maps, finest first, instead of pixels.
            labels: per image `class_labels`, (n,), and `boxes`, (n, 4), center x, center y, width, height as fractions;
                with them, a loss is computed.
        """
        maps = list(self.backbone(pixel_values).feature_maps) if feature_maps is None else feature_maps
        logits, sides, points, strides = [], [], [], []
        for level, one in enumerate(self.neck(maps)):
            logits.append(self.class_head(self.class_towers[level](one)).flatten(2).transpose(1, 2))
            sides.append(self.box_head(self.box_towers[level](one)).flatten(2).transpose(1, 2))
            at = _places(one)
            points.append(at)
            height, width = one.shape[-2:]
            strides.append(at.new_tensor([1 / width, 1 / height]).expand_as(at))
        where, stride = torch.cat(points), torch.cat(strides)
        scores = torch.cat(logits, 1)
        # In float32 also under autocast: an exponential, and differences between nearly equal fractions.
        raw = torch.cat(sides, 1).float()
        reach = self._distances(raw) * stride.repeat(1, 2)
        low, high = where - reach[..., :2], where + reach[..., 2:]
        boxes = torch.cat([(low + high) / 2, high - low], -1)
        loss, terms = None, None
        if labels is not None:
            loss, terms = self.loss_function(
                scores, torch.cat([low, high], -1), labels, points=where, strides=stride, raw=raw, config=self.config
            )
        return DenseDetectorOutput(loss=loss, loss_dict=terms, logits=scores, pred_boxes=boxes)

    def _distances(self, raw: torch.Tensor) -> torch.Tensor:
        """Convert the box head's output to distances to left, top, right, bottom, (N, P, 4), in strides."""
        bins = self.config.distance_bins
        if not bins:
            return raw.clamp(max=4).exp()
        shares = raw.unflatten(-1, (4, bins)).softmax(-1)
        return (shares * torch.arange(bins, dtype=raw.dtype, device=raw.device)).sum(-1)


def _convolution(before: int, after: int, *, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(after), nn.SiLU()
    )


def _tower(width: int, layers: int) -> nn.Sequential:
    return nn.Sequential(*(_convolution(width, width) for _ in range(layers)))


def _places(one: torch.Tensor) -> torch.Tensor:
    """Return the centers of a map's places, (H * W, 2), x and y as fractions, in float32."""
    height, width = one.shape[-2:]
    down, across = (
        (torch.arange(count, dtype=torch.float32, device=one.device) + 0.5) / count for count in (height, width)
    )
    y, x = torch.meshgrid(down, across, indexing="ij")
    return torch.stack([x, y], -1).reshape(-1, 2)
