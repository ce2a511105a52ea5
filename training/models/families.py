"""The nine families of detectors: how each is configured from a size and a backbone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from transformers import (
    ConditionalDetrConfig,
    ConditionalDetrForObjectDetection,
    DabDetrConfig,
    DabDetrForObjectDetection,
    DeformableDetrConfig,
    DeformableDetrForObjectDetection,
    Deimv2Config,
    Deimv2ForObjectDetection,
    DetrConfig,
    DetrForObjectDetection,
    DFineConfig,
    DFineForObjectDetection,
    PreTrainedModel,
    RTDetrConfig,
    RTDetrForObjectDetection,
    RTDetrV2Config,
    RTDetrV2ForObjectDetection,
)

from training.models.backbones import Features
from training.models.dense import DenseDetector, DenseDetectorConfig
from training.models.sizes import Size


@dataclass(frozen=True)
class Family:
    """One family of detectors.

    Attributes:
        config, model: transformers' classes.
        configure: (size, features, arguments shared by all families) -> all arguments of the config.
        strides: strides of the feature maps it uses.
        frozen_norms: transformers replaces the backbone's batch norms with frozen ones, whatever the config says.
        initializes_itself: its own class draws all weights as they should start; no `initialize` after it.
        world_boxes: its loss divides by the mean number of boxes over all ranks instead of those of this rank.
    """

    config: type[Any]
    model: type[PreTrainedModel]
    configure: Callable[[Size, Features, dict[str, Any]], dict[str, Any]]
    strides: tuple[int, ...]
    frozen_norms: bool
    world_boxes: bool
    initializes_itself: bool = False


def _plain(size: Size, features: Features, common: dict[str, Any]) -> dict[str, Any]:
    """Configure DETR and its relatives with one feature map and dense attention.

    The last decoder output alone is too weak a signal to learn from scratch: hence auxiliary_loss.
    """
    return {**common, "d_model": size.width, "encoder_layers": size.deep_encoder_layers, "auxiliary_loss": True}


def _dab(size: Size, features: Features, common: dict[str, Any]) -> dict[str, Any]:
    arguments = _plain(size, features, common)
    return {**arguments, "hidden_size": arguments.pop("d_model")}


def _deformable(size: Size, features: Features, common: dict[str, Any]) -> dict[str, Any]:
    """Configure the paper's best variant: boxes refined from layer to layer, queries chosen from the encoder's
    proposals."""
    return {
        **_plain(size, features, common),
        "num_feature_levels": len(features.strides) + 1,
        "with_box_refine": True,
        "two_stage": True,
        "two_stage_num_proposals": common["num_queries"],
    }


def _hybrid(size: Size, features: Features, common: dict[str, Any]) -> dict[str, Any]:
    """Configure RT-DETR and its successors: a convolutional neck over three maps.

    For a plain ViT's single map, two coarser ones are computed from it.
    """
    return {
        **common,
        "d_model": size.width,
        "encoder_layers": size.encoder_layers,
        "freeze_backbone_batch_norms": False,
        "encoder_in_channels": features.channels,
        "encoder_hidden_dim": size.width,
        "encode_proj_layers": [len(features.strides) - 1],
        "feat_strides": features.strides,
        "decoder_in_channels": [size.width] * len(features.strides),
        "num_feature_levels": 3,
        "hidden_expansion": size.expansion,
        "num_denoising": size.denoising,
    }


def _d_fine(size: Size, features: Features, common: dict[str, Any]) -> dict[str, Any]:
    # Further levels from a ViT's single map would need steps that this neck does not have: it uses one level.
    levels = len(features.strides)
    arguments = _hybrid(size, features, common)
    return {**arguments, "num_feature_levels": levels, "depth_mult": 0.34 if size.expansion < 1 else 1.0}


def _dense(size: Size, features: Features, common: dict[str, Any]) -> dict[str, Any]:
    """Configure the dense detector, which has neither queries nor attention."""
    return {
        "backbone_config": features.config,
        "feature_channels": features.channels,
        "width": size.width // 2,
        "id2label": common["id2label"],
        "label2id": common["label2id"],
    }


FAMILIES: dict[str, Family] = {
    "detr": Family(DetrConfig, DetrForObjectDetection, _plain, (32,), True, True),
    "conditional_detr": Family(ConditionalDetrConfig, ConditionalDetrForObjectDetection, _plain, (32,), True, True),
    "dab_detr": Family(DabDetrConfig, DabDetrForObjectDetection, _dab, (32,), True, True),
    "deformable_detr": Family(
        DeformableDetrConfig, DeformableDetrForObjectDetection, _deformable, (8, 16, 32), True, True
    ),
    "rt_detr": Family(RTDetrConfig, RTDetrForObjectDetection, _hybrid, (8, 16, 32), False, False),
    "rt_detr_v2": Family(RTDetrV2Config, RTDetrV2ForObjectDetection, _hybrid, (8, 16, 32), False, False),
    "d_fine": Family(DFineConfig, DFineForObjectDetection, _d_fine, (8, 16, 32), False, False),
    "deimv2": Family(Deimv2Config, Deimv2ForObjectDetection, _d_fine, (8, 16, 32), False, False),
    "dense": Family(DenseDetectorConfig, DenseDetector, _dense, (4, 8, 16, 32), False, False, initializes_itself=True),
}
MODEL_TYPES = tuple(FAMILIES)


def family_of(model: Any) -> Family | None:
    """Return the family of a model by its class; None for a model of another kind."""
    return next((family for family in FAMILIES.values() if type(model) is family.model), None)


def model_title(model: Any) -> str:
    """Such as `rt_detr_v2 with resnet18`."""
    config = model.config
    if hasattr(config, "architecture"):
        return f"classifier {config.architecture}"
    backbone = getattr(getattr(config, "backbone_config", None), "backbone", None)
    return config.model_type + (f" with {backbone}" if backbone else "")
