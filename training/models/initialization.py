"""Random initialization of detectors that are built from a config, following the papers' public code.

transformers draws linear layers and convolutions from a normal distribution with standard deviation 0.01 or 0.02 and
starts every class at a probability of 1 / (classes + 1), or 0.5 in some families. That suits fine-tuning: a checkpoint
overwrites the weights. Without a checkpoint, queries start almost without a position, and with one class every query
starts as a defect with probability 0.5.

Here all linear layers outside the backbone are Xavier-uniform with zero biases, and convolutions have PyTorch's default
initialization, which is what these projects' code does for most of their layers. In addition:

- detr (facebookresearch/detr): Xavier for every matrix of the transformer; query embeddings from N(0, 1). Its softmax
  has a no-object class, so there is no class prior, and its box head has no zero layer.
- conditional_detr (Atten4Vis/ConditionalDETR), dab_detr (IDEA-Research/DAB-DETR): as detr, plus the class prior; the
  last layer of the box head is zero, so that boxes start at their queries' reference points.
- deformable_detr (fundamentalvision/Deformable-DETR): as those, in its two-stage variant with refined boxes; Xavier and
  zero biases for the input projections too. Deformable attention starts as a star: sampling offsets have zero weights
  and a grid of biases, and all points have equal weight. transformers already does that.
- rt_detr, rt_detr_v2 (lyuwenyu/RT-DETR), d_fine (Peterande/D-FINE), deimv2 (Intellindust-AI-Lab/DEIMv2): Xavier for the
  decoder, `enc_output`, `query_pos_head` and the decoder's input projections. Class prior for the encoder's proposals
  and every decoder layer; zero last layers in the box heads of both, in `pre_bbox_head`, and in the box-quality
  estimate of d_fine and deimv2. Their gates start half open, as in transformers.

Differences: the projects leave their prediction heads and RT-DETR's encoder at PyTorch's defaults, and draw the
attention's query, key and value as one matrix, with a bound smaller by the square root of 2. Following that exactly,
150 steps of neu_det.yaml gave an AP50 of 0.151 on validation; this variant gave 0.205 and, with a second seed, 0.233;
transformers' own initialization 0.158 and 0.132.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from training.models.backbones import timm_module

#: Initial probability of every class, as in RetinaNet's paper (focal loss).
CLASS_PRIOR = 0.01

# By the model_type of the config, which spells dab-detr with a hyphen.
_FOCAL_LOSS = frozenset(
    {"conditional_detr", "dab-detr", "deformable_detr", "rt_detr", "rt_detr_v2", "d_fine", "deimv2"}
)

# Components of module names.
_CLASS_HEADS = frozenset({"class_labels_classifier", "class_embed", "enc_score_head"})
_BOX_HEADS = frozenset({"bbox_predictor", "bbox_embed", "enc_bbox_head", "pre_bbox_head", "reg_conf"})
_QUERIES = frozenset({"query_position_embeddings", "query_refpoint_embeddings"})
_ALREADY_INITIALIZED = frozenset({"sampling_offsets", "attention_weights", "gate"})


@torch.no_grad()
def initialize(model: Any) -> None:
    """Re-initialize all weights of a detector, except its backbone's, as described at the top of this module.

    Args:
        model: a detector of `FAMILIES` with a timm backbone, just built from its config.
    """
    xavier_convolutions = "input_proj" if model.config.model_type == "deformable_detr" else "decoder_input_proj"
    modules = _outside_backbone(model)
    for name, module in modules.items():
        parts = name.split(".")
        if parts[-1] in _ALREADY_INITIALIZED:
            continue
        if isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and xavier_convolutions in parts):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        # transformers draws the neck's batch norm weights from N(0, 0.01) too, which almost zeroes its output.
        elif isinstance(module, nn.Conv2d | nn.BatchNorm2d) or parts[-1] in _QUERIES:
            module.reset_parameters()
    if model.config.model_type in _FOCAL_LOSS:
        for name, module in modules.items():
            if not _BOX_HEADS.isdisjoint(name.split(".")) and hasattr(module, "layers"):
                nn.init.zeros_(module.layers[-1].weight)
                nn.init.zeros_(module.layers[-1].bias)
    set_class_prior(model)


@torch.no_grad()
def set_class_prior(model: Any) -> None:
    """Set the biases of all class heads so that every class starts at `CLASS_PRIOR`.

    Models without a focal loss, and models of other families, are left unchanged.

    A focal loss counts every query of every image. At 0.5 the many empty queries drown out the few with a defect.
    """
    if model.config.model_type not in _FOCAL_LOSS:
        return
    for name, module in _outside_backbone(model).items():
        if isinstance(module, nn.Linear) and not _CLASS_HEADS.isdisjoint(name.split(".")):
            nn.init.constant_(module.bias, -math.log((1 - CLASS_PRIOR) / CLASS_PRIOR))


def _outside_backbone(model: nn.Module) -> dict[str, Any]:
    """Return the modules by name, without those of the timm network."""
    backbone = timm_module(model)
    inside = set() if backbone is None else {id(module) for module in backbone.modules()}
    return {name: module for name, module in model.named_modules() if id(module) not in inside}
