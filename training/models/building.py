"""Detectors for transformers: built from a config around a timm backbone, or loaded from a checkpoint."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForObjectDetection, PreTrainedModel

from radikal_datasets.errors import ModelError
from training.models.backbones import timm_features
from training.models.families import FAMILIES, MODEL_TYPES, family_of
from training.models.initialization import initialize, set_class_prior
from training.models.sizes import SIZES


def build_model(
    model_type: str,
    class_names: list[str],
    *,
    size: str = "small",
    backbone: str | None = None,
    image_size: tuple[int, int] = (640, 640),
    num_queries: int | None = None,
    num_denoising: int | None = None,
    decoder_layers: int | None = None,
    feature_strides: list[int] | None = None,
) -> PreTrainedModel:
    """Build a detector with random initialization as in its paper's code (`initialize`); nothing is downloaded.

    Args:
        model_type: one of `MODEL_TYPES`.
        class_names: classes of the dataset; class i of the model is class i of the dataset.
        size: a key of `SIZES`.
        backbone: a timm model with feature maps of the family's strides, or a plain ViT; None: the size's default.
        image_size: (height, width) in pixels of the model's input.
        num_queries, num_denoising, decoder_layers: override the size's defaults; the families before rt_detr have no
            denoising, and `dense` has none of the three.
        feature_strides: strides of the feature maps of `dense`, finest first; None: 4, 8, 16 and 32.

    Raises:
        ModelError: unknown type, size or backbone, or a backbone the model can't use.
    """
    if model_type not in FAMILIES:
        raise ModelError(f"Unknown model_type {model_type!r}. Available are {', '.join(MODEL_TYPES)}.")
    if size not in SIZES:
        raise ModelError(f"Unknown model_size {size!r}. Available are {', '.join(SIZES)}.")
    family, shape = FAMILIES[model_type], SIZES[size]
    layers = shape.decoder_layers if decoder_layers is None else decoder_layers
    if layers < 2:
        raise ModelError(f"decoder_layers is {decoder_layers}; transformers' {model_type} needs at least 2.")
    strides = family.strides
    if feature_strides is not None:
        if model_type != "dense" or sorted(set(feature_strides)) != feature_strides or not feature_strides:
            raise ModelError(
                f"feature_strides is {feature_strides}; it must be ascending strides of the backbone, such as "
                f"[8, 16, 32], and only dense can choose them: model_type is {model_type}."
            )
        strides = tuple(feature_strides)
    features = timm_features(backbone or shape.backbone, strides, image_size=image_size, plain_norm=family.frozen_norms)
    common: dict[str, Any] = {
        "backbone_config": features.config,
        "encoder_ffn_dim": shape.feed_forward,
        "decoder_ffn_dim": shape.feed_forward,
        "encoder_attention_heads": shape.heads,
        "decoder_attention_heads": shape.heads,
        "decoder_layers": layers,
        "num_queries": shape.queries if num_queries is None else num_queries,
        "id2label": dict(enumerate(class_names)),
        "label2id": {name: i for i, name in enumerate(class_names)},
    }
    arguments = family.configure(shape, features, common)
    if num_denoising is not None and "num_denoising" in arguments:
        arguments["num_denoising"] = num_denoising
    config = family.config(**arguments)
    if family.frozen_norms:
        config.trained_from_scratch = True
    model = family.model(config)
    if not family.initializes_itself:
        initialize(model)
    return trainable_norms(model)


def from_checkpoint(name_or_path: str, class_names: list[str], token: str | None = None) -> PreTrainedModel:
    """Load a detector from a local folder or the Hub; its class head is re-initialized if the classes differ.

    Raises:
        ModelError: there is none, or it can't be read.
    """
    try:
        config: Any = AutoConfig.from_pretrained(name_or_path, token=token)
        known = [config.id2label[i] for i in sorted(config.id2label)]
        model = AutoModelForObjectDetection.from_pretrained(
            name_or_path,
            id2label=dict(enumerate(class_names)),
            label2id={name: i for i, name in enumerate(class_names)},
            # Only if the classes differ: a checkpoint with other shapes must not be accepted silently.
            ignore_mismatched_sizes=known != class_names,
            token=token,
        )
    except (OSError, ValueError) as error:
        raise ModelError(
            f"model_name_or_path: cannot load {name_or_path} as a detector: {' '.join(str(error).split())}"
        ) from error
    if len(known) != len(class_names):  # then transformers re-initialized the class head
        set_class_prior(model)
    model.config.radikal_threshold = None  # it was chosen for the data the checkpoint was trained on
    return trainable_norms(model)


def trainable_norms(model: PreTrainedModel) -> PreTrainedModel:
    """Make the batch norms and stem of a DETR, or a relative, trainable if it was never pretrained.

    transformers freezes both, which is right only for ImageNet weights. When saved, the norms have the same names, so
    that the folder loads into transformers' frozen ones with the same values.
    """
    family = family_of(model)
    if family is None or not family.frozen_norms or not getattr(model.config, "trained_from_scratch", False):
        return model
    for name, module in list(model.named_modules()):
        if type(module).__name__.endswith("FrozenBatchNorm2d"):
            frozen: Any = module
            norm = torch.nn.BatchNorm2d(frozen.weight.numel())
            norm.load_state_dict({**frozen.state_dict(), "num_batches_tracked": torch.tensor(0)})
            model.set_submodule(name, norm)
    return model.requires_grad_(True)  # pyright: ignore[reportReturnType]
