"""Configuration of the dense detector."""

from __future__ import annotations

from typing import Any

from transformers import AutoConfig, PreTrainedConfig


class DenseDetectorConfig(PreTrainedConfig):
    """Configuration of a `DenseDetector`.

    Args:
        backbone_config: a backbone that `AutoBackbone` builds, with the feature maps the detector uses.
        feature_channels: channels of these maps, finest first.
        width: channels of the neck and the heads.
        tower_layers: 3x3 convolutions before the class and the box predictions of every level.
        distance_bins: a side of a box is predicted as a distribution over this many distances, 0 to distance_bins - 1
            strides (Distribution Focal Loss); 0: as one number.
        candidates: assigned places per box in training (task-aligned assignment).
        class_weight, box_weight, distribution_weight: weights of the terms of the loss.
    """

    model_type = "dense_detector"
    sub_configs = {"backbone_config": AutoConfig}  # noqa: RUF012  # pyright: ignore[reportAssignmentType]  # transformers' own way

    def __init__(
        self,
        backbone_config: Any = None,
        feature_channels: list[int] | None = None,
        width: int = 64,
        tower_layers: int = 2,
        distance_bins: int = 0,
        candidates: int = 10,
        class_weight: float = 1.0,
        box_weight: float = 2.0,
        distribution_weight: float = 0.5,
        **kwargs: Any,
    ) -> None:
        if isinstance(backbone_config, dict):
            backbone_config = AutoConfig.for_model(
                backbone_config["model_type"],
                **{key: value for key, value in backbone_config.items() if key != "model_type"},
            )
        self.backbone_config = backbone_config
        self.feature_channels = list(feature_channels or [])
        self.width = width
        self.tower_layers = tower_layers
        self.distance_bins = distance_bins
        self.candidates = candidates
        self.class_weight = class_weight
        self.box_weight = box_weight
        self.distribution_weight = distribution_weight
        super().__init__(**kwargs)
